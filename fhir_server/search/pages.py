"""A page of a search of several types: the first of what each of them has, in one order, in one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from fhir_server.search.query import Query
from fhir_server.store.base import Found, Store, Version


async def page(store: Store, queries: Sequence[Query]) -> Found:
    """The page, of one type or of several; `queries` differ in type and conditions only."""
    first = await store.search(queries[0])
    if len(queries) == 1:
        return first
    others = [replace(query, snapshot=first.snapshot) for query in queries[1:]]
    founds = [first, *await asyncio.gather(*map(store.search, others))]
    query = queries[0]
    entries: list[Entry] = [
        entry for found in founds for entry in zip(found.versions, found.places, strict=True)
    ]
    # what comes after the end of one type's page may come after more of that type: a page may be short,
    # where a store leaves out what has been hidden since
    ends: list[Entry] = [(None, found.next) for found in founds if found.next is not None]
    end = _ordered(query, ends)[:1]
    ordered = _ordered(query, [*entries, *end])
    if end:
        ordered = ordered[: ordered.index(end[0])]
    more = len(ordered) > query.count
    kept = [(version, place) for version, place in ordered[: query.count] if version]
    places = tuple(place for _, place in kept)
    following = places[-1] if more else end[0][1] if end else None
    return Found(tuple(version for version, _ in kept), following, first.snapshot, places)


async def count(store: Store, queries: Sequence[Query], at_most: int | None = None) -> int:
    """How many match, of all types together."""
    return sum(await asyncio.gather(*(store.count(query, at_most) for query in queries)))


Entry = tuple[Version | None, tuple[Any, ...]]


def _ordered(query: Query, entries: list[Entry]) -> list[Entry]:
    """In the search's order: by its keys, those without one last, then in the order of commits."""
    entries.sort(key=lambda entry: entry[1][-1], reverse=bool(query.sort) and query.sort[0].descending)
    for number, key in reversed(list(enumerate(query.sort))):
        present = [entry for entry in entries if entry[1][number] is not None]
        present.sort(key=lambda entry: _comparable(key.column, entry[1][number]), reverse=key.descending)
        entries = present + [entry for entry in entries if entry[1][number] is None]
    return entries


def _comparable(column: str, value: Any) -> Any:
    """A store may give a number as text."""
    return Decimal(value) if column in ("low", "high") and isinstance(value, str) else value
