"""The log of a running server: what is noted together shares a commit, and is durable when `note` returns.

await journal.note(event)          # in a commit of its own, or of others that come at the same time
append(tx, pack(event))            # in the commit of what it is about (chain.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from fhir_server import log
from fhir_server.audit.chain import append
from fhir_server.audit.event import Event, pack
from fhir_server.audit.limiter import Limiter
from fhir_server.errors import FhirError
from fhir_server.store.base import Store

# Seconds that an entry waits for each other request under way, and at most.
_EACH, _LONGEST = 0.0001, 0.02


class Journal:
    """Of one process; `store` is the real one, whole and unobserved. `catch_up` returns when every entry that
    there is has its AuditEvents (made.py)."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime], catch_up: Callable[[], Awaitable[None]]
    ) -> None:
        self.store = store
        self.clock = clock
        self.catch_up = catch_up
        self.noted = 0  # by this process, in this way or another: to tell when it is idle
        self.open = 0  # requests that are under way
        self.refusals = Limiter()
        self._waiting: list[tuple[bytes, asyncio.Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None
        self._all: asyncio.Future[None] | None = None  # until all of them wait, or a moment has passed

    async def note(self, event: Event) -> None:
        """Return when it is on disk. FhirError("unavailable") where that cannot be: then nothing that it is
        about may be told to anybody."""
        self.noted += 1
        settled = asyncio.get_running_loop().create_future()
        self._waiting.append((pack(event), settled))
        if self._task is None:
            self._task = asyncio.create_task(self._write())
        elif self._all is not None and len(self._waiting) >= self.open:
            _set(self._all)
        if not await settled:
            raise FhirError("unavailable", "The log of accesses cannot be written, so nothing is shown")

    async def _write(self) -> None:
        """Everything that waits, and then what has come to wait meanwhile."""
        try:
            while self._waiting:
                await self._gather()
                waiting, self._waiting = self._waiting, []
                written = await self._commit([content for content, _ in waiting])
                for _, settled in waiting:
                    if not settled.done():  # its task was cancelled
                        settled.set_result(written)
        finally:
            self._task = None

    async def _gather(self) -> None:
        """Wait a moment for the other requests that are under way: a commit costs as much as many entries.

        The more of them the longer; not at all where there are none, no longer once all of them wait.
        """
        others = self.open - len(self._waiting)
        if others > 0:
            loop = asyncio.get_running_loop()
            self._all = loop.create_future()
            timer = loop.call_later(min(_EACH * others, _LONGEST), _set, self._all)
            await self._all
            timer.cancel()
            self._all = None

    async def _commit(self, contents: list[bytes]) -> bool:
        """Whether they are on disk."""
        try:
            await self.store.transact(partial(append, contents=contents))
        except FhirError:
            return False
        except Exception as error:
            log.bug(error, interaction="audit")
            return False
        return True


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
