"""How exactly a value is known: precision, and the bounds between which it lies.

https://hl7.org/fhirpath/#lowboundaryprecision-integer-decimal--date--datetime--time. A Decimal stands for all
values that round to it: 1.587 is from 1.5865 to 1.5875. A DateTime without an offset may be of any time zone.
"""

from __future__ import annotations

from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any, Final

from rules.runtime import bounds
from rules.runtime.decimals import CONTEXT, places
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import Date, DateTime, Time
from rules.runtime.values import Long, Quantity

_MOST_PLACES: Final = 28
_PLACES: Final = 8
_FIRST_OFFSET: Final = 14 * 60
_LAST_OFFSET: Final = -12 * 60
_HOUR: Final = 4


def precision(value: Any) -> int | None:
    """Digits after the point of a number; digits of a time as far as it is known."""
    if value is None:
        return None
    if value.__class__ in (int, Long, Decimal):
        return places(Decimal(value))
    if value.__class__ in (Date, DateTime, Time):
        return bounds.precision_times(value)
    raise EvaluationError("precision() is for numbers, dates and times")


def low_boundary(value: Any, digits: int | None = None) -> Any:
    """The least that the value may be, to so many digits; None where there are no such digits."""
    return _boundary(value, digits, -1)


def high_boundary(value: Any, digits: int | None = None) -> Any:
    """The greatest that the value may be, to so many digits; None where there are no such digits."""
    return _boundary(value, digits, 1)


def _boundary(value: Any, digits: int | None, side: int) -> Any:
    if value is None:
        return None
    if value.__class__ in (int, Long, Decimal):
        return _of_decimal(Decimal(value), digits, side)
    if value.__class__ is Quantity:
        found = _of_decimal(value.value, digits, side)
        return None if found is None else Quantity(found, value.unit)
    if value.__class__ in (Date, Time):
        return (bounds.low_boundary_times if side < 0 else bounds.high_boundary_times)(value, digits)
    if value.__class__ is DateTime:
        return _of_date_time(value, digits, side)
    raise EvaluationError("boundaries are of numbers, quantities, dates and times")


def _of_decimal(value: Decimal, digits: int | None, side: int) -> Decimal | None:
    """With fewer digits than the value has: cut off towards zero, rounded away from it (so the suite)."""
    wanted = _PLACES if digits is None else digits
    if not 0 <= wanted <= _MOST_PLACES:
        return None
    half = Decimal(5).scaleb(-places(value) - 1)
    edge = CONTEXT.add(value, half) if side > 0 else CONTEXT.subtract(value, half)
    outwards = (edge > 0) is (side > 0)
    return (
        CONTEXT.quantize(edge, Decimal(1).scaleb(-wanted))
        if wanted >= places(edge)
        else edge.quantize(Decimal(1).scaleb(-wanted), ROUND_HALF_UP if outwards else ROUND_DOWN, CONTEXT)
    )


def _of_date_time(value: DateTime, digits: int | None, side: int) -> DateTime | Date | None:
    """An hour alone is the full hour, as FHIR has no time without minutes."""
    if len(value.fields) == _HOUR:
        value = DateTime((*value.fields, 0), value.offset)
    found = (bounds.low_boundary_times if side < 0 else bounds.high_boundary_times)(value, digits)
    if found is None or len(found.fields) < _HOUR:
        return found if found is None else DateTime(found.fields)
    offset = value.offset
    if offset is None:
        offset = _FIRST_OFFSET if side < 0 else _LAST_OFFSET
    return DateTime(found.fields, offset)
