"""Conditions that depend on what stands in other resources: value sets, hierarchies, places.

https://hl7.org/fhir/R4/search.html#token (:in, :above, :below), #reference (hierarchies). What the stored
ValueSets, CodeSystems, Locations and the like say is read first, in the snapshot that is searched then; a
condition on codes or ids comes of it. Where they do not say enough the search is refused, since to leave out
the condition, or what it would have found, would answer another question.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from dataclasses import replace
from typing import Any

from fhir_server import vocabulary
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode_stored
from fhir_server.search import parameters
from fhir_server.search.extract import extract
from fhir_server.search.parameters import BadValue, Parameter, near, token
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import And, Chain, Has, Lookup, Match, Node, Not, Or, Query, Test, nodes
from fhir_server.store.base import Found, Version
from fhir_server.vocabulary import library
from terminology.findings import TerminologyError
from terminology.library import Library, Want, of_system
from terminology.members import members, subsumed, subsuming
from terminology.versions import split as canonical_parts

# What says what codes mean.
TERMINOLOGY = frozenset({"CodeSystem", "ConceptMap", "NamingSystem", "ValueSet"})

MOST = 10_000  # codes, or resources, that a condition comes down to
_DEEPEST = 20  # value sets inside of value sets, parts inside of parts

# A query to be asked, and what it found.
Asking = Generator[Query, Found, Any]
Codes = dict[str, dict[str, None] | None]  # by system; None: all of it


def needed(node: Node) -> bool:
    """Whether a condition depends on other resources."""
    return any(isinstance(each, Lookup) for each in nodes(node))


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
    return str(_parameter(lookup).type)


def _parameter(lookup: Lookup) -> Parameter:
    found: Parameter = lookup.parameter or parameters.of(lookup.type)[lookup.param]
    return found


def _refused(problem: str) -> FhirError:
    return FhirError("not-supported", problem)


def _resources(found: Found) -> Iterator[dict[str, Any]]:
    return (decode_stored(version.body or b"{}") for version in found.versions)


# Value sets and code systems: terminology/ says what they are made of and what is in them


def _in_value_set(lookup: Lookup) -> Asking:
    library, value_set = yield from _value_set(lookup.text)
    try:
        inside = members(value_set, library)
    except TerminologyError as problem:
        raise _refused(problem.finding.text) from None
    listed = inside.rules.keys() - inside.whole - inside.unsure
    if listed:
        raise _refused(f"The value set has too many codes of {', '.join(sorted(listed))} to search for")
    unclear = inside.unsure - inside.whole
    if unclear:
        raise _refused(f"The value set needs what is not on this server: {', '.join(sorted(unclear))}")
    codes: Codes = {system: dict.fromkeys(sorted(codes)) for system, codes in inside.codes.items()}
    codes |= dict.fromkeys(inside.whole)
    if sum(len(each) for each in codes.values() if each) > MOST:
        raise _refused(f"A value set with more than {MOST} codes")
    return token.one_of(_parameter(lookup), codes)


def _value_set(url: str) -> Generator[Query, Found, tuple[Library, dict[str, Any]]]:
    """A stored value set by its canonical URL or as ValueSet/id, and a library of what it is made of."""
    plain, version = canonical_parts(url)
    start = []
    if url.startswith("ValueSet/"):
        where = Match("resource", "_id", (Test("id", "=", url.removeprefix("ValueSet/")),))
        start = list(_resources((yield Query("ValueSet", where, count=1))))
    library = yield from _library(start, () if start else [("ValueSet", plain)])
    found = start[0] if start else library.find("ValueSet", plain, version)
    if found is None:
        raise _refused("There is no such ValueSet on this server, which :in and :not-in need")
    return library, found


def _subsumed(lookup: Lookup) -> Asking:
    """:below a code, it and what it subsumes; :above it, it and what subsumes it."""
    parts = [unescape(part) for part in split(lookup.text, "|")]
    if len(parts) != 2 or not all(parts):
        raise BadValue("not system|code, both of which a hierarchy needs")
    library = yield from _library((), of_system(parts[0]))
    system = library.code_system(parts[0], None)
    if system is None:
        raise _refused("There is no CodeSystem with its concepts on this server for that system")
    concept = system.find(parts[1])
    if concept is None:
        raise BadValue("not a code of that code system")
    if lookup.kind == "below":
        reached = subsumed(system, concept.code, MOST)
    else:
        reached = subsuming(system, concept.code)
    if len(reached) > MOST:
        raise _refused(f"More than {MOST} codes are above or below that one")
    codes: Codes = {parts[0]: dict.fromkeys(sorted(reached))}
    return token.one_of(_parameter(lookup), codes)


def _library(start: Iterable[dict[str, Any]], wants: Iterable[Want]) -> Generator[Query, Found, Library]:
    filled = library()
    asking = vocabulary.asking(start, wants, filled)
    try:
        query = next(asking)
        while True:
            found = yield query
            query = asking.send(found.versions)
    except StopIteration:
        return filled


# Hierarchies of resources


def _hierarchical(lookup: Lookup) -> Asking:
    """:below a resource, references to it and to its parts; :above it, to it and to what it is part of."""
    parameter = _parameter(lookup)
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
