"""Reads and searches of a MongoDB database, inside a transaction or out of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from bson.decimal128 import Decimal128
from pymongo.client_session import ClientSession
from pymongo.database import Database

from fhir_server.search.query import Query
from fhir_server.store import joins
from fhir_server.store.base import Chapter, Excerpt, Found, Head, Span, Version
from fhir_server.store.cursor import check_cursor, phases
from fhir_server.store.mongo_document import version
from fhir_server.store.mongo_query import bounded, condition, count, page, sort_fields, timeline
from fhir_server.store.rows import CURRENT, DAY
from fhir_server.store.tree import NEVER, All, Join, Leaf, Regular, encodable, joined, regular

Document = dict[str, Any]

# so many versions are fetched at a time, to look at what they are joined with
SMALLEST = 100
LARGEST = 1000


class Reader:
    """Reads in a session's transaction or (None) each by itself."""

    def __init__(self, database: Database[Document], session: ClientSession | None = None) -> None:
        self.session = session
        self.versions = database["versions"]
        self.extents = database["extents"]
        self.stamps = database["stamps"]
        self.records = database["records"]

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
        tree = self._resolved(query, snapshot)
        if query.count <= 0 or tree == NEVER:
            return Found((), None, snapshot)
        limit = query.count + 1
        rows = list(islice(self._matches(query, tree, snapshot, limit), limit))
        more = len(rows) == limit
        rows = rows[: query.count]
        versions = tuple(version({**row, "type": query.type}) for row in rows)
        places = tuple((*_sort_keys(query, row), row["_id"]) for row in rows)
        return Found(versions, places[-1] if more else None, snapshot, places)

    def total(self, query: Query, snapshot: int, at_most: int | None) -> int:
        """How many match."""
        tree = self._resolved(query, snapshot)
        if tree == NEVER or at_most == 0:
            return 0
        if any(joins.joins(tree)):
            found_ones = self._matches(replace(query, sort=()), tree, snapshot, LARGEST)
            return sum(1 for _ in islice(found_ones, at_most))
        stages = count(query, tree, snapshot, self._extent(query, tree), at_most)
        found = list(self.versions.aggregate(stages, session=self.session))
        return int(found[0]["n"]) if found else 0

    def _page(self, query: Query, tree: Regular, snapshot: int, limit: int) -> list[Document]:
        """The first matches of a tree without joins."""
        extent = self._extent(query, tree)
        rows: list[Document] = []
        for missing in _phases(query, tree):
            stages = page(query, tree, snapshot, extent, limit - len(rows), missing=missing)
            rows += self.versions.aggregate(stages, session=self.session, allowDiskUse=True)
            if len(rows) >= limit:
                break
        return rows

    def _matches(self, query: Query, tree: Regular, snapshot: int, limit: int) -> Iterator[Document]:
        """Matches in order: the first `limit`, and as many more as come with them.

        Where joins lead to many, versions that could match are fetched, and what their joins lead to.
        """
        if not any(joins.joins(tree)):
            yield from self._page(query, tree, snapshot, limit)
            return
        weaker, size = joins.relaxed(tree), max(SMALLEST, min(limit, LARGEST))
        while True:
            rows = self._page(query, weaker, snapshot, size)
            seqs = {"_id": {"$in": [row["_id"] for row in rows]}}
            decided = self._decided(tree, rows, snapshot)
            found = self.versions.find({"$and": [seqs, condition(decided)]}, {"_id": 1}, session=self.session)
            good = {row["_id"] for row in found}
            yield from (row for row in rows if row["_id"] in good)
            if len(rows) < size:
                return
            query = replace(query, after=(*_sort_keys(query, rows[-1]), rows[-1]["_id"]))
            size = min(2 * size, LARGEST)

    def _decided(self, tree: Regular, rows: Sequence[Document], snapshot: int) -> Regular:
        """The tree with what its joins come to for these versions."""
        if not isinstance(tree, Join):
            if isinstance(tree, Leaf):
                return tree
            children = [self._decided(child, rows, snapshot) for child in tree.children]
            return joined(children, conjunctive=isinstance(tree, All))
        if tree.reverse:
            return joins.listed(tree, self._referred(tree, [row["id"] for row in rows], snapshot))
        seqs = {"_id": {"$in": [row["_id"] for row in rows]}}
        targets = {
            each["id"]
            for row in self.versions.find(seqs, {"reference": 1}, session=self.session)
            for each in row.get("reference", ())
            if (each["p"], each["type"]) == (tree.param, tree.type) and each["id"]
        }
        among = joins.among(tree, sorted(targets))
        inner = self._matches(Query(tree.type), among, snapshot, len(targets)) if targets else ()
        return joins.listed(tree, [row["id"] for row in inner])

    def _referred(self, join: Join, ids: list[str], snapshot: int) -> list[str]:
        """Those of the ids that a version at the other end of a Has refers to."""
        first = self._matches(Query(join.type), joins.referring(join, ids), snapshot, LARGEST)
        rows = list(islice(first, LARGEST))
        found = set(self._references(join, rows))
        if len(rows) == LARGEST:  # there may be more, of the others
            for id in set(ids) - found:
                one = self._matches(Query(join.type), joins.referring(join, [id]), snapshot, 1)
                found.update([id] if any(True for _ in one) else ())
        return [id for id in ids if id in found]

    def _references(self, join: Join, rows: Sequence[Document]) -> Iterator[str]:
        """The ids that these versions at the other end of a Has refer to."""
        seqs = {"_id": {"$in": [row["_id"] for row in rows]}}
        for row in self.versions.find(seqs, {"reference": 1}, session=self.session):
            for each in row.get("reference", ()):
                if (each["p"], each["type"]) == (join.param, join.own) and each["id"]:
                    yield each["id"]

    def _resolved(self, query: Query, snapshot: int) -> Regular:
        """The tree of the query, with lists of ids for the joins whose other end is few."""
        return joins.resolve(regular(query), lambda join: self._others(join, snapshot))

    def _others(self, join: Join, snapshot: int) -> list[str] | None:
        """The ids that a join comes down to, None if it leads to more than FEW versions."""
        inner, limit = Query(join.type), joins.FEW + 1
        if join.where == NEVER:
            return []
        rows = list(islice(self._matches(inner, join.where, snapshot, limit), limit))
        if len(rows) == limit:
            return None
        return list(self._references(join, rows)) if join.reverse else [row["id"] for row in rows]

    def plan(self, query: Query, snapshot: int) -> list[str]:
        """What the server says it does for joins, the page and the total, a stage a line."""
        lines: list[str] = []

        def explained(query: Query, tree: Regular, limit: int) -> None:
            weaker = joins.relaxed(tree)
            extent = self._extent(query, weaker)
            pipelines = [
                page(query, weaker, snapshot, extent, limit, missing=missing)
                for missing in _phases(query, weaker)
            ]
            for stages in [*pipelines, count(query, weaker, snapshot, extent, None)]:
                command = {"aggregate": self.versions.name, "pipeline": stages, "cursor": {}}
                lines.extend(
                    _stages(self.versions.database.command("explain", command, verbosity="queryPlanner"))
                )

        def ids(join: Join) -> list[str] | None:
            if join.where != NEVER:
                explained(Query(join.type), join.where, joins.FEW + 1)
            found = self._others(join, snapshot)
            if found is None:
                some = joins.referring(join, ["a"]) if join.reverse else joins.among(join, ["a"])
                explained(Query(join.type), some, LARGEST)
            return found

        tree = joins.resolve(regular(query), ids)
        if tree != NEVER:
            explained(query, tree, query.count + 1)
        return lines

    def _extent(self, query: Query, tree: Regular) -> int:
        """How long a date of this patient lasts at most: read where a search is bounded by dates."""
        if not bounded(query, tree):
            return DAY
        found = self.extents.find_one(
            {"_id": extent_id(query.type, query.patient or "")}, session=self.session
        )
        return int(found["extent"]) if found else DAY

    def chapter(self, type: str | None, id: str | None, excerpt: Excerpt) -> Chapter:
        """A page of history."""
        of: Document = {}
        if type is not None:
            of["type"] = type
        if id is not None:
            of["id"] = id
        if excerpt.since is not None:
            of["updated"] = {"$gte": excerpt.since}
        if excerpt.during is not None:
            of["updated"] = {**of.get("updated", {}), "$lt": excerpt.during[1]}
        side, order = ("$gt", 1) if excerpt.oldest_first else ("$lt", -1)
        window = {**of, "_id": {side: excerpt.beyond}} if excerpt.beyond is not None else of
        if excerpt.during is None:
            # every number up to the newest was given to a version: nothing has to be counted
            total = self.versions.count_documents(of) if of else self._newest()
            rows = list(self.versions.find(window).sort("_id", order).limit(excerpt.count + 1))
        else:
            total, rows = self._during(of, window, order, excerpt)
        versions = tuple(version(row) for row in rows[: excerpt.count])
        more = len(rows) > excerpt.count and versions
        return Chapter(versions, versions[-1].seq if more else None, total)

    def _during(
        self, of: Document, window: Document, order: int, excerpt: Excerpt
    ) -> tuple[int, list[Document]]:
        """The total and the rows of a page, without what was succeeded before the period began."""
        low = (excerpt.during or (0, 0))[0]
        lasting: list[Document] = [
            {
                "$lookup": {
                    "from": self.versions.name,
                    "localField": "until",
                    "foreignField": "_id",
                    "as": "next",
                }
            },
            {
                "$match": {
                    "$or": [
                        {"until": CURRENT},
                        {"updated": {"$gte": low}},
                        {"next.updated": {"$gt": low}},
                    ]
                }
            },
        ]
        counted = list(self.versions.aggregate([{"$match": of}, *lasting, {"$count": "n"}]))
        page = [{"$sort": {"_id": order}}, *lasting, {"$limit": excerpt.count + 1}]
        return counted[0]["n"] if counted else 0, list(self.versions.aggregate([{"$match": window}, *page]))

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
