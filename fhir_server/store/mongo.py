"""The MongoDB store, for those who outgrow one machine: a replica set or a sharded cluster, 5.0 or newer.

https://www.mongodb.com/docs/manual/replication/. Every acknowledged write is on the disks of a majority
(writeConcern majority, j: true), every read sees what a majority has, as of one moment.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from pymongo import IndexModel, MongoClient
from pymongo.errors import CollectionInvalid, ConfigurationError, DuplicateKeyError, InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.uri_parser import parse_uri

from fhir_server.errors import FhirError
from fhir_server.search.query import Query
from fhir_server.store import mongo_records
from fhir_server.store.base import WHOLE, Chapter, Excerpt, Found, Store, Transaction, Version
from fhir_server.store.group import Group
from fhir_server.store.mongo_ledger import DURABLE, MongoLedger, unavailable
from fhir_server.store.mongo_query import INDEXES
from fhir_server.store.mongo_search import Document, Reader
from fhir_server.store.tree import encodable

T = TypeVar("T")
READERS = 8
LAYOUT = 3  # in the document of `commits`
SNAPSHOT_READS = 13  # the wire version of MongoDB 5.0
DATABASE = "varde"  # where the URL names none


class MongoStore:
    """A Store (store/base.py) in the database that a mongodb:// URL names (default: varde)."""

    name = "mongodb"

    def __init__(self, url: str) -> None:
        try:
            given = parse_uri(url)
        except (InvalidURI, ConfigurationError) as error:
            raise ValueError(f"not a MongoDB URL: {error}") from error
        patience: dict[str, Any] = (
            {} if "serverSelectionTimeoutMS" in given["options"] else {"serverSelectionTimeoutMS": 3000}
        )
        self._client: MongoClient[Document] = MongoClient(url, connect=False, appname="varde", **patience)
        name = given["database"] or DATABASE
        database = self._client.get_database(name, read_preference=ReadPreference.PRIMARY)
        majority, moment = ReadConcern("majority"), ReadConcern("snapshot")
        self._commits = database.get_collection("commits", read_concern=majority, write_concern=DURABLE)
        self._reader = Reader(database.with_options(read_concern=moment))
        self._database = database
        self._group = Group(MongoLedger(self._client, database), self.name)
        self._closed = False
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="mongodb-reader")

    @property
    def whole(self) -> Store:
        return self

    async def open(self) -> None:
        await self._run(self._create)
        self._group.start()

    def _create(self) -> None:
        hello = self._client.admin.command("hello")
        if "setName" not in hello and hello.get("msg") != "isdbgrid":
            raise FhirError(
                "unavailable",
                "This MongoDB is not a replica set, so it has no transactions and cannot keep a reading and"
                " its alerts together; start it with --replSet (one member will do) and run rs.initiate()",
            )
        if hello.get("maxWireVersion", 0) < SNAPSHOT_READS:
            raise FhirError("unavailable", "This MongoDB is too old: 5.0 or newer is needed")
        self._database["versions"].create_indexes(
            [IndexModel(fields, name=name, unique=name == "version") for name, fields in INDEXES.items()]
        )
        # a collection made in a transaction would lock out the other processes' transactions
        for name in ("extents", "stamps", "records"):
            with contextlib.suppress(CollectionInvalid):
                self._database.create_collection(name)
        self._database["records"].create_indexes(
            [IndexModel(fields, name=name) for name, fields in mongo_records.INDEXES.items()]
        )
        fresh = {"$setOnInsert": {"seq": 0, "groups": 0, "layout": LAYOUT}}
        with contextlib.suppress(DuplicateKeyError):  # another process did at the same moment
            self._commits.update_one({"_id": "last"}, fresh, upsert=True)
        self._newest()

    def _newest(self) -> int:
        found = self._commits.find_one({"_id": "last"})
        if found is None or found.get("layout") != LAYOUT:
            raise FhirError("unavailable", "The database was made by something else, or another Varde")
        return int(found["seq"])

    def _at(self, query: Query) -> int:
        return self._newest() if query.snapshot is None else query.snapshot

    async def _run(self, use: Callable[[], T]) -> T:
        if self._closed:
            raise FhirError("unavailable", "The store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, _translated, use)

    async def close(self) -> None:
        await self._group.close()
        self._closed = True
        self._threads.shutdown(wait=True)
        self._client.close()

    async def check(self) -> None:
        await self._run(self._newest)

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        return await self._group.submit(work)

    async def read(self, type: str, id: str) -> Version | None:
        return await self._run(lambda: self._reader.current(type, id))

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        return await self._run(lambda: self._reader.numbered(type, id, version))

    async def history(
        self, type: str | None = None, id: str | None = None, excerpt: Excerpt = WHOLE
    ) -> Chapter:
        return await self._run(lambda: self._reader.chapter(type, id, excerpt))

    async def search(self, query: Query) -> Found:
        return await self._run(lambda: self._reader.find(query, self._at(query)))

    async def count(self, query: Query, at_most: int | None = None) -> int:
        return await self._run(lambda: self._reader.total(query, self._at(query), at_most))

    async def changes(self, since: int, limit: int = 1000) -> tuple[Version, ...]:
        return await self._run(lambda: self._reader.changed(since, limit))

    async def record(self, kind: str, key: str, *, now: int | None = None) -> bytes | None:
        if not encodable(key):
            return None
        records = self._reader.records
        found = await self._run(lambda: mongo_records.one(records, None, kind, key))
        return found.content if found and found.lasts(now) else None

    async def records(
        self, kind: str, after: str = "", limit: int = 1000, *, now: int | None = None
    ) -> list[tuple[str, bytes]]:
        records = self._reader.records
        found = await self._run(lambda: mongo_records.some(records, None, kind, after, limit, now))
        return [(key, kept.content) for key, kept in found]

    async def explain(self, query: Query) -> list[str]:
        return await self._run(lambda: self._reader.plan(query, self._at(query)))


def _translated(use: Callable[[], T]) -> T:
    try:
        return use()
    except PyMongoError as error:
        raise unavailable(error) from error
