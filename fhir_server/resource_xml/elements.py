"""What the definitions say of each type's XML: child elements, their order, and what is an attribute.

https://hl7.org/fhir/R4/xml.html. Made for a type when it is first met.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from profiles.definitions import load
from profiles.primitives import PRIMITIVES

FHIR = "http://hl7.org/fhir"
XHTML = "http://www.w3.org/1999/xhtml"
RESOURCE_TYPES = frozenset(load().resource_types)


@dataclass(frozen=True, slots=True)
class Child:
    """A property of a type: `order` among its siblings (the types of a choice share one), `code` its type."""

    name: str
    order: int
    code: str
    many: bool
    primitive: bool


@dataclass(frozen=True, slots=True)
class Kind:
    """A type: its children by JSON property name, and those properties that XML has as attributes."""

    code: str
    children: Mapping[str, Child]
    attributes: tuple[str, ...]


@cache
def kind_of(code: str) -> Kind:
    """The XML of a resource type, data type or backbone element."""
    definition = load().types[code]
    if definition.kind == "resource":
        attributes: tuple[str, ...] = ()
    else:
        attributes = ("id", "url") if code == "Extension" else ("id",)
    children: dict[str, Child] = {}
    for order, element in enumerate(definition.elements.values()):
        for name, ref in element.properties.items():
            if name not in attributes:
                many = element.max != 1
                children[name] = Child(name, order, ref.code, many, ref.code in PRIMITIVES)
    return Kind(code, children, attributes)
