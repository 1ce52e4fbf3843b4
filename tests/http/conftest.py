"""A FHIR client of an application in this process, which holds every answer to what all answers must be."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import pytest

from fhir_server import log, resource_xml
from fhir_server.app import create_app, open_store
from fhir_server.settings import Settings
from profiles.structure import validate

BASE = "http://varde.test/fhir"
log.configure("error")


class Fhir:
    """Synchronous, so that tests read like a conversation."""

    def __init__(self, app: Any, store: Any) -> None:
        self.store = store
        self._runner = asyncio.Runner()
        self._lifespan = app.router.lifespan_context(app)
        self._runner.run(self._lifespan.__aenter__())
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://varde.test", timeout=60
        )
        self.base = BASE

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def request(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self._runner.run(self._request(method, path, body, headers))

    def together(self, *requests: tuple[Any, ...]) -> list[httpx.Response]:
        """All at once; each request is (method, path, body) or (method, path, body, headers)."""

        async def run() -> list[httpx.Response]:
            return await asyncio.gather(
                *(self._request(*request[:3], *(request[3:] or ({},))) for request in requests)
            )

        return self._runner.run(run())

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.request("GET", path, **headers)

    def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.request("POST", path, body, **headers)

    def put(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.request("PUT", path, body, **headers)

    def delete(self, path: str, **headers: str) -> httpx.Response:
        return self.request("DELETE", path, **headers)

    def explain(self, query: Any) -> list[str]:
        """The store's plan of a search."""
        return self._runner.run(self.store.explain(query))

    def beside(self, path: str) -> httpx.Response:
        """GET of what is not under the FHIR base."""
        return self._runner.run(self._http.get(path))

    async def _request(self, method: str, path: str, body: Any, headers: dict[str, str]) -> httpx.Response:
        sent = {name.replace("_", "-"): value.encode("latin-1") for name, value in headers.items()}
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if content is not None:
            sent.setdefault("content-type", b"application/fhir+json")
        url = path if path.startswith("http") else f"/fhir{path}"
        answer = await self._http.request(method, url, content=content, headers=sent)
        check(answer)
        return answer


def check(answer: httpx.Response) -> None:
    """What holds for every answer of the FHIR base."""
    assert answer.status_code != 500, answer.text
    assert answer.headers["x-request-id"]
    if answer.status_code in (204, 304) or answer.request.method == "HEAD":
        assert answer.content == b""
    elif answer.content:
        media_type = answer.headers["content-type"]
        manifest = "/_async/" in str(answer.url) and media_type == "application/json"
        content = "/Binary/" in str(answer.url) and answer.status_code == 200  # of a Binary, as it is
        if not manifest and not content:
            assert media_type in (f"application/fhir+{form}; charset=utf-8" for form in ("json", "xml"))
        if answer.status_code >= 400:
            outcome = answer.json() if "json" in media_type else resource_xml.decode(answer.content)
            assert outcome["resourceType"] == "OperationOutcome"
            assert validate(outcome) == []
    else:
        assert answer.status_code < 400


class Clock:
    """Moves a millisecond with each look, and further when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fhir(store_url: str, clock: Clock) -> Iterator[Fhir]:
    """A client of a fresh server on each of the stores."""
    ids = count(1)
    store = open_store(store_url)
    app = create_app(Settings(auth=False), store, clock, lambda: f"n{next(ids)}")
    client = Fhir(app, store)
    yield client
    client.close()
