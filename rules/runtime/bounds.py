"""Least and greatest values, the next and the one before, and boundaries of imprecise values.

https://cql.hl7.org/09-b-cqlreference.html#arithmetic-operators-4
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any, Final

from rules.runtime.calendar import shift
from rules.runtime.decimals import CONTEXT, DECIMAL_MAX, DECIMAL_MIN, PLACES, STEP, places
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import Uncertainty, certain
from rules.runtime.temporal import HIGHEST, LOWEST, WIDTH, Date, DateTime, Temporal, Time, high, low
from rules.runtime.values import INTEGER_MAX, INTEGER_MIN, LONG_MAX, LONG_MIN, Long, Quantity

_LEAST: Final[dict[str, Any]] = {
    "Integer": INTEGER_MIN,
    "Long": Long(LONG_MIN),
    "Decimal": DECIMAL_MIN,
    "Quantity": Quantity(DECIMAL_MIN),
    "Date": Date(LOWEST[:3]),
    "DateTime": DateTime(LOWEST, 0),
    "Time": Time(LOWEST[3:]),
}
_GREATEST: Final[dict[str, Any]] = {
    "Integer": INTEGER_MAX,
    "Long": Long(LONG_MAX),
    "Decimal": DECIMAL_MAX,
    "Quantity": Quantity(DECIMAL_MAX),
    "Date": Date(HIGHEST[:3]),
    "DateTime": DateTime(HIGHEST, 0),
    "Time": Time(HIGHEST[3:]),
}
_NAMES: Final[dict[type, str]] = {
    int: "Integer",
    Long: "Long",
    Decimal: "Decimal",
    Quantity: "Quantity",
    Date: "Date",
    DateTime: "DateTime",
    Time: "Time",
    str: "String",
}


def point_type(value: Any) -> str | None:
    """The name of a point's type, or None for null and what is no point."""
    kind: Any = type(value.low) if type(value) is Uncertainty else type(value)
    return _NAMES.get(kind)


def minimum(name: str) -> Any:
    """The least value of a type. Raises EvaluationError where it has none."""
    return _extreme(_LEAST, name)


def maximum(name: str) -> Any:
    """The greatest value of a type. Raises EvaluationError where it has none."""
    return _extreme(_GREATEST, name)


def _extreme(values: dict[str, Any], name: str) -> Any:
    if name not in values:
        raise EvaluationError(f"{name} has no least or greatest value")
    return values[name]


def successor(value: Any) -> Any:
    """The next value. Raises EvaluationError after the greatest."""
    return _stepped(value, 1, "successor")


def predecessor(value: Any) -> Any:
    """The value before. Raises EvaluationError before the least."""
    return _stepped(value, -1, "predecessor")


def _stepped(value: Any, sign: int, name: str) -> Any:
    if value is None:
        return None
    found = _step(value, sign)
    if found is None:
        raise EvaluationError(f"there is no {name} of this value in its type")
    return found


def step_forward(value: Any) -> Any:
    """The next value, or None after the greatest."""
    return None if value is None else _step(value, 1)


def step_back(value: Any) -> Any:
    """The value before, or None before the least."""
    return None if value is None else _step(value, -1)


def _step(value: Any, sign: int) -> Any:
    kind = type(value)
    if kind is Uncertainty:
        # The greatest value has no successor, but the others it may be have one; so with the least.
        low, high = _step(value.low, sign), _step(value.high, sign)
        return Uncertainty(value.low if low is None else low, value.high if high is None else high)
    step = _STEPS.get(kind)
    if step is None:
        raise EvaluationError(f"{kind.__name__} has no successor")
    return step(value, sign)


def _step_integer(value: int, sign: int) -> int | None:
    return value + sign if INTEGER_MIN <= value + sign <= INTEGER_MAX else None


def _step_long(value: Long, sign: int) -> Long | None:
    return Long(value + sign) if LONG_MIN <= value + sign <= LONG_MAX else None


def _step_decimal(value: Decimal, sign: int) -> Decimal | None:
    found = CONTEXT.add(value, STEP * sign)
    return found if DECIMAL_MIN <= found <= DECIMAL_MAX else None


def _step_quantity(value: Quantity, sign: int) -> Quantity | None:
    found = _step_decimal(value.value, sign)
    return None if found is None else Quantity(found, value.unit)


def _step_time(value: Temporal, sign: int) -> Temporal | None:
    if isinstance(value, Time):
        edge = (HIGHEST if sign > 0 else LOWEST)[3 : 3 + len(value.fields)]
        if value.fields == edge:
            return None
    try:
        return shift(value, sign, value.precision)  # type: ignore[type-var]
    except EvaluationError:
        return None


_STEPS: Final[dict[type, Callable[[Any, int], Any]]] = {
    int: _step_integer,
    Long: _step_long,
    Decimal: _step_decimal,
    Quantity: _step_quantity,
    Date: _step_time,
    DateTime: _step_time,
    Time: _step_time,
}
_DIGITS: Final = {Date: (4, 6, 8), DateTime: (4, 6, 8, 10, 12, 14, 17), Time: (2, 4, 6, 9)}


def precision_decimal(value: Decimal | None) -> int | None:
    """How many digits are written after the point."""
    certain(value)
    return None if value is None else places(value)


def precision_times(value: Temporal | None) -> int | None:
    """How many digits the known fields have: 4 for a year, 17 for a whole DateTime, 9 for a whole Time."""
    certain(value)
    return None if value is None else _DIGITS[type(value)][len(value.fields) - 1]


def low_boundary_decimal(value: Decimal | None, precision: int | None = None) -> Decimal | None:
    """The least Decimal with `precision` (default 8) places that begins with the value's digits.

    So the suite of CQL 1.5 has it (1.587 is at least 1.58700000), where FHIRPath takes half a digit off.
    """
    return _boundary(value, precision, ROUND_FLOOR)


def high_boundary_decimal(value: Decimal | None, precision: int | None = None) -> Decimal | None:
    """The greatest Decimal with `precision` (default 8) places that begins with the value's digits."""
    return _boundary(value, precision, ROUND_CEILING)


def _boundary(value: Decimal | None, precision: int | None, side: str) -> Decimal | None:
    certain(value, precision)
    digits = PLACES if precision is None else precision
    if value is None or not 0 <= digits <= PLACES:
        return None
    step = Decimal(1).scaleb(-digits)
    if digits <= places(value):
        return value.quantize(step, side, CONTEXT)
    if (value < 0) is (side == ROUND_CEILING):
        return CONTEXT.quantize(value, step)
    width = CONTEXT.subtract(Decimal(1).scaleb(-places(value)), step)
    return CONTEXT.add(CONTEXT.quantize(value, step), width.copy_sign(value))


def low_boundary_times(value: Temporal | None, precision: int | None = None) -> Temporal | None:
    """The earliest moment the value may be, to `precision` digits (4 for a year, 17 for all)."""
    return _boundary_times(value, precision, low)


def high_boundary_times(value: Temporal | None, precision: int | None = None) -> Temporal | None:
    """The latest moment the value may be, to `precision` digits."""
    return _boundary_times(value, precision, high)


def _boundary_times(
    value: Temporal | None, precision: int | None, edge: Callable[[Temporal], tuple[int, ...]]
) -> Temporal | None:
    if value is None:
        return None
    certain(value, precision)
    digits = _DIGITS[type(value)]
    if precision is not None and precision not in digits:
        return None
    known = WIDTH[type(value)] if precision is None else digits.index(precision) + 1
    fields = edge(value)[:known]
    return DateTime(fields, value.offset) if isinstance(value, DateTime) else type(value)(fields)
