"""Promise 10: every search that can be asked uses an index on both stores."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.search.query import (
    EVERYTHING,
    TABLES,
    And,
    Chain,
    Has,
    Match,
    Node,
    Not,
    Or,
    Query,
    Sort,
    Test,
    Values,
)
from fhir_server.store import joins, paths, sql

# aliases of base tables in our SQL (p, x and subqueries are what a search has already found)
SQLITE_SCAN = re.compile(r"SCAN (?!p\b|x\b|\(|CONSTANT ROW|\d+ CONSTANT)|AUTOMATIC")
TEXT_OPS = ("=", "!=", "<", ">=", "in", "prefix", "contains")
INTERVAL_OPS = ("=", "!=", "<", "<=", ">", ">=", "in")


def value(table: str, column: str, op: str) -> Any:
    one: Any = "b"
    if column.startswith(("low", "high")):
        one = 150 if table == "date" else Decimal(7)
    return (one, one * 2) if op == "in" else one


PARAM = {"token": "code", "date": "date", "reference": "subject", "quantity": "value-quantity"}


def leaves() -> Iterator[Match]:
    for table, columns in TABLES.items():
        param = PARAM.get(table, "other")
        yield Match(table, param)
        for column in columns:
            for op in INTERVAL_OPS if column.startswith(("low", "high")) else TEXT_OPS:
                yield Match(table, param, (Test(column, op, value(table, column, op)),))
        every = tuple(Test(column, "=", value(table, column, "=")) for column in columns)
        yield Match(table, param, every)
    yield Match("token", "status", (Test("code", "=", "b"),))
    yield Match("date", "date", (Test("low", ">=", 100), Test("high", "<=", 900)))
    yield Match("resource", "_id", (Test("id", "=", "o1"),))
    yield Match("resource", "_id", (Test("id", "in", ("o1", "o2")),))
    for op in ("<", "<=", ">", ">=", "="):
        yield Match("resource", "_lastUpdated", (Test("updated", op, 5),))


LEAVES = list(leaves())
CODE = Match("token", "code", (Test("system", "=", "http://loinc.org"), Test("code", "=", "pulse")))
SORTS: list[tuple[Sort, ...]] = [
    (),
    (Sort("date", "date", "low"),),
    (Sort("date", "date", "low", True),),
    (Sort("resource", "_lastUpdated", "updated", True),),
    (Sort("resource", "_id", "id"),),
    (Sort("token", "code", "code"),),
    (Sort("quantity", "value-quantity", "low", True), Sort("date", "date", "low")),
]


def wheres() -> Iterator[Node]:
    yield EVERYTHING
    yield Or(())
    for leaf in LEAVES:
        yield leaf
        yield Not(leaf)
        yield And((leaf, CODE))
    for one, other in itertools.product(LEAVES[::17], LEAVES[::11]):
        yield Or((one, other))
        yield And((one, Or((other, Not(one)))))
    many = tuple(Match("token", "identifier", (Test("code", "=", f"i{n}"),)) for n in range(40))
    yield Or(many)
    yield And((Or(many), CODE))
    yield Not(Or(many))
    yield Or(tuple(Match("string", "name", (Test("folded", "prefix", f"i{n}"),)) for n in range(40)))
    yield Or(tuple(Match("reference", "subject", (Test("type", "=", f"i{n}"),)) for n in range(40)))
    yield from joins_()


def joins_() -> Iterator[Node]:
    """Chained in either direction, one after the other, negated, beside others."""
    ada = Match("string", "name", (Test("folded", "prefix", "ada"),))
    red = Match("token", "code", (Test("code", "=", "red"),))
    for inner in (ada, EVERYTHING, Not(ada), Match("resource", "_id", (Test("id", "=", "p1"),))):
        for join in (Chain("subject", "Patient", inner), Has("Flag", "subject", inner)):
            yield join
            yield Not(join)
            yield And((join, CODE))
            yield Or((join, red))
            yield Chain("subject", "Patient", Has("Flag", "subject", And((join, red))))
    yield Or((Chain("subject", "Patient", ada), Chain("subject", "Group", ada)))


def shapes() -> Iterator[Query]:
    turns = itertools.cycle(SORTS)
    for where in wheres():
        for patient in (None, "p1"):
            mine = Match("reference", "subject", (Test("type", "=", "Patient"), Test("id", "=", "p1")))
            yield Query(
                "Observation",
                And((mine, where)) if patient else where,
                next(turns),
                20,
                patient,
                snapshot=None,
            )
    for sort, patient in itertools.product(SORTS, (None, "p1")):
        for where in (EVERYTHING, CODE, LEAVES[0], Not(CODE)):
            yield Query("Observation", where, sort, 20, patient)
            if len(sort) < 2:
                after = (*([{"id": "o3"}.get(sort[0].column, 300)] if sort else []), 4)
                yield Query("Observation", where, sort, 20, patient, after, 30)


@pytest.fixture
def filled(desk: Any, observation: Callable[..., Values]) -> Any:
    for n in range(40):
        code = "pulse" if n % 3 else "weight"
        desk.put("Observation", f"o{n}", observation(f"p{n % 4}", code, 100 * n, n), updated=n)
    return desk


def fill(desk: Any, observation: Callable[..., Values]) -> None:
    """Readings of a few patients, and flags, so that every join of the shapes has something at its end."""
    for n in range(40):
        desk.put("Observation", f"o{n}", observation(f"p{n % 4}", "pulse", 100 * n, n), updated=n)
    for n in range(4):
        names = (("name", "ada", "Ada"),)
        desk.put("Patient", f"p{n}", Values({"string": names}, f"p{n}"))
        refers = tuple(
            ("subject", type, id, "", "", "") for type, id in (("Observation", "o1"), ("Patient", f"p{n}"))
        )
        desk.put(
            "Flag", f"f{n}", Values({"reference": refers, "token": (("code", "", "red"),), "string": names})
        )


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_no_search_on_sqlite_scans(
    sqlite_desk: Any, observation: Callable[..., Values], monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    if many:
        monkeypatch.setattr(paths, "PROBE", 2)
        monkeypatch.setattr(sql, "PROBE", 2)
        monkeypatch.setattr(joins, "FEW", 1)
    fill(sqlite_desk, observation)
    for query in shapes():
        for line in sqlite_desk.run(sqlite_desk.store.explain(query)):
            assert not SQLITE_SCAN.search(line), f"{line}\n{query}"


def test_no_search_on_mongodb_scans(
    request: pytest.FixtureRequest, mongodb_url: str, observation: Callable[..., Values]
) -> None:
    """An eighth of the shapes, since each costs the stand-in a tenth of a second, and the joins."""
    desk = request.getfixturevalue("mongodb_desk")
    fill(desk, observation)
    joined = [Query("Observation", where, count=20) for where in joins_()]
    for query in itertools.chain(itertools.islice(shapes(), 0, None, 8), joined[::3]):
        lines = desk.run(desk.store.explain(query))
        assert not any("COLLSCAN" in line for line in lines), f"{lines}\n{query}"
        assert query.where == Or(()) or any("IXSCAN" in line for line in lines), query


def test_the_hottest_search_is_one_range(filled: Any) -> None:
    """This patient's readings of this code, newest first: an index holds them in that order."""
    mine = Match("reference", "subject", (Test("type", "=", "Patient"), Test("id", "=", "p1")))
    newest = (Sort("date", "date", "low", True),)
    since = Match("date", "date", (Test("high", ">", 500),))
    query = Query("Observation", And((mine, CODE, since)), newest, 3, "p1")
    lines = filled.run(filled.store.explain(query))
    if filled.store.name == "sqlite":
        assert any("SEARCH d USING PRIMARY KEY (patient=? AND code=? AND moment>?" in line for line in lines)
    else:
        assert any("IXSCAN line" in line for line in lines)
    assert filled.ids(query)[:3] == ["o37", "o29", "o25"]


def test_sqlite_does_not_sort_what_an_index_has_in_order(
    sqlite_desk: Any, observation: Callable[..., Values]
) -> None:
    for n in range(40):
        sqlite_desk.put("Observation", f"o{n}", observation(f"p{n % 4}", "pulse", 100 * n, n), updated=n)
    mine = Match("reference", "subject", (Test("type", "=", "Patient"), Test("id", "=", "p1")))
    for query in (
        Query("Observation"),
        Query("Observation", CODE),
        Query("Observation", sort=SORTS[2]),
        Query("Observation", sort=SORTS[3]),
        Query("Observation", And((mine, CODE)), SORTS[2], 20, "p1"),
        Query("Observation", mine, SORTS[2], 20, "p1"),
    ):
        lines = sqlite_desk.run(sqlite_desk.store.explain(query))
        # one for the page itself, after its end
        pages = sum(line == "SCAN p" for line in lines)
        assert sum("B-TREE FOR ORDER BY" in line for line in lines) <= pages, (query, lines)
