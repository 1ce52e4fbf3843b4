"""Adding durations to times (https://cql.hl7.org/05-languagesemantics.html#datetime-arithmetic).

Years and months go by the calendar: the 31st of a shorter month is its last day.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date as civil
from decimal import ROUND_DOWN, Decimal
from typing import Final, TypeVar

from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import (
    DAY,
    DEPTH,
    HIGHEST,
    Date,
    DateTime,
    Fields,
    Temporal,
    Time,
    low,
    milliseconds,
    moment,
)
from rules.runtime.units import CALENDAR, MILLISECONDS, convert_period, period_of
from rules.runtime.values import Quantity

T = TypeVar("T", Date, DateTime, Time)
_DAYS: Final = {"day": 1, "week": 7}
_OUTSIDE: Final = "the time would be outside the years 1 to 9999"


def add(value: T | None, duration: Quantity | None) -> T | None:
    """`value` later by `duration`. Raises EvaluationError for other units, and outside years 1-9999."""
    return _moved(value, duration, 1)


def subtract(value: T | None, duration: Quantity | None) -> T | None:
    """`value` earlier by `duration`. Raises EvaluationError for other units, and outside years 1-9999."""
    return _moved(value, duration, -1)


def _moved(value: T | None, duration: Quantity | None, sign: int) -> T | None:
    if value is None or duration is None:
        return None
    period = period_of(duration.unit)
    if period is None or (period in ("year", "month") and duration.unit not in CALENDAR):
        raise EvaluationError(f"a duration in {duration.unit[:20]!r} cannot be added to a time")
    amount = duration.value * sign
    if period == "second" and amount % 1:
        amount, period = amount * 1000, "millisecond"
    return shift(value, _whole(amount), period)


def _whole(amount: Decimal) -> int:
    return int(amount.to_integral_value(ROUND_DOWN))


def shift(value: T, count: int, period: str) -> T:
    """`count` whole periods later; periods finer than the value count in the value's own precision.

    Raises EvaluationError where the type has no such period, or outside the years 1 to 9999.
    """
    own, finest = value.precision, DEPTH.get(period, DEPTH["day"])
    if finest <= value.first or (isinstance(value, Date) and finest > DEPTH["day"]):
        raise EvaluationError(f"{period}s cannot be added to a {type(value).__name__}")
    if finest > DEPTH[own]:
        converted = convert_period(Decimal(count), period, own)
        count, period = (0 if converted is None else _whole(converted)), own
    if period in ("year", "month"):
        fields = add_months(value.fields, count * (12 if period == "year" else 1))
    elif period in _DAYS:
        fields = _add_days(value.fields, count * _DAYS[period])
    else:
        fields = _add_milliseconds(value, count * MILLISECONDS[period])
    return DateTime(fields, value.offset, value.whole) if isinstance(value, DateTime) else type(value)(fields)


def add_months(fields: Fields, count: int) -> Fields:
    """The fields (year, …) so many months later, on the last day of a shorter month."""
    months = fields[0] * 12 + (fields[1] - 1 if len(fields) > 1 else 0) + count
    year, month = months // 12, months % 12 + 1
    if not 1 <= year <= HIGHEST[0]:
        raise EvaluationError(_OUTSIDE)
    day = tuple(min(day, monthrange(year, month)[1]) for day in fields[2:3])
    return (year, *((month,) if len(fields) > 1 else ()), *day, *fields[3:])


def _add_days(fields: Fields, count: int) -> Fields:
    try:
        day = civil.fromordinal(civil(*fields[:3]).toordinal() + count)
    except (OverflowError, ValueError):
        raise EvaluationError(_OUTSIDE) from None
    return (day.year, day.month, day.day, *fields[3:])


def _add_milliseconds(value: Temporal, count: int) -> Fields:
    known = len(value.fields)
    if isinstance(value, Time):
        return moment((milliseconds((1, 1, 1, *low(value))) + count) % DAY + DAY)[3 : 3 + known]
    try:
        return moment(milliseconds((*low(value), 0, 0, 0, 0)[:7]) + count)[:known]
    except (OverflowError, ValueError):
        raise EvaluationError(_OUTSIDE) from None
