"""A client of a server that logs every access, and the log itself as the tests look at it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fhir_server.access.emergency import with_emergencies
from fhir_server.app import create_app, open_store
from fhir_server.audit import chain
from fhir_server.audit.event import Event, unpack
from fhir_server.instants import microseconds
from fhir_server.settings import Settings

_http = Path(__file__).parents[1] / "http" / "conftest.py"
_spec = importlib.util.spec_from_file_location("http_conftest", _http)
assert _spec is not None and _spec.loader is not None
http = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(http)


class Logged(http.Fhir):
    """As in tests/http, and what its server logs; `url` is that of its store.

    `grant` is what requests are allowed (None: access control is off), or the error that says they are not.
    """

    url = ""
    grant: Any = None
    _stopped = False

    def records(self) -> list[tuple[str, bytes]]:
        return list(self._runner.run(self.store.records(chain.KIND)))

    def head(self) -> chain.Head | None:
        return chain.Head.unpack(self._runner.run(self.store.record(chain.HEAD_KIND, chain.HEAD_KEY)))

    def log(self) -> list[Event]:
        """The events of the log; the chain is whole whenever somebody looks."""
        assert chain.verify(self.records(), self.head()) is None
        return [unpack(content) for each in self.records() for _, content in chain.entries(*each)]

    def new(self, work: Callable[[], Any]) -> list[Event]:
        """What is logged while work is done."""
        before = len(self.log())
        work()
        return self.log()[before:]

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    def stop(self) -> None:
        """The server alone; requests go nowhere after it."""
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._stopped = True

    def close(self) -> None:
        if not self._stopped:
            self.stop()
        self._runner.run(self._http.aclose())
        self._runner.close()

    def change(self, work: Callable[[Any], Any]) -> Any:
        """Do something to the store when the server has stopped."""

        async def beside() -> Any:
            store = open_store(self.url)
            await store.open()
            try:
                return await store.transact(work)
            finally:
                await store.close()

        return self._runner.run(beside())


@pytest.fixture
def clock() -> Any:
    return http.Clock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def fhir(store_url: str, clock: Any, keys: Path) -> Iterator[Logged]:
    yield from _client(store_url, clock, keys)


@pytest.fixture
def fhir_with(sqlite_url: str, clock: Any, keys: Path) -> Iterator[Callable[..., Logged]]:
    """Makes a client of a server with further settings."""
    made: list[Iterator[Logged]] = []

    def make(**settings: Any) -> Logged:
        made.append(_client(sqlite_url, clock, keys, **settings))
        return next(made[-1])

    yield make
    for each in made:
        next(each, None)


@pytest.fixture
def sqlite_fhir(sqlite_url: str, clock: Any, keys: Path) -> Iterator[Logged]:
    """Where the store makes no difference."""
    yield from _client(sqlite_url, clock, keys)


def _client(url: str, clock: Any, keys: Path, **more: Any) -> Iterator[Logged]:
    ids = count(1)
    store = open_store(url)

    async def granted(service: Any, authorization: str | None) -> Any:
        if isinstance(client.grant, Exception):
            raise client.grant
        if client.grant is None:
            return None
        return await with_emergencies(service.whole, client.grant, microseconds(service.clock()))

    settings = Settings(auth=False, audit=True, keys=str(keys), **more)
    app = create_app(settings, store, clock, lambda: f"n{next(ids)}", grants=granted)
    client = Logged(app, store)
    client.url = url
    yield client
    client.close()
