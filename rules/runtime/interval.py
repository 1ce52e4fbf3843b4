"""Intervals and where they begin and end (https://cql.hl7.org/09-b-cqlreference.html#interval-operators-3).

A closed null bound is the least or greatest value of the point type; an open one may be anything on its side.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rules.runtime.bounds import maximum, minimum, point_type, step_back, step_forward
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import Uncertainty, less


@dataclass(frozen=True, slots=True)
class Interval:
    """From `low` to `high`; `point` names the point type ("Integer"), None where it is unknown."""

    low: Any
    high: Any
    low_closed: bool = True
    high_closed: bool = True
    point: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.point is None:
            known = self.low if self.low is not None else self.high
            object.__setattr__(self, "point", point_type(known))


def interval(
    low: Any,
    high: Any,
    low_closed: bool | None = True,
    high_closed: bool | None = True,
    point: str | None = None,
) -> Interval:
    """The selector. Raises EvaluationError where the interval would begin after it ends."""
    point = None if point == "Any" else point
    made = Interval(low, high, low_closed is not False, high_closed is not False, point)
    if low is None or high is None:
        return made
    first, last = (low, high) if made.low_closed and made.high_closed else (start(made), end(made))
    if first is None or last is None or less(last, first):
        raise EvaluationError("an interval must not begin after it ends")
    return made


def start(value: Interval | None) -> Any:
    """The first point; an Uncertainty for an open null bound, None where the point type is unknown."""
    if value is None:
        return None
    if value.low is not None:
        return value.low if value.low_closed else step_forward(value.low)
    if value.point is None:
        return None
    least = minimum(value.point)
    if value.low_closed:
        return least
    return Uncertainty(least, maximum(value.point) if value.high is None else end(value))


def end(value: Interval | None) -> Any:
    """The last point; an Uncertainty for an open null bound, None where the point type is unknown."""
    if value is None:
        return None
    if value.high is not None:
        return value.high if value.high_closed else step_back(value.high)
    if value.point is None:
        return None
    greatest = maximum(value.point)
    if value.high_closed:
        return greatest
    return Uncertainty(minimum(value.point) if value.low is None else start(value), greatest)
