"""Arithmetic and conversion of quantities (https://cql.hl7.org/02-authorsguide.html#quantity-operators).

What has no common unit, or cannot be represented, is null.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Final

from rules.runtime import arithmetic, ordering
from rules.runtime.context import current
from rules.runtime.units import same_unit
from rules.runtime.values import Quantity, Ratio

_ONE: Final = Decimal(1)
_Operation = Callable[[Decimal | None, Decimal | None], Decimal | None]


def _made(value: Decimal | None, unit: str | None) -> Quantity | None:
    return None if value is None or unit is None else Quantity(value, unit)


def add_quantity(left: Quantity | None, right: Quantity | None) -> Quantity | None:
    """The sum in the smaller of the two units."""
    return _summed(arithmetic.add_decimal, left, right)


def subtract_quantity(left: Quantity | None, right: Quantity | None) -> Quantity | None:
    """The difference in the smaller of the two units."""
    return _summed(arithmetic.subtract_decimal, left, right)


def _summed(operation: _Operation, left: Quantity | None, right: Quantity | None) -> Quantity | None:
    if left is None or right is None:
        return None
    if same_unit(left.unit, right.unit):
        return _made(operation(left.value, right.value), left.unit)
    if ordering.aligned(left, right) is None:
        return None
    factor = current().units.convert(_ONE, left.unit, right.unit)
    unit = left.unit if factor is not None and factor <= 1 else right.unit
    mine, its = convert_quantity(left, unit), convert_quantity(right, unit)
    return None if mine is None or its is None else _made(operation(mine.value, its.value), unit)


def multiply_quantity(left: Quantity | None, right: Quantity | None) -> Quantity | None:
    if left is None or right is None:
        return None
    unit = right.unit if left.unit in ("", "1") else current().units.product(left.unit, right.unit)
    return _made(arithmetic.multiply_decimal(left.value, right.value), unit)


def divide_quantity(left: Quantity | None, right: Quantity | None) -> Quantity | None:
    """The quotient; quantities of one dimension divide to a number."""
    if left is None or right is None:
        return None
    values = ordering.aligned(left, right)
    if values is not None:
        return _made(arithmetic.divide_decimal(*values), "1")
    unit = current().units.quotient(left.unit, right.unit)
    return _made(arithmetic.divide_decimal(left.value, right.value), unit)


def scale_quantity(value: Quantity | None, factor: Decimal | None) -> Quantity | None:
    """The product with a number."""
    return None if value is None else _made(arithmetic.multiply_decimal(value.value, factor), value.unit)


def scaled_quantity(factor: Decimal | None, value: Quantity | None) -> Quantity | None:
    return scale_quantity(value, factor)


def share_quantity(value: Quantity | None, divisor: Decimal | None) -> Quantity | None:
    """The quotient with a number."""
    return None if value is None else _made(arithmetic.divide_decimal(value.value, divisor), value.unit)


def truncated_divide_quantity(left: Quantity | None, right: Quantity | None) -> Quantity | None:
    """The whole part of the quotient, in the unit of the dividend."""
    return _in_unit_of_left(arithmetic.truncated_divide_decimal, left, right)


def modulo_quantity(left: Quantity | None, right: Quantity | None) -> Quantity | None:
    """The remainder, in the unit of the dividend."""
    return _in_unit_of_left(arithmetic.modulo_decimal, left, right)


def _in_unit_of_left(operation: _Operation, left: Quantity | None, right: Quantity | None) -> Quantity | None:
    if left is None or right is None:
        return None
    values = ordering.aligned(left, right)
    if values is None and right.unit in ("", "1"):
        values = left.value, right.value
    return None if values is None else _made(operation(*values), left.unit)


def negate_quantity(value: Quantity | None) -> Quantity | None:
    return None if value is None else Quantity(-value.value, value.unit)


def abs_quantity(value: Quantity | None) -> Quantity | None:
    return None if value is None else Quantity(abs(value.value), value.unit)


def round_quantity(value: Quantity | None, precision: int | None = None) -> Quantity | None:
    return None if value is None else _made(arithmetic.round_(value.value, precision), value.unit)


def convert_quantity(value: Quantity | None, unit: str | None) -> Quantity | None:
    """The same amount in another unit, or null where that cannot be."""
    if value is None or unit is None:
        return None
    if same_unit(value.unit, unit):
        return Quantity(value.value, unit)
    return _made(current().units.convert(value.value, value.unit, unit), unit)


def can_convert_quantity(value: Quantity | None, unit: str | None) -> bool | None:
    if value is None or unit is None:
        return None
    return convert_quantity(value, unit) is not None


def comparable(left: Quantity | None, right: Quantity | None) -> bool | None:
    """Whether two quantities measure the same thing."""
    return None if left is None or right is None else ordering.aligned(left, right) is not None


def ratio_to_quantity(value: Ratio | None) -> Quantity | None:
    return None if value is None else divide_quantity(value.numerator, value.denominator)
