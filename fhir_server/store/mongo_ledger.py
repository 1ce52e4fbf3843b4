"""The writing side of the MongoDB store: one transaction for each group of works.

https://www.mongodb.com/docs/manual/core/transactions/. Each group begins by incrementing the one document of
`commits`: another process that does so meanwhile meets a write conflict and runs its group again, so that
works are serialised over all processes and `_id` is the order of commits.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pymongo import MongoClient, UpdateOne
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from fhir_server.errors import FhirError
from fhir_server.search.query import Query, Values
from fhir_server.store import mongo_records
from fhir_server.store.base import DEFINING, STAMPED, Head, Span, Version
from fhir_server.store.group import Conflict, Spoilt, Work
from fhir_server.store.joins import types
from fhir_server.store.mongo_document import additions, document
from fhir_server.store.mongo_document import version as stored
from fhir_server.store.mongo_records import MongoShelf
from fhir_server.store.mongo_search import Document, Reader, extent_id
from fhir_server.store.records import Recording, Records
from fhir_server.store.rows import CURRENT, DAY, Tidy, tidy

T = TypeVar("T")
DURABLE = WriteConcern("majority", j=True)
COMMIT_SECONDS = 10.0  # how long a commit whose outcome is unknown is asked for again
SIGN_IN_SECONDS = 60.0
STUCK_SECONDS = 2.0  # after so long somebody is taken to have died with the next commit in hand
DUPLICATE_KEY = 11000
EVERYBODY = ""  # in place of a patient's id, which is never empty


@dataclass(frozen=True, slots=True)
class Put:
    """A version put by a work of this group.

    `before`: the seq of the one that it follows; `patients`: whose stamp it changes.
    """

    version: Version
    document: Document
    extent: int
    before: int | None
    patients: frozenset[str]


class MongoLedger:
    """A Ledger (store/group.py) over one database."""

    def __init__(self, client: MongoClient[Document], database: Database[Document]) -> None:
        self._client = client
        self._database = database
        self._commits = database["commits"]
        self._writers = database["writers"]
        self._session: ClientSession | None = None
        self._signed_in = 0.0  # when its session was last written down in `writers`
        self.reader = Reader(database)  # in the group's transaction
        self.puts: list[Put] = []  # of the whole group
        self.latest: dict[tuple[str, str], list[Put]] = {}  # the same by resource
        self.seen: dict[tuple[str, str], Document | None] = {}  # what was current before the group
        self.stamps: dict[str, Document] = {}  # what was true before the group
        self.records = Records(MongoShelf(lambda: (self.reader.records, self._session), self.guarded))
        self.flushed = 0  # so many of puts are with the server
        self.added = 0  # how often rows were added to what was put before
        self.seq = 0
        self.trouble: Exception | None = None  # the transaction is broken; nothing more may be done in it
        self._losing: float | None = None  # since when others have been winning

    def begin(self) -> None:
        self.puts, self.latest, self.seen, self.stamps = [], {}, {}, {}
        self.flushed, self.added, self.trouble = 0, 0, None
        self.records.begin()
        try:
            self.guarded(self._begin)
            self._losing = None
        except Conflict:
            self._losing = self._losing or time.monotonic()
            if time.monotonic() - self._losing > STUCK_SECONDS:
                self._losing = None
                self._unblock()
            raise

    def _begin(self) -> None:
        if self._session is None:
            self._session = self._client.start_session()
            self.reader = Reader(self._database, self._session)
            self._signed_in = 0.0
        if time.time() - self._signed_in > SIGN_IN_SECONDS:
            # so that others can end its transaction if this process dies in the middle of it
            me, self._signed_in = self._session.session_id["id"], time.time()
            self._writers.replace_one({"_id": me}, {"at": self._signed_in}, upsert=True)
        self._session.start_transaction(ReadConcern("snapshot"), DURABLE)
        found = self._commits.find_one_and_update(
            {"_id": "last"}, {"$inc": {"groups": 1}}, session=self._session
        )
        if found is None:
            raise FhirError("unavailable", "The database is not one of Varde's")
        self.seq = int(found["seq"])

    def _unblock(self) -> None:
        """End every other writer's transaction.

        MongoDB keeps that of a process that was killed open for a minute, and it holds the document that all
        have to change. Whoever is alive and meets the end of its transaction begins it again.
        """
        mine = {self._session.session_id["id"]} if self._session else set()
        with contextlib.suppress(PyMongoError):
            others = {each["_id"] for each in self._writers.find({}, {"_id": 1})} - mine
            self._client.admin.command("killSessions", [{"id": of} for of in others])
            self._writers.delete_many({"at": {"$lt": time.time() - 60 * SIGN_IN_SECONDS}})

    def run(self, work: Work) -> tuple[Any, Exception | None]:
        before, seq, added, mark = len(self.puts), self.seq, self.added, self.records.mark
        result, error = None, None
        try:
            result = work(MongoTransaction(self))
        except Exception as raised:
            error = raised
        if self.trouble is not None:  # whatever the work made of it
            raise self.trouble
        if error is not None:
            if self.flushed > before or self.added > added:
                raise Spoilt from error
            self._forget(before, seq)
            self.records.undo(mark)
        return result, error

    def _forget(self, before: int, seq: int) -> None:
        """Take back puts that the server has not seen."""
        for put in self.puts[before:]:
            self.latest[put.version.type, put.version.id].pop()
        del self.puts[before:]
        self.seq = seq

    def commit(self) -> None:
        session = self._session
        assert session is not None
        changes = self.records.changes()
        if not self.puts and not self.added and not changes:
            self.guarded(session.abort_transaction)
            return
        self.flush()
        if changes:
            self.guarded(lambda: mongo_records.change(self.reader.records, session, changes))
        self.guarded(
            lambda: self._commits.update_one({"_id": "last"}, {"$set": {"seq": self.seq}}, session=session)
        )
        deadline = time.monotonic() + COMMIT_SECONDS
        while True:
            try:
                session.commit_transaction()
                break
            except PyMongoError as error:
                # to ask again is safe; to run the works again would not be: it may have been committed
                if not error.has_error_label("UnknownTransactionCommitResult"):
                    raise translated(error) from error
                if time.monotonic() > deadline:
                    raise unavailable(error) from error
                time.sleep(0.05)

    def abort(self) -> None:
        if self._session is not None:
            with contextlib.suppress(PyMongoError):  # the server ends what it hears no more of
                if self._session.in_transaction:
                    self._session.abort_transaction()
            if not isinstance(self.trouble, Conflict):
                self.close()

    def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(PyMongoError):
                self._writers.delete_one({"_id": session.session_id["id"]})
                session.end_session()

    def guarded(self, use: Callable[[], T]) -> T:
        """Any error of the server's ends the transaction, whatever the work would make of it."""
        if self.trouble is not None:
            raise self.trouble
        try:
            return use()
        except PyMongoError as error:
            self.trouble = translated(error)
            raise self.trouble from error

    def flush(self) -> None:
        """Send what has been put and is not with the server yet."""
        waiting = self.puts[self.flushed :]
        if waiting:
            self.guarded(lambda: self._send(waiting))
            self.flushed = len(self.puts)

    def _send(self, waiting: Sequence[Put]) -> None:
        documents = {put.version.seq: put.document for put in waiting}
        ended: list[UpdateOne] = []
        for put in waiting:
            seq, before = put.version.seq, put.before
            if before in documents:
                if documents[before]["body"] is not None:
                    documents[before]["until"] = seq
            elif before is not None:
                # a deletion has no time in which it was found: its until stays its own
                ended.append(UpdateOne({"_id": before, "until": CURRENT}, {"$set": {"until": seq}}))
        try:
            self.reader.versions.insert_many(list(documents.values()), session=self._session)
        except BulkWriteError as error:
            if all(each.get("code") == DUPLICATE_KEY for each in error.details.get("writeErrors", ())):
                self.trouble = Spoilt()
                raise self.trouble from FhirError("conflict", "The resource has been changed in the meantime")
            raise
        if ended:
            self.reader.versions.bulk_write(ended, ordered=False, session=self._session)
        stamps: dict[str, Document] = {}
        for put in waiting:
            if put.extent > DAY:
                self._lasting(put)
            for patient in put.patients:
                stamps.setdefault(patient, {})[put.version.type] = put.version.seq
        if stamps:
            changes = [UpdateOne({"_id": of}, {"$set": seqs}, upsert=True) for of, seqs in stamps.items()]
            self.reader.stamps.bulk_write(changes, ordered=False, session=self._session)

    def document(self, type: str, id: str) -> Document | None:
        """The current version of a resource as it was before the group: nobody else can change it now."""
        of = (type, id)
        if of not in self.seen:
            self.seen[of] = self.guarded(lambda: self.reader.document(type, id))
        return self.seen[of]

    def add(self, seq: int, values: Tidy) -> None:
        """Add rows to a version that is with the server."""
        self.added += 1
        change = {"$addToSet": {name: {"$each": rows} for name, rows in additions(values).items()}}
        self.guarded(lambda: self.reader.versions.update_one({"_id": seq}, change, session=self._session))

    def _lasting(self, put: Put) -> None:
        which = {"_id": extent_id(put.version.type, put.document["patient"] or "")}
        change = {"$max": {"extent": put.extent}}
        self.reader.extents.update_one(which, change, upsert=True, session=self._session)


class MongoTransaction(Recording):
    """What one work does. Its puts wait in the ledger until a search has to see them, or for the commit."""

    def __init__(self, ledger: MongoLedger) -> None:
        super().__init__(ledger)
        self._ledger = ledger
        self._first = len(ledger.puts)  # of its own

    def read(self, type: str, id: str) -> Version | None:
        put = self._ledger.latest.get((type, id))
        if put:
            return put[-1].version
        found = self._ledger.document(type, id)
        return stored(found) if found else None

    def vread(self, type: str, id: str, version: int) -> Version | None:
        ledger = self._ledger
        for put in ledger.latest.get((type, id), ()):
            if put.version.version == version:
                return put.version
        return ledger.guarded(lambda: ledger.reader.numbered(type, id, version))

    def search(self, query: Query) -> tuple[Version, ...]:
        self._see(types(query))
        ledger = self._ledger
        return ledger.guarded(lambda: ledger.reader.find(query, ledger.seq)).versions

    def heads(self, patient: str, types: Sequence[str]) -> tuple[Head, ...]:
        self._see(types)
        ledger = self._ledger
        return tuple(ledger.guarded(lambda: ledger.reader.heads(patient, types)))

    def timeline(self, patient: str, codes: Sequence[str], span: Span, *, own: bool = True) -> list[bytes]:
        self._see(("Observation",), patient, own=own)
        ledger = self._ledger
        return ledger.guarded(lambda: ledger.reader.timeline(patient, codes, span))

    def stamp(self, patient: str) -> tuple[int, ...]:
        own, shared = self._stamps(patient), self._stamps(EVERYBODY)
        return tuple([own.get(type, 0) for type in STAMPED] + [shared.get(type, 0) for type in DEFINING])

    def _stamps(self, whose: str) -> Document:
        ledger = self._ledger
        if whose not in ledger.stamps:
            ledger.stamps[whose] = ledger.guarded(lambda: ledger.reader.stamp(whose))
        stamps = dict(ledger.stamps[whose])
        for put in ledger.puts:
            if whose in put.patients:
                stamps[put.version.type] = put.version.seq
        return stamps

    def put(self, version: Version, values: Values | None) -> Version:
        ledger = self._ledger
        before = self._before(version)
        found_by = None if values is None else tidy(values)
        numbered = Version(
            version.type,
            version.id,
            version.version,
            version.updated,
            version.method,
            version.body,
            ledger.seq + 1,
            found_by.patient if found_by else None,
        )
        made = document(numbered, found_by)
        patients = {made["patient"], before["patient"] if before else None} - {None}
        if version.type not in STAMPED:
            patients = {EVERYBODY} if version.type in DEFINING else set()
        put = Put(
            numbered,
            made,
            found_by.extent if found_by else 0,
            before["_id"] if before else None,
            frozenset(patients),
        )
        ledger.seq += 1
        ledger.puts.append(put)
        ledger.latest.setdefault((version.type, version.id), []).append(put)
        return numbered

    def add_values(self, version: Version, values: Values) -> None:
        self._ledger.flush()
        if values.rows:
            self._ledger.add(version.seq, tidy(values))

    def _see(self, types: Sequence[str], patient: str | None = None, *, own: bool = True) -> None:
        """Have what waits sent if any of it could be part of the answer.

        With a patient, what is new and of others is not; nor, without `own`, is what this work created. What
        it replaced must not answer in its place.
        """
        ledger = self._ledger
        for place, put in enumerate(ledger.puts[ledger.flushed :], ledger.flushed):
            new = put.before is None
            of_others = new and patient is not None and put.document["patient"] != patient
            spared = new and not own and place >= self._first
            if put.version.type in types and not of_others and not spared:
                ledger.flush()
                return

    def _before(self, version: Version) -> Document | None:
        """The version that this one follows.

        That a first version is the first is left to the unique index.
        """
        puts = self._ledger.latest.get((version.type, version.id))
        if puts:
            before: Document | None = puts[-1].document
        elif version.version == 1:
            return None
        else:
            before = self._ledger.document(version.type, version.id)
        if version.version != (before["version"] if before else 0) + 1:
            raise FhirError("conflict", "The resource has been changed in the meantime")
        return before


def translated(error: PyMongoError) -> Exception:
    """Conflict where running the group again may succeed, otherwise the store's refusal."""
    gone = isinstance(error, ServerSelectionTimeoutError)
    if not gone and error.has_error_label("TransientTransactionError"):
        return Conflict()
    return unavailable(error)


def unavailable(error: PyMongoError) -> FhirError:
    """The store's refusal for an error of the driver's: its kind, since its text may quote what was sent."""
    return FhirError("unavailable", f"The database cannot be used: {type(error).__name__}")
