"""Which function of rules.runtime an operator is, for operands of given types."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from rules.runtime import calendar
from rules.runtime.registry import find
from rules.typed.types import IntervalOf, ListOf, Named, TupleOf, Type


def type_name(type_: Type) -> str:
    """The type as the registry names it."""
    if isinstance(type_, ListOf):
        return "List"
    if isinstance(type_, IntervalOf):
        return "Interval"
    if isinstance(type_, TupleOf):
        return "Tuple"
    return type_.name if isinstance(type_, Named) and type_.model == "System" else "Any"


def function_of(op: str, types: Sequence[Type]) -> Callable[..., Any] | None:
    """The function whose operands fit most closely; None where there is none."""
    function = find(op, (type_name(type_) for type_ in types))
    return _REMEMBERED.get(function, function) if function is not None else None


# Moving a date by a duration is slow, and a rule over pairs of readings moves the same few again and again.
_REMEMBERED: dict[Callable[..., Any], Callable[..., Any]] = {
    function: lru_cache(maxsize=4096)(function) for function in (calendar.add, calendar.subtract)
}
