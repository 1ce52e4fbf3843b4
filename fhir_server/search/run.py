"""A search carried out: the page, its total, what it includes, and the Bundle of them.

https://hl7.org/fhir/R4/http.html#search
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace

from fhir_server.errors import Issue
from fhir_server.resource_json import decode_stored
from fhir_server.search import bundle
from fhir_server.search.extract import extract
from fhir_server.search.lookup import looked_up
from fhir_server.search.request import Include, Search
from fhir_server.store.base import Found, Store, Version

# A total nobody asked for is counted this far, and left out beyond.
COUNTED = 10_000
# What one page includes at most; an issue tells when there was more.
MAX_INCLUDED = 1000

Target = tuple[str, str, int | None]  # type, id, and the version where the reference names one


async def run(store: Store, search: Search, *, key: bytes) -> bytes:
    """The searchset Bundle, as JSON. `key` seals the cursor in its next link."""
    search = replace(search, query=await looked_up(search.query, store.search))
    if search.only_count:
        return bundle.searchset(search, None, key=key, total=await store.count(search.query))
    found = await store.search(search.query)
    total = await _total(store, search, found)
    targets = list(_targets(search, found.versions))
    issues = []
    if len(targets) > MAX_INCLUDED:
        text = f"_include: this page has more than {MAX_INCLUDED} resources to include; the rest was left out"
        issues.append(Issue("warning", "too-costly", text))
    included = await _read(store, targets[:MAX_INCLUDED])
    return bundle.searchset(search, found, key=key, total=total, included=included, issues=issues)


async def _total(store: Store, search: Search, found: Found) -> int | None:
    """How many match in the page's snapshot, as far as it was asked for or comes cheaply."""
    if search.total == "none":
        return None
    if search.known_total is not None:
        return search.known_total
    if search.query.after is None and found.next is None:
        return len(found.versions)
    query = replace(search.query, after=None, snapshot=found.snapshot)
    if search.total == "accurate":
        return await store.count(query)
    counted = await store.count(query, at_most=COUNTED + 1)
    return counted if counted <= COUNTED else None


def _targets(search: Search, matches: Iterable[Version]) -> Iterator[Target]:
    """What the matches point to by the parameters included, each once, and none that is a match itself."""
    if not search.includes:
        return
    seen: set[Target] = {(match.type, match.id, None) for match in matches}
    for match in matches:
        rows = extract(match.type, decode_stored(match.body or b"{}"), search.base).rows
        for param, type, id, url, *_ in rows.get("reference", ()):
            target = (type, id, _version(url))
            if id and target not in seen and _wanted(search.includes, param, type):
                seen.add(target)
                yield target


def _wanted(includes: Iterable[Include], param: str, type: str) -> bool:
    return any(include.param in (None, param) and include.target in (None, type) for include in includes)


def _version(url: str) -> int | None:
    """The version that a reference such as Patient/1/_history/2 names."""
    version = url.rpartition("/_history/")[2] if "/_history/" in url else ""
    return int(version) if version.isascii() and version.isdigit() else None


async def _read(store: Store, targets: Iterable[Target]) -> list[Version]:
    """Those of the targets that are there: a reference may point to nothing, or to what was deleted."""

    async def read(type: str, id: str, version: int | None) -> Version | None:
        if version is None:
            return await store.read(type, id)
        return await store.vread(type, id, version)

    found = await asyncio.gather(*(read(*target) for target in targets))
    return [version for version in found if version and not version.deleted]
