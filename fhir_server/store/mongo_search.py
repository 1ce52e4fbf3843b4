"""Reads and searches of a MongoDB database, inside a transaction or out of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bson.decimal128 import Decimal128
from pymongo.client_session import ClientSession
from pymongo.database import Database

from fhir_server.search.query import Query
from fhir_server.store.base import Chapter, Found, Head, Span, Version
from fhir_server.store.cursor import check_cursor, phases
from fhir_server.store.mongo_document import version
from fhir_server.store.mongo_query import bounded, count, page, sort_fields, timeline
from fhir_server.store.rows import CURRENT, DAY
from fhir_server.store.tree import NEVER, Regular, encodable, regular

Document = dict[str, Any]


class Reader:
    """Reads in a session's transaction or (None) each by itself."""

    def __init__(self, database: Database[Document], session: ClientSession | None = None) -> None:
        self.session = session
        self.versions = database["versions"]
        self.extents = database["extents"]
        self.stamps = database["stamps"]

    def document(self, type: str, id: str) -> Document | None:
        """The current version as it is stored."""
        of = {"type": type, "id": id}
        if not encodable(id):
            return None
        return self.versions.find_one(of, sort=[("version", -1)], session=self.session)

    def current(self, type: str, id: str) -> Version | None:
        found = self.document(type, id)
        return version(found) if found else None

    def numbered(self, type: str, id: str, number: int) -> Version | None:
        of = {"type": type, "id": id, "version": number}
        found = self.versions.find_one(of, session=self.session) if encodable(id) else None
        return version(found) if found else None

    def heads(self, patient: str, types: Sequence[str]) -> list[Head]:
        heads: list[Head] = []
        for type in types:
            of = {"type": type, "patient": patient, "until": CURRENT}
            fields = {"id": 1, "version": 1}
            found = self.versions.find(of, fields, session=self.session)
            heads += [Head(type, each["id"], each["version"], each["_id"]) for each in found]
        return heads

    def stamp(self, patient: str) -> Document:
        """By type, the seq of the last change to what the patient (or everybody) has of it."""
        return self.stamps.find_one({"_id": patient}, session=self.session) or {}

    def timeline(self, patient: str, codes: Sequence[str], span: Span) -> list[bytes]:
        """As Transaction.timeline."""
        stages = timeline(patient, codes, span.since, span.until, span.newest is not None, span.limit)
        found = self.versions.aggregate(stages, session=self.session)
        return [bytes(row["body"]) for row in found]

    def find(self, query: Query, snapshot: int) -> Found:
        """A page of what was current at the snapshot."""
        check_cursor(query)
        tree = regular(query)
        if query.count <= 0 or tree == NEVER:
            return Found((), None, snapshot)
        extent = self._extent(query, tree)
        limit = query.count + 1
        rows: list[Document] = []
        for missing in _phases(query, tree):
            stages = page(query, tree, snapshot, extent, limit - len(rows), missing=missing)
            rows += self.versions.aggregate(stages, session=self.session, allowDiskUse=True)
            if len(rows) >= limit:
                break
        versions = tuple(version({**row, "type": query.type}) for row in rows[: query.count])
        if len(rows) < limit:
            return Found(versions, None, snapshot)
        last = rows[query.count - 1]
        return Found(versions, (*_sort_keys(query, last), last["_id"]), snapshot)

    def total(self, query: Query, snapshot: int, at_most: int | None) -> int:
        """How many match."""
        tree = regular(query)
        if tree == NEVER or at_most == 0:
            return 0
        stages = count(query, tree, snapshot, self._extent(query, tree), at_most)
        found = list(self.versions.aggregate(stages, session=self.session))
        return int(found[0]["n"]) if found else 0

    def plan(self, query: Query, snapshot: int) -> list[str]:
        """What the server says it does for the page and the total, a stage a line."""
        tree = regular(query)
        if tree == NEVER:
            return []
        extent = self._extent(query, tree)
        pipelines = [
            page(query, tree, snapshot, extent, query.count + 1, missing=missing)
            for missing in _phases(query, tree)
        ]
        lines: list[str] = []
        for stages in [*pipelines, count(query, tree, snapshot, extent, None)]:
            command = {"aggregate": self.versions.name, "pipeline": stages, "cursor": {}}
            lines += _stages(self.versions.database.command("explain", command, verbosity="queryPlanner"))
        return lines

    def _extent(self, query: Query, tree: Regular) -> int:
        """How long a date of this patient lasts at most: read where a search is bounded by dates."""
        if not bounded(query, tree):
            return DAY
        found = self.extents.find_one(
            {"_id": extent_id(query.type, query.patient or "")}, session=self.session
        )
        return int(found["extent"]) if found else DAY

    def chapter(
        self, type: str | None, id: str | None, size: int, before: int | None, since: int | None
    ) -> Chapter:
        """A page of history."""
        of: Document = {}
        if type is not None:
            of["type"] = type
        if id is not None:
            of["id"] = id
        if since is not None:
            of["updated"] = {"$gte": since}
        # every number up to the newest was given to a version: nothing has to be counted
        total = self.versions.count_documents(of) if of else self._newest()
        window = {**of, "_id": {"$lt": before or CURRENT}}
        rows = list(self.versions.find(window).sort("_id", -1).limit(size + 1))
        versions = tuple(version(row) for row in rows[:size])
        return Chapter(versions, versions[-1].seq if len(rows) > size and versions else None, total)

    def _newest(self) -> int:
        found = list(self.versions.find({}, {"_id": 1}).sort("_id", -1).limit(1))
        return int(found[0]["_id"]) if found else 0

    def changed(self, since: int, limit: int) -> tuple[Version, ...]:
        rows = self.versions.find({"_id": {"$gt": since}}).sort("_id", 1).limit(limit)
        return tuple(version(row) for row in rows)


def extent_id(type: str, patient: str) -> str:
    return f"{type} {patient}"


def _phases(query: Query, tree: Regular) -> tuple[bool, ...]:
    return phases(query, tree) if sort_fields(query) == ["moment"] else (False,)


def _sort_keys(query: Query, row: Document) -> list[Any]:
    keys = [row.get(f"k{i}") for i in range(len(query.sort))]
    return [str(key) if isinstance(key, Decimal128) else key for key in keys]


def _stages(plan: Any) -> list[str]:
    """The names of the stages of a plan wherever they stand in it, with the index that they use."""
    if isinstance(plan, list):
        return [line for each in plan for line in _stages(each)]
    if not isinstance(plan, dict):
        return []
    own = (
        [f"{plan['stage']} {plan.get('indexName', '')}".strip()] if isinstance(plan.get("stage"), str) else []
    )
    skipped = ("command", "rejectedPlans", "executionStats")
    return own + [line for name, each in plan.items() if name not in skipped for line in _stages(each)]
