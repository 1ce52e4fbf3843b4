"""Searches on an SQLite connection, inside a transaction or out of one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from fhir_server.search.query import Query
from fhir_server.store import joins, sql
from fhir_server.store.base import Found, Version
from fhir_server.store.cursor import check_cursor, phases
from fhir_server.store.paths import Access, Path, choose, wanted
from fhir_server.store.tree import Join, Regular, regular

FIELDS = 7  # columns of a row before its sort keys


def find(connection: sqlite3.Connection, query: Query, snapshot: int) -> Found:
    """A page of what was current at the snapshot."""
    check_cursor(query)
    if query.count <= 0:
        return Found((), None, snapshot)
    tree = _resolved(connection, query, snapshot)
    path = _choose(connection, query, tree, wanted(query.sort))
    limit = query.count + 1
    rows: list[tuple[Any, ...]] = []
    for missing in _phases(query, path, tree):
        of_phase: list[tuple[Any, ...]] = []
        for access in path.accesses:
            for near in sql.tries(query, path, access):
                number = limit - len(rows)
                page = sql.page(query, path, access, snapshot, number, missing=missing, near=near)
                found = connection.execute(*page).fetchall()
                if len(found) == number:
                    break
            of_phase += found
        rows += of_phase if len(path.accesses) == 1 else _merged(query, of_phase)
        if len(rows) >= limit:
            break
    more = len(rows) > query.count
    rows = rows[: query.count]
    versions = tuple(
        Version(query.type, row[1], row[2], row[3], row[4], row[5], row[0], row[6]) for row in rows
    )
    places = tuple((*row[FIELDS:], row[0]) for row in rows)
    return Found(versions, places[-1] if more else None, snapshot, places)


def total(connection: sqlite3.Connection, query: Query, snapshot: int, at_most: int | None) -> int:
    """How many match."""
    tree = _resolved(connection, query, snapshot)
    path = _choose(connection, query, tree, "")
    if not path.accesses:
        return 0
    (number,) = connection.execute(*sql.count(query, path, snapshot, at_most)).fetchone()
    return int(number)


def plan(connection: sqlite3.Connection, query: Query, snapshot: int) -> list[str]:
    """What SQLite says it does for joins, the count of the ranges, the page and the total, a line a step."""
    lines: list[str] = []

    def explained(statement: tuple[str, list[Any]]) -> None:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {statement[0]}", statement[1]).fetchall()
        lines.extend(row[3] for row in rows)

    def ids(join: Join) -> list[str] | None:
        inner = Query(join.type)
        path = _choose(connection, inner, join.where, "")
        if path.accesses:
            explained(sql.others(inner, path, snapshot, join, joins.FEW + 1))
        return _others(connection, join, snapshot)

    tree = joins.resolve(regular(query), ids)

    def sizes(accesses: Sequence[Access]) -> list[int]:
        explained(sql.probe(query, accesses))
        return _sizes(connection, query, accesses)

    path = choose(query, tree, wanted(query.sort), sizes)
    for missing in _phases(query, path, tree):
        for access in path.accesses:
            for near in sql.tries(query, path, access):
                limit = query.count + 1
                explained(sql.page(query, path, access, snapshot, limit, missing=missing, near=near))
    if path.accesses:
        explained(sql.count(query, choose(query, tree, "", sizes), snapshot, None))
    return lines


def _resolved(connection: sqlite3.Connection, query: Query, snapshot: int) -> Regular:
    """The tree of the query, with lists of ids for the joins whose other end is few."""
    return joins.resolve(regular(query), lambda join: _others(connection, join, snapshot))


def _others(connection: sqlite3.Connection, join: Join, snapshot: int) -> list[str] | None:
    """The ids that a join comes down to, None if it leads to more than FEW versions."""
    inner, limit = Query(join.type), joins.FEW + 1
    path = _choose(connection, inner, join.where, "")
    if not path.accesses:
        return []
    rows = connection.execute(*sql.others(inner, path, snapshot, join, limit)).fetchall()
    return None if len(rows) == limit else [id for (id,) in rows if id]


def _choose(connection: sqlite3.Connection, query: Query, tree: Regular, order: str) -> Path:
    return choose(query, tree, order, lambda accesses: _sizes(connection, query, accesses))


def _sizes(connection: sqlite3.Connection, query: Query, accesses: Sequence[Access]) -> list[int]:
    return list(connection.execute(*sql.probe(query, accesses)).fetchone())


def _phases(query: Query, path: Path, tree: Regular) -> tuple[bool, ...]:
    """Whether to look for versions with a date (False), without one (True), or both in turn.

    Only a walk in the order of moments has to: an index has the missing ones first.
    """
    by_moment = path.natural and path.accesses and path.accesses[0].order == "moment"
    return phases(query, tree) if by_moment else (False,)


def _merged(query: Query, rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The rows of several accesses in the search's order, each version once."""
    rows = list({row[0]: row for row in rows}.values())
    rows.sort(key=lambda row: row[0], reverse=bool(query.sort) and query.sort[0].descending)
    for i, key in reversed(list(enumerate(query.sort, FIELDS))):
        present = [row for row in rows if row[i] is not None]
        present.sort(key=lambda row: row[i], reverse=key.descending)
        rows = present + [row for row in rows if row[i] is None]
    return rows
