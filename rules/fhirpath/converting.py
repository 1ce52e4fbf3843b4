"""The conversion functions: what cannot be converted is nothing, not an error.

https://hl7.org/fhirpath/N1/#conversion
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from rules.runtime import conversion
from rules.runtime.conversion import converts
from rules.runtime.temporal import Date, DateTime, Time
from rules.runtime.values import Long, Quantity

_BOOLEANS: Final = {"1.0": True, "0.0": False}


def to_boolean(value: Any) -> bool | None:
    if value.__class__ is str and value in _BOOLEANS:
        return _BOOLEANS[value]
    return conversion.to_boolean(value)


def to_integer(value: Any) -> int | None:
    found = conversion.to_integer(value)
    return None if found is None else int(found)


def to_long(value: Any) -> Long | None:
    return conversion.to_long(value)  # type: ignore[no-any-return]


def to_decimal(value: Any) -> Decimal | None:
    return conversion.to_decimal(value)  # type: ignore[no-any-return]


def to_string(value: Any) -> str | None:
    """A Decimal has the digits that it was written with."""
    if value.__class__ is Decimal:
        return f"{value:f}"
    return conversion.to_string(value)


def to_quantity(value: Any, unit: str | None = None) -> Quantity | None:
    """With a unit: in that unit, or nothing."""
    if value.__class__ is bool:
        value = Decimal("1.0") if value else Decimal("0.0")
    found = conversion.to_quantity(value) if value.__class__ in (int, Long, Decimal, Quantity, str) else None
    if found is None or unit is None:
        return found
    from rules.runtime.quantities import convert_quantity

    return convert_quantity(found, unit)


def to_date(value: Any) -> Date | None:
    return conversion.to_date(value)


def to_date_time(value: Any) -> DateTime | None:
    return conversion.to_date_time(value)


def to_time(value: Any) -> Time | None:
    return value if value.__class__ is Time else conversion.to_time(value) if value.__class__ is str else None


converts_to_boolean = converts(to_boolean)
converts_to_integer = converts(to_integer)
converts_to_long = converts(to_long)
converts_to_decimal = converts(to_decimal)
converts_to_string = converts(to_string)
converts_to_quantity = converts(to_quantity)
converts_to_date = converts(to_date)
converts_to_date_time = converts(to_date_time)
converts_to_time = converts(to_time)
