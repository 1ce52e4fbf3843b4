"""AuditEvents, made of the log's entries when the server is idle, and before anybody looks for them.

    await made.catch_up()       # every entry that there is now has its AuditEvents

To make them costs more than most requests do, so that none waits for it. Whoever reads, searches or asks for
the history of AuditEvents waits until what was answered before is there (`Current`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from fhir_server import posted_parameters
from fhir_server.audit import chain
from fhir_server.audit.event import unpack
from fhir_server.audit.resource import resources_of
from fhir_server.errors import FhirError
from fhir_server.search.posted import NONE, Posted
from fhir_server.search.query import Query
from fhir_server.store.base import WHOLE, Chapter, Excerpt, Found, Store, Transaction, Version
from fhir_server.store.joins import types
from fhir_server.versions import Content, content

TYPE = "AuditEvent"
_MARK = "audit-made", "last"
_AT_ONCE = 50  # records in one transaction
PATIENCE = 20.0  # seconds that somebody who looks for AuditEvents waits at most


@dataclass(frozen=True, slots=True)
class _Draft:
    time: int
    content: Content


class Made:
    """Which entries have their AuditEvents; in the store, so that any process can go on with it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._posted: Posted = NONE
        self._turn = asyncio.Lock()

    async def catch_up(self, patience: float = PATIENCE) -> None:
        """Make what the entries that there are now lack; FhirError("unavailable") if that takes too long."""
        until = chain.Head.unpack(await self._store.record(chain.HEAD_KIND, chain.HEAD_KEY)) or chain.Head()
        ends = time.monotonic() + patience
        async with self._turn:
            while (done := await marked(self._store)) < until.number:
                if time.monotonic() > ends:
                    left = until.number - done
                    text = f"The log of accesses is being made searchable, {left} entries are left; ask again"
                    raise FhirError("unavailable", text)
                await self._some(done)

    async def some(self) -> bool:
        """Make those of a few entries; whether there were any."""
        async with self._turn:
            return await self._some(await marked(self._store))

    async def _some(self, done: int) -> bool:
        records = await self._store.records(chain.KIND, chain.key_of(done), _AT_ONCE)
        if not records:
            return False
        posted = self._posted
        drafts = await asyncio.to_thread(_drafts, records, posted)

        def work(tx: Transaction) -> Posted:
            current = posted_parameters.in_force(tx)
            if int(tx.record(*_MARK) or 0) == done:  # else another process was faster
                fitting = drafts if current.extracts_as(posted) else _drafts(records, current)
                for draft in fitting:
                    _put(tx, draft)
                tx.keep(*_MARK, b"%d" % _last(records))
            return current

        self._posted = await self._store.transact(work)
        return True


async def marked(store: Store) -> int:
    """The number of the last entry that has its AuditEvents."""
    return int(await store.record(*_MARK) or 0)


def _put(tx: Transaction, draft: _Draft) -> None:
    made = draft.content
    tx.put(Version(TYPE, made.tree["id"], 1, draft.time, "POST", made.body), made.values)


def _last(records: Sequence[tuple[str, bytes]]) -> int:
    """The number of the last entry in these records."""
    key, record = records[-1]
    try:
        return chain.entries(key, record)[-1][0]
    except (ValueError, IndexError):
        return int(key)


def _drafts(records: Sequence[tuple[str, bytes]], posted: Posted) -> list[_Draft]:
    return [_Draft(*each) for key, record in records for each in contents(key, record, posted)]


def contents(key: str, record: bytes, posted: Posted = NONE) -> Iterable[tuple[int, Content]]:
    """The AuditEvents of a record's entries as they are stored, with their times."""
    try:
        events = [(number, unpack(content)) for number, content in chain.entries(key, record)]
    except ValueError:
        return  # what was damaged is told by `varde audit verify`
    for number, event in events:
        for resource in resources_of(number, record[:32], event):
            yield event.time, content(resource, resource["id"], 1, event.time, "", posted=posted)


def current(store: Store, made: Made) -> Store:
    """The store, in which every AuditEvent is there by the time that somebody looks for one."""
    return cast(Store, _Current(store, made))


class _Current:
    def __init__(self, store: Store, made: Made) -> None:
        self._store = store
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def read(self, type: str, id: str) -> Version | None:
        if type == TYPE:
            await self._made.catch_up()
        return await self._store.read(type, id)

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        if type == TYPE:
            await self._made.catch_up()
        return await self._store.vread(type, id, version)

    async def history(
        self, type: str | None = None, id: str | None = None, excerpt: Excerpt = WHOLE
    ) -> Chapter:
        if type in (TYPE, None) and excerpt.beyond is None:
            await self._made.catch_up()
        return await self._store.history(type, id, excerpt)

    async def search(self, query: Query) -> Found:
        await self._look(query)
        return await self._store.search(query)

    async def count(self, query: Query, at_most: int | None = None) -> int:
        await self._look(query)
        return await self._store.count(query, at_most)

    async def _look(self, query: Query) -> None:
        if query.snapshot is None and (query.type == TYPE or TYPE in types(query)):
            await self._made.catch_up()
