"""A code system in memory: its concepts by code, what they are under, and what they are called.

https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/codesystem-concept-properties.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from terminology.findings import refuse
from terminology.languages import Languages, closeness, speaks
from terminology.versions import joined, split

PROPERTIES = "http://hl7.org/fhir/concept-properties"
STANDARDS_STATUS = "http://hl7.org/fhir/StructureDefinition/structuredefinition-standards-status"
PREFERRED = {
    "system": "http://terminology.hl7.org/CodeSystem/hl7TermMaintInfra",
    "code": "preferredForLanguage",
    "display": "Preferred For Language",
}
_BASE = "http://hl7.org/fhir/StructureDefinition"
_OF_DESIGNATIONS = frozenset(
    {
        STANDARDS_STATUS,
        f"{_BASE}/coding-sctdescid",
        f"{_BASE}/rendering-style",
        f"{_BASE}/rendering-xhtml",
        f"{_BASE}/codesystem-alternate",
    }
)
_ENDED = frozenset({"retired", "inactive"})
_DEEPEST = 500


@dataclass(frozen=True, slots=True)
class Designation:
    """A text for a concept. `main`: it is the concept's display. `source`: the supplement it came from."""

    value: str
    language: str | None = None
    use: dict[str, Any] | None = None
    main: bool = False
    extension: tuple[dict[str, Any], ...] = ()
    source: str | None = None

    @property
    def status(self) -> str | None:
        status: str | None = extension_value(self.extension, STANDARDS_STATUS)
        return status

    @property
    def displays(self) -> bool:
        """Whether it may stand as the display of its language."""
        return self.main or self.use is None or self.use.get("code") in ("display", PREFERRED["code"])

    def as_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {"value": self.value}
        if self.extension:
            out["extension"] = list(self.extension)
        if self.language:
            out["language"] = self.language
        if self.use or self.main:
            out["use"] = self.use or PREFERRED
        return out


@dataclass(slots=True)
class Concept:
    """One code. `parents` and `children` are codes; `status` of the property or the standards status."""

    code: str
    display: str | None = None
    definition: str | None = None
    designations: tuple[Designation, ...] = ()
    properties: tuple[dict[str, Any], ...] = ()
    extension: tuple[dict[str, Any], ...] = ()
    parents: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    abstract: bool = False
    inactive: bool = False
    status: str | None = None


@dataclass(frozen=True)
class CodeSystem:
    """`resource` is the CodeSystem without its concepts; `supplements` those merged in, as canonicals."""

    resource: dict[str, Any]
    concepts: Mapping[str, Concept]
    roots: tuple[str, ...]
    supplements: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return str(self.resource.get("url", ""))

    @property
    def version(self) -> str | None:
        version: str | None = self.resource.get("version")
        return version

    @property
    def canonical(self) -> str:
        return joined(self.url, self.version)

    @property
    def language(self) -> str | None:
        language: str | None = self.resource.get("language")
        return language

    @property
    def content(self) -> str:
        return str(self.resource.get("content", "complete"))

    @property
    def case_sensitive(self) -> bool:
        """As most code systems are; only one that says otherwise is not."""
        return self.resource.get("caseSensitive") is not False

    def find(self, code: str) -> Concept | None:
        """The concept of a code; its case does not matter where the system says so."""
        concept = self.concepts.get(code)
        if concept is None and not self.case_sensitive:
            concept = self.concepts.get(self._folded.get(code.casefold(), ""))
        return concept

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {code.casefold(): code for code in self.concepts}

    def under(self, code: str) -> Iterator[str]:
        """The codes below one, each once, parents first; nothing for a code that is not there."""
        seen = {code}
        waiting = list(reversed(self.concepts[code].children)) if code in self.concepts else []
        while waiting:
            child = waiting.pop()
            if child not in seen:
                seen.add(child)
                yield child
                waiting += reversed(self.concepts[child].children)

    def over(self, code: str) -> set[str]:
        """The codes above one, near and far."""
        seen: set[str] = set()
        waiting = list(self.concepts[code].parents) if code in self.concepts else []
        while waiting:
            parent = waiting.pop()
            if parent not in seen:
                seen.add(parent)
                waiting += self.concepts[parent].parents
        return seen

    def walk(self) -> Iterator[Concept]:
        """Every concept once, in the order of the hierarchy."""
        seen: set[str] = set()
        for root in self.roots:
            for code in (root, *self.under(root)):
                if code not in seen:
                    seen.add(code)
                    yield self.concepts[code]
        for code, concept in self.concepts.items():  # those of a circle, which no root leads to
            if code not in seen:
                yield concept

    def display_of(self, code: str) -> str | None:
        """The display of a code that is there."""
        return self.concepts[code].display

    def property_uri(self, code: str) -> str | None:
        """What a property of this system means, by its definition or as one of the usual ones."""
        return _uris(self.resource).get(code)


def designations(system: CodeSystem, concept: Concept) -> tuple[Designation, ...]:
    """All texts of a concept, its display first."""
    if concept.display is None:
        return concept.designations
    return (Designation(concept.display, system.language, None, True), *concept.designations)


def preferred(texts: Iterable[Designation], languages: Languages | None) -> Designation | None:
    """The one to display. Without a wish, or where nothing of it is met, the display itself."""
    texts = [text for text in texts if text.status not in ("withdrawn", "inactive")]
    for wanted in languages.near if languages else ():
        speaking = [text for text in texts if text.language and speaks(wanted, text.language)]
        if speaking:
            return min(speaking, key=lambda text: (closeness(wanted, text.language or ""), not text.displays))
    if languages and languages.hard:
        return next((text for text in texts if text.language is None and text.displays), None)
    return next((text for text in texts if text.main), None) or next(iter(texts), None)


def extension_value(extensions: Iterable[dict[str, Any]], url: str) -> Any:
    """The value of the first extension of that URL, None where there is none."""
    for extension in extensions:
        if extension.get("url") == url:
            return next((value for key, value in extension.items() if key.startswith("value")), None)
    return None


def value_of(part: dict[str, Any]) -> Any:
    """The value[x] of a property, a parameter or an extension."""
    return next((value for key, value in part.items() if key.startswith("value")), None)


def compile_code_system(resource: dict[str, Any]) -> CodeSystem:
    """The code system of a valid CodeSystem resource. TerminologyError where concepts nest beyond reason."""
    concepts: dict[str, Concept] = {}
    uris = _uris(resource)
    waiting = [(concept, None, 1) for concept in reversed(resource.get("concept", []))]
    while waiting:
        read, parent, depth = waiting.pop()
        if depth > _DEEPEST:
            raise refuse(
                "too-costly", f"The concepts of a code system nest more than {_DEEPEST} deep", "unprocessable"
            )
        code = read.get("code", "")
        concept = concepts.get(code)
        if concept is None:
            concept = concepts[code] = _concept(read, uris)
        if parent is not None and parent not in concept.parents:
            concept.parents.append(parent)
        waiting += [(child, code, depth + 1) for child in reversed(read.get("concept", []))]
    _link(concepts, uris)
    header = {key: value for key, value in resource.items() if key != "concept"}
    return CodeSystem(header, concepts, tuple(code for code, c in concepts.items() if not c.parents))


def _uris(resource: dict[str, Any]) -> dict[str, str | None]:
    """What the properties of a code system mean: as it defines them, the usual ones where it does not."""
    usual = ("inactive", "status", "notSelectable", "parent", "child", "subsumedBy", "deprecated", "order")
    uris: dict[str, str | None] = {code: f"{PROPERTIES}#{code}" for code in usual}
    for declared in resource.get("property", []):
        if "uri" in declared or declared.get("code") not in uris:
            uris[declared.get("code", "")] = declared.get("uri")
    return uris


def _concept(read: dict[str, Any], uris: dict[str, str | None]) -> Concept:
    properties = tuple(read.get("property", ()))
    facts = {f"{PROPERTIES}#{part.get('code')}": value_of(part) for part in properties}
    facts |= {uri: value_of(part) for part in properties if (uri := uris.get(part.get("code", "")))}
    extension = tuple(read.get("extension", ()))
    status = facts.get(f"{PROPERTIES}#status")
    inactive = facts.get(f"{PROPERTIES}#inactive") in (True, "true") or status in _ENDED
    return Concept(
        read.get("code", ""),
        read.get("display"),
        read.get("definition"),
        tuple(read_designation(part) for part in read.get("designation", ())),
        properties,
        extension,
        abstract=facts.get(f"{PROPERTIES}#notSelectable") in (True, "true"),
        inactive=inactive,
        status=status or extension_value(extension, STANDARDS_STATUS) or ("inactive" if inactive else None),
    )


def read_designation(part: dict[str, Any]) -> Designation:
    """A designation of a code system or of a value set, with the extensions that mean something."""
    extension = tuple(each for each in part.get("extension", ()) if each.get("url") in _OF_DESIGNATIONS)
    return Designation(part.get("value", ""), part.get("language"), part.get("use"), False, extension)


def _link(concepts: dict[str, Concept], uris: dict[str, str | None]) -> None:
    """Parents and children from the properties that say so, and children for every parent."""
    for code, concept in concepts.items():
        for part in concept.properties:
            uri, value = uris.get(part.get("code", "")), value_of(part)
            if uri in (f"{PROPERTIES}#parent", f"{PROPERTIES}#subsumedBy") and value in concepts:
                if value not in concept.parents:
                    concept.parents.append(value)
            elif uri == f"{PROPERTIES}#child" and value in concepts and code not in concepts[value].parents:
                concepts[value].parents.append(code)
    for code, concept in concepts.items():
        for parent in concept.parents:
            concepts[parent].children.append(code)


def supplemented(system: CodeSystem, supplements: Iterable[CodeSystem]) -> CodeSystem:
    """The system with the designations, properties and extensions that its supplements add."""
    added = list(supplementing(system, supplements))
    if not added:
        return system
    concepts = dict(system.concepts)
    for extra in added:
        for code, more in extra.concepts.items():
            if code in concepts:
                concepts[code] = with_more(concepts[code], more, extra.canonical)
    declared = [part for each in (system, *added) for part in each.resource.get("property", [])]
    header = system.resource | ({"property": declared} if declared else {})
    return CodeSystem(header, concepts, system.roots, tuple(extra.canonical for extra in added))


def supplementing(system: CodeSystem, supplements: Iterable[CodeSystem]) -> Iterator[CodeSystem]:
    """Those that supplement a system."""
    for extra in supplements:
        if split(extra.resource.get("supplements", ""))[0] == system.url:
            yield extra


def with_more(concept: Concept, more: Concept, source: str) -> Concept:
    """A concept with what a supplement, `source`, says of it."""
    texts = [replace(text, source=source) for text in more.designations]
    return replace(
        concept,
        designations=(*concept.designations, *texts),
        properties=(*concept.properties, *more.properties),
        extension=(*concept.extension, *more.extension),
    )
