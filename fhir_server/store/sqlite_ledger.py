"""The writing side of the SQLite store: one connection, one transaction for each group of works.

https://www.sqlite.org/wal.html, https://www.sqlite.org/lang_savepoint.html. What works put is inserted
together at the end of the group: until then it waits in the ledger, and whoever asks for what it could answer
has it inserted first. Every statement lets go of the interpreter lock: few are worth more than fast ones.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeVar

from fhir_server.errors import FhirError
from fhir_server.search.query import Query, Values
from fhir_server.store import sqlite_patient, sqlite_records
from fhir_server.store.base import DEFINING, STAMPED, Head, Span, Version
from fhir_server.store.group import Conflict, Work
from fhir_server.store.joins import types
from fhir_server.store.records import Recording, Records
from fhir_server.store.rows import tidy
from fhir_server.store.sqlite_file import Connection, DatabaseFile, current, newest, numbered, unavailable
from fhir_server.store.sqlite_records import SqliteShelf
from fhir_server.store.sqlite_rows import Put, additions, statements
from fhir_server.store.sqlite_search import find

T = TypeVar("T")
NAMES_KEPT = 20_000


class Refused(Exception):
    """What was put cannot be inserted; the cause is the FhirError for the work that put it."""


class SqliteLedger:
    """A Ledger (store/group.py) over one database file."""

    def __init__(self, file: DatabaseFile) -> None:
        self._file = file
        self._connection: Connection | None = None
        self._names: dict[str, int] = {}
        self._fresh: list[str] = []  # names that this group created: gone if it is undone
        self.seq = 0  # of the last version put
        self.waiting: list[Put] = []  # put, not inserted yet
        self.latest: dict[tuple[str, str], list[Version]] = {}  # the same, by resource
        self.records = Records(SqliteShelf(self.guarded))
        self.careful = False  # insert after each work, to know which one cannot be
        self.trouble: Exception | None = None  # the transaction is broken; nothing more may be done in it

    def begin(self) -> None:
        self.trouble = None
        self.forget(0)
        self.records.begin()
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
            if self.careful:
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
        try:
            self.insert(len(self.waiting))
        except Refused as refusal:
            self.careful = True
            raise Conflict from refusal
        for statement, values in sqlite_records.statements(self.records.changes()):
            self.execute(statement, values)
        self.execute("COMMIT")
        self.careful = False
        self._fresh.clear()
        self._file.unlock()

    def abort(self) -> None:
        # a connection that met an error is not trusted again, nor a lock file that may have moved with it
        self.close()

    def close(self) -> None:
        self._disconnect()
        self._file.forget_locks()

    def add(self, put: Put) -> None:
        self.waiting.append(put)
        self.latest.setdefault((put.version.type, put.version.id), []).append(put.version)

    def forget(self, first: int) -> None:
        """Drop what waits from there on."""
        for put in self.waiting[first:]:
            self.latest[put.version.type, put.version.id].remove(put.version)
        del self.waiting[first:]

    def insert(self, many: int) -> None:
        """Insert the first so many of those that wait. Raises Refused."""
        puts, self.waiting = self.waiting[:many], self.waiting[many:]
        for put in puts:
            self.latest[put.version.type, put.version.id].remove(put.version)
        try:
            for statement, values in statements(puts, self.number):
                self.execute(statement, values)
        except sqlite3.IntegrityError as error:
            refusal = FhirError("conflict", "The resource has been changed in the meantime")
            raise Refused from refusal.with_traceback(error.__traceback__)
        except (sqlite3.DataError, OverflowError) as error:
            refusal = FhirError("too-large", "The resource has a value that is too large to store")
            raise Refused from refusal.with_traceback(error.__traceback__)

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

    def fail(self, trouble: Exception, cause: Exception) -> NoReturn:
        """The group cannot go on as it is."""
        self.trouble = trouble
        raise trouble from cause

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


class SqliteTransaction(Recording):
    """What one work does; its own puts are the last of those that wait in the ledger."""

    def __init__(self, ledger: SqliteLedger) -> None:
        super().__init__(ledger)
        self._ledger = ledger
        self._start = ledger.seq
        self._first = len(ledger.waiting)  # of its own among those that wait
        self._records = ledger.records.mark
        self._savepoint = False
        self.trouble: FhirError | None = None  # this work cannot be committed any more

    def read(self, type: str, id: str) -> Version | None:
        waiting = self._ledger.latest.get((type, id))
        if waiting:
            return waiting[-1]
        return self._ledger.guarded(lambda connection: current(connection, type, id))

    def vread(self, type: str, id: str, version: int) -> Version | None:
        for waiting in self._ledger.latest.get((type, id), ()):
            if waiting.version == version:
                return waiting
        return self._ledger.guarded(lambda connection: numbered(connection, type, id, version))

    def search(self, query: Query) -> tuple[Version, ...]:
        self._see(types(query))
        return self._ledger.guarded(lambda connection: find(connection, query, self._ledger.seq)).versions

    def timeline(self, patient: str, codes: Sequence[str], span: Span, *, own: bool = True) -> list[bytes]:
        self._see(("Observation",), patient, own=own)
        return self._ledger.guarded(
            lambda connection: sqlite_patient.timeline(connection, patient, codes, span)
        )

    def heads(self, patient: str, types: Sequence[str]) -> tuple[Head, ...]:
        self._see(types)
        return self._ledger.guarded(lambda connection: sqlite_patient.heads(connection, patient, types))

    def stamp(self, patient: str) -> tuple[int, ...]:
        self._see((*STAMPED, *DEFINING))
        return self._ledger.guarded(lambda connection: sqlite_patient.stamp(connection, patient))

    def put(self, version: Version, values: Values | None) -> Version:
        before = self._before(version)
        ledger = self._ledger
        ledger.seq += 1
        stored = Version(
            version.type,
            version.id,
            version.version,
            version.updated,
            version.method,
            version.body,
            ledger.seq,
            values.patient if values else None,
        )
        ledger.add(Put(stored, None if values is None else tidy(values), before))
        return stored

    def add_values(self, version: Version, values: Values) -> None:
        self.flush()
        self._save()
        try:
            for statement, cells in additions(version, tidy(values), self._ledger.number):
                self._ledger.execute(statement, cells)
        except (sqlite3.DataError, OverflowError) as error:
            raise FhirError("too-large", "The resource has a value that is too large to store") from error

    def _save(self) -> None:
        """From here on, what the work does can be undone."""
        if not self._savepoint:
            self._ledger.execute("SAVEPOINT work")
            self._savepoint = True

    def _before(self, version: Version) -> int | None:
        """The seq of the version that this one follows.

        That a first version is the first is left to the unique index.
        """
        waiting = self._ledger.latest.get((version.type, version.id))
        if waiting:
            seq, number = waiting[-1].seq, waiting[-1].version
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

    def _see(self, types: Sequence[str], patient: str | None = None, *, own: bool = True) -> None:
        """Have what waits inserted if any of it could be part of the answer.

        With a patient, what is new and of others is not; nor, without `own`, is what this work created. What
        it replaced must not answer in its place.
        """
        for place, put in enumerate(self._ledger.waiting):
            known = put.values if put.before is None else None
            of_others = patient is not None and known is not None and known.patient != patient
            spared = known is not None and not own and place >= self._first
            if put.version.type in types and not of_others and not spared:
                self.flush()
                return

    def flush(self) -> None:
        """Insert what waits: what other works put for good, its own so that it can still be undone."""
        if self.trouble is not None:
            raise self.trouble
        ledger = self._ledger
        try:
            ledger.insert(self._first)
        except Refused as refusal:  # another work's fault: only one at a time can tell whose
            ledger.careful = True
            ledger.fail(Conflict(), refusal)
        self._first = 0
        if not ledger.waiting:
            return
        self._save()
        try:
            ledger.insert(len(ledger.waiting))
        except Refused as refusal:
            assert isinstance(refusal.__cause__, FhirError)
            self.trouble = refusal.__cause__
            raise self.trouble from refusal

    def release(self) -> None:
        if self._savepoint:
            self._ledger.execute("RELEASE work")

    def undo(self) -> None:
        """Take back all that the work put."""
        self._ledger.seq = self._start
        self._ledger.records.undo(self._records)
        self._ledger.forget(self._first)
        if self._savepoint:
            with contextlib.suppress(FhirError):  # kept in the ledger's trouble
                self._ledger.execute("ROLLBACK TO work")
                self._ledger.execute("RELEASE work")
            self._ledger.forget_fresh()
