"""What the compiler asks of the definitions; profiles.definitions has this shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class TypeRef(Protocol):
    """One type that an element may have, and the resource types that a reference of it may point to."""

    @property
    def code(self) -> str: ...
    @property
    def targets(self) -> Sequence[str]: ...


class Element(Protocol):
    """An element: `max` None = *; `properties` are its JSON names (one per type where it is a choice)."""

    @property
    def max(self) -> int | None: ...
    @property
    def properties(self) -> Mapping[str, TypeRef]: ...


class TypeDef(Protocol):
    """A type: `kind` is resource, complex-type, primitive-type or backbone; `elements` has the inherited."""

    @property
    def kind(self) -> str: ...
    @property
    def base(self) -> str | None: ...
    @property
    def abstract(self) -> bool: ...
    @property
    def elements(self) -> Mapping[str, Element]: ...


class Model(Protocol):
    """The types of one FHIR release, by name or by the path of a backbone element."""

    @property
    def types(self) -> Mapping[str, TypeDef]: ...


def bases(model: Model, type: str) -> tuple[str, ...]:
    """The type itself and what it specialises, nearest first."""
    chain = []
    current: str | None = type
    while current and current in model.types:
        chain.append(current)
        current = model.types[current].base
    return tuple(chain)
