"""Query -> SQL for SQLite: the statement that walks one index range.

https://www.sqlite.org/queryplanner.html. Nothing is left to the planner's statistics: a range names its
index, CROSS JOIN keeps it outermost, and everything else is a look-up by seq.
"""

# ruff: noqa: S608 - statements are put together from constants; every value is bound

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fhir_server.search.query import Query, Sort, Test
from fhir_server.store.paths import INDEXES, PARTIAL, PROBE, WIDE, Access, Path, listable
from fhir_server.store.rows import CURRENT, DAY, patient_key
from fhir_server.store.sql_condition import (
    NAMED,
    Statement,
    balanced,
    condition,
    depth,
    own_rows,
    tests_of,
)
from fhir_server.store.tree import Join, Leaf, Regular, implied, kind

MISSING = -(2**63) + 1  # moment of a timeline row whose resource has no date: a primary key takes no NULL
NEAR = 20_000
EVERYBODY = -1  # in place of a patient's key
COLUMNS = "p.seq, w.id, w.version, w.updated, w.method, b.body, w.patient"


class Walk:
    """One access of a path as SQL: where the versions come from, and which of them."""

    def __init__(self, s: Statement, query: Query, access: Access) -> None:
        self.s, self.query, self.access = s, query, access
        self.seq = "v.seq"
        self.moment = "v.moment"
        self.where: list[str] = []
        emit = {"version": self._version, "timeline": self._timeline}.get(access.table, self._rows)
        self.source = emit()

    def _version(self) -> str:
        s, leaf = self.s, self.access.leaf
        self.where.append(f"v.type = {s.name(s.type)}")
        if self.access.index == "version_patient":
            assert self.query.patient is not None
            self.where.append(f"v.patient_key = {s.bind(patient_key(self.query.patient))}")
        if leaf is not None:
            if self.access.index == "version_id":
                self.where.append(f"v.id IN {s.listed(_ids(leaf))}")
            self.where.append(balanced([tests_of(s, "v", "resource", tests) for tests in leaf.any_of], "OR"))
        return f"version AS v INDEXED BY {self.access.index}"

    def _timeline(self) -> str:
        leaf = self.access.leaf
        assert leaf is not None and self.query.patient is not None
        self.seq, self.moment = "d.seq", "d.moment"
        self.where.append(f"d.patient = {self.s.bind(patient_key(self.query.patient))}")
        self.where.append(f"d.param = {self.s.param(leaf.param)}")
        self.where.append(tests_of(self.s, "d", "token", leaf.any_of[0]))
        return "timeline AS d"

    def _rows(self) -> str:
        s, access, leaf = self.s, self.access, self.access.leaf
        assert leaf is not None
        self.seq = "d.seq"
        self.where.append(f"d.param = {s.param(leaf.param)}")
        source = f"{access.table} AS d INDEXED BY {access.index}"
        if access.index in PARTIAL:
            self.where.append(f"d.{PARTIAL[access.index]} <> ''")
        if access.index in WIDE.values():
            self.where.append("d.low <> d.high")
        column = dict(INDEXES[access.table]).get(access.index, "high")
        if len(leaf.any_of) > 1 and listable(leaf, column):
            return f"{self._list(leaf)} CROSS JOIN {source}"
        alternatives = [tests_of(s, "d", access.table, implied(tests)) for tests in leaf.any_of]
        self.where.append(balanced(alternatives, "OR"))
        return source

    def _list(self, leaf: Leaf) -> str:
        """The alternatives as a table to join: SQLite looks each up in the index."""
        s = self.s
        for number, test in enumerate(leaf.any_of[0], 1):
            value = f"x.column{number}"
            if (leaf.table, test.column) in NAMED:
                value = f"(SELECT id FROM name WHERE text = {value})"
            self.where.append(f"d.{test.column} = {value}")
        numbers = [kind(leaf.table, test.column) == "number" for test in leaf.any_of[0]]
        rows = (
            ", ".join(
                s.bind(float(test.value) if number else test.value)
                for test, number in zip(tests, numbers, strict=True)
            )
            for tests in leaf.any_of
        )
        return f"(VALUES {', '.join(f'({row})' for row in rows)}) AS x"

    def dated(self, rest: Sequence[Regular], near: bool = False) -> Walk:
        """With the bounds that conditions on times set for a walk in the order of moments or of commits.

        A row that ends after x begins after x less the longest extent that the patient (or anybody) has.
        """
        if near:
            self.where.append(f"v.seq <= {NEAR}")
        elif self.access.index == "version_type":
            self._recent(rest)
        if self.access.order != "moment":
            return self
        s = self.s
        for test in _tests_of(rest, "date", "date"):
            if test.op in ("<", "<=", "="):
                self.where.append(f"{self.moment} {'<' if test.op == '<' else '<='} {s.bind(test.value)}")
            if test.op in (">", ">=", "="):
                whose = patient_key(self.query.patient) if self.query.patient is not None else EVERYBODY
                longest = (
                    f"SELECT extent FROM lasting WHERE type = {s.name(s.type)} AND patient = {s.bind(whose)}"
                )
                self.where.append(f"{self.moment} >= {s.bind(test.value)} - coalesce(({longest}), {DAY})")
        return self

    def _recent(self, rest: Sequence[Regular]) -> None:
        """Begin a walk in the order of commits where conditions on times can first hold."""
        s = self.s
        for leaf, test in recent(self.query, rest):
            rows = f"version AS u INDEXED BY version_updated WHERE u.type = {s.name(s.type)}"
            if leaf.table == "date":
                rows = f"date AS u INDEXED BY date_high WHERE u.param = {s.param(leaf.param)}"
            bound = f"u.{test.column} {test.op} {s.bind(test.value)}"
            first = f"SELECT coalesce(min(u.seq), {CURRENT}) FROM {rows} AND {bound}"
            self.where.append(f"v.seq >= ({first})")

    def ordered(self, missing: bool) -> list[str]:
        """Restrict the walk to what is behind query.after; returns the key it is ordered by besides seq."""
        order, after, s = self.access.order, self.query.after, self.s
        beyond = "<" if self.query.sort and self.query.sort[0].descending else ">"
        keys = {"moment": self.moment, "updated": "v.updated", "id": "v.id"}
        if order == "moment":
            none, some = (
                (f"= {MISSING}", f"> {MISSING}") if self.seq == "d.seq" else ("IS NULL", "IS NOT NULL")
            )
            self.where.append(f"{self.moment} {none if missing else some}")
        if order == "seq" or missing:
            if (after is not None and after[0] is None) or (order == "seq" and after is not None):
                self.where.append(f"{self.seq} {beyond} {s.bind(after[-1])}")
            return []
        if after is not None:
            self.where.append(
                f"({keys[order]}, {self.seq}) {beyond} ({s.bind(after[0])}, {s.bind(after[1])})"
            )
        return [keys[order]]

    def size(self) -> str:
        """An expression that counts the rows of the range, up to PROBE."""
        rows = f"SELECT 1 FROM {self.source} WHERE {' AND '.join(self.where)} LIMIT {PROBE}"
        return f"(SELECT count(*) FROM ({rows}))"

    def matches(self, columns: str, rest: Sequence[Regular]) -> str:
        """SELECT the columns of the versions that match and were current at the snapshot."""
        s = self.s
        select, source = f"SELECT {columns}", self.source
        if self.seq == "d.seq":  # several rows may be of one version
            select, source = (
                f"SELECT DISTINCT {columns}",
                f"{source} CROSS JOIN version AS v ON v.seq = d.seq",
            )
        where = [*self.where, s.current("v", self.seq)]
        if self.access.table == "timeline" or self.access.index == "version_patient":
            where.append(f"v.patient = {s.bind(self.query.patient)}")  # a key may stand for two patients
        where += [condition(s, node) for node in sorted(rest, key=depth, reverse=True)]
        return f"{select} FROM {source} WHERE {' AND '.join(where)}"


def tries(query: Query, path: Path, access: Access) -> tuple[bool, ...]:
    """Whether to walk only the first NEAR commits (True), all of them (False), or all if those do not do.

    Where a search is bounded below in time, what it asks for may be the newest: to read all that is older
    would cost far more than to look up where the newer begins, and that far more than a page of the oldest.
    """
    late = access.index == "version_type" and recent(query, path.rest)
    return (True, False) if late else (False,)


def recent(query: Query, rest: Sequence[Regular]) -> list[tuple[Leaf, Test]]:
    """Tests that bound the time of every match below; none behind a cursor, which bounds it already."""
    columns = {"date": "high", "resource": "updated"}
    return [
        (node, test)
        for node in (rest if query.after is None else ())
        if isinstance(node, Leaf) and node.table in columns
        for test in _tests_of([node], node.table, node.param)
        if test.column == columns[node.table] and test.op in (">", ">=", "=")
    ]


def _tests_of(rest: Sequence[Regular], table: str, param: str) -> list[Test]:
    """The tests of a parameter that every match passes."""
    return [
        test
        for node in rest
        if isinstance(node, Leaf) and (node.table, node.param) == (table, param)
        if not node.absent and len(node.any_of) == 1
        for test in implied(node.any_of[0])
    ]


def _ids(leaf: Leaf) -> list[str]:
    return list(
        dict.fromkeys(
            value
            for tests in leaf.any_of
            for test in tests
            if test.column == "id" and test.op in ("=", "in")
            for value in (test.value if test.op == "in" else (test.value,))
        )
    )


def probe(query: Query, accesses: Sequence[Access]) -> tuple[str, list[Any]]:
    """One row that holds the size of each range."""
    s = Statement(query)
    return f"SELECT {', '.join(Walk(s, query, access).size() for access in accesses)}", s.values


def count(query: Query, path: Path, snapshot: int, at_most: int | None) -> tuple[str, list[Any]]:
    """How many versions match."""
    s = Statement(query, snapshot)
    found = " UNION ALL ".join(
        Walk(s, query, access).dated(path.rest).matches("v.seq AS seq", path.rest) for access in path.accesses
    )
    limit = "" if at_most is None else f" LIMIT {s.bind(at_most)}"
    # not UNION: that reads everything before the limit can end it
    return f"SELECT count(*) FROM (SELECT DISTINCT seq FROM ({found}){limit})", s.values


def others(query: Query, path: Path, snapshot: int, join: Join, limit: int) -> tuple[str, list[Any]]:
    """What `query`, the other end of a join, has to say: a row for each version, at least.

    It has the id of the version, for a Has the id that it refers to, NULL where it refers to none.
    """
    s = Statement(query, snapshot)
    found = " UNION ALL ".join(
        Walk(s, query, access).dated(path.rest).matches("v.seq AS seq", path.rest) for access in path.accesses
    )
    found = f"SELECT DISTINCT seq FROM ({found}) LIMIT {s.bind(limit)}"
    if not join.reverse:
        return f"SELECT w.id FROM ({found}) AS p CROSS JOIN version AS w ON w.seq = p.seq", s.values
    refers = f"r.seq = p.seq AND r.param = {s.param(join.param)} AND r.type = {s.name(join.own)}"
    source = f"({found}) AS p LEFT JOIN reference AS r INDEXED BY sqlite_autoindex_reference_1 ON {refers}"
    return f"SELECT r.id FROM {source} LIMIT {s.bind(limit)}", s.values


def page(
    query: Query,
    path: Path,
    access: Access,
    snapshot: int,
    limit: int,
    *,
    missing: bool = False,
    near: bool = False,
) -> tuple[str, list[Any]]:
    """The first matches of one access in the search's order behind query.after: COLUMNS, then the sort keys.

    `missing`: of a walk by date, only those without a date, which come last. `near`: see tries.
    """
    s = Statement(query, snapshot)
    walk = Walk(s, query, access).dated(path.rest, near)
    if path.natural:
        keys = walk.ordered(missing)
        down = " DESC" if query.sort and query.sort[0].descending else ""
        by = ", ".join(f"{column}{down}" for column in (*keys, walk.seq))
        keys = keys or ["NULL"] * len(query.sort)
        found = f"{walk.matches(_columns(walk.seq, keys), path.rest)} ORDER BY {by}"
    else:
        keys = [_key(s, key) for key in query.sort]
        found = walk.matches(_columns(walk.seq, keys), path.rest)
        behind = "" if query.after is None else f" WHERE {_behind(s, query)}"
        found = f"SELECT * FROM ({found}){behind} ORDER BY {_order(query.sort, 'seq')}"
    columns = COLUMNS + "".join(f", p.k{i}" for i in range(len(keys)))
    sql = (
        f"SELECT {columns} FROM ({found} LIMIT {s.bind(limit)}) AS p"
        f" CROSS JOIN version AS w ON w.seq = p.seq CROSS JOIN body AS b ON b.seq = p.seq ORDER BY"
        f" {_order(query.sort, 'p.seq')}"
    )
    return sql, s.values


def _columns(seq: str, keys: Sequence[str]) -> str:
    return ", ".join([f"{seq} AS seq", *(f"{key} AS k{i}" for i, key in enumerate(keys))])


def _key(s: Statement, sort: Sort) -> str:
    """The value that a version is sorted by, NULL if it has none."""
    if sort.table == "resource":
        return f"v.{sort.column}"
    if (sort.table, sort.param, sort.column) == ("date", "date", "low"):
        return "v.moment"
    column = f"t.{sort.column}"
    if (sort.table, sort.column) in NAMED:
        column = f"(SELECT text FROM name WHERE id = {column})"
    return f"(SELECT min({column}) FROM {own_rows(s, sort.table, sort.param)})"


def _order(sort: Sequence[Sort], seq: str) -> str:
    """ORDER BY terms: missing last whichever way; ties in the order of the first key."""
    terms = []
    for i, key in enumerate(sort):
        terms += [f"k{i} IS NULL", f"k{i} DESC" if key.descending else f"k{i}"]
    return ", ".join([*terms, f"{seq} DESC" if sort and sort[0].descending else seq])


def _behind(s: Statement, query: Query) -> str:
    """What comes after query.after in the order of _order."""
    assert query.after is not None
    *keys, seq = query.after
    ways: list[str] = []
    same: list[str] = []
    for i, (sort, key) in enumerate(zip(query.sort, keys, strict=True)):
        if key is not None:
            beyond = f"(k{i} {'<' if sort.descending else '>'} {s.bind(key)} OR k{i} IS NULL)"
            ways.append(" AND ".join([*same, beyond]))
        same.append(f"k{i} IS {s.bind(key)}")
    ways.append(
        " AND ".join([*same, f"seq {'<' if query.sort and query.sort[0].descending else '>'} {s.bind(seq)}"])
    )
    return " OR ".join(f"({way})" for way in ways)
