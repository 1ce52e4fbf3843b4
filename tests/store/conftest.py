"""An open store of either kind, short words for putting things into it, and a slow store to compare with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.search.query import TABLES, And, Chain, Has, Match, Node, Not, Query, Test, Values
from fhir_server.store.base import Found, Store, Transaction, Version
from fhir_server.store.mongo import MongoStore
from fhir_server.store.sqlite import SqliteStore

NO_VALUES = Values({})


def make_store(url: str) -> SqliteStore | MongoStore:
    return SqliteStore(url) if url.startswith("sqlite:") else MongoStore(url)


class Desk:
    """A store, an event loop to ask it in, and what the tests do to it again and again."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._runner = asyncio.Runner()
        self._opened: list[Store] = []

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(coroutine)

    def open(self, store: Store | None = None) -> Store:
        opened = store or self.store
        self.run(opened.open())
        self._opened.append(opened)
        return opened

    def close(self) -> None:
        for store in reversed(self._opened):
            self.run(store.close())
        self._runner.close()

    def transact(self, work: Callable[[Transaction], Any]) -> Any:
        return self.run(self.store.transact(work))

    def put(self, type: str, id: str, values: Values = NO_VALUES, updated: int = 1) -> Version:
        """The next version of a resource."""
        return self.transact(lambda tx: put(tx, type, id, values, updated))

    def delete(self, type: str, id: str, **options: Any) -> Version:
        return self.transact(lambda tx: put(tx, type, id, None, **options))

    def search(self, query: Query) -> Found:
        return self.run(self.store.search(query))

    def ids(self, query: Query) -> list[str]:
        """The ids of all matches, page by page."""
        return [version.id for version in self.all(query)]

    def all(self, query: Query) -> list[Version]:
        found = self.search(query)
        versions = list(found.versions)
        while found.next is not None:
            query = _replace(query, after=found.next, snapshot=found.snapshot)
            found = self.search(query)
            versions += found.versions
        return versions

    def count(self, query: Query, at_most: int | None = None) -> int:
        return self.run(self.store.count(query, at_most))


def _replace(query: Query, **changes: Any) -> Query:
    fields = {name: getattr(query, name) for name in Query.__dataclass_fields__}
    return Query(**(fields | changes))


def put(tx: Transaction, type: str, id: str, values: Values | None = NO_VALUES, updated: int = 1) -> Version:
    """The next version of a resource, a deletion if there are no values."""
    current = tx.read(type, id)
    number = current.version + 1 if current else 1
    body = None if values is None else f'{{"resourceType":"{type}","id":"{id}","v":{number}}}'.encode()
    method = "DELETE" if values is None else "POST" if number == 1 else "PUT"
    return tx.put(Version(type, id, number, updated, method, body), values)


@pytest.fixture
def desk(store_url: str) -> Iterator[Desk]:
    desk = Desk(make_store(store_url))
    desk.open()
    yield desk
    desk.close()


@pytest.fixture
def sqlite_desk(sqlite_url: str) -> Iterator[Desk]:
    desk = Desk(make_store(sqlite_url))
    desk.open()
    yield desk
    desk.close()


@pytest.fixture
def mongodb_desk(mongodb_url: str) -> Iterator[Desk]:
    desk = Desk(make_store(mongodb_url))
    desk.open()
    yield desk
    desk.close()


@pytest.fixture
def desk_of() -> Iterator[Callable[[str], Desk]]:
    """Opens the store of a URL."""
    desks: list[Desk] = []

    def make(url: str) -> Desk:
        desks.append(Desk(make_store(url)))
        desks[-1].open()
        return desks[-1]

    yield make
    for desk in desks:
        desk.close()


@pytest.fixture
def another(store_url: str) -> Callable[[], Store]:
    """Makes further stores on the same file or database, as another process would."""
    return lambda: make_store(store_url)


@pytest.fixture
def put_next() -> Callable[..., Version]:
    return put


# -- the slow store ------------------------------------------------------------------------------


def _cell(table: str, column: str, value: Any) -> Any:
    return "" if value is None and column not in ("low", "high") else value


def _rows(values: Values, table: str, param: str) -> list[dict[str, Any]]:
    rows = []
    for row in values.rows.get(table, ()):
        if row[0] == param:
            cells = {c: _cell(table, c, v) for c, v in zip(TABLES[table], row[1:], strict=True)}
            if "low" in cells and cells["low"] > cells["high"]:
                cells["low"], cells["high"] = cells["high"], cells["low"]
            rows.append(cells)
    return rows


def _holds(cell: Any, test: Test) -> bool:
    if test.op == "in":
        return cell in test.value
    if test.op == "prefix":
        return str(cell).startswith(test.value)
    if test.op == "contains":
        return test.value in str(cell)
    return {
        "=": lambda: cell == test.value,
        "!=": lambda: cell != test.value,
        "<": lambda: cell < test.value,
        "<=": lambda: cell <= test.value,
        ">": lambda: cell > test.value,
        ">=": lambda: cell >= test.value,
    }[test.op]()


Known = dict[tuple[str, str], tuple[Version, Values | None]]


def _refers(values: Values, param: str, type: str, id: str) -> bool:
    return any((row["type"], row["id"]) == (type, id) for row in _rows(values, "reference", param))


def _matches(version: Version, values: Values, node: Node, known: Known) -> bool:
    if isinstance(node, Not):
        return not _matches(version, values, node.child, known)
    if isinstance(node, Match):
        if node.table == "resource":
            rows = [{"id": version.id, "updated": version.updated}]
        else:
            rows = _rows(values, node.table, node.param)
        return any(all(_holds(row[test.column], test) for test in node.tests) for row in rows)
    if isinstance(node, Chain | Has):
        others = [
            (v, found_by) for v, found_by in known.values() if v.type == node.type and found_by is not None
        ]
        if isinstance(node, Chain):
            others = [each for each in others if _refers(values, node.param, node.type, each[0].id)]
        else:
            others = [each for each in others if _refers(each[1], node.param, version.type, version.id)]
        return any(_matches(*each, node.where, known) for each in others)
    found = (_matches(version, values, child, known) for child in node.children)
    return all(found) if isinstance(node, And) else any(found)


class SlowStore:
    """What a search means, on a list."""

    def __init__(self) -> None:
        self.versions: list[tuple[Version, Values | None]] = []

    def add(self, version: Version, values: Values | None) -> None:
        self.versions.append((version, values))

    def search(self, query: Query) -> list[Version]:
        """All matches in order."""
        current: dict[tuple[str, str], tuple[Version, Values | None]] = {}
        for version, values in self.versions:
            if query.snapshot is None or version.seq <= query.snapshot:
                current[version.type, version.id] = (version, values)
        found = [
            (version, values)
            for version, values in current.values()
            if version.type == query.type
            and values is not None
            and _matches(version, values, query.where, current)
        ]
        down = bool(query.sort) and query.sort[0].descending
        found.sort(key=lambda each: each[0].seq, reverse=down)
        for key in reversed(query.sort):
            found = self._sorted(found, key.table, key.param, key.column, key.descending)
        return [version for version, _ in found]

    @staticmethod
    def _sorted(found: list[Any], table: str, param: str, column: str, down: bool) -> list[Any]:
        def value(each: tuple[Version, Values]) -> Any:
            version, values = each
            if table == "resource":
                return getattr(version, column)
            cells = [row[column] for row in _rows(values, table, param)]
            return min(cells) if cells else None

        present = sorted((e for e in found if value(e) is not None), key=value, reverse=down)
        return present + [e for e in found if value(e) is None]


@pytest.fixture
def slow_store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def observation() -> Callable[..., Values]:
    """The search values of a reading, as many as a real one has."""

    def make(patient: str, code: str, moment: int, number: int = 0, codes: Sequence[str] = ()) -> Values:
        loinc, quantity = "http://loinc.org", Decimal(number)
        tokens = [("code", loinc, code), ("combo-code", loinc, code)]
        tokens += [("combo-code", loinc, other) for other in codes]
        tokens += [
            ("status", "http://hl7.org/fhir/observation-status", "final"),
            ("category", "http://terminology.hl7.org/CodeSystem/observation-category", "vital-signs"),
            ("identifier", "urn:example", f"reading-{number}"),
        ]
        return Values(
            {
                "token": tuple(tokens),
                "reference": tuple(
                    (param, "Patient", patient, None, None, None) for param in ("subject", "patient")
                ),
                "date": (("date", moment, moment + 1000),),
                "quantity": tuple(
                    (param, quantity - 1, quantity + 1, "http://unitsofmeasure.org", "%", "%")
                    for param in ("value-quantity", "combo-value-quantity")
                ),
            },
            patient,
            moment,
        )

    return make
