"""What a page includes beside its matches: what they refer to, what refers to them, and so on.

https://hl7.org/fhir/R4/search.html#include. Each resource once, as it was in the page's snapshot; circles end
where everything is there already, and MAX_INCLUDED ends everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fhir_server.resource_json import decode_stored
from fhir_server.search import canonicals, parameters
from fhir_server.search.extract import extract, plan_of_posted
from fhir_server.search.query import Match, Node, Or, Query, Test
from fhir_server.search.request import Include
from fhir_server.store.base import Store, Version
from profiles import definitions

MAX_INCLUDED = 1000
_AT_ONCE = 500  # ids in one query

Key = tuple[str, str, int | None]  # type, id, and the version where the reference names one
Row = tuple[Any, ...]


@dataclass(slots=True)
class Included:
    """`versions` in the order in which they were found; `cut`: there would have been more."""

    versions: list[Version] = field(default_factory=list)
    cut: bool = False


async def include(
    store: Store, includes: Sequence[Include], matches: Sequence[Version], snapshot: int, base: str
) -> Included:
    """Everything that the matches include."""
    included = Included()
    seen: set[Key] = {(match.type, match.id, None) for match in matches}
    newest, wanted = list(matches), list(includes)
    while newest and wanted and not included.cut:
        room = MAX_INCLUDED - len(included.versions)
        found = await _round(store, wanted, newest, snapshot, base, seen, room)
        included.cut = len(found) > room
        newest = found[:room]
        included.versions += newest
        wanted = [each for each in includes if each.iterate]
    return included


async def _round(
    store: Store,
    wanted: Sequence[Include],
    versions: Sequence[Version],
    snapshot: int,
    base: str,
    seen: set[Key],
    room: int,
) -> list[Version]:
    """What these include directly and was not seen before: one more than there is room for, at most."""
    pointing = [each for each in wanted if not each.reverse]
    rows = list(_references(pointing, versions, base))
    keys = dict.fromkeys(_targets(rows))
    found = await _read(store, [key for key in keys if key not in seen][: room + 1], snapshot)
    seen.update(keys)
    for version in await _named(store, rows, snapshot) if len(found) <= room else ():
        _keep(version, found, seen, room)
    for each in wanted:
        if each.reverse and len(found) <= room:
            for query, names in _backwards(each, versions, snapshot):
                for version in await _all(store, query, room + 1 + len(seen)):
                    if not names or _names(version, each, names):
                        _keep(version, found, seen, room)
    return found


def _names(version: Version, include: Include, names: frozenset[str]) -> bool:
    """Whether it refers by one of these: a row without a version may be of a canonical that has another."""
    ((_, _, rows),) = _references((replace(include, source=None),), (version,), "")
    return any(
        url in names and (include.param is None or param == include.param)
        for param, url in canonicals.named(rows)
    )


def _keep(version: Version, found: list[Version], seen: set[Key], room: int) -> None:
    key = (version.type, version.id, None)
    if key not in seen and len(found) <= room:
        seen.add(key)
        found.append(version)


def _references(
    includes: Sequence[Include], versions: Iterable[Version], base: str
) -> Iterator[tuple[Version, list[Include], tuple[Row, ...]]]:
    """Of each version, the includes that it is a source of, and its reference rows."""
    for version in versions if includes else ():
        mine = [each for each in includes if each.source in (None, version.type)]
        if not mine:
            continue
        posted = tuple(each.posted for each in mine if each.posted)
        more = plan_of_posted(posted) if posted else None
        rows = extract(version.type, decode_stored(version.body or b"{}"), base, more).rows
        yield version, mine, rows.get("reference", ())


def _targets(references: Iterable[tuple[Version, list[Include], tuple[Row, ...]]]) -> Iterator[Key]:
    """What the versions point to by Type/id, by the parameters included."""
    for _, includes, rows in references:
        for param, type, id, url, *_ in rows:
            if id and any(each.param in (None, param) and each.target in (None, type) for each in includes):
                yield type, id, _version(url)


async def _named(
    store: Store, references: Iterable[tuple[Version, list[Include], tuple[Row, ...]]], snapshot: int
) -> list[Version]:
    """What the versions name by canonical URL, by the parameters included."""
    wanted: dict[str, dict[str, None]] = {}
    for version, includes, rows in references:
        for param, url in canonicals.named(rows):
            for each in includes:
                if each.param in (None, param):
                    for type in _targets_of(version.type, param, each):
                        wanted.setdefault(type, {})[url] = None
    found: list[Version] = []
    for type, urls in wanted.items():
        for start in range(0, len(urls), _AT_ONCE):
            some = list(urls)[start : start + _AT_ONCE]
            found += (await canonicals.read(store, type, some, snapshot)).values()
    return found


def _targets_of(source: str, param: str, include: Include) -> tuple[str, ...]:
    """The types that have canonical URLs among those that this include of a canonical can lead to."""
    parameter = include.posted or parameters.of(source).get(param)
    if parameter is None or not parameter.kinds & {"canonical", "uri"}:
        return ()
    types = (include.target,) if include.target else parameter.targets
    return tuple(type for type in types if canonicals.has_url(type))


def _version(url: str) -> int | None:
    """The version that a reference such as Patient/1/_history/2 names."""
    version = url.rpartition("/_history/")[2] if "/_history/" in url else ""
    return int(version) if version.isascii() and version.isdigit() and len(version) < 10 else None


async def _read(store: Store, keys: Sequence[Key], snapshot: int) -> list[Version]:
    """Those that are there, in the order of the keys: a reference may point to what was deleted."""
    found: dict[Key, Version] = {}
    for type in dict.fromkeys(type for type, _, _ in keys):
        ids = [id for of, id, number in keys if of == type and number is None]
        for start in range(0, len(ids), _AT_ONCE):
            some = tuple(ids[start : start + _AT_ONCE])
            where = Match("resource", "_id", (Test("id", "in", some),))
            page = await store.search(Query(type, where, count=len(some), snapshot=snapshot))
            found |= {(type, version.id, None): version for version in page.versions}
    for type, id, number in keys:
        if number is not None:
            version = await store.vread(type, id, number)
            if version is not None and not version.deleted:
                found[type, id, number] = version
    return [found[key] for key in keys if key in found]


def _backwards(
    wanted: Include, versions: Sequence[Version], snapshot: int
) -> Iterator[tuple[Query, frozenset[str]]]:
    """What asks for the resources that point to these: a query a type, some ids at a time.

    With the canonicals of which one has to be there, where they are asked for by those.
    """
    ids: dict[str, list[str]] = {}
    names: dict[str, tuple[str, ...]] = {}
    for version in versions:
        if wanted.target in (None, version.type):
            ids.setdefault(version.type, []).append(version.id)
    for type in filter(canonicals.has_url, ids):
        names[type] = canonicals.names_of(version for version in versions if version.type == type)
    for source in (wanted.source,) if wanted.source else definitions.load().resource_types:
        codes = [p for p in parameters.of(source).values() if p.type == "reference"]
        codes += [wanted.posted] if wanted.posted else []
        for type, of_type in ids.items():
            able = [
                p.code for p in codes if wanted.param in (None, p.code) and type in (p.targets or (type,))
            ]
            for start in range(0, len(of_type) if able else 0, _AT_ONCE):
                tests = (Test("type", "=", type), Test("id", "in", tuple(of_type[start : start + _AT_ONCE])))
                where: Node = Or(tuple(Match("reference", code, tests) for code in able))
                yield Query(source, where, snapshot=snapshot), frozenset()
            by_name = [p.code for p in codes if p.code in able and "canonical" in p.kinds]
            urls = names.get(type, ())
            for start in range(0, len(urls) if by_name else 0, _AT_ONCE):
                by_url = Test("url", "in", urls[start : start + _AT_ONCE])
                where = Or(tuple(Match("reference", code, (by_url,)) for code in by_name))
                yield Query(source, where, snapshot=snapshot), frozenset(urls)


async def _all(store: Store, query: Query, most: int) -> Sequence[Version]:
    found = await store.search(Query(query.type, query.where, count=most, snapshot=query.snapshot))
    return found.versions
