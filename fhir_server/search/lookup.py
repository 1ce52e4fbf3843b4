"""Conditions that depend on what stands in other resources: value sets, hierarchies, places.

https://hl7.org/fhir/R4/search.html#token (:in, :above, :below), #reference (hierarchies). What the stored
ValueSets, CodeSystems, Locations and the like say is read first, in the snapshot that is searched then; a
condition on codes or ids comes of it. Where they do not say enough the search is refused, since to leave out
the condition, or what it would have found, would answer another question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.resource_json import decode_stored
from fhir_server.search import parameters
from fhir_server.search.extract import extract
from fhir_server.search.parameters import BadValue, near, token
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import And, Chain, Has, Lookup, Match, Node, Not, Or, Query, Test
from fhir_server.store.base import Found, Version

MOST = 10_000  # codes, or resources, that a condition comes down to
_DEEPEST = 20  # value sets inside of value sets, parts inside of parts

# A query to be asked, and what it found.
Asking = Generator[Query, Found, Any]
Codes = dict[str, dict[str, None] | None]  # by system; None: all of it


def needed(node: Node) -> bool:
    """Whether a condition depends on other resources."""
    match node:
        case Lookup():
            return True
        case And(children) | Or(children):
            return any(map(needed, children))
        case Not(child):
            return needed(child)
        case Chain(_, _, where) | Has(_, _, where):
            return needed(where)
    return False


async def looked_up(query: Query, ask: Callable[[Query], Awaitable[Found]]) -> Query:
    """The query with plain conditions, to be asked in the snapshot in which they are true."""
    if not needed(query.where):
        return query
    snapshot = query.snapshot
    steps = _node(query.where)
    try:
        wanted = next(steps)
        while True:
            found = await ask(replace(wanted, snapshot=snapshot))
            snapshot = found.snapshot
            wanted = steps.send(found)
    except StopIteration as done:
        return replace(query, where=done.value, snapshot=snapshot)


def _node(node: Node) -> Asking:
    match node:
        case Lookup():
            try:
                return (yield from _KINDS[node.kind, _type(node)](node))
            except BadValue as problem:
                raise FhirError("invalid", f"The value of {node.param}:{node.kind} is {problem}") from None
        case And(children) | Or(children):
            made = []
            for child in children:
                made.append((yield from _node(child)))
            return replace(node, children=tuple(made))
        case Not(child):
            return Not((yield from _node(child)))
        case Chain(_, _, where) | Has(_, _, where):
            return replace(node, where=(yield from _node(where)))
    return node


def _type(lookup: Lookup) -> str:
    return parameters.of(lookup.type)[lookup.param].type


def _refused(problem: str) -> FhirError:
    return FhirError("not-supported", problem)


def _resources(found: Found) -> Iterator[dict[str, Any]]:
    return (decode_stored(version.body or b"{}") for version in found.versions)


# Value sets


def _in_value_set(lookup: Lookup) -> Asking:
    codes = yield from _expanded(lookup.text, 0)
    return token.one_of(parameters.of(lookup.type)[lookup.param], codes)


def _expanded(url: str, depth: int) -> Generator[Query, Found, Codes]:
    """The codes of a stored value set, by its canonical URL or as ValueSet/id."""
    if depth > _DEEPEST:
        raise _refused("A value set that is made of too many others, or of itself")
    value_set = yield from _definition("ValueSet", url)
    if value_set is None:
        raise _refused("There is no such ValueSet on this server, which :in and :not-in need")
    if contains := value_set.get("expansion", {}).get("contains"):
        return _contained(contains)
    codes: Codes = {}
    compose = value_set.get("compose", {})
    for include in compose.get("include", ()):
        _add(codes, (yield from _included(include, depth)))
    for exclude in compose.get("exclude", ()):
        yield from _take_away(codes, (yield from _included(exclude, depth)))
    return codes


def _contained(contains: Iterable[Mapping[str, Any]]) -> Codes:
    codes: Codes = {}
    waiting = list(contains)
    while waiting:
        each = waiting.pop()
        waiting += each.get("contains", ())
        if each.get("code") and not each.get("abstract"):
            _add(codes, {each.get("system", ""): {each["code"]: None}})
    return codes


def _included(include: Mapping[str, Any], depth: int) -> Generator[Query, Found, Codes]:
    """What an include or exclude names: of a code system, and in every value set that it names."""
    found: list[Codes] = []
    if system := include.get("system"):
        if concepts := include.get("concept"):
            found.append({system: dict.fromkeys(each["code"] for each in concepts)})
        elif filters := include.get("filter"):
            found.append({system: (yield from _filtered(system, filters))})
        else:
            found.append({system: None})
    for url in include.get("valueSet", ()):
        found.append((yield from _expanded(url, depth + 1)))
    codes = found[0] if found else {}
    for other in found[1:]:
        codes = _common(codes, other)
    return codes


def _filtered(system: str, filters: Iterable[Mapping[str, Any]]) -> Generator[Query, Found, dict[str, None]]:
    hierarchy = yield from _hierarchy(system)
    codes = dict.fromkeys(hierarchy)
    for each in filters:
        if each.get("property") != "concept" or each.get("op") not in ("is-a", "descendent-of", "is-not-a"):
            raise _refused("A value set with a filter other than is-a, is-not-a and descendent-of")
        below = _reached({each["value"]}, _children(hierarchy))
        if each["op"] == "descendent-of":
            below.pop(each["value"], None)
        codes = {code: None for code in codes if (code in below) != (each["op"] == "is-not-a")}
    return codes


def _add(codes: Codes, more: Codes) -> None:
    for system, several in more.items():
        known = codes.setdefault(system, {})
        if known is None or several is None:
            codes[system] = None
        else:
            known.update(several)
    if sum(len(each) for each in codes.values() if each) > MOST:
        raise _refused(f"A value set with more than {MOST} codes")


def _common(one: Codes, other: Codes) -> Codes:
    found: Codes = {}
    for system in one.keys() & other.keys():
        here, there = one[system], other[system]
        if here is None or there is None:
            found[system] = there if here is None else here
        else:
            found[system] = {code: None for code in here if code in there}
    return found


def _take_away(codes: Codes, excluded: Codes) -> Generator[Query, Found, None]:
    for system, gone in excluded.items():
        if system not in codes:
            continue
        if gone is None:
            del codes[system]
            continue
        known = codes[system]
        if known is None:
            known = dict.fromkeys((yield from _hierarchy(system)))
        codes[system] = {code: None for code in known if code not in gone}


# Code systems


def _subsumed(lookup: Lookup) -> Asking:
    """:below a code, it and what it subsumes; :above it, it and what subsumes it."""
    parts = [unescape(part) for part in split(lookup.text, "|")]
    if len(parts) != 2 or not all(parts):
        raise BadValue("not system|code, both of which a hierarchy needs")
    system, code = parts
    hierarchy = yield from _hierarchy(system)
    if code not in hierarchy:
        raise BadValue("not a code of that code system")
    links = _children(hierarchy) if lookup.kind == "below" else hierarchy
    return token.one_of(parameters.of(lookup.type)[lookup.param], {system: _reached({code}, links)})


def _hierarchy(system: str) -> Generator[Query, Found, dict[str, set[str]]]:
    """Each code of a stored code system with those right above it."""
    code_system = yield from _definition("CodeSystem", system)
    if code_system is None or code_system.get("content") not in (
        "complete",
        "fragment",
        "example",
        "supplement",
    ):
        raise _refused("There is no CodeSystem with its concepts on this server for that system")
    above: dict[str, set[str]] = {}
    waiting: list[tuple[Mapping[str, Any], str | None]] = [(c, None) for c in code_system.get("concept", ())]
    while waiting:
        concept, parent = waiting.pop()
        over = above.setdefault(concept["code"], set())
        over |= {parent} if parent else set()
        for each in concept.get("property", ()):
            other = each.get("valueCode")
            if other and each.get("code") in ("parent", "subsumedBy"):
                over.add(other)
            elif other and each.get("code") == "child":
                above.setdefault(other, set()).add(concept["code"])
        waiting += [(child, concept["code"]) for child in concept.get("concept", ())]
    if len(above) > 10 * MOST:
        raise _refused(f"A code system with more than {10 * MOST} concepts")
    return above


def _children(above: Mapping[str, set[str]]) -> dict[str, set[str]]:
    below: dict[str, set[str]] = {}
    for code, parents in above.items():
        for parent in parents:
            below.setdefault(parent, set()).add(code)
    return below


def _reached(start: set[str], links: Mapping[str, set[str]]) -> dict[str, None]:
    """What can be reached along the links, the start included; circles do no harm."""
    found = dict.fromkeys(start)
    waiting = list(start)
    while waiting:
        for each in links.get(waiting.pop(), ()):
            if each not in found:
                found[each] = None
                waiting.append(each)
    if len(found) > MOST:
        raise _refused(f"More than {MOST} codes are above or below that one")
    return found


def _definition(type: str, url: str) -> Generator[Query, Found, dict[str, Any] | None]:
    """The stored ValueSet or CodeSystem of that URL (with |version), the newest of several; or as Type/id."""
    local = url.startswith(f"{type}/")
    plain, _, version = url.partition("|")
    where: Node = (
        Match("resource", "_id", (Test("id", "=", url.removeprefix(f"{type}/")),))
        if local
        else Match("uri", "url", (Test("value", "=", plain),))
    )
    found = yield Query(type, where, count=50)
    good = [each for each in _resources(found) if not version or each.get("version") == version]
    good.sort(key=lambda each: (each.get("status") == "active", each.get("meta", {}).get("lastUpdated", "")))
    return good[-1] if good else None


# Hierarchies of resources


def _hierarchical(lookup: Lookup) -> Asking:
    """:below a resource, references to it and to its parts; :above it, to it and to what it is part of."""
    parameter = parameters.of(lookup.type)[lookup.param]
    type, slash, id = lookup.text.rpartition("/")
    if not slash:
        types = [each for each in parameter.targets if _part_of(each)]
        if len(types) != 1:
            raise BadValue("not Type/id, which this parameter needs since it can refer to several types")
        type = types[0]
    if not id or not _part_of(type):
        raise BadValue("not a reference to something that has parts")
    ids = yield from (_parts(type, id) if lookup.kind == "below" else _wholes(type, id))
    return Match("reference", parameter.code, (Test("type", "=", type), Test("id", "in", tuple(ids))))


def _part_of(type: str) -> str | None:
    """The parameter by which resources of a type refer to what they are part of, of the same type."""
    for code in ("partof", "part-of"):
        parameter = parameters.of(type).get(code)
        if parameter is not None and type in parameter.targets:
            return code
    return None


def _parts(type: str, id: str) -> Generator[Query, Found, dict[str, None]]:
    ids, level = {id: None}, [id]
    for _ in range(_DEEPEST):
        tests = (Test("type", "=", type), Test("id", "in", tuple(level)))
        found = yield Query(type, Match("reference", _part_of(type) or "", tests), count=MOST + 1)
        level = [version.id for version in found.versions if version.id not in ids]
        ids |= dict.fromkeys(level)
        if len(ids) > MOST:
            raise _refused(f"More than {MOST} resources are below that one")
        if not level:
            return ids
    raise _refused(f"A hierarchy of more than {_DEEPEST} levels")


def _wholes(type: str, id: str) -> Generator[Query, Found, dict[str, None]]:
    ids, level = {id: None}, [id]
    for _ in range(_DEEPEST):
        found = yield Query(type, Match("resource", "_id", (Test("id", "in", tuple(level)),)), count=MOST + 1)
        level = [each for version in found.versions for each in _referred(version, type) if each not in ids]
        ids |= dict.fromkeys(level)
        if not level:
            return ids
    raise _refused(f"A hierarchy of more than {_DEEPEST} levels")


def _referred(version: Version, type: str) -> Iterator[str]:
    rows = extract(type, decode_stored(version.body or b"{}")).rows.get("reference", ())
    return (row[2] for row in rows if row[0] == _part_of(type) and row[1] == type)


# Places


def _near(lookup: Lookup) -> Asking:
    """The ids of the places within the distance, among those in a box around it."""
    around = near.read(lookup.text)
    box = near.box(parameters.sharer(lookup.type, lookup.param), around)
    found = yield Query(lookup.type, box, count=MOST + 1)
    if len(found.versions) > MOST:
        raise _refused(f"More than {MOST} places are near that one: give a smaller distance")
    ids = []
    for place in _resources(found):
        position = place.get("position", {})
        if around.holds(float(position["latitude"]), float(position["longitude"])):
            ids.append(place["id"])
    return Match("resource", "_id", (Test("id", "in", tuple(ids)),)) if ids else Or(())


_KINDS: dict[tuple[str, str], Callable[[Lookup], Asking]] = {
    ("in", "token"): _in_value_set,
    ("above", "token"): _subsumed,
    ("below", "token"): _subsumed,
    ("above", "reference"): _hierarchical,
    ("below", "reference"): _hierarchical,
    ("near", "special"): _near,
}
