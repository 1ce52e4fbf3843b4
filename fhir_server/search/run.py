"""A search carried out: the page, its total, what it includes, and the Bundle of them.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.errors import Issue
from fhir_server.resource_json import encode
from fhir_server.search import bundle, pages
from fhir_server.search.includes import MAX_INCLUDED, include
from fhir_server.search.lookup import TERMINOLOGY, looked_up
from fhir_server.search.query import Query
from fhir_server.search.request import Search
from fhir_server.store.base import Found, Store

# A total nobody asked for is counted this far, and left out beyond.
COUNTED = 1_000


async def run(store: Store, search: Search, *, key: bytes) -> bytes:
    """The searchset Bundle, as JSON. `key` seals the cursors in its links."""
    search = await prepared(store, search)
    if search.only_count:
        return bundle.searchset(search, None, key=key, total=await pages.count(store, search.queries))
    found = await pages.page(store, search.queries)
    total = await _total(store, search, found)
    included = await include(store, search.includes, found.versions, found.snapshot, search.base)
    issues = []
    if included.cut:
        text = f"This page has more than {MAX_INCLUDED} resources to include; the rest was left out"
        issues.append(Issue("warning", "too-costly", text))
    return bundle.searchset(search, found, key=key, total=total, included=included.versions, issues=issues)


async def explain(store: Store, search: Search) -> bytes:
    """For administrators: the query trees, and how the store goes about them, as Parameters."""
    search = await prepared(store, search)
    parts: list[dict[str, Any]] = []
    for query in search.queries:
        parts.append({"name": "query", "valueString": str(query)})
        parts += [{"name": "plan", "valueString": line} for line in await store.explain(query) if line]
    return encode({"resourceType": "Parameters", "parameter": parts})


async def prepared(store: Store, search: Search) -> Search:
    """The search with what other resources say in the place of conditions that depend on them."""

    async def ask(query: Query) -> Found:
        # terminology is nobody's data: what a code means does not depend on who asks
        return await (store.whole if query.type in TERMINOLOGY else store).search(query)

    queries = [await looked_up(search.query, ask)]
    for query in search.queries[1:]:  # all in one snapshot
        queries.append(await looked_up(replace(query, snapshot=queries[0].snapshot), ask))
    return replace(search, queries=tuple(queries))


async def _total(store: Store, search: Search, found: Found) -> int | None:
    """How many match in the page's snapshot, as far as it was asked for or comes cheaply."""
    if search.total == "none":
        return None
    if search.place is not None and search.place.total is not None:
        return search.place.total
    if search.query.after is None and found.next is None:
        return len(found.versions)
    queries = [replace(query, after=None, snapshot=found.snapshot) for query in search.queries]
    if search.total == "accurate":
        return await pages.count(store, queries)
    counted = await pages.count(store, queries, at_most=COUNTED + 1)
    return counted if counted <= COUNTED else None
