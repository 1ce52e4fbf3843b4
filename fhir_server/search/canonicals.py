"""References by canonical URL: what they name on this server, and what names a resource by its own.

https://hl7.org/fhir/R4/references.html#canonical. `url|version` names that version, `url` alone the latest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fhir_server.resource_json import decode_stored
from fhir_server.search import parameters
from fhir_server.search.query import Match, Query, Test
from fhir_server.store.base import Store, Version
from terminology.versions import joined, order, split

_VERSIONS = 20  # of one resource, in one search for it


def has_url(type: str) -> bool:
    """Whether resources of the type have a canonical URL of their own."""
    return "url" in parameters.of(type) and parameters.of(type)["url"].type == "uri"


def named(rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[str, str]]:
    """Parameter and canonical of each reference row that is by URL.

    A canonical with a version has a row without it as well, which is left out.
    """
    by_url = [(row[0], row[3]) for row in rows if row[3] and not row[2]]
    versioned = {(param, split(url)[0]) for param, url in by_url if "|" in url}
    return (pair for pair in by_url if pair not in versioned)


async def read(store: Store, type: str, canonicals: Sequence[str], snapshot: int) -> dict[str, Version]:
    """The resource of the type that each canonical names, of those that are there."""
    urls = tuple(dict.fromkeys(split(canonical)[0] for canonical in canonicals))
    where = Match("uri", "url", (Test("value", "in", urls),))
    page = await store.search(Query(type, where, count=len(urls) * _VERSIONS, snapshot=snapshot))
    found: dict[str, Version] = {}
    for version in sorted(page.versions, key=lambda version: order(_of(version).get("version"))):
        about = _of(version)
        found[about["url"]] = found[joined(about["url"], about.get("version"))] = version
    return {canonical: found[canonical] for canonical in canonicals if canonical in found}


def names_of(versions: Iterable[Version]) -> tuple[str, ...]:
    """The canonicals, with version and without, by which others may refer to these resources."""
    abouts = [about for about in map(_of, versions) if about.get("url")]
    names = [name for a in abouts for name in (a["url"], joined(a["url"], a.get("version")))]
    return tuple(dict.fromkeys(names))


def _of(version: Version) -> Mapping[str, Any]:
    tree: Mapping[str, Any] = decode_stored(version.body or b"{}")
    return tree
