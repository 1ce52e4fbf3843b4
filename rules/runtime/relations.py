"""How two intervals, or an interval and a point, lie to each other.

https://cql.hl7.org/09-b-cqlreference.html#interval-operators-3. A point stands for the interval that is only
that point. With a precision, times are compared to it. Any answer is null where it cannot be known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rules.runtime import ordering
from rules.runtime.bounds import step_forward
from rules.runtime.interval import Interval, end, start
from rules.runtime.logic import and_, not_, or_
from rules.runtime.ordering import TIMES, at_most, less
from rules.runtime.temporal import Date, DateTime, Temporal, Time, depth


def _first(value: Any) -> Any:
    return start(value) if type(value) is Interval else value


def _last(value: Any) -> Any:
    return end(value) if type(value) is Interval else value


def after(left: Any, right: Any, precision: str | None = None) -> bool | None:
    """left starts after right ends."""
    return less(_last(right), _first(left), precision)


def before(left: Any, right: Any, precision: str | None = None) -> bool | None:
    """left ends before right starts."""
    return less(_last(left), _first(right), precision)


def same_or_after(left: Any, right: Any, precision: str | None = None) -> bool | None:
    """left starts on or after the end of right."""
    return at_most(_last(right), _first(left), precision)


def same_or_before(left: Any, right: Any, precision: str | None = None) -> bool | None:
    """left ends on or before the start of right."""
    return at_most(_last(left), _first(right), precision)


def same_as(left: Any, right: Any, precision: str | None = None) -> bool | None:
    """Both start at one point and end at one point."""
    return and_(
        ordering.same(_first(left), _first(right), precision),
        ordering.same(_last(left), _last(right), precision),
    )


def contains(interval: Interval | None, point: Any, precision: str | None = None) -> bool | None:
    """Whether the point is in the interval: false for a null interval, null for a null point."""
    if interval is None or _unknown(interval):
        return False
    if point is None:
        return None
    if precision is None and point.__class__ is DateTime:
        found = _surely_contains(interval, point)
        if found is not None:
            return found
    above = _above(interval, point, precision)
    return False if above is False else and_(above, _below(interval, point, precision))


def _surely_contains(interval: Interval, point: DateTime) -> bool | None:
    """The answer for times that lie clearly apart from the bounds, whatever is unknown of them; else None."""
    low, high = interval.low, interval.high
    if low.__class__ is not DateTime or high.__class__ is not DateTime:
        return None
    if point.latest < low.earliest or point.earliest > high.latest:
        return False
    return True if point.earliest > low.latest and point.latest < high.earliest else None


def _unknown(interval: Interval) -> bool:
    """Without bounds and point type: `Interval[null, null]`, which the suite takes for null here."""
    return interval.low is None and interval.high is None and interval.point is None


def _above(interval: Interval, point: Any, precision: str | None) -> bool | None:
    low = interval.low
    if interval.low_closed or low is None:
        return at_most(start(interval) if low is None else low, point, precision)
    return less(low, point, precision)


def _below(interval: Interval, point: Any, precision: str | None) -> bool | None:
    high = interval.high
    if interval.high_closed or high is None:
        return at_most(point, end(interval) if high is None else high, precision)
    return less(point, high, precision)


def in_(point: Any, interval: Interval | None, precision: str | None = None) -> bool | None:
    return contains(interval, point, precision)


def proper_contains(interval: Interval | None, point: Any, precision: str | None = None) -> bool | None:
    """Whether the point lies between the start and the end, and is neither."""
    if interval is None or _unknown(interval):
        return False
    return and_(less(start(interval), point, precision), less(point, end(interval), precision))


def proper_in(point: Any, interval: Interval | None, precision: str | None = None) -> bool | None:
    return proper_contains(interval, point, precision)


def includes(left: Interval | None, right: Any, precision: str | None = None) -> bool | None:
    """Whether all of right (an interval, or a point) is in left."""
    if type(right) is not Interval:
        return contains(left, right, precision) if right is not None else None
    if left is None:
        return None
    left = _typed(left, right)
    return and_(at_most(start(left), start(right), precision), at_most(end(right), end(left), precision))


def included_in(left: Any, right: Interval | None, precision: str | None = None) -> bool | None:
    if left is not None and type(left) is not Interval:
        return contains(right, left, precision)
    return includes(right, left, precision) if right is not None else None


def proper_includes(left: Interval | None, right: Any, precision: str | None = None) -> bool | None:
    """Whether left includes right and is larger."""
    if type(right) is not Interval:
        return proper_contains(left, right, precision) if right is not None else None
    if left is None:
        return None
    left = _typed(left, right)
    return and_(includes(left, right, precision), not_(same_as(left, right, precision)))


def proper_included_in(left: Any, right: Interval | None, precision: str | None = None) -> bool | None:
    if left is not None and type(left) is not Interval:
        return proper_contains(right, left, precision)
    return proper_includes(right, left, precision) if right is not None else None


def _typed(interval: Interval, other: Interval) -> Interval:
    """The interval, over the other's point type where its own is unknown."""
    if interval.point is not None or other.point is None:
        return interval
    return replace(interval, point=other.point)


def meets_before(left: Interval | None, right: Interval | None, precision: str | None = None) -> bool | None:
    """left ends immediately before right starts."""
    last, first = end(left), start(right)
    if last is None or first is None:
        return None
    following = step_forward(to_precision(last, precision))
    return False if following is None else ordering.same(following, first, precision)


def to_precision(value: Any, precision: str | None) -> Any:
    """A time without what is finer than the precision; anything else as it is."""
    if precision is None or type(value) not in TIMES:
        return value
    return truncated(value, depth(value, precision))


def truncated(value: Temporal, known: int) -> Temporal:
    """A time with at most so many fields."""
    if isinstance(value, DateTime):
        return DateTime(value.fields[:known], value.offset)
    return (Date if isinstance(value, Date) else Time)(value.fields[:known])


def meets_after(left: Interval | None, right: Interval | None, precision: str | None = None) -> bool | None:
    """left starts immediately after right ends."""
    return meets_before(right, left, precision)


def meets(left: Interval | None, right: Interval | None, precision: str | None = None) -> bool | None:
    return or_(meets_before(left, right, precision), meets_before(right, left, precision))


def overlaps(left: Interval | None, right: Interval | None, precision: str | None = None) -> bool | None:
    """Whether the two have a point in common."""
    return and_(at_most(start(left), end(right), precision), at_most(start(right), end(left), precision))


def overlaps_before(
    left: Interval | None, right: Interval | None, precision: str | None = None
) -> bool | None:
    """Whether left overlaps right and starts before it."""
    return and_(overlaps(left, right, precision), less(start(left), start(right), precision))


def overlaps_after(
    left: Interval | None, right: Interval | None, precision: str | None = None
) -> bool | None:
    """Whether left overlaps right and ends after it."""
    return and_(overlaps(left, right, precision), less(end(right), end(left), precision))


def starts(left: Interval | None, right: Interval | None, precision: str | None = None) -> bool | None:
    """Whether both start at one point and left ends no later."""
    return and_(
        ordering.same(start(left), start(right), precision), at_most(end(left), end(right), precision)
    )


def ends(left: Interval | None, right: Interval | None, precision: str | None = None) -> bool | None:
    """Whether both end at one point and left starts no earlier."""
    return and_(
        at_most(start(right), start(left), precision), ordering.same(end(left), end(right), precision)
    )
