"""ConceptMap/$translate: what a code is in another code system.

https://hl7.org/fhir/R4/conceptmap-operation-translate.html. The names that R5 gave the parameters
(sourceCode, targetSystem, ...) are understood as well, and answered in kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from terminology.asked import Asked, Dependency
from terminology.closure import URL
from terminology.findings import refuse
from terminology.library import Library, Want, canonical_of
from terminology.versions import allows, split

Resource = dict[str, Any]
_NO_MATCH = frozenset({"unmatched", "disjoint"})
# R4's equivalence of the target to the source, as R5's relationship of the source to the target.
_RELATIONSHIPS = {
    "relatedto": "related-to",
    "equivalent": "equivalent",
    "equal": "equivalent",
    "wider": "source-is-narrower-than-target",
    "subsumes": "source-is-narrower-than-target",
    "narrower": "source-is-broader-than-target",
    "specializes": "source-is-broader-than-target",
    "inexact": "related-to",
    "unmatched": "not-related-to",
    "disjoint": "not-related-to",
}
_DEEPEST = 10
_MODERN = frozenset(
    f"{side}{form}" for side in ("source", "target") for form in ("Code", "Coding", "CodeableConcept")
)


@dataclass(frozen=True, slots=True)
class _Question:
    """`lacking` gathers the elements that mappings depend on and that nobody gave."""

    codings: tuple[Resource, ...]
    target_system: str | None
    source_scope: str | None
    target_scope: str | None
    reverse: bool
    modern: bool
    dependencies: tuple[Dependency, ...] = ()
    lacking: dict[str, None] = field(default_factory=dict)

    def applies(self, target: Resource) -> bool:
        """Whether what a mapping depends on was given, and has the values that it needs."""
        return all(self._holds(needed) for needed in target.get("dependsOn", []))

    def _holds(self, needed: Resource) -> bool:
        given = [each for each in self.dependencies if each.element == needed.get("property")]
        if not given:
            self.lacking[needed.get("property", "")] = None
        system, code = needed.get("system"), needed.get("value")
        return any(
            found == code and (system is None or of is None or of == split(system)[0])
            for each in given
            for of, found in each.codes
        )


def wanted_maps(asked: Asked) -> set[Want]:
    """Where the maps of the codes to translate are to be found: from their systems, or back to them."""
    question = _question(asked)
    systems = {coding.get("system", "") for coding in question.codings}
    kind = "maps to" if question.reverse else "maps"
    return {(kind, system) for system in systems if system}


def translate(resource: Resource | None, asked: Asked, library: Library) -> Resource:
    """Parameters with result and a match for each mapping, of one map or of all that fit."""
    question = _question(asked)
    maps = [resource] if resource else list(_maps(asked, library))
    url = asked.text("url")
    if not maps and url:
        raise refuse("not-found", f"The concept map '{url}' could not be found", "not-found")
    matches = []
    for concept_map in maps:
        for coding in question.codings:
            for match in _matches(concept_map, coding, question, library, 0):
                if match not in matches:
                    matches.append(match)
    good = any(_equivalence(match) not in _NO_MATCH for match in matches)
    parts: list[Resource] = [{"name": "result", "valueBoolean": good}]
    if question.lacking:
        needed = ", ".join(question.lacking)
        parts.append({"name": "message", "valueString": f"There are mappings that depend on {needed}"})
    elif not good:
        parts.append({"name": "message", "valueString": "No mapping was found for the code"})
    return {"resourceType": "Parameters", "parameter": parts + matches}


def _question(asked: Asked) -> _Question:
    given = asked.values.get
    modern = not _MODERN.isdisjoint(asked.values)
    backwards = ("targetCode", "targetCoding", "targetCodeableConcept")
    reverse = asked.flag("reverse") or any(name in asked.values for name in backwards)
    code = asked.text("targetCode") or asked.text("sourceCode") or asked.text("code")
    system = (
        asked.text("targetSystem")
        if "targetCode" in asked.values
        else asked.text("sourceSystem") or asked.text("system")
    )
    coding = given("targetCoding") or given("sourceCoding") or given("coding")
    concept = given("targetCodeableConcept") or given("sourceCodeableConcept") or given("codeableConcept")
    codings: Iterable[Any] = ()
    if code and not system:
        raise refuse("invalid", "A code is translated with its system")
    if code:
        said = {"code": code, "system": system, "version": asked.text("version")}
        codings = [{key: value for key, value in said.items() if value}]
    elif isinstance(coding, dict):
        codings = [coding]
    elif isinstance(concept, dict):
        codings = concept.get("coding", [])
    codings = tuple(c for c in codings if isinstance(c, dict) and c.get("code"))
    if not codings:
        raise refuse("invalid", "A code with its system, a coding or a codeableConcept is needed")
    to = asked.text("targetsystem") or (
        asked.text("sourceSystem") if reverse and modern else asked.text("targetSystem")
    )
    source, target = (
        asked.text("sourceScope") or asked.text("source"),
        asked.text("targetScope") or asked.text("target"),
    )
    return _Question(codings, to, source, target, reverse, modern, asked.dependencies)


def _maps(asked: Asked, library: Library) -> Iterator[Resource]:
    given = asked.values.get("conceptMap")
    if isinstance(given, dict):
        yield given
        return
    url = asked.text("url")
    if url:
        bare, version = split(url)
        found = library.find("ConceptMap", bare, asked.text("conceptMapVersion") or version)
        if found:
            yield found
        return
    for concept_map in library.of_kind("ConceptMap"):
        if not concept_map.get("url", "").startswith(URL):  # a closure table maps nothing
            yield concept_map


def _matches(
    concept_map: Resource, coding: Resource, question: _Question, library: Library, depth: int
) -> Iterator[Resource]:
    if not _in_scope(concept_map, question):
        return
    for group in concept_map.get("group", []):
        source, target = group.get("source"), group.get("target")
        here, there = (target, source) if question.reverse else (source, target)
        if coding.get("system") not in (None, here) or question.target_system not in (None, there):
            continue
        of = group.get("targetVersion" if question.reverse else "sourceVersion")
        if of and coding.get("version") and not allows(coding["version"], of):
            continue
        if question.reverse:
            yield from _backwards(concept_map, group, coding, question)
        else:
            yield from _forwards(concept_map, group, coding, question, library, depth)


def _in_scope(concept_map: Resource, question: _Question) -> bool:
    """Whether a map goes between the value sets asked for, where any were."""
    for wanted, names in (
        (question.source_scope, ("sourceUri", "sourceCanonical")),
        (question.target_scope, ("targetUri", "targetCanonical")),
    ):
        said = next((concept_map[name] for name in names if name in concept_map), None)
        if wanted and said and split(said)[0] != split(wanted)[0]:
            return False
    return True


def _forwards(
    concept_map: Resource,
    group: Resource,
    coding: Resource,
    question: _Question,
    library: Library,
    depth: int,
) -> Iterator[Resource]:
    elements = [element for element in group.get("element", []) if element.get("code") == coding["code"]]
    for element in elements:
        for target in filter(question.applies, element.get("target", [])):
            concept = _coding(group.get("target"), group.get("targetVersion"), target)
            yield _match(concept_map, concept, target, question, None)
    if not elements:
        yield from _unmapped(concept_map, group, coding, question, library, depth)


def _backwards(
    concept_map: Resource, group: Resource, coding: Resource, question: _Question
) -> Iterator[Resource]:
    for element in group.get("element", []):
        for target in element.get("target", []):
            if target.get("code") == coding["code"] and question.applies(target):
                source = _coding(group.get("source"), group.get("sourceVersion"), element)
                there = _coding(group.get("target"), group.get("targetVersion"), target)
                shown, other = (there, source) if question.modern else (source, None)
                yield _match(concept_map, shown, target, question, other)


def _unmapped(
    concept_map: Resource,
    group: Resource,
    coding: Resource,
    question: _Question,
    library: Library,
    depth: int,
) -> Iterator[Resource]:
    rule = group.get("unmapped", {})
    match rule.get("mode"):
        case "provided":
            concept = _coding(group.get("target"), group.get("targetVersion"), coding)
            yield _match(concept_map, concept, {"equivalence": "equal"}, question, None)
        case "fixed":
            concept = _coding(group.get("target"), group.get("targetVersion"), rule)
            yield _match(concept_map, concept, {"equivalence": "relatedto"}, question, None)
        case "other-map" if depth < _DEEPEST:
            url, version = split(rule.get("url", ""))
            other = library.find("ConceptMap", url)
            if other and allows(version, other.get("version")):
                yield from _matches(other, coding, question, library, depth + 1)


def _coding(system: str | None, version: str | None, part: Resource) -> Resource:
    said = {"system": system, "version": version, "code": part.get("code"), "display": part.get("display")}
    return {key: value for key, value in said.items() if value}


def _match(
    concept_map: Resource, concept: Resource, target: Resource, question: _Question, source: Resource | None
) -> Resource:
    equivalence = target.get("equivalence", "relatedto")
    parts: list[Resource] = [{"name": "equivalence", "valueCode": equivalence}]
    if concept.get("code"):
        parts.append({"name": "concept", "valueCoding": concept})
    for product in target.get("product", []):
        said = {
            "system": product.get("system"),
            "code": product.get("value"),
            "display": product.get("display"),
        }
        value = {"name": "concept", "valueCoding": {key: v for key, v in said.items() if v}}
        element = {"name": "element", "valueUri": product.get("property")}
        parts.append({"name": "product", "part": [element, value]})
    if question.modern:
        parts.append({"name": "relationship", "valueCode": _RELATIONSHIPS.get(equivalence, "related-to")})
        if source:
            parts.append({"name": "source", "valueCoding": source})
        if concept_map.get("url"):
            parts.append({"name": "originMap", "valueCanonical": canonical_of(concept_map)})
    elif concept_map.get("url"):
        parts.append({"name": "source", "valueUri": canonical_of(concept_map)})
    return {"name": "match", "part": parts}


def _equivalence(match: Resource) -> str:
    return next((part["valueCode"] for part in match["part"] if part["name"] == "equivalence"), "")
