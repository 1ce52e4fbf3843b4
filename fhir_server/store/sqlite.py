"""The SQLite store: one file, any number of processes; the embedded default.

https://www.sqlite.org/wal.html. Writes go through the group of this process (store/group.py) and are durable
(synchronous=FULL) before they are acknowledged; reads use connections of their own and see every commit.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from fhir_server.errors import FhirError
from fhir_server.search.query import Query
from fhir_server.store import sqlite_records
from fhir_server.store.base import WHOLE, Chapter, Excerpt, Found, Store, Transaction, Version
from fhir_server.store.group import Group
from fhir_server.store.sqlite_file import (
    Connection,
    DatabaseFile,
    changed,
    chapter,
    current,
    newest,
    numbered,
    unavailable,
)
from fhir_server.store.sqlite_ledger import SqliteLedger
from fhir_server.store.sqlite_search import find, plan, total
from fhir_server.store.tree import encodable

T = TypeVar("T")
READERS = 4


class SqliteStore:
    """A Store (store/base.py) in the file that a URL names.

    `sqlite:///relative/path.db` or `sqlite:////absolute/path.db`; `patience`: seconds to wait for other
    processes' locks before giving up as unavailable.
    """

    name = "sqlite"

    def __init__(self, url: str, *, patience: float = 10.0) -> None:
        self._file = DatabaseFile(_path(url), patience)
        self._group = Group(SqliteLedger(self._file), self.name)
        self._readers = Readers(self._file)

    @property
    def whole(self) -> Store:
        return self

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._create)
        self._group.start()

    def _create(self) -> None:
        try:
            self._file.create()
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from error

    async def close(self) -> None:
        await self._group.close()
        self._readers.close()

    async def check(self) -> None:
        await self._readers.run(newest)

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        return await self._group.submit(work)

    async def read(self, type: str, id: str) -> Version | None:
        return await self._readers.at_once(lambda connection: current(connection, type, id))

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        return await self._readers.at_once(lambda connection: numbered(connection, type, id, version))

    async def history(
        self, type: str | None = None, id: str | None = None, excerpt: Excerpt = WHOLE
    ) -> Chapter:
        return await self._readers.run(lambda connection: chapter(connection, type, id, excerpt))

    async def search(self, query: Query) -> Found:
        return await self._readers.run(lambda connection: find(connection, query, _at(connection, query)))

    async def count(self, query: Query, at_most: int | None = None) -> int:
        return await self._readers.run(
            lambda connection: total(connection, query, _at(connection, query), at_most)
        )

    async def changes(self, since: int, limit: int = 1000) -> tuple[Version, ...]:
        return await self._readers.run(lambda connection: changed(connection, since, limit))

    async def record(self, kind: str, key: str, *, now: int | None = None) -> bytes | None:
        if not encodable(key):
            return None
        found = await self._readers.at_once(lambda connection: sqlite_records.one(connection, kind, key))
        return found.content if found and found.lasts(now) else None

    async def records(
        self, kind: str, after: str = "", limit: int = 1000, *, now: int | None = None
    ) -> list[tuple[str, bytes]]:
        found = await self._readers.run(lambda each: sqlite_records.some(each, kind, after, limit, now))
        return [(key, kept.content) for key, kept in found]

    async def explain(self, query: Query) -> list[str]:
        return await self._readers.run(lambda connection: plan(connection, query, _at(connection, query)))


def _at(connection: sqlite3.Connection, query: Query) -> int:
    return newest(connection) if query.snapshot is None else query.snapshot


def _path(url: str) -> Path:
    scheme, _, rest = url.partition(":///")
    if scheme != "sqlite" or not rest or rest.startswith(":memory:"):
        raise ValueError(f"not the URL of a database file (sqlite:///path/to/file.db): {url}")
    return Path(rest)


class Readers:
    """Threads that read, each with a connection of its own."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._own = threading.local()
        self._connections: set[Connection] = set()
        self._closed = False

    async def run(self, use: Callable[[sqlite3.Connection], T]) -> T:
        """The result of use(connection); FhirError("unavailable") for what SQLite or the system refuses."""
        if self._closed:
            raise FhirError("unavailable", "The store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._use, use)

    async def at_once(self, use: Callable[[sqlite3.Connection], T]) -> T:
        """As run, for a look-up of microseconds: to hand it to a thread would cost it ten times as much."""
        if self._closed:
            raise FhirError("unavailable", "The store is closed")
        try:
            return use(self._connection(patient=False))
        except (sqlite3.Error, OSError):
            self._disconnect()
            return await self.run(use)  # which waits if that helps, or says what is wrong

    def _use(self, use: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return use(self._connection(patient=True))
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise unavailable(error) from error

    def _connection(self, *, patient: bool) -> Connection:
        """This thread's connection to the file that is there now."""
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is None or not self._file.serves(connection):
            self._disconnect()
            connection = self._own.connection = self._file.connect(reader=True, patient=patient)
            self._connections.add(connection)
        return connection

    def _disconnect(self) -> None:
        connection: Connection | None = getattr(self._own, "connection", None)
        if connection is not None:
            self._own.connection = None
            self._connections.discard(connection)
            with contextlib.suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        self._closed = True
        self._threads.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        self._connections.clear()
