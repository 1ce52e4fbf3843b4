"""The writing side of the SQLite store: one connection, one transaction for each group of works.

https://www.sqlite.org/wal.html, https://www.sqlite.org/lang_savepoint.html
"""

# ruff: noqa: S608 - statements are put together from constants; every value is bound

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from fhir_server.errors import FhirError
from fhir_server.search.query import Query, Values
from fhir_server.store import sqlite_patient
from fhir_server.store.base import STAMPED, Head, Version
from fhir_server.store.group import Work
from fhir_server.store.rows import DAY, TIMELINE, Tidy, patient_key, tidy
from fhir_server.store.sql import EVERYBODY, MISSING
from fhir_server.store.sqlite_file import (
    Connection,
    DatabaseFile,
    current,
    newest,
    numbered,
    unavailable,
)
from fhir_server.store.sqlite_schema import CURRENT
from fhir_server.store.sqlite_search import find

T = TypeVar("T")
WIDTHS = {
    "version": 10,
    "body": 2,
    "token": 4,
    "timeline": 6,
    "string": 4,
    "date": 4,
    "number": 4,
    "quantity": 7,
    "reference": 7,
    "uri": 3,
}
ROWS_AT_ONCE = 64  # one step of SQLite, and so one release of the interpreter lock, inserts so many
NAMES_KEPT = 20_000
_STAMP = "INSERT INTO stamp (patient, type, seq)"
_LATEST = " ON CONFLICT DO UPDATE SET seq = excluded.seq"


@cache
def _insert(table: str, rows: int) -> str:
    row = f"({', '.join('?' * WIDTHS[table])})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)}"


class SqliteLedger:
    """A Ledger (store/group.py) over one database file."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._connection: Connection | None = None
        self._names: dict[str, int] = {}
        self._fresh: list[str] = []  # names that this group created: gone if it is undone
        self.seq = 0  # of the last version put
        self.trouble: FhirError | None = None  # the transaction is broken; nothing more may be done in it

    def begin(self) -> None:
        self.trouble = None
        try:
            connection = self._connection
            if connection is None or not self._file.serves(connection):
                self._disconnect()
                connection = self._connection = self._file.connect()
            self._file.lock()
            connection.execute("BEGIN IMMEDIATE")
            self.seq = newest(connection)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from error

    def run(self, work: Work) -> tuple[Any, Exception | None]:
        tx = SqliteTransaction(self)
        result, error = None, None
        try:
            result = work(tx)
            tx.flush()
        except Exception as raised:
            error = raised
        # whatever the work made of it, a broken transaction is broken
        error = tx.trouble or error
        if self.trouble is None:
            tx.undo() if error else tx.release()
        if self.trouble is not None:
            raise self.trouble
        return result, error

    def commit(self) -> None:
        self.execute("COMMIT")
        self._fresh.clear()
        self._file.unlock()

    def abort(self) -> None:
        # a connection that met an error is not trusted again, nor a lock file that may have moved with it
        self.close()

    def close(self) -> None:
        self._disconnect()
        self._file.forget_locks()

    def execute(self, statement: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
        """On the group's connection; an error of SQLite's ends the group, one about this data does not."""
        return self.guarded(lambda connection: connection.execute(statement, values))

    def guarded(self, use: Callable[[sqlite3.Connection], T]) -> T:
        if self.trouble is not None:
            raise self.trouble
        assert self._connection is not None
        try:
            return use(self._connection)
        except (sqlite3.IntegrityError, sqlite3.DataError):
            raise
        except sqlite3.Error as error:
            # SQLite may have rolled back by itself: what followed would be committed piecemeal
            self.trouble = unavailable(error)
            raise self.trouble from error

    def number(self, text: str) -> int:
        """The number that stands for a text in the tables."""
        known = self._names.get(text)
        if known is None:
            row = self.execute("SELECT id FROM name WHERE text = ?", (text,)).fetchone()
            if row is None:
                row = (self.execute("INSERT INTO name (text) VALUES (?)", (text,)).lastrowid,)
                self._fresh.append(text)
            if len(self._names) >= NAMES_KEPT:
                self._names.clear()
            known = self._names[text] = int(row[0])
        return known

    def forget_fresh(self) -> None:
        for text in self._fresh:
            self._names.pop(text, None)
        self._fresh.clear()

    def _disconnect(self) -> None:
        self.forget_fresh()
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()  # rolls back what is open
            self._connection = None


class SqliteTransaction:
    """What one work does: puts are kept until something has to see them, then inserted together."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self._ledger = ledger
        self._start = ledger.seq
        self._savepoint = False
        self._own: dict[tuple[str, str], list[Version]] = {}
        self._pending: list[tuple[Version, Tidy | None]] = []
        self._superseded: list[tuple[int, int]] = []  # (by, whom)
        self.trouble: FhirError | None = None  # this work cannot be committed any more

    def read(self, type: str, id: str) -> Version | None:
        mine = self._own.get((type, id))
        if mine:
            return mine[-1]
        return self._ledger.guarded(lambda connection: current(connection, type, id))

    def vread(self, type: str, id: str, version: int) -> Version | None:
        for mine in self._own.get((type, id), ()):
            if mine.version == version:
                return mine
        return self._ledger.guarded(lambda connection: numbered(connection, type, id, version))

    def search(self, query: Query) -> tuple[Version, ...]:
        self.flush()
        return self._ledger.guarded(lambda connection: find(connection, query, self._ledger.seq)).versions

    def timeline(
        self,
        patient: str,
        codes: Sequence[str],
        *,
        since: int | None = None,
        until: int | None = None,
        newest: int | None = None,
        oldest: int | None = None,
    ) -> list[bytes]:
        self.flush()
        return self._ledger.guarded(
            lambda connection: sqlite_patient.timeline(
                connection, patient, codes, since, until, newest, oldest
            )
        )

    def heads(self, patient: str, types: Sequence[str]) -> tuple[Head, ...]:
        self.flush()
        return self._ledger.guarded(lambda connection: sqlite_patient.heads(connection, patient, types))

    def stamp(self, patient: str) -> tuple[int, ...]:
        self.flush()
        return self._ledger.guarded(lambda connection: sqlite_patient.stamp(connection, patient))

    def put(self, version: Version, values: Values | None) -> Version:
        before = self._before(version)
        seq = self._ledger.seq = self._ledger.seq + 1
        stored = Version(
            version.type, version.id, version.version, version.updated, version.method, version.body, seq
        )
        self._own.setdefault((version.type, version.id), []).append(stored)
        if before is not None:
            self._superseded.append((seq, before))
        self._pending.append((stored, None if values is None else tidy(values)))
        return stored

    def _before(self, version: Version) -> int | None:
        """The seq of the version that this one follows.

        That a first version is the first is left to the unique index.
        """
        mine = self._own.get((version.type, version.id))
        if mine:
            seq, number = mine[-1].seq, mine[-1].version
        elif version.version == 1:
            return None
        else:
            row = self._ledger.execute(
                "SELECT seq, version FROM version WHERE type = ? AND id = ? ORDER BY version DESC LIMIT 1",
                (self._ledger.number(version.type), version.id),
            ).fetchone()
            seq, number = row or (0, 0)
        if version.version != number + 1:
            raise FhirError("conflict", "The resource has been changed in the meantime")
        return int(seq)

    def flush(self) -> None:
        """Insert what has been put so far."""
        if self.trouble is not None:
            raise self.trouble
        if not self._pending:
            return
        if not self._savepoint:
            self._ledger.execute("SAVEPOINT work")
            self._savepoint = True
        try:
            self._insert()
        except sqlite3.IntegrityError as error:
            self.trouble = FhirError("conflict", "The resource has been changed in the meantime")
            raise self.trouble from error
        except (sqlite3.DataError, OverflowError) as error:
            self.trouble = FhirError("too-large", "The resource has a value that is too large to store")
            raise self.trouble from error
        self._pending.clear()
        self._superseded.clear()

    def release(self) -> None:
        if self._savepoint:
            self._ledger.execute("RELEASE work")

    def undo(self) -> None:
        """Take back all that the work put."""
        self._ledger.seq = self._start
        if self._savepoint:
            with contextlib.suppress(FhirError):  # kept in the ledger's trouble
                self._ledger.execute("ROLLBACK TO work")
                self._ledger.execute("RELEASE work")
            self._ledger.forget_fresh()

    def _insert(self) -> None:
        cells: dict[str, list[Any]] = {table: [] for table in WIDTHS}
        for version, values in self._pending:
            self._version(version, values, cells)
        for table, flat in cells.items():
            width = WIDTHS[table] * ROWS_AT_ONCE
            for start in range(0, len(flat), width):
                part = flat[start : start + width]
                self._ledger.execute(_insert(table, len(part) // WIDTHS[table]), part)
        for by, whom in self._superseded:
            # a deletion has no time in which it was found: its until stays its seq
            self._ledger.execute(
                "UPDATE version SET until = ? WHERE seq = ? AND until = ?", (by, whom, CURRENT)
            )
        self._stamp()

    def _stamp(self) -> None:
        """Note for the patients concerned, the former ones too, that something of theirs has changed."""
        former = dict(self._superseded)
        for version, values in self._pending:
            if version.type not in STAMPED:
                continue
            if values is not None and values.patient is not None:
                self._ledger.execute(
                    _STAMP + " VALUES (?, ?, ?)" + _LATEST,
                    (patient_key(values.patient), version.type, version.seq),
                )
            if version.seq in former:
                self._ledger.execute(
                    f"{_STAMP} SELECT patient_key, ?, ? FROM version"
                    f" WHERE seq = ? AND patient_key IS NOT NULL{_LATEST}",
                    (version.type, version.seq, former[version.seq]),
                )

    def _version(self, version: Version, values: Tidy | None, cells: dict[str, list[Any]]) -> None:
        seq, type = version.seq, self._ledger.number(version.type)
        patient = values.patient if values else None
        key = None if patient is None else patient_key(patient)
        cells["version"] += (
            seq,
            type,
            version.id,
            version.version,
            version.updated,
            version.method,
            CURRENT if version.body is not None else seq,
            patient,
            key,
            values.moment if values else None,
        )
        if version.body is not None:
            cells["body"] += (seq, version.body)
        if values is not None:
            self._values(version, values, key, cells)
            if values.extent > DAY:
                self._lasting(type, key, values.extent)

    def _values(self, version: Version, values: Tidy, key: int | None, cells: dict[str, list[Any]]) -> None:
        number, seq, type = self._ledger.number, version.seq, version.type
        for table, rows in values.rows.items():
            flat = cells[table]
            for param, *columns in rows:
                p = number(f"{type} {param}")
                if table == "token":
                    system, code = columns
                    flat += (seq, p, number(system), code)
                    if key is not None and param in TIMELINE:
                        moment = MISSING if values.moment is None else values.moment
                        cells["timeline"] += (key, p, number(system), code, moment, seq)
                elif table == "reference":
                    of, id, url, system, value = columns
                    flat += (seq, p, number(of), id, url, number(system), value)
                elif table == "quantity":
                    low, high, system, code, unit = columns
                    flat += (seq, p, float(low), float(high), number(system), code, unit)
                elif table == "number":
                    flat += (seq, p, float(columns[0]), float(columns[1]))
                else:
                    flat += (seq, p, *columns)

    def _lasting(self, type: int, patient: int | None, extent: int) -> None:
        for whose in (EVERYBODY, EVERYBODY if patient is None else patient):
            self._ledger.execute(
                "INSERT INTO lasting VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET extent = max(extent, excluded.extent)",
                (type, whose, extent),
            )
