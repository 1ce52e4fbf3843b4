"""What is known of types while an expression is compiled, and while untyped data are walked.

A type is written as a name: "Patient", "code", "Observation.component" of FHIR; "System.String" and its like;
ANY for what only the evaluation can tell. https://hl7.org/fhir/R4/fhirpath.html#types
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from rules.model import r4
from rules.typed.types import ChoiceOf, ListOf, Named, Type

ANY: Final = "Any"
BOOLEAN: Final = "System.Boolean"
INTEGER: Final = "System.Integer"
LONG: Final = "System.Long"
DECIMAL: Final = "System.Decimal"
STRING: Final = "System.String"
DATE: Final = "System.Date"
DATETIME: Final = "System.DateTime"
TIME: Final = "System.Time"
QUANTITY: Final = "System.Quantity"
TYPE_INFO: Final = "System.TypeInfo"
SYSTEM: Final = frozenset((BOOLEAN, INTEGER, LONG, DECIMAL, STRING, DATE, DATETIME, TIME, QUANTITY))
NUMBERS: Final = frozenset((INTEGER, LONG, DECIMAL))
TIMES: Final = frozenset((DATE, DATETIME, TIME))
_REMEMBERED: Final = 16_384  # names come from expressions and data, so that there is no end to them
_ABSTRACT: Final = frozenset(("Resource", "DomainResource", "Element", "BackboneElement"))


@dataclass(frozen=True, slots=True)
class Element:
    """An element of a type: `alternatives` are its JSON properties with their types, `owner` the type that
    was asked."""

    owner: str
    name: str
    alternatives: tuple[tuple[str, str], ...]
    repeats: bool
    choice: bool


def is_known(type: str) -> bool:
    """Whether FHIR has a type of this name."""
    return type in r4.model().classes and not _is_enumeration(type)


@lru_cache(maxsize=_REMEMBERED)
def _is_enumeration(type: str) -> bool:
    """CQL's model names the code lists of required bindings as types; FHIRPath knows them as `code`."""
    base = r4.model().classes[type].base
    return base is not None and base.name == "code"


@lru_cache(maxsize=_REMEMBERED)
def bases(type: str) -> tuple[str, ...]:
    """A FHIR type and what it specialises, nearest first; System types stand alone."""
    found: list[str] = []
    classes = r4.model().classes
    at: str | None = type
    while at is not None and at in classes:
        found.append(at)
        base = classes[at].base
        at = base.name if base is not None else None
    return tuple(found) or (type,)


def is_a(type: str, wanted: str) -> bool:
    return wanted in bases(type)


@lru_cache(maxsize=_REMEMBERED)
def is_resource(type: str) -> bool:
    return bases(type)[-1] == "Resource"


@lru_cache(maxsize=_REMEMBERED)
def is_abstract(type: str) -> bool:
    """Whether data of this static type are always of a more special one."""
    return type in _ABSTRACT


@lru_cache(maxsize=_REMEMBERED)
def is_primitive(type: str) -> bool:
    return any(base in r4.PRIMITIVES for base in bases(type))


@lru_cache(maxsize=_REMEMBERED)
def system_of(type: str) -> str | None:
    """The System type that a FHIR type converts to implicitly, or None."""
    if type.startswith("System."):
        return type
    for base in bases(type):
        found = r4.PRIMITIVES.get(base)
        if isinstance(found, Named):
            return f"System.{found.name}"
    return QUANTITY if is_a(type, "Quantity") else None


@lru_cache(maxsize=_REMEMBERED)
def element(type: str, name: str) -> Element | None:
    """The element of that name, its own or inherited."""
    for base in bases(type):
        found = r4.model().classes[base] if is_known(base) else None
        if found is not None and name in found.elements:
            kind = found.elements[name]
            if isinstance(kind, Named) and kind.model == "System":
                return None  # the value of a primitive is the primitive's own
            return _element(type, name, kind, name in found.choices)
    return None


def _element(owner: str, name: str, kind: Type, choice: bool) -> Element:
    inner = kind.element if isinstance(kind, ListOf) else kind
    options = inner.options if isinstance(inner, ChoiceOf) else (inner,)
    names = ["code" if _is_enumeration(t.name) else t.name for t in options if isinstance(t, Named)]
    keys = tuple((name + t[0].upper() + t[1:] if choice else name, t) for t in names)
    return Element(owner, name, keys, isinstance(kind, ListOf), choice)


@lru_cache(maxsize=_REMEMBERED)
def elements(type: str) -> tuple[Element, ...]:
    """All elements of a type, inherited ones first."""
    names: dict[str, None] = {}
    for base in reversed(bases(type)):
        if is_known(base):
            names |= dict.fromkeys(r4.model().classes[base].elements)
    return tuple(found for name in names if (found := element(type, name)) is not None)


@lru_cache(maxsize=_REMEMBERED)
def properties(type: str) -> dict[str, tuple[str, str]]:
    """Of every JSON property of a type: the element's name and type."""
    return {key: (e.name, kind) for e in elements(type) for key, kind in e.alternatives}


@lru_cache(maxsize=_REMEMBERED)
def specifier(parts: tuple[str, ...]) -> str | None:
    """The type that a written name means, or None where there is none. FHIR's come before System's."""
    namespace, name = ("", parts[0]) if len(parts) == 1 else (parts[0], ".".join(parts[1:]))
    if namespace not in ("", "FHIR", "System"):
        namespace, name = "", ".".join(parts)
    if namespace != "System" and is_known(name):
        return name
    if namespace == "FHIR":
        return None
    return f"System.{name}" if f"System.{name}" in SYSTEM or name == "Any" or namespace == "System" else None
