"""AuditEvents, made of the log's entries when the server is idle, and before anybody looks for them.

    await made.catch_up()       # every entry that there is now has its AuditEvents

To make them costs more than most requests do, so that none waits for it. Whoever reads, searches or asks for
the history of AuditEvents waits until what was answered before is there (`Current`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

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
# In one transaction, which others wait for: entries, AuditEvents, and records that they are looked for in.
_ENTRIES, _EVENTS, _RECORDS = 50, 100, 50
PATIENCE = 20.0  # seconds that somebody who looks for AuditEvents waits at most


class Mark(NamedTuple):
    """How far it is: the key of the last record all of whose entries have AuditEvents, and the number of the
    last entry that has."""

    after: str = ""
    number: int = 0

    def pack(self) -> bytes:
        return f"{self.after}:{self.number}".encode()

    @staticmethod
    def unpack(content: bytes | None) -> Mark:
        after, _, number = (content or b":0").decode().partition(":")
        return Mark(after, int(number))


class _Entry(NamedTuple):
    number: int
    digest: bytes
    content: bytes


class _Draft(NamedTuple):
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
            while (mark := await marked(self._store)).number < until.number:
                if time.monotonic() > ends:
                    left = until.number - mark.number
                    text = f"The log of accesses is being made searchable, {left} entries are left; ask again"
                    raise FhirError("unavailable", text)
                await self._some(mark)

    async def some(self) -> bool:
        """Make those of a few entries; whether there were any."""
        async with self._turn:
            return await self._some(await marked(self._store))

    async def _some(self, mark: Mark) -> bool:
        records = await self._store.records(chain.KIND, mark.after, _RECORDS)
        if not records:
            return False
        posted = self._posted
        drafts, reached = await asyncio.to_thread(_drafts, records, mark, posted)

        def work(tx: Transaction) -> Posted:
            current = posted_parameters.in_force(tx)
            if Mark.unpack(tx.record(*_MARK)) == mark:  # else another process was faster
                same = current.extracts_as(posted)
                for draft in drafts if same else _drafts(records, mark, current)[0]:
                    _put(tx, draft)
                tx.keep(*_MARK, reached.pack())
            return current

        self._posted = await self._store.transact(work)
        return True


async def marked(store: Store) -> Mark:
    """How far it is."""
    return Mark.unpack(await store.record(*_MARK))


def _put(tx: Transaction, draft: _Draft) -> None:
    made = draft.content
    tx.put(Version(TYPE, made.tree["id"], 1, draft.time, "POST", made.body), made.values)


def _drafts(records: Sequence[tuple[str, bytes]], mark: Mark, posted: Posted) -> tuple[list[_Draft], Mark]:
    """Of the next entries behind the mark, and the mark behind them."""
    drafts: list[_Draft] = []
    count = 0
    for key, record in records:
        for entry in _entries(key, record):
            if entry.number > mark.number:
                if count == _ENTRIES or len(drafts) >= _EVENTS:
                    return drafts, mark
                drafts += _made(entry, posted)
                mark, count = Mark(mark.after, entry.number), count + 1
        mark = Mark(key, max(mark.number, int(key)))
    return drafts, mark


def _entries(key: str, record: bytes) -> list[_Entry]:
    """The entries of a record; none of what was damaged, which `varde audit verify` tells."""
    try:
        return [_Entry(number, record[:32], content) for number, content in chain.entries(key, record)]
    except ValueError:
        return []


def _made(entry: _Entry, posted: Posted) -> Iterable[_Draft]:
    try:
        event = unpack(entry.content)
    except ValueError:
        return
    for resource in resources_of(entry.number, entry.digest, event):
        yield _Draft(event.time, content(resource, resource["id"], 1, event.time, "", posted=posted))


def contents(key: str, record: bytes, until: int) -> Iterable[Content]:
    """The AuditEvents of a record's entries up to that number, as they are stored."""
    for entry in _entries(key, record):
        if entry.number <= until:
            yield from (draft.content for draft in _made(entry, NONE))


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
