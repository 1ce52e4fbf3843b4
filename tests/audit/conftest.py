"""A client of a server that logs every access, and the log itself as the tests look at it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fhir_server.app import create_app, open_store
from fhir_server.audit import chain
from fhir_server.audit.event import Event, unpack
from fhir_server.settings import Settings

_http = Path(__file__).parents[1] / "http" / "conftest.py"
_spec = importlib.util.spec_from_file_location("http_conftest", _http)
assert _spec is not None and _spec.loader is not None
http = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(http)


class Logged(http.Fhir):
    """As in tests/http, and what its server logs."""

    def records(self) -> list[tuple[str, bytes]]:
        return list(self._runner.run(self.store.records(chain.KIND)))

    def head(self) -> chain.Head | None:
        return chain.Head.unpack(self._runner.run(self.store.record(chain.HEAD_KIND, chain.HEAD_KEY)))

    def log(self) -> list[Event]:
        """The events of the log; the chain is whole whenever somebody looks."""
        assert chain.verify(self.records(), self.head()) is None
        return [unpack(record[32:]) for _, record in self.records()]

    def new(self, work: Callable[[], Any]) -> list[Event]:
        """What is logged while work is done."""
        before = len(self.log())
        work()
        return self.log()[before:]

    def change(self, work: Callable[[Any], Any]) -> Any:
        """Do something to the store beside the server."""
        return self._runner.run(self.store.transact(work))

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)


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
def sqlite_fhir(sqlite_url: str, clock: Any, keys: Path) -> Iterator[Logged]:
    """Where the store makes no difference."""
    yield from _client(sqlite_url, clock, keys)


def _client(url: str, clock: Any, keys: Path) -> Iterator[Logged]:
    ids = count(1)
    store = open_store(url)
    app = create_app(Settings(auth=False, audit=True, keys=str(keys)), store, clock, lambda: f"n{next(ids)}")
    client = Logged(app, store)
    yield client
    client.close()
