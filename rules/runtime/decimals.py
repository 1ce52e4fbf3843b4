"""CQL's Decimal: 28 digits and 8 places (https://cql.hl7.org/09-b-cqlreference.html#decimal-1).

The suite computes with 28 digits before the point as well, so overflow begins only there.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

CONTEXT: Final = Context(prec=60, rounding=ROUND_HALF_UP, traps=[])
difference: Final = CONTEXT.subtract
PLACES: Final = 8
STEP: Final = Decimal("1E-8")
DECIMAL_MAX: Final = Decimal("99999999999999999999.99999999")
DECIMAL_MIN: Final = -DECIMAL_MAX
_DIGITS: Final = 28
_LARGEST: Final = Decimal(10) ** _DIGITS


def fit(value: Decimal) -> Decimal | None:
    """The value with at most 8 places, halves away from zero; None where it cannot be represented."""
    if not value.is_finite() or not -_LARGEST <= value <= _LARGEST:
        return None
    if not value:
        return value.copy_abs()
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -PLACES:
        return CONTEXT.quantize(value, STEP)
    return value


def within(value: Decimal) -> Decimal | None:
    """The value; None where it cannot be represented. For results with no more places than the operands."""
    return value if value.adjusted() < _DIGITS else fit(value)


def places(value: Decimal) -> int:
    """How many digits are written after the point."""
    exponent = value.as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def plain(value: Decimal) -> str:
    """The value without an exponent, with at least one digit after the point: `1.0`, `18.55`."""
    text = f"{value:f}"
    return text if "." in text else text + ".0"
