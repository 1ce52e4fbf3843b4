"""One code of an expansion: what it is called in the languages asked for, and its properties.

https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.expansion.contains
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from terminology.asked import Asked
from terminology.code_system import (
    PROPERTIES,
    STANDARDS_STATUS,
    CodeSystem,
    Concept,
    Designation,
    designations,
    extension_value,
    preferred,
)
from terminology.words import begins, words_of

Resource = dict[str, Any]
_BASE = "http://hl7.org/fhir/StructureDefinition"
_PROPERTY = "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.contains.property"
_CARRIED = frozenset(
    f"{_BASE}/{name}"
    for name in ("coding-sctdescid", "rendering-style", "rendering-xhtml", "codesystem-alternate")
)
_CARRIED_OF_LIST = _CARRIED | {
    STANDARDS_STATUS, f"{_BASE}/valueset-supplement", f"{_BASE}/valueset-deprecated",
    f"{_BASE}/valueset-concept-definition",
}  # fmt: skip
# Extensions that an expansion gives as properties: name, the type of the value, and whose.
_AS_PROPERTIES = (
    ("label", "valueString", "label", f"{_BASE}/codesystem-label", f"{_BASE}/valueset-label"),
    ("order", "valueDecimal", "order", f"{_BASE}/codesystem-conceptOrder", f"{_BASE}/valueset-conceptOrder"),
    ("weight", "valueDecimal", "itemWeight", f"{_BASE}/itemWeight", f"{_BASE}/itemWeight"),
)


@dataclass(slots=True)
class Entry:
    """`listed` is what the value set itself says of the code, `extra` its texts for it."""

    system: str
    version: str | None
    code: str
    origin: CodeSystem | None = None
    concept: Concept | None = None
    listed: Resource = field(default_factory=dict)
    extra: tuple[Designation, ...] = ()
    versioned: bool = False

    @property
    def pair(self) -> tuple[str, str]:
        return self.system, self.code

    @property
    def inactive(self) -> bool:
        return self.concept.inactive if self.concept else bool(self.listed.get("inactive"))

    @property
    def abstract(self) -> bool:
        return self.concept.abstract if self.concept else bool(self.listed.get("abstract"))

    @property
    def texts(self) -> tuple[Designation, ...]:
        """All that it is called, what the value set says first."""
        own = designations(self.origin, self.concept) if self.origin and self.concept else ()
        if not own and self.listed.get("display") and not self.extra:
            own = (Designation(self.listed["display"], None, None, True),)
        return (*self.extra, *own)

    def ancestors(self) -> Iterator[tuple[str, str]]:
        """The codes above it, the nearest first."""
        waiting = list(self.concept.parents) if self.origin and self.concept else []
        seen: set[str] = set()
        while waiting:
            code = waiting.pop(0)
            if self.origin and code not in seen:
                seen.add(code)
                yield self.system, code
                waiting += self.origin.concepts[code].parents

    def as_json(self, asked: Asked, properties: dict[str, str | None]) -> Resource:
        """ValueSet.expansion.contains; the properties used are added to `properties` with what they mean."""
        out: Resource = {"system": self.system, "code": self.code}
        if self.versioned and self.version:
            out["version"] = self.version
        if self.abstract:
            out["abstract"] = True
        if self.inactive:
            out["inactive"] = True
        texts = self.texts
        shown = preferred(texts, asked.wanted)
        if shown:
            out["display"] = shown.value
        if asked.flag("includeDesignations"):
            others = [
                text.as_json() for text in texts if text is not shown and self._lists(text, shown, asked)
            ]
            if others:
                out["designation"] = others
        extension = [*self._extensions(), *self._properties(asked, properties)]
        if extension:
            out["extension"] = extension
        return out

    def _lists(self, text: Designation, shown: Designation | None, asked: Asked) -> bool:
        if shown and (text.value, text.language, text.main) == (shown.value, shown.language, shown.main):
            return False
        wanted = asked.several("designation")
        if not wanted:
            return True
        use = text.use or {}
        names = {f"{use.get('system')}|{use.get('code')}", f"urn:ietf:bcp:47|{text.language}"}
        return not names.isdisjoint(wanted)

    def _extensions(self) -> Iterator[Resource]:
        for extension in self.concept.extension if self.concept else ():
            if extension.get("url") in _CARRIED:
                yield extension
        for extension in self.listed.get("extension", ()):
            if extension.get("url") in _CARRIED_OF_LIST:
                yield extension

    def _properties(self, asked: Asked, properties: dict[str, str | None]) -> Iterator[Resource]:
        """R5's contains.property, as R4 carries it."""
        for code, uri, key, value in (*self._usual(), *self._asked_for(asked)):
            properties.setdefault(code, uri)
            yield {
                "url": _PROPERTY,
                "extension": [{"url": "code", "valueCode": code}, {"url": "value", key: value}],
            }

    def _usual(self) -> Iterator[tuple[str, str | None, str, Any]]:
        concept = self.concept
        if concept is None:
            return
        if concept.status and concept.status.lower() != "active":
            yield "status", f"{PROPERTIES}#status", "valueCode", concept.status
        for code, key, uri, of_system, of_set in _AS_PROPERTIES:
            value = extension_value(self.listed.get("extension", ()), of_set)
            if value is None:
                value = extension_value(concept.extension, of_system)
            if value is not None:
                yield code, f"{PROPERTIES}#{uri}", key, value

    def _asked_for(self, asked: Asked) -> Iterator[tuple[str, str | None, str, Any]]:
        concept = self.concept
        wanted = asked.several("property")
        if concept is None or self.origin is None or not wanted:
            return
        if "definition" in wanted and concept.definition:
            yield "definition", f"{PROPERTIES}#definition", "valueString", concept.definition
        said = {part.get("code") for part in concept.properties}
        for name, codes in (("parent", concept.parents), ("child", concept.children)):
            if name in wanted and name not in said:
                for code in codes:
                    yield name, f"{PROPERTIES}#{name}", "valueCode", code
        if "inactive" in wanted and "inactive" not in said:
            yield "inactive", f"{PROPERTIES}#inactive", "valueBoolean", concept.inactive
        for part in concept.properties:
            code = part.get("code", "")
            if (code in wanted or "*" in wanted) and not (code == "status" and concept.status):
                key = next((key for key in part if key.startswith("value")), None)
                if key:
                    yield code, self.origin.property_uri(code), key, part[key]


def text_filter(words: str | None) -> Callable[[Entry], bool]:
    """Whether every word of a text begins a word of the code or of something it is called."""
    wanted = words_of(words)
    if not wanted:
        return lambda entry: True
    passes = begins(wanted)
    return lambda entry: passes([entry.code, *(text.value for text in entry.texts)])
