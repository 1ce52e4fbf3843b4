"""What an evaluation is given beside the data.

https://hl7.org/fhirpath/N1/#environment-variables, https://hl7.org/fhir/R4/fhirpath.html#variables
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from rules.fhirpath.elements import Element, descendants, resource
from rules.runtime.context import Context
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import DateTime, parse_datetime
from rules.runtime.units import TextUnits, Units

_MOST_STEPS: Final = 5_000_000


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Everything is optional; an expression that needs what is not given fails with an EvaluationError.

    now: the time of `now()`, with an offset; a time in the data that has none may be of any zone.
    units: conversion between units, see rules.runtime.units; without it only equal units are comparable.
    resolve: from the text of a reference to the resource, or None. Contained resources and the entries of a
        Bundle are found without it; where it is not given, `resolve() is T` goes by what the reference says.
    member_of: from a code (text), Coding or CodeableConcept and the canonical of a value set to whether it is
        in it, or None where the value set is unknown.
    conforms_to: from a resource or element and the canonical of a profile to whether it conforms, or None
        where the profile is unknown. Those of FHIR's own types are known without it.
    subsumes: from two Codings to whether the first is the second or above it, or None.
    trace: receives the name and the items of each `trace()`.
    """

    now: DateTime | datetime | str | None = None
    units: Units | None = None
    resolve: Callable[[str], dict[str, Any] | None] | None = None
    member_of: Callable[[Any, str], bool | None] | None = None
    conforms_to: Callable[[Any, str], bool | None] | None = None
    subsumes: Callable[[dict[str, Any], dict[str, Any]], bool | None] | None = None
    trace: Callable[[str, list[Any]], None] | None = None

    def __post_init__(self) -> None:
        _moment(self.now)  # ValueError now rather than later

    @cached_property
    def context(self) -> Context:
        """What the operators of rules.runtime read."""
        return Context(now=_moment(self.now), units=self.units or TextUnits())


def _moment(now: DateTime | datetime | str | None) -> DateTime | None:
    if now is None or isinstance(now, DateTime):
        return now
    written = now.isoformat(timespec="milliseconds") if isinstance(now, datetime) else now
    found = parse_datetime(written)
    if found is None or found.offset is None or len(found.fields) < 7:
        raise ValueError("now must have an offset and be known to the millisecond")
    return found


NOTHING: Final = Environment()


class State:
    """One evaluation: its environment, its variables, and how much it may still do."""

    __slots__ = ("below", "environment", "extra", "focus", "left", "resource", "root", "variables")

    def __init__(self, focus: Any, environment: Environment, variables: Mapping[str, Any]) -> None:
        self.focus = focus
        self.environment = environment
        self.variables = variables
        self.resource = variables.get("resource", focus)
        self.root = variables.get("rootResource", self.resource)
        self.left = _MOST_STEPS
        self.extra: Any = None  # what stands beside a primitive that is evaluated
        self.below: list[Any] | None = None

    def step(self, rounds: int = 1) -> None:
        """Counts rounds of a loop inside of loops. Raises EvaluationError when they are too many."""
        self.left -= rounds
        if self.left < 0:
            raise EvaluationError(f"the evaluation takes more than {_MOST_STEPS} steps")

    def descendants(self, type: str) -> list[Any]:
        """Those of %resource, which invariants ask for again and again."""
        if self.below is None:
            self.below = descendants(Element(self.resource, type))
        return self.below

    def variable(self, name: str) -> list[Any]:
        """The items of a variable. Raises EvaluationError where it is not given."""
        if name not in self.variables:
            raise EvaluationError(f"the variable %{name} is not given")
        value = self.variables[name]
        return [
            item for one in (value if isinstance(value, list | tuple) else (value,)) for item in _items(one)
        ]


def _items(value: Any) -> list[Any]:
    if value is None:
        return []
    if isinstance(value, dict):
        if "resourceType" not in value:
            raise EvaluationError("a variable is an element whose type is not known: give an Element")
        return [resource(value)]
    return [value]


def as_item(value: Any) -> Any:
    """%resource or %rootResource, whose type only the data know."""
    if isinstance(value, dict) and "resourceType" in value:
        return resource(value)
    if isinstance(value, Element):
        return value
    raise EvaluationError("%resource is not known: give it as resource=...")
