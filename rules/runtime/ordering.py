"""Before, after or the same: numbers, text, partial times, quantities, and values known only within bounds.

https://cql.hl7.org/05-languagesemantics.html#uncertainty
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeAlias

from rules.runtime.context import current
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import DEPTH, Date, DateTime, Temporal, Time, at_offset, depth
from rules.runtime.units import CALENDAR, period_of, same_unit
from rules.runtime.values import Long, Quantity

PLAIN: Final = frozenset((int, Long, Decimal, str))
TIMES: Final = frozenset((Date, DateTime, Time))
_VARIABLE: Final = ("year", "month")


@dataclass(frozen=True, slots=True, eq=False)
class Uncertainty:
    """A value somewhere from `low` to `high`, both included: comparisons are True, False or None.

    Integers and Decimals may be added, subtracted and multiplied; no other arithmetic is defined.
    """

    low: Any
    high: Any

    @property
    def bounds(self) -> tuple[Any, Any]:
        return (self.low, self.high)

    def __lt__(self, other: Any) -> bool | None:
        return less(self, other)

    def __le__(self, other: Any) -> bool | None:
        return at_most(self, other)

    def __gt__(self, other: Any) -> bool | None:
        return less(other, self)

    def __ge__(self, other: Any) -> bool | None:
        return at_most(other, self)

    def __eq__(self, other: object) -> bool | None:  # type: ignore[override]
        return same(self, other)

    def __ne__(self, other: object) -> bool | None:  # type: ignore[override]
        found = same(self, other)
        return None if found is None else not found

    def __hash__(self) -> int:
        return hash(self.bounds)

    def __neg__(self) -> Any:
        return bounded(-self.high, -self.low)

    def __add__(self, other: Any) -> Any:
        low, high = ends(other)
        return bounded(self.low + low, self.high + high)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        low, high = ends(other)
        return bounded(self.low - high, self.high - low)

    def __rsub__(self, other: Any) -> Any:
        return bounded(other - self.high, other - self.low)

    def __mul__(self, other: Any) -> Any:
        products = [mine * its for mine in self.bounds for its in ends(other)]
        return bounded(min(products), max(products))

    __rmul__ = __mul__

    def _undefined(self, *_: Any) -> Any:
        certain(self)

    __abs__ = __floordiv__ = __rfloordiv__ = __truediv__ = __rtruediv__ = _undefined
    __mod__ = __rmod__ = __pow__ = __rpow__ = __int__ = __index__ = __float__ = _undefined


def bounded(low: Any, high: Any) -> Any:
    """The value itself where the bounds are one, else the uncertainty between them."""
    return low if low == high else Uncertainty(low, high)


def ends(value: Any) -> tuple[Any, Any]:
    """The least and the greatest that the value may be."""
    return value.bounds if type(value) is Uncertainty else (value, value)


def uncertain(*values: Any) -> bool:
    """Whether any of the values is known only within bounds."""
    return any(type(value) is Uncertainty for value in values)


def certain(*values: Any) -> None:
    """Raises EvaluationError where a value is known only within bounds."""
    if uncertain(*values):
        raise EvaluationError("this operator is not defined for a value that is known only within bounds")


def order(left: Any, right: Any, precision: str | None = None) -> int | None:
    """-1, 0 or 1; None where it cannot be known. Neither argument is null or an Uncertainty."""
    kind = type(left)
    compare = _ORDERS.get(kind)
    if compare is not None and compare is _ORDERS.get(type(right)):
        return compare(left, right, precision)
    if kind in PLAIN and (type(right) in PLAIN) and (kind is str) is (type(right) is str):
        return int(left > right) - int(left < right)
    raise EvaluationError(f"{kind.__name__} and {type(right).__name__} have no order")


_SECOND, _MILLISECOND = DEPTH["second"], DEPTH["millisecond"]


def order_times(left: Temporal, right: Temporal, precision: str | None = None) -> int | None:
    """The order of two times, field by field from the coarsest.

    Without a precision: to the last field that either has. Offsets are brought together unless only days
    and coarser are compared.
    """
    if left.first != right.first:
        raise EvaluationError("a time of day and a date have no order")
    mine, its = left.fields, right.fields
    if left.offset != right.offset and (precision is None or DEPTH.get(precision, 0) > 3):
        offset = current().offset
        mine, its = at_offset(left, offset), at_offset(right, offset)
    if precision is not None:
        limit = depth(left, precision)
        mine, its = mine[:limit], its[:limit]
        if mine == its:
            return 0 if len(mine) == limit else None
    known, other = len(mine), len(its)
    if known == other:
        return -1 if mine < its else 1 if mine > its else 0
    if precision is None and min(known, other) == _SECOND and (left.whole or right.whole):
        mine, its = (*mine, 0)[:_MILLISECOND], (*its, 0)[:_MILLISECOND]
        return -1 if mine < its else 1 if mine > its else 0
    if (mine == its[:known]) if known < other else (mine[:other] == its):
        return None
    return -1 if mine < its else 1


def order_quantities(left: Quantity, right: Quantity, _: str | None = None) -> int | None:
    values = aligned(left, right)
    return None if values is None else (values[0] > values[1]) - (values[0] < values[1])


def aligned(left: Quantity, right: Quantity, *, loose: bool = False) -> tuple[Decimal, Decimal] | None:
    """Both values in one unit, or None where that cannot be.

    Calendar years and months stand beside definite durations only where `loose` (for equivalence).
    """
    if same_unit(left.unit, right.unit):
        return left.value, right.value
    if not loose and _variable(left.unit, right.unit):
        return None
    if loose and period_of(left.unit) == period_of(right.unit) is not None:
        return left.value, right.value
    converted = current().units.convert(right.value, right.unit, left.unit)
    return None if converted is None else (left.value, converted)


def _variable(left: str, right: str) -> bool:
    """Whether a calendar year or month meets a duration that is counted otherwise."""
    if left not in CALENDAR and right not in CALENDAR:
        return False
    varies = [period_of(unit) in _VARIABLE for unit in (left, right)]
    return varies[0] is not varies[1] or (varies[0] and (left in CALENDAR) is not (right in CALENDAR))


_ORDERS: Final[dict[type, Callable[[Any, Any, str | None], int | None]]] = {
    Date: order_times,
    DateTime: order_times,
    Time: order_times,
    Quantity: order_quantities,
}


_Answer: TypeAlias = bool | None
_Bounds: TypeAlias = tuple[Any, Any]


def _relation(
    plain: Callable[[Any, Any], bool], of_bounds: Callable[[_Bounds, _Bounds, str | None], _Answer]
) -> Callable[..., _Answer]:
    """A comparison of two points (and a precision of times): null where either is, or it cannot be known.

    `plain` compares what Python can, and an order with 0; `of_bounds` values known only within bounds. What
    can be compared at once is, before anything is called: rules compare readings by the thousand.
    """

    def relation(left: Any, right: Any, precision: str | None = None) -> _Answer:
        kind = type(left)
        if kind is type(right):
            if kind in PLAIN:
                return plain(left, right)
            if kind in TIMES:
                if (
                    precision is None
                    and left.offset == right.offset
                    and len(left.fields) == len(right.fields)
                ):
                    return plain(left.fields, right.fields)
                found = order_times(left, right, precision)
                return None if found is None else plain(found, 0)
            if kind is Quantity and left.unit == right.unit:
                return plain(left.value, right.value)
        if left is None or right is None:
            return None
        if kind is Uncertainty or type(right) is Uncertainty:
            return of_bounds(ends(left), ends(right), precision)
        found = order(left, right, precision)
        return None if found is None else plain(found, 0)

    return relation


def _less(left: _Bounds, right: _Bounds, precision: str | None) -> _Answer:
    if less(left[1], right[0], precision):
        return True
    return False if at_most(right[1], left[0], precision) else None


def _at_most(left: _Bounds, right: _Bounds, precision: str | None) -> _Answer:
    if at_most(left[1], right[0], precision):
        return True
    return False if less(right[1], left[0], precision) else None


def _same(left: _Bounds, right: _Bounds, precision: str | None) -> _Answer:
    if less(left[1], right[0], precision) or less(right[1], left[0], precision):
        return False
    return True if same(left[0], right[1], precision) and same(left[1], right[0], precision) else None


less: Final = _relation(operator.lt, _less)
at_most: Final = _relation(operator.le, _at_most)
same: Final = _relation(operator.eq, _same)
for _name, _function in (("less", less), ("at_most", at_most), ("same", same)):
    _function.__name__ = _name  # as emitted code calls it
