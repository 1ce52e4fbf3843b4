"""The log of a running server: what is noted together shares a commit, and is durable when `note` returns.

await journal.note(event)          # in a commit of its own, or of others that come at the same time
append(tx, pack(event))            # in the commit of what it is about (chain.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial

from fhir_server.audit.chain import append
from fhir_server.audit.event import Event, pack
from fhir_server.errors import FhirError
from fhir_server.store.base import Store


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
        self._waiting: list[tuple[bytes, asyncio.Future[bool]]] = []
        self._task: asyncio.Task[None] | None = None

    async def note(self, event: Event) -> None:
        """Return when it is on disk. FhirError("unavailable") where that cannot be: then nothing that it is
        about may be told to anybody."""
        self.noted += 1
        settled = asyncio.get_running_loop().create_future()
        self._waiting.append((pack(event), settled))
        if self._task is None:
            self._task = asyncio.create_task(self._write())
        if not await settled:
            raise FhirError("unavailable", "The log of accesses cannot be written, so nothing is shown")

    async def _write(self) -> None:
        """Everything that waits, and then what has come to wait meanwhile."""
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            written = False
            try:
                await self.store.transact(partial(append, contents=[content for content, _ in waiting]))
                written = True
            except FhirError:
                pass  # each of those who wait is told
            finally:
                for _, settled in waiting:
                    if not settled.done():  # its task was cancelled
                        settled.set_result(written)
        self._task = None
