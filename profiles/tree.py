"""The tree of a profile: what it asks of each element, in ElementDefinition's own words.

https://hl7.org/fhir/R4/elementdefinition.html. profiles/differential.py makes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from profiles.definitions import Binding, Element

Resource = dict[str, Any]
HL7 = "http://hl7.org/fhir/StructureDefinition/"
_SYSTEM = "http://hl7.org/fhirpath/System."
_ADDITIONAL = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-ElementDefinition.binding.additional",
    "http://hl7.org/fhir/tools/StructureDefinition/additional-binding",
)
# What an additional binding is for -> its strength; the others (candidate, ui, ...) ask nothing of a code.
_PURPOSES = {
    "required": "required",
    "maximum": "required",
    "extensible": "extensible",
    "preferred": "preferred",
}


class ProfileError(Exception):
    """A StructureDefinition that makes no sense: `problems` are (what is wrong, the element's id)."""

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(f"{where}: {said}" if where else said for said, where in problems))


class UnknownBaseError(ProfileError):
    """A profile of a profile that is not known."""


@dataclass(slots=True)
class Node:
    """An element that a differential constrains, or a slice of one.

    `element` is its base definition (None at the root), `facts` what the differentials say of it together,
    in ElementDefinition's own words. `children` go by the element's name without [x].
    """

    id: str
    name: str
    element: Element | None
    facts: Resource = field(default_factory=dict)
    children: dict[str, Node] = field(default_factory=dict)
    slices: dict[str, Node] = field(default_factory=dict)
    sliced: Node | None = None

    @property
    def types(self) -> list[Resource]:
        """The types it may have, as ElementDefinition.type; those of the base where no profile says."""
        given: list[Resource] | None = self.facts.get("type")
        if given is not None:
            return given
        if self.sliced is not None:
            return self.sliced.types
        types = self.element.types if self.element else ()
        return [{"code": t.code, "targetProfile": [HL7 + name for name in t.targets]} for t in types]

    @property
    def codes(self) -> list[str]:
        return [code(type_) for type_ in self.types]

    @property
    def repeats(self) -> bool:
        """Whether it is an array in JSON."""
        return self.element is not None and self.element.max is None

    def walk(self) -> Iterator[Node]:
        yield self
        for child in (*self.children.values(), *self.slices.values()):
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Profile:
    """What a StructureDefinition says; `lineage` is its own canonical and those that it derives from."""

    url: str
    version: str | None
    type: str
    lineage: tuple[str, ...]
    root: Node
    definition: Resource


def code(type_: Mapping[str, Any]) -> str:
    """The name of a type: what R4 writes as a System type is the FHIR type of the same name."""
    name: str = type_.get("code", "")
    return name.removeprefix(_SYSTEM).lower() if name.startswith(_SYSTEM) else name.removeprefix(HL7)


def value_of(facts: Mapping[str, Any], kind: str) -> Any:
    """The fixed[x], pattern[x], minValue[x] or maxValue[x] of an element; None if it has none."""
    for name, value in facts.items():
        if name.startswith(kind) and name[len(kind) :][:1].isupper():
            return value
    return None


def additional_of(binding: Mapping[str, Any]) -> Iterator[Binding]:
    """The bindings that hold besides, as R5 has them and R4 by extension.

    https://hl7.org/fhir/R5/elementdefinition-definitions.html#ElementDefinition.binding.additional. One
    that is for some uses only (usage), or that one of several codes may meet (any), is not judged.
    """
    for extension in binding.get("extension", ()):
        parts = {part.get("url"): value_of(part, "value") for part in extension.get("extension", ())}
        strength, value_set = _PURPOSES.get(str(parts.get("purpose"))), parts.get("valueSet")
        of_all = parts.keys().isdisjoint(("usage", "any"))
        if extension.get("url") in _ADDITIONAL and strength and isinstance(value_set, str) and of_all:
            yield Binding(strength, value_set)


def widest_of(binding: Mapping[str, Any]) -> str | None:
    """The maxValueSet of a binding: what no code may leave, whatever the strength."""
    for extension in binding.get("extension", ()):
        if extension.get("url") == HL7 + "elementdefinition-maxValueSet":
            widest: str | None = extension.get("valueCanonical", extension.get("valueUri"))
            return widest
    return None
