"""Arithmetic of Integer, Long and Decimal (https://cql.hl7.org/09-b-cqlreference.html#arithmetic-operators-4).

What cannot be represented, and division by zero, is null. Uncertainties pass through +, - and *.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, ROUND_HALF_UP, Decimal
from typing import Any, Final

from rules.runtime.decimals import CONTEXT, PLACES, fit, within
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import Uncertainty, certain
from rules.runtime.values import INTEGER_MAX, INTEGER_MIN, LONG_MAX, LONG_MIN, Long

_ONE: Final = Decimal(1)
_LARGEST_POWER: Final = 4096


def _integer(value: Any) -> Any:
    return value if INTEGER_MIN <= value <= INTEGER_MAX else None


def _long(value: Any) -> Any:
    if type(value) is Uncertainty:
        return Uncertainty(Long(value.low), Long(value.high))
    return Long(value) if LONG_MIN <= value <= LONG_MAX else None


def add_integer(left: int | None, right: int | None) -> int | None:
    if left is None or right is None:
        return None
    found = left + right
    return found if INTEGER_MIN <= found <= INTEGER_MAX else None


def add_long(left: int | None, right: int | None) -> Long | None:
    return None if left is None or right is None else _long(left + right)


def add_decimal(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if type(left) is Uncertainty or type(right) is Uncertainty:
        return left + right
    return within(CONTEXT.add(left, right))


def subtract_integer(left: int | None, right: int | None) -> int | None:
    if left is None or right is None:
        return None
    found = left - right
    return found if INTEGER_MIN <= found <= INTEGER_MAX else None


def subtract_long(left: int | None, right: int | None) -> Long | None:
    return None if left is None or right is None else _long(left - right)


def subtract_decimal(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if type(left) is Uncertainty or type(right) is Uncertainty:
        return left - right
    return within(CONTEXT.subtract(left, right))


def multiply_integer(left: int | None, right: int | None) -> int | None:
    return None if left is None or right is None else _integer(left * right)


def multiply_long(left: int | None, right: int | None) -> Long | None:
    return None if left is None or right is None else _long(left * right)


def multiply_decimal(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    if type(left) is Uncertainty or type(right) is Uncertainty:
        return left * right
    return fit(CONTEXT.multiply(left, right))


def divide_decimal(left: Any, right: Any) -> Any:
    if left is None or right is None:
        return None
    certain(left, right)
    return fit(CONTEXT.divide(left, right)) if right else None


def _quotient(left: int, right: int) -> int:
    certain(left, right)
    whole = abs(left) // abs(right)
    return whole if (left < 0) is (right < 0) else -whole


def truncated_divide_integer(left: int | None, right: int | None) -> int | None:
    return None if left is None or not right else _integer(_quotient(left, right))


def truncated_divide_long(left: int | None, right: int | None) -> Long | None:
    return None if left is None or not right else _long(_quotient(left, right))


def truncated_divide_decimal(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    if left is None or not right:
        return None
    certain(left, right)
    whole = CONTEXT.divide_int(left, right)
    return fit(whole.quantize(_ONE, context=CONTEXT)) if whole.is_finite() else None


def modulo_integer(left: int | None, right: int | None) -> int | None:
    """The remainder, with the sign of the dividend."""
    return None if left is None or not right else left - right * _quotient(left, right)


def modulo_long(left: int | None, right: int | None) -> Long | None:
    return None if left is None or not right else Long(left - right * _quotient(left, right))


def modulo_decimal(left: Decimal | None, right: Decimal | None) -> Decimal | None:
    if left is None or not right:
        return None
    certain(left, right)
    found = CONTEXT.remainder(left, right)
    return fit(found) if found.is_finite() else None


def negate_integer(value: int | None) -> int | None:
    return None if value is None else _integer(-value)


def negate_long(value: int | None) -> Long | None:
    return None if value is None else _long(-value)


def negate_decimal(value: Any) -> Any:
    if value is None or type(value) is Uncertainty:
        return None if value is None else -value
    return CONTEXT.minus(value)


def abs_integer(value: int | None) -> int | None:
    return None if value is None else _integer(abs(value))


def abs_long(value: int | None) -> Long | None:
    return None if value is None else _long(abs(value))


def abs_decimal(value: Decimal | None) -> Decimal | None:
    return None if value is None else abs(value)


def ceiling(value: Decimal | None) -> int | None:
    if value is None:
        return None
    certain(value)
    return _integer(int(value.to_integral_value(ROUND_CEILING)))  # type: ignore[no-any-return]


def floor(value: Decimal | None) -> int | None:
    if value is None:
        return None
    certain(value)
    return _integer(int(value.to_integral_value(ROUND_FLOOR)))  # type: ignore[no-any-return]


def truncate(value: Decimal | None) -> int | None:
    if value is None:
        return None
    certain(value)
    return _integer(int(value.to_integral_value(ROUND_DOWN)))  # type: ignore[no-any-return]


def round_(value: Decimal | None, precision: int | None = None) -> Decimal | None:
    """To `precision` (default 0) places, halves away from zero; 8 places and more change nothing."""
    if value is None:
        return None
    certain(value, precision)
    digits = precision or 0
    if digits >= PLACES:
        return fit(value)
    if digits < -30:
        return Decimal(0)
    rounded = value.quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP, CONTEXT)
    return fit(rounded if digits >= 0 else CONTEXT.quantize(rounded, _ONE))


def exp(value: Decimal | None) -> Decimal | None:
    """Raises EvaluationError where the result is too large, as the suite asks."""
    if value is None:
        return None
    certain(value)
    found = fit(CONTEXT.exp(value))
    if found is None:
        raise EvaluationError("Exp: the result cannot be represented")
    return found


def ln(value: Decimal | None) -> Decimal | None:
    """Null for a negative number. Raises EvaluationError for 0, as the suite asks."""
    if value is None:
        return None
    certain(value)
    if value < 0:
        return None
    if not value:
        raise EvaluationError("Ln of 0 is not defined")
    return fit(CONTEXT.ln(value))


def log(value: Decimal | None, base: Decimal | None) -> Decimal | None:
    """Null where either is not positive, or the base is 1."""
    if value is None or base is None:
        return None
    certain(value, base)
    if value <= 0 or base <= 0 or base == 1:
        return None
    return fit(CONTEXT.divide(CONTEXT.ln(value), CONTEXT.ln(base)))


def power_integer(value: int | None, exponent: int | None) -> Any:
    """An Integer, or a Decimal for a negative exponent."""
    return _power(value, exponent, _integer)


def power_long(value: int | None, exponent: int | None) -> Any:
    """A Long, or a Decimal for a negative exponent."""
    return _power(value, exponent, _long)


def _power(value: int | None, exponent: int | None, keep: Any) -> Any:
    if value is None or exponent is None:
        return None
    certain(value, exponent)
    if exponent < 0:
        return power_decimal(Decimal(value), Decimal(exponent))
    if exponent > _LARGEST_POWER and abs(value) > 1:
        return None
    return keep(value ** (exponent if abs(value) > 1 else min(exponent, 2 + exponent % 2)))


def power_decimal(value: Decimal | None, exponent: Decimal | None) -> Decimal | None:
    if value is None or exponent is None:
        return None
    certain(value, exponent)
    if not exponent:
        return _ONE
    found = CONTEXT.power(value, exponent)
    return fit(_shortened(found)) if found.is_finite() else None


def _shortened(value: Decimal) -> Decimal:
    """Without the zeros that a power's full precision leaves, but never with an exponent above 0."""
    short = value.normalize(CONTEXT)
    return CONTEXT.quantize(short, _ONE) if short == short.to_integral_value() and short < 10**28 else short
