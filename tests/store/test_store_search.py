"""Searches of both stores against a slow one: random resources, random query trees, any order, page by page."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from fhir_server.search.query import (
    EVERYTHING,
    MAX_TIME,
    MIN_TIME,
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
from fhir_server.store import joins, mongo_search, paths, sql, sql_condition

DAY = 86_400_000_000
PATIENTS = ("p1", "p2")
TEXTS = ("", "a", "ab", "abc", "b", "B", "å", "a%", "\U0010ffff", "z\x00")
TIMES = (MIN_TIME, -5 * DAY, 0, 1, DAY, DAY + 1, 40 * DAY, 400 * DAY, MAX_TIME)
NUMBERS = tuple(map(Decimal, ("-3", "0", "0.5", "0.50", "1", "7.25", "1e10")))
PARAMS = {
    "token": ("code", "combo-code", "status", "identifier"),
    "string": ("name",),
    "date": ("date", "issued"),
    "number": ("probability",),
    "quantity": ("value-quantity",),
    "reference": ("subject", "performer"),
    "uri": ("url",),
    "measure": ("value-quantity",),
    "composite": ("code-value",),
    "word": ("code:text",),
}
IDS = tuple(f"r{n}" for n in range(8))  # the resources that are written: the last few of another type
KINDS = ("@", "@2")  # in place of the two types, which are new ones in each example
TEXT_COLUMNS = {
    "token": ("system", "code"),
    "string": ("folded", "exact"),
    "quantity": ("system", "code", "unit"),
    "reference": ("type", "id", "url", "system", "value"),
    "uri": ("value",),
    "measure": ("unit",),
    "composite": ("system", "code", "system2", "code2", "text"),
    "word": ("folded",),
}

texts, times, numbers = st.sampled_from(TEXTS), st.sampled_from(TIMES), st.sampled_from(NUMBERS)
optional = st.none() | texts


def interval(ends: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, Any]]:
    return st.tuples(ends, ends).map(lambda pair: (min(pair), max(pair)))


ROWS: dict[str, st.SearchStrategy[tuple[Any, ...]]] = {
    "token": st.tuples(optional, texts),
    "string": st.tuples(texts, texts),
    "date": interval(times),
    "number": interval(numbers),
    "quantity": st.tuples(interval(numbers), optional, optional, optional).map(lambda t: (*t[0], *t[1:])),
    "reference": st.tuples(optional, optional, optional, optional, optional)
    | st.tuples(st.sampled_from(KINDS), st.sampled_from(IDS), optional, optional, optional),
    "uri": st.tuples(texts),
    "measure": st.tuples(optional, interval(numbers)).map(lambda t: (t[0], *t[1])),
    "composite": st.tuples(
        optional, optional, interval(numbers), interval(numbers), optional, optional, texts
    ).map(lambda t: (*t[:2], *t[2], *t[3], *t[4:])),
    "word": st.tuples(texts),
}


def rows_of(table: str) -> st.SearchStrategy[tuple[tuple[Any, ...], ...]]:
    row = st.tuples(st.sampled_from(PARAMS[table]), ROWS[table]).map(lambda t: (t[0], *t[1]))
    return st.lists(row, max_size=3).map(tuple)


@st.composite
def values(draw: st.DrawFn) -> Values:
    rows = {table: draw(rows_of(table)) for table in ROWS}
    patient = draw(st.none() | st.sampled_from(PATIENTS))
    if patient is not None:
        rows["reference"] += (("patient", "Patient", patient, None, None, None),)
    dates = [row[1] for row in rows["date"] if row[0] == "date"]
    return Values(rows, patient, min(dates, default=None))


# (which of a few resources, its next content or None to delete it)
writes = st.lists(st.tuples(st.integers(0, 7), st.none() | values()), min_size=1, max_size=14)


@st.composite
def text_tests(draw: st.DrawFn, column: str) -> Test:
    op = draw(st.sampled_from(("=", "=", "=", "!=", "<", "<=", ">", ">=", "in", "prefix", "contains")))
    value = draw(st.lists(texts, max_size=3).map(tuple)) if op == "in" else draw(texts)
    return Test(column, op, value)


@st.composite
def interval_tests(draw: st.DrawFn, ends: st.SearchStrategy[Any]) -> Test:
    op = draw(st.sampled_from(("=", "!=", "<", "<=", ">", ">=", "in")))
    value = draw(st.lists(ends, max_size=2).map(tuple)) if op == "in" else draw(ends)
    return Test(draw(st.sampled_from(("low", "high"))), op, value)


def some_tests(table: str) -> st.SearchStrategy[Test]:
    kinds = [text_tests(column) for column in TEXT_COLUMNS.get(table, ())]
    if table == "date":
        kinds.append(interval_tests(times))
    if table in ("number", "quantity", "measure", "composite"):
        kinds.append(interval_tests(numbers))
    return st.one_of(kinds)


@st.composite
def matches(draw: st.DrawFn) -> Match:
    if draw(st.integers(0, 8)) == 0:
        ids = st.sampled_from(IDS)
        test = draw(
            st.one_of(
                ids.map(lambda i: Test("id", "=", i)),
                st.lists(ids, max_size=3).map(lambda i: Test("id", "in", tuple(i))),
                st.tuples(st.sampled_from(("<", "<=", ">", ">=", "!=")), st.integers(0, 5)).map(
                    lambda t: Test("updated", t[0], t[1])
                ),
            )
        )
        return Match("resource", f"_{test.column}", (test,))
    table = draw(st.sampled_from(sorted(PARAMS)))
    param = draw(st.sampled_from(PARAMS[table]))
    return Match(table, param, tuple(draw(st.lists(some_tests(table), max_size=2))))


nodes = st.recursive(
    matches(),
    lambda inner: st.one_of(
        inner.map(Not),
        st.lists(inner, max_size=3).map(lambda each: And(tuple(each))),
        st.lists(inner, max_size=3).map(lambda each: Or(tuple(each))),
        st.builds(Chain, st.sampled_from(PARAMS["reference"]), st.sampled_from(KINDS), inner),
        st.builds(Has, st.sampled_from(KINDS), st.sampled_from(PARAMS["reference"]), inner),
    ),
    max_leaves=6,
)
SORTS = [
    Sort("date", "date", "low"),
    Sort("date", "issued", "low"),
    Sort("token", "code", "code"),
    Sort("token", "status", "system"),
    Sort("string", "name", "exact"),
    Sort("quantity", "value-quantity", "low"),
    Sort("number", "probability", "low"),
    Sort("reference", "performer", "type"),
    Sort("resource", "_id", "id"),
    Sort("resource", "_lastUpdated", "updated"),
]


@st.composite
def queries(draw: st.DrawFn) -> Query:
    where: Node = draw(st.just(EVERYTHING) | nodes)
    patient = draw(st.none() | st.sampled_from(PATIENTS))
    if patient is not None:
        mine = Match("reference", "patient", (Test("type", "=", "Patient"), Test("id", "=", patient)))
        where = And((mine, where))
    keys = draw(st.lists(st.tuples(st.sampled_from(SORTS), st.booleans()), max_size=2))
    sort = tuple(Sort(key.table, key.param, key.column, down) for key, down in keys)
    return Query("T", where, sort, draw(st.integers(1, 4)), patient)


TYPES = (f"T{n}" for n in itertools.count())


def typed(query: Query, type: str) -> Query:
    return replace(query, type=type, where=typed_node(query.where, type))


def typed_node(node: Node, type: str) -> Node:
    match node:
        case And(children) | Or(children):
            return node.__class__(tuple(typed_node(child, type) for child in children))
        case Not(child):
            return Not(typed_node(child, type))
        case Chain(param, to, where):
            return Chain(param, to.replace("@", type), typed_node(where, type))
        case Has(of, param, where):
            return Has(of.replace("@", type), param, typed_node(where, type))
    return node


def typed_values(values: Values | None, type: str) -> Values | None:
    if values is None:
        return None
    references = tuple((p, (to or "").replace("@", type), *more) for p, to, *more in values.rows["reference"])
    return replace(values, rows=values.rows | {"reference": references})


@pytest.fixture(params=[False, True], ids=["few", "many"])
def probe(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both ways in which a store is asked: as if the data were small, and as if it were large."""
    if request.param:
        monkeypatch.setattr(paths, "PROBE", 2)
        monkeypatch.setattr(sql, "PROBE", 2)
        monkeypatch.setattr(sql, "NEAR", 2)
        monkeypatch.setattr(sql_condition, "LISTED", 2)
        monkeypatch.setattr(joins, "FEW", 1)
        monkeypatch.setattr(mongo_search, "SMALLEST", 1)
        monkeypatch.setattr(mongo_search, "LARGEST", 3)
    yield


FEW = settings(deadline=None, max_examples=15, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=50)


def check(desk: Any, slow_store: Any, first: Any, later: Any, asked: list[Query], put: Any) -> None:
    """Ask, change what there is between the first page and the next, and compare with the slow store."""
    type, slow = next(TYPES), slow_store.__class__()

    def write(content: list[tuple[int, Values | None]]) -> None:
        made = [(n, typed_values(found_by, type)) for n, found_by in content]

        def work(tx: Any) -> list[Any]:
            return [put(tx, type if n < 5 else f"{type}2", f"r{n}", by, updated=n % 5) for n, by in made]

        for version, (_, found_by) in zip(desk.transact(work), made, strict=True):
            slow.add(version, found_by)

    write(first)
    asked = [typed(query, type) for query in asked]
    pages = [desk.search(query) for query in asked]
    expected = [slow.search(query) for query in asked]
    if later:
        write(later)
    for query, page, versions in zip(asked, pages, expected, strict=True):
        note(str(query))
        found = list(page.versions)
        while page.next is not None:
            query = replace(query, after=page.next, snapshot=page.snapshot)
            page = desk.search(query)
            found += page.versions
        assert found == versions
        at = replace(query, after=None, snapshot=page.snapshot)
        assert desk.count(at) == len(versions)
        assert desk.count(at, at_most=2) == min(2, len(versions))


@FEW
@given(first=writes, later=writes | st.just([]), asked=st.lists(queries(), min_size=3, max_size=6))
def test_searches_find_what_they_mean(
    desk: Any,
    slow_store: Any,
    put_next: Callable[..., Any],
    probe: None,
    first: Any,
    later: Any,
    asked: list[Query],
) -> None:
    check(desk, slow_store, first, later, asked, put_next)


@MANY
@given(first=writes, later=writes | st.just([]), asked=st.lists(queries(), min_size=3, max_size=6))
def test_searches_of_sqlite_find_what_they_mean_in_any_amount_of_data(
    sqlite_desk: Any,
    slow_store: Any,
    put_next: Callable[..., Any],
    probe: None,
    first: Any,
    later: Any,
    asked: list[Query],
) -> None:
    check(sqlite_desk, slow_store, first, later, asked, put_next)
