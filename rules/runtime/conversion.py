"""Conversions: null where a text is not written as the type wants it.

https://cql.hl7.org/09-b-cqlreference.html#type-operators-1
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from rules.runtime.decimals import CONTEXT, fit, plain
from rules.runtime.ordering import Uncertainty
from rules.runtime.quantities import ratio_to_quantity
from rules.runtime.temporal import Date, DateTime, Time, parse_date, parse_datetime, parse_time, text
from rules.runtime.timing import time_from
from rules.runtime.units import CALENDAR
from rules.runtime.values import (
    INTEGER_MAX,
    INTEGER_MIN,
    LONG_MAX,
    LONG_MIN,
    Code,
    Concept,
    Long,
    Quantity,
    Ratio,
)

_WHOLE: Final = re.compile(r"[+-]?\d+", re.ASCII)
_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?", re.ASCII)
_QUANTITY: Final = re.compile(r"([+-]?\d+(?:\.\d+)?)\s*(?:'([^']*)'|([a-z]+))?", re.ASCII)
_LONGEST_NUMBER: Final = 100
_TRUE: Final = frozenset(("true", "t", "yes", "y", "1"))
_FALSE: Final = frozenset(("false", "f", "no", "n", "0"))


def to_boolean(value: Any) -> bool | None:
    """Of a String (true, t, yes, y, 1 and their opposites, in any case) or a number that is 1 or 0."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.lower()
        return True if word in _TRUE else False if word in _FALSE else None
    if isinstance(value, int | Decimal):
        return True if value == 1 else False if value == 0 else None
    return None


def _whole(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if len(value) <= _LONGEST_NUMBER and _WHOLE.fullmatch(value) else None
    return int(value) if isinstance(value, int) else None


def to_integer(value: Any) -> Any:
    """Of a Boolean, Long or String; null outside the range."""
    if type(value) is Uncertainty:
        return value
    found = _whole(value)
    return found if found is not None and INTEGER_MIN <= found <= INTEGER_MAX else None


def to_long(value: Any) -> Any:
    """Of a Boolean, Integer or String; null outside the range."""
    if type(value) is Uncertainty:
        return Uncertainty(Long(value.low), Long(value.high))
    found = _whole(value)
    return Long(found) if found is not None and LONG_MIN <= found <= LONG_MAX else None


def to_decimal(value: Any) -> Any:
    """Of a Boolean, Integer, Long or String; rounded to 8 places, null outside the range."""
    if type(value) is int:
        return Decimal(value)
    if type(value) is Uncertainty:
        return Uncertainty(Decimal(value.low), Decimal(value.high))
    if isinstance(value, bool):
        return Decimal("1.0") if value else Decimal("0.0")
    if isinstance(value, str):
        return fit(Decimal(value)) if len(value) <= _LONGEST_NUMBER and _NUMBER.fullmatch(value) else None
    if isinstance(value, int):
        return Decimal(value)
    return value if isinstance(value, Decimal) else None


def to_string(value: Any) -> str | None:
    """As it is written in CQL, without the @ of times and the quotes of strings."""
    if value is None or isinstance(value, str):
        return value
    write = _WRITE.get(type(value))
    return None if write is None else write(value)


def _quantity_text(value: Quantity) -> str:
    unit = value.unit if value.unit in CALENDAR else f"'{value.unit}'"
    return f"{value.value:f} {unit}"


_WRITE: Final[dict[type, Callable[[Any], str]]] = {
    bool: lambda value: "true" if value else "false",
    int: str,
    Long: lambda value: str(int(value)),
    Decimal: plain,
    Quantity: _quantity_text,
    Ratio: lambda value: f"{_quantity_text(value.numerator)}:{_quantity_text(value.denominator)}",
    Date: text,
    DateTime: text,
    Time: text,
}


def to_quantity(value: Any) -> Quantity | None:
    """Of a number, a Ratio, or a String such as `5.5 'cm'` or `4 days`."""
    if isinstance(value, Quantity):
        return value
    if isinstance(value, Ratio):
        return ratio_to_quantity(value)
    if isinstance(value, str):
        return _parse_quantity(value.strip())
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Quantity(Decimal(value))
    return None


def _parse_quantity(written: str) -> Quantity | None:
    match = _QUANTITY.fullmatch(written) if len(written) <= 2 * _LONGEST_NUMBER else None
    if match is None or (match[3] and match[3] not in CALENDAR):
        return None
    value = fit(CONTEXT.create_decimal(match[1]))
    return None if value is None else Quantity(value, match[2] or match[3] or "1")


def to_ratio(value: Any) -> Ratio | None:
    """Of a String such as `1.0 'mg':2.0 'mL'`."""
    if isinstance(value, Ratio):
        return value
    if not isinstance(value, str):
        return None
    for at in (index for index, sign in enumerate(value) if sign == ":"):
        above, below = _parse_quantity(value[:at].strip()), _parse_quantity(value[at + 1 :].strip())
        if above is not None and below is not None:
            return Ratio(above, below)
    return None


def to_date(value: Any) -> Date | None:
    """Of a DateTime, or of a String whose time of day is passed over."""
    if isinstance(value, DateTime):
        return Date(value.fields[:3])
    if isinstance(value, str):
        found = parse_date(value)
        if found is None and (whole := parse_datetime(value)) is not None:
            return Date(whole.fields[:3])
        return found
    return value if isinstance(value, Date) else None


def to_date_time(value: Any) -> DateTime | None:
    """Of a String, or of a Date, whose time of day is then unknown."""
    if isinstance(value, Date):
        return DateTime(value.fields)
    if isinstance(value, str):
        return parse_datetime(value)
    return value if isinstance(value, DateTime) else None


def to_time(value: Any) -> Time | None:
    """Of a String, or of a DateTime."""
    if isinstance(value, DateTime):
        return time_from(value)
    if isinstance(value, str):
        return parse_time(value)
    return value if isinstance(value, Time) else None


def to_concept(value: Any) -> Concept | None:
    """Of a Code, whose display it takes, or of a list of codes."""
    if isinstance(value, Code):
        return Concept((value,), value.display)
    if isinstance(value, list):
        return Concept(tuple(code for code in value if code is not None))
    return value if isinstance(value, Concept) else None


def converts(convert: Callable[..., Any]) -> Callable[..., bool | None]:
    """Whether `convert` has a result; null for null."""

    def can(value: Any, *more: Any) -> bool | None:
        return None if value is None else convert(value, *more) is not None

    can.__name__ = convert.__name__.replace("to_", "converts_to_", 1)  # as emitted code shows it
    return can


converts_to_boolean = converts(to_boolean)
converts_to_integer = converts(to_integer)
converts_to_long = converts(to_long)
converts_to_decimal = converts(to_decimal)
converts_to_string = converts(to_string)
converts_to_quantity = converts(to_quantity)
converts_to_ratio = converts(to_ratio)
converts_to_date = converts(to_date)
converts_to_date_time = converts(to_date_time)
converts_to_time = converts(to_time)
