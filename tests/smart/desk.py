"""A Service on an open store, with a clock that a test sets and a network of its own, for tests beneath HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from fhir_server.app import open_store
from fhir_server.exchange import Service
from fhir_server.outgoing import Outgoing
from fhir_server.smart.memory import Memory

START = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


class Network:
    """Answers by URL, and what was asked for; what is not there refuses the connection."""

    def __init__(self) -> None:
        self.pages: dict[str, Any] = {}
        self.asked: list[str] = []

    def outgoing(self) -> Outgoing:
        return Outgoing(httpx.MockTransport(self._answer))

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(str(request.url))
        page = self.pages.get(str(request.url))
        if page is None:
            raise httpx.ConnectError("refused", request=request)
        if callable(page):
            page = page(request)
        return page if isinstance(page, httpx.Response) else httpx.Response(200, content=json.dumps(page))


class Desk:
    """Runs what is asynchronous, and turns the clock."""

    def __init__(self, url: str) -> None:
        self.now, self.network = START, Network()
        self.service = self.another(url)
        self._runner = asyncio.Runner()
        self.run(self.service.store.open())

    def another(self, url: str) -> Service:
        """A Service as another worker on the same store has it; its store is not open."""
        memory = Memory.fresh(self.network.outgoing())
        return Service(open_store(url), lambda: self.now, lambda: "id", self.now, smart=memory)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def together(self, count: int, make: Callable[[], Coroutine[Any, Any, Any]]) -> list[Any]:
        """The results of so many at once, exceptions among them."""

        async def run() -> list[Any]:
            return await asyncio.gather(*(make() for _ in range(count)), return_exceptions=True)

        return self.run(run())

    def later(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def close(self) -> None:
        self.run(self.service.store.close())
        self._runner.close()
