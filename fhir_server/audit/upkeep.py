"""What the log needs now and then while a server runs: AuditEvents made when it is idle, and checkpoints."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fhir_server import log
from fhir_server.audit import chain
from fhir_server.audit.checkpoint import Checkpoints
from fhir_server.audit.journal import Journal
from fhir_server.audit.made import Made
from fhir_server.errors import FhirError

SECONDS = 1.0  # between looks
IDLE = 5  # entries noted since the last look, at most
_EVERY = 60  # looks between checkpoints


@asynccontextmanager
async def kept_up(journal: Journal, made: Made, checkpoints: Checkpoints) -> AsyncIterator[None]:
    """While the server runs; a last checkpoint when it ends."""
    task = asyncio.create_task(_keep_up(journal, made, checkpoints))
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await checkpoint(journal, checkpoints)


async def _keep_up(journal: Journal, made: Made, checkpoints: Checkpoints) -> None:
    noted, looks = journal.noted, 0
    while True:
        await asyncio.sleep(SECONDS)
        looks += 1
        if looks % _EVERY == 0:
            await checkpoint(journal, checkpoints)
        before, noted = noted, journal.noted
        while noted - before <= IDLE and journal.noted == noted:
            try:
                if not await made.some():
                    break
            except FhirError:  # the store is gone: the next look tries again
                break


async def checkpoint(journal: Journal, checkpoints: Checkpoints) -> None:
    """Sign what the log has come to; the line in the server's own log is another witness."""
    try:
        head = chain.Head.unpack(await journal.store.record(chain.HEAD_KIND, chain.HEAD_KEY))
        if head is None:
            return
        await asyncio.to_thread(checkpoints.write, head)
    except (FhirError, OSError, ValueError) as error:
        log.event("audit-checkpoint", "error", error=type(error).__name__)
        return
    log.event("audit-checkpoint", number=head.number, hash=head.digest.hex())
