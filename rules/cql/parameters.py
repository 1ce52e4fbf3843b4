"""What is given for the parameters of a library, checked against their types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from rules.emit.expressions import CLASSES
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.values import CodeSystem, Long, Tuple, ValueSet
from rules.typed.tree import TypedLibrary
from rules.typed.types import (
    ANY,
    DECIMAL,
    LONG,
    VOCABULARY,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    TupleOf,
    Type,
)

Given = dict[tuple[TypedLibrary, str], Any]


def checked(
    given: Mapping[str, Any], libraries: Iterable[TypedLibrary]
) -> dict[tuple[TypedLibrary, str], Any]:
    """The values by library and parameter; the first library's by name, all by "Library.Parameter".

    An int is taken for a Decimal or a Long. Raises EvaluationError for a name that there is not, and for a
    value that is not of the parameter's type.
    """
    found: Given = {}
    left = set(given)
    for number, library in enumerate(libraries):
        for name, parameter in library.parameters.items():
            for key in (name, f"{library.name}.{name}") if number == 0 else (f"{library.name}.{name}",):
                if key in given:
                    what = f"the value given for the parameter {key}"
                    found[library, name] = taken(given[key], parameter.type, what)
                    left.discard(key)
    if left:
        raise EvaluationError(f"there is no parameter {', '.join(sorted(left))}")
    return found


def taken(value: Any, type_: Type, what: str) -> Any:
    """A value from outside as one of the type. Raises EvaluationError, which says `what`, if it is not."""
    if type(value) is int and type_ == DECIMAL:
        return Decimal(value)
    if type(value) is int and type_ == LONG:
        return Long(value)
    if not _is(value, type_):
        raise EvaluationError(f"{what} is not of type {type_}")
    return value


def _is(value: Any, type_: Type) -> bool:
    if value is None or type_ == ANY:
        return True
    if isinstance(type_, ListOf):
        return isinstance(value, list) and all(_is(item, type_.element) for item in value)
    if isinstance(type_, IntervalOf):
        return isinstance(value, Interval) and _is(value.low, type_.point) and _is(value.high, type_.point)
    if isinstance(type_, TupleOf):
        elements = dict(type_.elements)
        known = isinstance(value, Tuple) and value.keys() <= elements.keys()
        return known and all(_is(item, elements[name]) for name, item in value.items())
    if isinstance(type_, ChoiceOf):
        return any(_is(value, option) for option in type_.options)
    if type_ == VOCABULARY:
        return isinstance(value, CodeSystem | ValueSet)
    if isinstance(type_, Named) and type_.model == "System":
        return type(value) is CLASSES[type_.name]
    return True  # data of a model, which tells its type only by its place
