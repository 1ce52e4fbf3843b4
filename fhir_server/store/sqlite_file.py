"""A database file: connections to it, turns in writing to it, and the reads that need no query tree."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from pathlib import Path

from fhir_server.errors import FhirError
from fhir_server.store.base import Chapter, Excerpt, Version
from fhir_server.store.rows import CURRENT
from fhir_server.store.sqlite_schema import lay_out
from fhir_server.store.tree import encodable

CACHE_KIB = 32_768  # for each connection, as it comes to need it
WAL_PAGES = 4000  # a checkpoint after so many pages of 4 KiB


class Connection(sqlite3.Connection):
    """A connection that knows which file it was made to."""

    identity: tuple[int, int]


class DatabaseFile:
    """Where the file is, and whose turn it is to write to it."""

    def __init__(self, path: Path, patience: float) -> None:
        self.path = path
        self._patience = patience
        self._locks: list[int] = []

    def create(self) -> None:
        """Make directory, file and tables, or check that they are what they should be.

        Raises sqlite3.Error, OSError or FhirError("unavailable").
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.lock()  # workers start together
        try:
            connection = self._connect("rwc")
            try:
                lay_out(connection)
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            finally:
                connection.close()
        finally:
            self.unlock()
        if mode != "wal":
            raise FhirError(
                "unavailable", "The database file is on a file system that SQLite's WAL mode cannot use"
            )

    def serves(self, connection: Connection) -> bool:
        """Whether the connection is to the file that the path leads to; OSError if it leads nowhere."""
        return self._stat() == connection.identity

    def connect(self, *, reader: bool = False, patient: bool = True) -> Connection:
        """A connection to the existing file: one that has gone away is not silently made anew.

        One that is not patient fails at once where another would wait for a lock.
        """
        identity = self._stat()
        connection = self._connect("rw")
        connection.identity = identity
        try:
            connection.execute("SELECT 1 FROM version LIMIT 1").fetchone()
            if not patient:
                connection.execute("PRAGMA busy_timeout = 0")
            if reader:
                connection.execute("PRAGMA query_only = 1")
        except BaseException:
            connection.close()
            raise
        return connection

    def _connect(self, mode: str) -> Connection:
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=self._patience,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
            factory=Connection,
        )
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
        connection.execute("PRAGMA temp_store = MEMORY")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        connection.execute(
            "PRAGMA secure_delete = OFF"
        )  # only records are deleted, and some builds pay for it
        return connection

    def _stat(self) -> tuple[int, int]:
        found = os.stat(self.path)
        return found.st_dev, found.st_ino

    def lock(self) -> None:
        """Wait for this process's turn.

        Whoever waits for the file stands in a second lock, and whoever comes after waits for that one: a busy
        process cannot take its next turn before another that was waiting, as it could by polling SQLite.
        """
        if not self._locks:
            for suffix in (".lock", ".turn"):
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
                self._locks.append(os.open(f"{self.path}{suffix}", flags, 0o644))
        file, turn = self._locks
        fcntl.flock(turn, fcntl.LOCK_EX)
        try:
            deadline, pause = time.monotonic() + self._patience, 0.00005
            while not _try_lock(file):
                if time.monotonic() > deadline:
                    raise sqlite3.OperationalError("database is locked")
                time.sleep(pause)
                pause = min(2 * pause, 0.001)
        finally:
            fcntl.flock(turn, fcntl.LOCK_UN)

    def unlock(self) -> None:
        if self._locks:
            fcntl.flock(self._locks[0], fcntl.LOCK_UN)

    def forget_locks(self) -> None:
        for descriptor in self._locks:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._locks = []


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def unavailable(error: Exception) -> FhirError:
    """The store's refusal for an error of SQLite's or the system's: its kind, never a path or a value."""
    if isinstance(error, OSError):
        return FhirError("unavailable", f"The database file cannot be used: {os.strerror(error.errno or 0)}")
    return FhirError("unavailable", f"The database cannot be used: {error}")


_VERSION = (
    "SELECT n.text, v.id, v.version, v.updated, v.method, b.body, v.seq, v.patient FROM version AS v"
    " CROSS JOIN name AS n ON n.id = v.type LEFT JOIN body AS b ON b.seq = v.seq"
)
_TYPE = "(SELECT id FROM name WHERE text = ?)"
_OF = f"{_VERSION} WHERE v.type = {_TYPE} AND v.id = ?"


def current(connection: sqlite3.Connection, type: str, id: str) -> Version | None:
    if not encodable(id):
        return None
    row = connection.execute(f"{_OF} ORDER BY v.version DESC LIMIT 1", (type, id)).fetchone()
    return Version(*row) if row else None


def numbered(connection: sqlite3.Connection, type: str, id: str, version: int) -> Version | None:
    if not encodable(id):
        return None
    row = connection.execute(f"{_OF} AND v.version = ?", (type, id, version)).fetchone()
    return Version(*row) if row else None


def newest(connection: sqlite3.Connection) -> int:
    """The seq of the last commit, 0 in an empty store."""
    (seq,) = connection.execute("SELECT coalesce(max(seq), 0) FROM version").fetchone()
    return int(seq)


def changed(connection: sqlite3.Connection, since: int, limit: int) -> tuple[Version, ...]:
    rows = connection.execute(f"{_VERSION} WHERE v.seq > ? ORDER BY v.seq LIMIT ?", (since, limit))
    return tuple(Version(*row) for row in rows)


def chapter(connection: sqlite3.Connection, type: str | None, id: str | None, excerpt: Excerpt) -> Chapter:
    """A page of history; each kind of it has an index."""
    where, values = ["1"], list[object]()
    source = "version AS v"
    timed = excerpt.since is not None or excerpt.during is not None
    if type is not None:
        where.append(f"v.type = {_TYPE}")
        values.append(type)
        index = "version_id" if id is not None else "version_updated" if timed else "version_type"
        source += f" INDEXED BY {index}"
    elif timed:  # every type in turn: what was changed since is the end of each one's index
        source = "name AS n CROSS JOIN version AS v INDEXED BY version_updated ON v.type = n.id"
    if id is not None:
        where.append("v.id = ?")
        values.append(id)
    if excerpt.since is not None:
        where.append("v.updated >= ?")
        values.append(excerpt.since)
    if excerpt.during is not None:
        low, high = excerpt.during
        where.append(f"v.updated < ? AND (v.updated >= ? OR v.until = {CURRENT} OR {_SUCCEEDED} > ?)")
        values += (high, low, low)
    of = f"FROM {source} WHERE {' AND '.join(where)}"
    (total,) = connection.execute(f"SELECT count(*) {of}", values).fetchone()
    side, order, start = (">", "ASC", 0) if excerpt.oldest_first else ("<", "DESC", CURRENT)
    rows = connection.execute(
        f"{_VERSION} WHERE v.seq IN (SELECT v.seq {of} AND v.seq {side} ? ORDER BY v.seq {order} LIMIT ?)"
        f" ORDER BY v.seq {order}",
        (*values, excerpt.beyond or start, excerpt.count + 1),
    ).fetchall()
    versions = tuple(Version(*row) for row in rows[: excerpt.count])
    more = len(rows) > excerpt.count and versions
    return Chapter(versions, versions[-1].seq if more else None, total)


# When a version was succeeded; a deletion, whose `until` is its own seq, when it was made.
_SUCCEEDED = "(SELECT next.updated FROM version AS next WHERE next.seq = v.until)"
