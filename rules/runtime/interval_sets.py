"""Intervals as sets of points: union, intersect, except, collapse, expand, width.

https://cql.hl7.org/09-b-cqlreference.html#interval-operators-3
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_FLOOR, Decimal
from functools import cmp_to_key
from typing import Any, Final

from rules.runtime import ordering
from rules.runtime.arithmetic import add_integer, add_long, subtract_decimal, subtract_integer, subtract_long
from rules.runtime.bounds import predecessor, step_forward, successor
from rules.runtime.calendar import add, shift
from rules.runtime.decimals import CONTEXT, STEP, places
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval, end, start
from rules.runtime.ordering import TIMES, at_most, ends, less, uncertain
from rules.runtime.quantities import convert_quantity, subtract_quantity
from rules.runtime.relations import meets, overlaps, to_precision
from rules.runtime.temporal import DEPTH, Date, DateTime, Temporal, Time
from rules.runtime.timing import difference_between
from rules.runtime.units import period_of
from rules.runtime.values import Long, Quantity

MOST_POINTS: Final = 50_000


def union(left: Interval | None, right: Interval | None) -> Interval | None:
    """From the earlier start to the later end; null where the two neither overlap nor meet."""
    if left is None or right is None or not (overlaps(left, right) or meets(left, right)):
        return None
    return _between(left, right, widest=True)


def intersect(left: Interval | None, right: Interval | None) -> Interval | None:
    """What the two have in common; null where that is nothing."""
    if left is None or right is None or not overlaps(left, right):
        return None
    return _between(left, right, widest=False)


def _between(left: Interval, right: Interval, *, widest: bool) -> Interval | None:
    """From one of the starts to one of the ends; an open null bound where it depends on what is unknown."""
    earlier, later = less(start(left), start(right)), less(end(right), end(left))
    if (earlier is None and not uncertain(start(left), start(right))) or (
        later is None and not uncertain(end(left), end(right))
    ):
        return None
    first = left if earlier is widest else right
    last = left if later is widest else right
    low, low_closed = (None, False) if earlier is None else (first.low, first.low_closed)
    high, high_closed = (None, False) if later is None else (last.high, last.high_closed)
    return Interval(low, high, low_closed, high_closed, left.point or right.point)


def except_(left: Interval | None, right: Interval | None) -> Interval | None:
    """What of left is not in right; null where that is nothing, or two pieces, or cannot be known."""
    if left is None or right is None:
        return None
    common = overlaps(left, right)
    if not common:
        return left if common is False else None
    before, after = less(start(left), start(right)), less(end(right), end(left))
    if before is True and after is False:
        return replace(left, high=predecessor(start(right)), high_closed=True)
    if after is True and before is False:
        return replace(left, low=successor(end(right)), low_closed=True)
    return None


def width(value: Interval | None) -> Any:
    """The distance from the start to the end, of numbers and quantities; null where that is unknown.

    Raises EvaluationError for times, which have durations and differences instead.
    """
    first, last = start(value), end(value)
    if type(first) in TIMES or type(last) in TIMES:
        raise EvaluationError("width is not defined for an interval of times")
    if first is None or last is None or uncertain(first, last):
        return None
    return _minus(last, first)


def _minus(left: Any, right: Any) -> Any:
    if isinstance(left, Quantity):
        return subtract_quantity(left, right)
    if isinstance(left, Decimal):
        return subtract_decimal(left, right)
    return subtract_long(left, right) if isinstance(left, Long) else subtract_integer(left, right)


def size(value: Interval | None) -> Any:
    """How many points there are: the width and one point more."""
    found = width(value)
    if isinstance(found, Quantity):
        return Quantity(CONTEXT.add(found.value, STEP), found.unit)
    if isinstance(found, Decimal):
        return CONTEXT.add(found, STEP)
    return add_long(found, 1) if isinstance(found, Long) else add_integer(found, 1)


def point_from(value: Interval | None) -> Any:
    """The only point of the interval. Raises EvaluationError where there are more."""
    if value is None or start(value) is None:
        return None
    if ordering.same(start(value), end(value)) is not True:
        raise EvaluationError("point from: the interval has more than one point")
    return start(value)


def _known(values: list[Interval | None]) -> list[Interval]:
    """The intervals that are not null and have bounds, by their start."""
    known = [value for value in values if value is not None and start(value) is not None]
    return sorted(known, key=cmp_to_key(_order))


def _order(left: Interval, right: Interval) -> int:
    first, second = ends(start(left))[0], ends(start(right))[0]
    return ordering.order(first, second) or 0


def collapse(values: list[Interval | None] | None, per: Quantity | None = None) -> list[Interval] | None:
    """The fewest intervals that cover the same points. `per`: gaps up to that long are closed as well."""
    if values is None:
        return None
    merged: list[Interval] = []
    known = _known(values)
    coarsest = _coarsest(known)
    for value in known:
        if merged and _joined(merged[-1], value, per, coarsest):
            if less(end(merged[-1]), end(value), coarsest):
                merged[-1] = replace(merged[-1], high=value.high, high_closed=value.high_closed)
        else:
            merged.append(value)
    return merged


def _coarsest(values: list[Interval]) -> str | None:
    """The precision of the least precise bound of intervals of times, where they are not all as precise."""
    edges = [
        edge for value in values for edge in (*ends(start(value)), *ends(end(value))) if type(edge) in TIMES
    ]
    precisions = {edge.precision for edge in edges}
    return min(precisions, key=DEPTH.__getitem__) if len(precisions) > 1 else None


def _joined(left: Interval, right: Interval, per: Quantity | None, coarsest: str | None) -> bool | None:
    if per is None:
        return overlaps(left, right, coarsest) or meets(left, right, coarsest)
    last, first = end(left), start(right)
    if uncertain(last, first):
        return overlaps(left, right)
    if type(last) in TIMES:
        period = _period(per)
        limit: Any = add(last, per)
        return at_most(first, limit, "day" if period == "week" else period)
    return overlaps(left, right) or at_most(_distance(first, last), Decimal(per.value))


def _distance(first: Any, last: Any) -> Decimal | None:
    distance = _minus(first, last)
    if isinstance(distance, Quantity):
        return distance.value
    return None if distance is None else Decimal(distance)


def _period(per: Quantity) -> str:
    period = period_of(per.unit)
    if period is None or per.value <= 0:
        raise EvaluationError("times are collapsed and expanded per a positive calendar duration")
    return period


def expand_list(values: list[Interval | None] | None, per: Quantity | None = None) -> list[Interval] | None:
    """Every interval cut into intervals of size `per`, from its start on, those that fit; each once."""
    if values is None:
        return None
    found: dict[Any, Interval] = {}
    for value in _known(values):
        for first, last in _pieces(value, per):
            found.setdefault((first, last), Interval(first, last))
    return list(found.values())


def expand_interval(value: Interval | None, per: Quantity | None = None) -> list[Any] | None:
    """The points from the start on, `per` apart."""
    if value is None or start(value) is None:
        return None
    return [first for first, _ in _pieces(value, per)]


def _pieces(value: Interval, per: Quantity | None) -> Iterator[tuple[Any, Any]]:
    """(first point, last point) of each piece. Raises EvaluationError where there are too many."""
    first, last = start(value), end(value)
    if last is None or uncertain(first, last):
        return
    cut = _time_pieces if type(first) in TIMES else _number_pieces
    yield from cut(first, last, per)


def _limit(count: Decimal | int) -> None:
    if count > MOST_POINTS:
        raise EvaluationError(f"expand would give more than {MOST_POINTS} points")


def _time_pieces(first: Any, last: Any, per: Quantity | None) -> Iterator[tuple[Any, Any]]:
    coarsest = min(first, last, key=lambda edge: len(edge.fields))
    period = coarsest.precision if per is None else _period(per)
    count = 1 if per is None else int(per.value)
    unit = "day" if period == "week" else period
    days = 7 if period == "week" else 1
    if DEPTH[unit] > DEPTH[coarsest.precision] or count < 1:
        return
    at, stop = to_precision(first, unit), to_precision(last, unit)
    _limit(ends(difference_between(at, stop, unit))[1] // (count * days))
    while True:
        final = _moved(at, count * days - 1, unit)
        if final is None or not at_most(final, stop):
            return
        yield at, final
        at = step_forward(final)
        if at is None:
            return


def _moved(value: Any, count: int, unit: str) -> Temporal | None:
    """So much later, or None past the end of the day or of time."""
    try:
        moved: Date | DateTime | Time = shift(value, count, unit)
    except EvaluationError:
        return None
    return moved if at_most(value, moved) else None


def _number_pieces(first: Any, last: Any, per: Quantity | None) -> Iterator[tuple[Any, Any]]:
    unit = first.unit if isinstance(first, Quantity) else "1"
    low, high = _number(first, unit), _number(last, unit)
    step = _step(low, high, per, unit)
    if low is None or high is None or step is None or step <= 0:
        return
    grain = Decimal(1).scaleb(-places(step))
    if isinstance(first, int) and grain < 1:
        high += 1 - grain  # an Integer is known to the unit: 10 per 0.1 goes up to 10.9
    _limit(CONTEXT.divide(high - low, step))
    at = low.quantize(grain, ROUND_FLOOR, CONTEXT)
    while at + step - grain <= high:
        yield _like(first, at, unit), _like(first, at + step - grain, unit)
        at += step


def _number(value: Any, unit: str) -> Decimal | None:
    if isinstance(value, Quantity):
        converted = convert_quantity(value, unit)
        return None if converted is None else converted.value
    return Decimal(value)


def _step(low: Decimal | None, high: Decimal | None, per: Quantity | None, unit: str) -> Decimal | None:
    if per is not None:
        return per.value if per.unit == "1" else _number(per, unit)
    return None if low is None or high is None else Decimal(1).scaleb(-min(places(low), places(high)))


def _like(sample: Any, value: Decimal, unit: str) -> Any:
    """The number as a point of the sample's type; fractions between Integers are Decimals."""
    if isinstance(sample, Quantity):
        return Quantity(value, unit)
    if isinstance(sample, int) and value == value.to_integral_value() and places(value) == 0:
        return type(sample)(value)
    return value
