"""Arithmetic and mathematics: the operations of rules.runtime, chosen by what the values are.

https://hl7.org/fhirpath/N1/#math, #datetime-arithmetic. What cannot be represented is None, as is anything of
None; values that an operation is not defined for raise EvaluationError.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal
from typing import Any, Final

from rules.runtime import arithmetic, calendar, quantities
from rules.runtime.decimals import CONTEXT, fit
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import TIMES
from rules.runtime.values import Long, Quantity

_LONGEST: Final = 1_000_000
_WHOLE: Final = (int, Long)

_Operation = Callable[[Any, Any], Any]


def sized(text: str) -> str:
    """The text. Raises EvaluationError where it has grown too long."""
    if len(text) > _LONGEST:
        raise EvaluationError(f"a text has more than {_LONGEST} characters")
    return text


def bounded(items: list[Any]) -> list[Any]:
    """The items. Raises EvaluationError where they have become too many."""
    if len(items) > _LONGEST:
        raise EvaluationError(f"a collection has more than {_LONGEST} items")
    return items


def _undefined(name: str, *values: Any) -> EvaluationError:
    kinds = " and ".join(value.__class__.__name__ for value in values)
    return EvaluationError(f"{name} is not defined for {kinds}")


def _binary(
    called: str,
    name: str,
    integer: _Operation,
    long: _Operation,
    decimal: _Operation,
    quantity: _Operation | None,
) -> _Operation:
    """An operation of two numbers or quantities; a number meets a Quantity as one of unit '1'."""

    def operation(left: Any, right: Any) -> Any:
        if left is None or right is None:
            return None
        kind, other = left.__class__, right.__class__
        if kind is int and other is int:
            return integer(left, right)
        if kind in _WHOLE and other in _WHOLE:
            return long(left, right)
        if kind in (*_WHOLE, Decimal) and other in (*_WHOLE, Decimal):
            return decimal(Decimal(left), Decimal(right))
        if quantity is not None and Quantity in (kind, other):
            mine, its = _quantity(left), _quantity(right)
            if mine is not None and its is not None:
                return quantity(mine, its)
        raise _undefined(name, left, right)

    operation.__name__ = called
    return operation


def _quantity(value: Any) -> Quantity | None:
    if value.__class__ in (*_WHOLE, Decimal):
        return Quantity(Decimal(value))
    return value if value.__class__ is Quantity else None


def _whole_division(left: Decimal, right: Decimal) -> int | None:
    found = arithmetic.truncated_divide_decimal(left, right)
    return None if found is None else arithmetic.truncate(found)


def _decimal_division(left: Any, right: Any) -> Any:
    return arithmetic.divide_decimal(Decimal(left), Decimal(right))


_add = _binary(
    "add_numbers",
    "+",
    arithmetic.add_integer,
    arithmetic.add_long,
    arithmetic.add_decimal,
    quantities.add_quantity,
)
_subtract = _binary(
    "subtract_numbers",
    "-",
    arithmetic.subtract_integer,
    arithmetic.subtract_long,
    arithmetic.subtract_decimal,
    quantities.subtract_quantity,
)
multiply = _binary(
    "multiply",
    "*",
    arithmetic.multiply_integer,
    arithmetic.multiply_long,
    arithmetic.multiply_decimal,
    quantities.multiply_quantity,
)
divide = _binary(
    "divide", "/", _decimal_division, _decimal_division, _decimal_division, quantities.divide_quantity
)
whole_divide = _binary(
    "whole_divide",
    "div",
    arithmetic.truncated_divide_integer,
    arithmetic.truncated_divide_long,
    _whole_division,
    None,
)
modulo = _binary(
    "modulo", "mod", arithmetic.modulo_integer, arithmetic.modulo_long, arithmetic.modulo_decimal, None
)


def add(left: Any, right: Any) -> Any:
    """`+` of numbers, quantities, strings, and of a time and a duration."""
    if left.__class__ is str and right.__class__ is str:
        return sized(left + right)
    if left.__class__ in TIMES and right.__class__ is Quantity:
        return calendar.add(left, _duration(right))
    return _add(left, right)


def subtract(left: Any, right: Any) -> Any:
    """`-` of numbers, quantities, and of a time and a duration."""
    if left.__class__ in TIMES and right.__class__ is Quantity:
        return calendar.subtract(left, _duration(right))
    return _subtract(left, right)


def _duration(value: Quantity) -> Quantity:
    """UCUM's seconds are added whole, as the suite has it; calendar seconds keep their fraction."""
    if value.unit == "s":
        return Quantity(value.value.to_integral_value(ROUND_DOWN), value.unit)
    return value


def concatenate(left: Any, right: Any) -> str:
    """`&`: nothing is the empty string."""
    if left.__class__ not in (str, type(None)) or right.__class__ not in (str, type(None)):
        raise _undefined("&", left, right)
    return sized((left or "") + (right or ""))


def negate(value: Any) -> Any:
    if value is None:
        return None
    if value.__class__ is int:
        return arithmetic.negate_integer(value)
    if value.__class__ is Long:
        return arithmetic.negate_long(value)
    if value.__class__ is Decimal:
        return arithmetic.negate_decimal(value)
    if value.__class__ is Quantity:
        return quantities.negate_quantity(value)
    raise _undefined("-", value)


def positive(value: Any) -> Any:
    if value is not None and value.__class__ not in (int, Long, Decimal, Quantity):
        raise _undefined("+", value)
    return value


# Functions


def _number(name: str, value: Any) -> Any:
    if value is not None and value.__class__ not in (int, Long, Decimal):
        raise _undefined(f"{name}()", value)
    return value


def absolute(value: Any) -> Any:
    if value.__class__ is Quantity:
        return quantities.abs_quantity(value)
    if _number("abs", value) is None:
        return None
    return abs(value) if value.__class__ is Decimal else negate(value) if value < 0 else value


def _to_whole(name: str, operation: Callable[[Decimal], int | None]) -> Callable[[Any], Any]:
    def function(value: Any) -> Any:
        if _number(name, value) is None:
            return None
        return operation(value) if value.__class__ is Decimal else value

    function.__name__ = name
    return function


ceiling = _to_whole("ceiling", arithmetic.ceiling)
floor = _to_whole("floor", arithmetic.floor)
truncate = _to_whole("truncate", arithmetic.truncate)


def exp(value: Any) -> Any:
    return None if _number("exp", value) is None else arithmetic.exp(Decimal(value))


def ln(value: Any) -> Any:
    if _number("ln", value) is None or value <= 0:
        return None
    return arithmetic.ln(Decimal(value))


def log(value: Any, base: Any) -> Any:
    if _number("log", value) is None or _number("log", base) is None:
        return None
    return arithmetic.log(Decimal(value), Decimal(base))


def power(value: Any, exponent: Any) -> Any:
    if _number("power", value) is None or _number("power", exponent) is None:
        return None
    if value.__class__ is int and exponent.__class__ is int:
        return arithmetic.power_integer(value, exponent)
    return arithmetic.power_decimal(Decimal(value), Decimal(exponent))


def round_(value: Any, precision: Any = None) -> Any:
    """Raises EvaluationError for a negative precision."""
    if precision is not None and (precision.__class__ is not int or precision < 0):
        raise EvaluationError("round() takes a precision of 0 or more")
    return None if _number("round", value) is None else arithmetic.round_(Decimal(value), precision)


def sqrt(value: Any) -> Any:
    if _number("sqrt", value) is None or value < 0:
        return None
    return fit(CONTEXT.sqrt(Decimal(value)))


def comparable(left: Any, right: Any) -> bool | None:
    """Whether two quantities can be compared."""
    if left is None or right is None:
        return None
    if left.__class__ is not Quantity or right.__class__ is not Quantity:
        raise _undefined("comparable()", left, right)
    return quantities.comparable(left, right)
