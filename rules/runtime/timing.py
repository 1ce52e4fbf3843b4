"""Construction, components, comparison to a precision, differences and durations of times.

https://cql.hl7.org/09-b-cqlreference.html#date-and-time-operators-2, and for what a duration is
https://cql.hl7.org/15-h-timeintervalcalculations.html
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from rules.runtime import ordering
from rules.runtime.calendar import add_months
from rules.runtime.context import clock, current
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import bounded
from rules.runtime.temporal import (
    DEPTH,
    LOWEST,
    MAX_OFFSET,
    WIDTH,
    Date,
    DateTime,
    Fields,
    Temporal,
    Time,
    at_offset,
    check,
    high,
    low,
    milliseconds,
)
from rules.runtime.units import MILLISECONDS


def _known(parts: tuple[int | None, ...], first: int = 0) -> Fields | None:
    """The parts before the first null; None where there is none. Raises EvaluationError where one follows."""
    count = next((at for at, part in enumerate(parts) if part is None), len(parts))
    if any(part is not None for part in parts[count:]):
        raise EvaluationError("a time cannot have a part that is finer than one it lacks")
    fields = tuple(part for part in parts if part is not None)
    return check(fields, first) if fields else None


def date(year: int | None, month: int | None = None, day: int | None = None) -> Date | None:
    fields = _known((year, month, day))
    return None if fields is None else Date(fields)


def date_time(
    year: int | None,
    month: int | None = None,
    day: int | None = None,
    hour: int | None = None,
    minute: int | None = None,
    second: int | None = None,
    millisecond: int | None = None,
    timezone_offset: Decimal | None = None,
) -> DateTime | None:
    """`timezone_offset` in hours; without it, the evaluation's."""
    fields = _known((year, month, day, hour, minute, second, millisecond))
    offset = None if timezone_offset is None else int(timezone_offset * 60)
    if offset is not None and abs(offset) > MAX_OFFSET:
        raise EvaluationError("a time zone is at most 14 hours from UTC")
    return None if fields is None else DateTime(fields, offset)


def time(
    hour: int | None, minute: int | None = None, second: int | None = None, millisecond: int | None = None
) -> Time | None:
    fields = _known((hour, minute, second, millisecond), Time.first)
    return None if fields is None else Time(fields)


def now() -> DateTime:
    return clock()


def today() -> Date:
    return Date(clock().fields[:3])


def time_of_day() -> Time:
    return Time(clock().fields[3:])


def component_from(value: Temporal | None, precision: str) -> int | None:
    """The year, month, … of a time, or null where it is not known. Raises EvaluationError for weeks."""
    if value is None:
        return None
    if precision not in DEPTH:
        raise EvaluationError(f"a time has no component {precision}")
    at = DEPTH[precision] - 1 - value.first
    return value.fields[at] if 0 <= at < len(value.fields) else None


def timezone_offset_from(value: DateTime | None) -> Decimal | None:
    """Hours east of UTC; the evaluation's where the value has none of its own."""
    if value is None:
        return None
    return Decimal(current().offset if value.offset is None else value.offset) / 60


def date_from(value: DateTime | Date | None) -> Date | None:
    return None if value is None else Date(value.fields[:3])


def time_from(value: DateTime | None) -> Time | None:
    """The time of day at the evaluation's offset, or null where no hour is known."""
    if value is None or len(value.fields) <= Time.first:
        return None
    return Time(at_offset(value, current().offset)[Time.first :])


def same_as(left: Temporal | None, right: Temporal | None, precision: str | None = None) -> bool | None:
    return ordering.same(left, right, precision)


def same_or_before(
    left: Temporal | None, right: Temporal | None, precision: str | None = None
) -> bool | None:
    return ordering.at_most(left, right, precision)


def same_or_after(left: Temporal | None, right: Temporal | None, precision: str | None = None) -> bool | None:
    return ordering.at_most(right, left, precision)


def before(left: Temporal | None, right: Temporal | None, precision: str | None = None) -> bool | None:
    return ordering.less(left, right, precision)


def after(left: Temporal | None, right: Temporal | None, precision: str | None = None) -> bool | None:
    return ordering.less(right, left, precision)


def difference_between(left: Temporal | None, right: Temporal | None, precision: str) -> Any:
    """How many boundaries of the precision lie between; an Uncertainty where that is not known."""
    if left is None or right is None:
        return None
    left, right = _together(left, right, precision)
    fine = precision in MILLISECONDS and precision not in ("week", "day")
    return _counted(_difference, _edges(left, aligned=fine), _edges(right, aligned=fine), precision)


def duration_between(left: Temporal | None, right: Temporal | None, precision: str) -> Any:
    """How many whole periods lie between; an Uncertainty where unknown fields could change the number."""
    if left is None or right is None:
        return None
    left, right = _together(left, right, precision)
    if isinstance(left, Time):
        # The suite takes times that both reach the precision to be as precise as the coarser of the two.
        known = min(len(left.fields), len(right.fields))
        if known >= DEPTH[precision] - Time.first:
            left, right = Time(left.fields[:known]), Time(right.fields[:known])
            return _duration(_edges(left)[0], _edges(right)[0], precision)
    return _counted(_duration, _edges(left), _edges(right), precision)


def _counted(
    count: Callable[[Fields, Fields, str], int],
    first: tuple[Fields, Fields],
    second: tuple[Fields, Fields],
    precision: str,
) -> Any:
    """The count from the one to the other, between the least and the greatest that it may be."""
    most = count(first[0], second[1], precision)
    if first[0] is first[1] and second[0] is second[1]:
        return most
    return bounded(count(first[1], second[0], precision), most)


def _together(left: Temporal, right: Temporal, precision: str) -> tuple[Temporal, Temporal]:
    """Both, a Date beside a DateTime as a DateTime. Raises EvaluationError where they lack the precision."""
    if type(left) is not type(right):
        left, right = (
            DateTime(value.fields) if isinstance(value, Date) else value for value in (left, right)
        )
    finest = DEPTH.get(precision, DEPTH["day"] if precision == "week" else 0)
    if (
        finest <= left.first
        or type(left) is not type(right)
        or (isinstance(left, Date) and finest > DEPTH["day"])
    ):
        raise EvaluationError(f"{precision}s cannot be counted between these types")
    return left, right


def _edges(value: Temporal, *, aligned: bool = True) -> tuple[Fields, Fields]:
    """The first and the last moment that the value may be, as (year, …, millisecond).

    A known second has no unknown milliseconds: the two are one precision here. `aligned`: as a clock at the
    evaluation's offset shows them.
    """
    if value.first + len(value.fields) == DEPTH["second"]:
        value = (
            DateTime((*value.fields, 0), value.offset)
            if isinstance(value, DateTime)
            else Time((*value.fields, 0))
        )
    if not isinstance(value, DateTime):
        before, behind = (LOWEST[: value.first], LOWEST[value.first + WIDTH[type(value)] :])
        first = (*before, *low(value), *behind)
        known = len(value.fields) == WIDTH[type(value)]
        return first, (first if known else (*before, *high(value), *behind))
    if len(value.fields) == len(DEPTH):
        fields = at_offset(value, current().offset) if aligned else value.fields
        return fields, fields
    edges = low(value), high(value)
    if not aligned or value.offset is None:
        return edges
    offset = current().offset
    return at_offset(DateTime(edges[0], value.offset), offset), at_offset(
        DateTime(edges[1], value.offset), offset
    )


def _difference(first: Fields, second: Fields, precision: str) -> int:
    if precision == "year":
        return second[0] - first[0]
    if precision == "month":
        return (second[0] - first[0]) * 12 + second[1] - first[1]
    # Weeks begin on Sundays, and so does the count: day 0 of the proleptic calendar was one.
    count = MILLISECONDS[precision]
    return milliseconds(second) // count - milliseconds(first) // count


def _duration(first: Fields, second: Fields, precision: str) -> int:
    if precision in ("year", "month"):
        months = _months(first, second) if first <= second else -_months(second, first)
        return months if precision == "month" else _toward_zero(months, 12)
    return _toward_zero(milliseconds(second) - milliseconds(first), MILLISECONDS[precision])


def _months(first: Fields, second: Fields) -> int:
    """The most months that can be added to `first` without passing `second`."""
    months = (second[0] - first[0]) * 12 + second[1] - first[1]
    return months if add_months(first, months) <= second else months - 1


def _toward_zero(value: int, divisor: int) -> int:
    return value // divisor if value >= 0 else -(-value // divisor)
