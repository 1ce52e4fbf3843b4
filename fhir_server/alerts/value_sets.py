"""The codes of stored ValueSets: those that the ValueSet lists, or that its definition comes to.

https://hl7.org/fhir/R4/valueset.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.alerts.libraries import MOST_VERSIONS, NEWEST, Find, Resource, Unusable, best, stored
from fhir_server.search.query import Match, Query, Test
from fhir_server.vocabulary import load_with
from rules import cql
from rules.values import Code, ValueSet
from terminology.findings import TerminologyError
from terminology.library import Library, canonical_of
from terminology.members import members

MOST_CODES = 50_000
Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A value set's version as a reference, its codes, and what else they come from: the code systems behind
    its filters, and the value sets that it takes in."""

    reference: Part
    codes: tuple[Code, ...] = ()
    code_systems: tuple[Part, ...] = ()
    value_sets: tuple[Part, ...] = ()


class ValueSets:
    """Codes by canonical URL, for `Library.evaluate`; `own` go before what is stored."""

    def __init__(self, find: Find, own: Iterable[Resource] = ()) -> None:
        self._find = find
        self._own = [resource for resource in own if resource.get("resourceType") == "ValueSet"]
        self._known: dict[tuple[str, str | None], LookedUp | Unusable] = {}

    def __call__(self, wanted: ValueSet) -> Sequence[Code]:
        """Raises cql.EvaluationError saying why the codes cannot be had."""
        try:
            return self.look_up(wanted).codes
        except Unusable as error:
            raise cql.EvaluationError(str(error)) from None

    def look_up(self, wanted: ValueSet) -> LookedUp:
        """The version that is used, its codes, and where they come from. Raises Unusable."""
        url, _, version = wanted.id.partition("|")
        of = (url, wanted.version or version or None)
        if of not in self._known:
            self._known[of] = self._look_up(*of)
        known = self._known[of]
        if isinstance(known, Unusable):
            raise known
        return known

    def _look_up(self, url: str, version: str | None) -> LookedUp | Unusable:
        where = Match("uri", "url", (Test("value", "=", url),))
        found_here = stored(self._find, Query("ValueSet", where, NEWEST, count=MOST_VERSIONS))
        own = [resource for resource in self._own if resource.get("url") == url]
        found = best(r for r in (*own, *found_here) if version in (None, r.get("version")))
        name = f"the value set {url}" + (f" version {version}" if version else "")
        try:
            found = found or load_with(self._find, (), [("ValueSet", url)]).find("ValueSet", url, version)
        except TerminologyError as error:
            return Unusable(f"{name} is not on this server: {error.finding.text}")
        if found is None:
            return Unusable(f"{name} is not on this server")
        if found.get("status") == "retired":
            return Unusable(f"{name} is retired")
        try:
            return self._codes(found)
        except Unusable as problem:
            return Unusable(f"{name} {problem}")

    def _codes(self, value_set: Resource) -> LookedUp:
        try:
            return LookedUp(_reference(value_set), tuple(codes_of(value_set)))
        except Unusable:
            library = load_with(self._find, [value_set])
            codes = _defined(value_set, library)
        if len(codes) > MOST_CODES:
            raise Unusable(f"has more than {MOST_CODES} codes")
        behind = {
            kind: tuple(_reference(resource) for (of, _), resource in library.used.items() if of == kind)
            for kind in ("CodeSystem", "ValueSet")
        }
        return LookedUp(_reference(value_set), tuple(codes), behind["CodeSystem"], behind["ValueSet"])


def _reference(resource: Resource) -> Part:
    """A Reference to a stored version; what is FHIR's own, or was imported, is named by its canonical."""
    number = (resource.get("meta") or {}).get("versionId")
    if "id" in resource and number:
        return {"reference": f"{resource['resourceType']}/{resource['id']}/_history/{number}"}
    if "id" in resource:
        return {"reference": f"{resource['resourceType']}/{resource['id']}"}
    return {"identifier": {"system": "urn:ietf:rfc:3986", "value": canonical_of(resource)}}


def _defined(value_set: Resource, library: Library) -> list[Code]:
    """The codes that the definition comes to, with the code systems and value sets that are known."""
    try:
        inside = members(value_set, library)
    except TerminologyError as error:
        raise Unusable(f"cannot be expanded: {error.finding.text}") from None
    if inside.rules.keys() - inside.unsure:
        raise Unusable(f"has more than {MOST_CODES} codes, or codes without number")
    unclear = inside.unsure
    if unclear:
        names = (
            ", ".join(sorted(unclear - {"*"}))
            or "another value set, or the rest of an expansion that is not complete"
        )
        raise Unusable(f"needs what is not on this server: {names}")
    return [Code(code, system) for system, code in sorted(inside.pairs())]


def codes_of(value_set: Resource) -> list[Code]:
    """The codes that the expansion, or else the definition, lists. Raises Unusable where that is not all."""
    expansion = value_set.get("expansion")
    if isinstance(expansion, dict):
        codes = list(_contained(expansion.get("contains") or ()))
        total = expansion.get("total")
        if isinstance(total, int) and total > len(codes):
            raise Unusable("has an expansion that is not complete")
    else:
        compose = value_set.get("compose") or {}
        left_out = set(_composed(compose.get("exclude") or ()))
        codes = [code for code in _composed(compose.get("include") or ()) if code not in left_out]
    if len(codes) > MOST_CODES:
        raise Unusable(f"has more than {MOST_CODES} codes")
    return codes


def _contained(listed: Iterable[dict[str, Any]]) -> Iterator[Code]:
    """A group that is abstract, or only a heading, is no code; an inactive code is one still."""
    waiting = list(listed)
    while waiting:
        item = waiting.pop()
        if "code" in item and not item.get("abstract"):
            yield Code(item["code"], item.get("system"))
        waiting += item.get("contains") or ()


def _composed(parts: Iterable[dict[str, Any]]) -> Iterator[Code]:
    for part in parts:
        if "filter" in part or "valueSet" in part or "concept" not in part:
            raise Unusable("is not a plain list of codes, and has no expansion")
        for concept in part["concept"]:
            yield Code(concept.get("code"), part.get("system"))
