"""What an object of a type may hold, for the parts of a check that are not compiled.

https://hl7.org/fhir/R4/json.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from profiles.definitions import TypeDef, TypeRef
from profiles.primitives import PRIMITIVES


@dataclass(frozen=True, slots=True)
class Choice:
    """A property of a choice element: valueQuantity is (bit of value, "value", "Quantity")."""

    bit: int
    element: str
    type: TypeRef
    label: str  # value.ofType(Quantity), as FHIRPath names it


@dataclass(frozen=True, slots=True)
class Shape:
    """What an object of a type may hold, for the parts of a check that are not compiled."""

    name: str
    plain: frozenset[str]  # properties that the compiled code reads itself
    choices: Mapping[str, Choice]
    primitives: Mapping[str, tuple[str, bool]]  # _property -> (what a path calls it, whether it repeats)
    groups: Mapping[str, tuple[str, ...]]  # choice element -> its properties
    required: int  # bits of the choice elements that must be there


def shape_of(definition: TypeDef) -> Shape:
    """The shape of a complex type, resource type or backbone element."""
    elements = definition.elements.values()
    plain = {element.name for element in elements if not element.choice}
    if definition.kind == "resource":
        plain.add("resourceType")
    groups = [element for element in elements if element.choice]
    choices = {
        name: Choice(1 << place, element.name, type_, f"{element.name}.ofType({type_.code})")
        for place, element in enumerate(groups)
        for name, type_ in element.properties.items()
    }
    primitives = {
        "_" + element.name: (element.name, element.max is None)
        for element in elements
        if not element.choice and element.types[0].code in PRIMITIVES
    }
    primitives |= {
        "_" + name: (choice.label, False)
        for name, choice in choices.items()
        if choice.type.code in PRIMITIVES
    }
    return Shape(
        name=definition.name,
        plain=frozenset(plain),
        choices=choices,
        primitives=primitives,
        groups={element.name: tuple(element.properties) for element in groups},
        required=sum(1 << place for place, element in enumerate(groups) if element.min),
    )
