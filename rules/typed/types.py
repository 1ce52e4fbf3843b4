"""The types of CQL (https://cql.hl7.org/03-developersguide.html#type-system)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias, TypeGuard


@dataclass(frozen=True, slots=True)
class Named:
    """`System.Integer`, `FHIR.Patient`: a type of a model."""

    model: str
    name: str

    def __str__(self) -> str:
        return self.name if self.model == "System" else f"{self.model}.{self.name}"


@dataclass(frozen=True, slots=True)
class ListOf:
    element: Type

    def __str__(self) -> str:
        return f"List<{self.element}>"


@dataclass(frozen=True, slots=True)
class IntervalOf:
    point: Type

    def __str__(self) -> str:
        return f"Interval<{self.point}>"


@dataclass(frozen=True, slots=True)
class TupleOf:
    """Elements in the order of their names, so that the order they were written in does not matter."""

    elements: tuple[tuple[str, Type], ...]

    def __str__(self) -> str:
        return f"Tuple{{{', '.join(f'{name} {type_}' for name, type_ in self.elements)}}}"


@dataclass(frozen=True, slots=True)
class ChoiceOf:
    """At least two different types, none of them a choice."""

    options: tuple[Type, ...]

    def __str__(self) -> str:
        return f"Choice<{', '.join(str(option) for option in self.options)}>"


@dataclass(frozen=True, slots=True)
class Variable:
    """A type parameter of an operator. One called C may be bound to a choice of what it meets."""

    name: str

    def __str__(self) -> str:
        return self.name


Type: TypeAlias = Named | ListOf | IntervalOf | TupleOf | ChoiceOf | Variable


def system(name: str) -> Named:
    return Named("System", name)


ANY: Final = system("Any")
BOOLEAN: Final = system("Boolean")
INTEGER: Final = system("Integer")
LONG: Final = system("Long")
DECIMAL: Final = system("Decimal")
STRING: Final = system("String")
DATE: Final = system("Date")
DATETIME: Final = system("DateTime")
TIME: Final = system("Time")
QUANTITY: Final = system("Quantity")
RATIO: Final = system("Ratio")
CODE: Final = system("Code")
CONCEPT: Final = system("Concept")
VOCABULARY: Final = system("Vocabulary")
CODESYSTEM: Final = system("CodeSystem")
VALUESET: Final = system("ValueSet")


def tuple_of(elements: dict[str, Type]) -> TupleOf:
    return TupleOf(tuple(sorted(elements.items())))


def choice_of(*types: Type) -> Type:
    """The choice of these types, flat and without repetition; a single type is itself."""
    flat: dict[Type, None] = {}
    for type_ in types:
        for option in type_.options if isinstance(type_, ChoiceOf) else (type_,):
            flat[option] = None
    flat.pop(ANY, None)
    options = tuple(flat)
    if not options:
        return ANY
    return options[0] if len(options) == 1 else ChoiceOf(options)


def options_of(type_: Type) -> tuple[Type, ...]:
    """What a value of the type may be."""
    return type_.options if isinstance(type_, ChoiceOf) else (type_,)


def is_of_model(type_: Type) -> TypeGuard[Named]:
    """Whether the type is one of a data model."""
    return isinstance(type_, Named) and type_.model != "System"


@lru_cache(maxsize=256)
def parse_type(text: str) -> Type:
    """A type as the operator tables write it: `Interval<T>`, `List<Code>`; single letters are variables."""
    if text.endswith(">"):
        name, _, inner = text[:-1].partition("<")
        return ListOf(parse_type(inner)) if name == "List" else IntervalOf(parse_type(inner))
    return Variable(text) if len(text) == 1 else system(text)
