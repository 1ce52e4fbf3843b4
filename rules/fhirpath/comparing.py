"""Equality, equivalence, order and sets of items.

https://hl7.org/fhirpath/N1/#equality, #comparison, #collections-2. A date without an offset may be of any
time zone, so that its order with one that has an offset is often unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cmp_to_key
from typing import Any, Final

from rules.fhirpath.elements import Element, plain
from rules.runtime import comparison, ordering
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import TIMES, order_times
from rules.runtime.temporal import Date, DateTime, Temporal, Time, high, low, milliseconds
from rules.runtime.values import Long, Quantity

_NUMBERS: Final = frozenset((int, Long, Decimal))
_WEST, _EAST = 12 * 3_600_000, 14 * 3_600_000


def equal(left: Any, right: Any) -> bool | None:
    """`=` of two values."""
    if left is None or right is None:
        return None
    kind, other = left.__class__, right.__class__
    if kind is other and (kind is str or kind is bool):
        return left == right  # type: ignore[no-any-return]
    if kind in _NUMBERS and other in _NUMBERS:
        return left == right  # type: ignore[no-any-return]
    if kind in TIMES and other in TIMES:
        return _equal_times(left, right)
    if Quantity in (kind, other):
        mine, its = _quantity(left), _quantity(right)
        return False if mine is None or its is None else comparison.equal_quantity(mine, its)
    return kind is other and frozen(left) == frozen(right)


def _quantity(value: Any) -> Quantity | None:
    if isinstance(value, int | Decimal) and value.__class__ is not bool:
        return Quantity(Decimal(value))
    return value if isinstance(value, Quantity) else None


def _equal_times(left: Temporal, right: Temporal) -> bool | None:
    if left.first != right.first:
        return False
    found = _order_times(left, right)
    return None if found is None else found == 0


def unequal(left: Any, right: Any) -> bool | None:
    found = equal(left, right)
    return None if found is None else not found


def equal_lists(left: list[Any], right: list[Any]) -> bool | None:
    """`=` of two collections: item by item, in order."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    result: bool | None = True
    for mine, its in zip(left, right, strict=True):
        found = equal(mine, its)
        if found is False:
            return False
        if found is None:
            result = None
    return result


def unequal_lists(left: list[Any], right: list[Any]) -> bool | None:
    found = equal_lists(left, right)
    return None if found is None else not found


def equivalent(left: Any, right: Any) -> bool:
    """`~` of two values, or of nothing (None)."""
    if left is None or right is None:
        return left is right
    kind, other = left.__class__, right.__class__
    if kind in TIMES and other in TIMES:
        return left.first == right.first and _order_times(left, right) == 0
    if kind in _NUMBERS and other in _NUMBERS:
        return comparison.equivalent_decimal(Decimal(left), Decimal(right))
    if Quantity in (kind, other):
        mine, its = _quantity(left), _quantity(right)
        return mine is not None and its is not None and comparison.equivalent_quantity(mine, its)
    if kind is not other:
        return False
    if kind is str:
        return comparison.equivalent_string(left, right)
    if kind is dict:
        names = {name for name in (*left, *right) if name != "id"}
        return all(equivalent(left.get(name), right.get(name)) for name in names)
    if kind is list:
        return equivalent_lists(left, right)
    return left == right  # type: ignore[no-any-return]


def equivalent_lists(left: list[Any], right: list[Any]) -> bool:
    """`~` of two collections: the same items in any order."""
    if len(left) != len(right):
        return False
    rest = list(right)
    for item in left:
        for at, other in enumerate(rest):
            if equivalent(item, other):
                del rest[at]
                break
        else:
            return False
    return True


# Order


def order(left: Any, right: Any) -> int | None:
    """-1, 0 or 1; None where it cannot be known. Raises EvaluationError where there is no order."""
    kind, other = left.__class__, right.__class__
    if (kind is str and other is str) or (kind in _NUMBERS and other in _NUMBERS):
        return int(left > right) - int(left < right)
    if kind in TIMES and other in TIMES:
        return _order_times(left, right)
    if Quantity in (kind, other):
        mine, its = _quantity(left), _quantity(right)
        if mine is not None and its is not None:
            return ordering.order_quantities(mine, its)
    raise EvaluationError(f"a {kind.__name__} and a {other.__name__} have no order")


def _order_times(left: Temporal, right: Temporal) -> int | None:
    if left.offset == right.offset and left.first == right.first and len(left.fields) == len(right.fields):
        return (left.fields > right.fields) - (left.fields < right.fields)
    left, right = _to_seconds(left), _to_seconds(right)
    if left.first == right.first and (left.offset is None) is not (right.offset is None):
        return _order_across_zones(left, right)
    return order_times(left, right)


def _to_seconds(value: Temporal) -> Temporal:
    """Seconds and milliseconds are one precision: a value to the second is one to the millisecond."""
    if len(value.fields) + value.first != 6 or value.__class__ is Date:
        return value
    fields = (*value.fields, 0)
    return DateTime(fields, value.offset) if isinstance(value, DateTime) else Time(fields)


def _order_across_zones(left: Temporal, right: Temporal) -> int | None:
    """One has an offset; the other may be of any, and its moments lie that much further apart."""
    (least, most), (its_least, its_most) = _moments(left), _moments(right)
    if most < its_least:
        return -1
    return 1 if least > its_most else None


def _moments(value: Temporal) -> tuple[int, int]:
    least = milliseconds((*low(value), 0, 0, 0, 0)[:7])
    most = milliseconds((*high(value), 23, 59, 59, 999)[:7])
    if value.offset is None:
        return least - _EAST, most + _WEST
    return least - value.offset * 60_000, most - value.offset * 60_000


def less(left: Any, right: Any) -> bool | None:
    found = None if left is None or right is None else order(left, right)
    return None if found is None else found < 0


def at_most(left: Any, right: Any) -> bool | None:
    found = None if left is None or right is None else order(left, right)
    return None if found is None else found <= 0


def greater(left: Any, right: Any) -> bool | None:
    found = None if left is None or right is None else order(left, right)
    return None if found is None else found > 0


def at_least(left: Any, right: Any) -> bool | None:
    found = None if left is None or right is None else order(left, right)
    return None if found is None else found >= 0


def sorted_by(rows: list[tuple[Any, ...]], descending: tuple[bool, ...]) -> list[Any]:
    """The last of each row, sorted by those before it; nothing comes first, whichever the direction."""

    def compare(left: tuple[Any, ...], right: tuple[Any, ...]) -> int:
        for mine, its, down in zip(left, right, descending, strict=False):
            if mine is None or its is None:
                found = int(mine is not None) - int(its is not None)
            else:
                found = (order(mine, its) or 0) * (-1 if down else 1)
            if found:
                return found
        return 0

    return [row[-1] for row in sorted(rows, key=cmp_to_key(compare))]


# Sets of items


def frozen(value: Any) -> Any:
    """A hashable stand-in for JSON: the same for two values if and only if they are equal."""
    if value.__class__ is dict:
        return frozenset((name, frozen(part)) for name, part in value.items() if part is not None)
    if value.__class__ is list:
        return tuple(map(frozen, value))
    return (value.__class__ is bool, value)


class Seen:
    """Values of which no two are equal. Times and quantities are compared, the others looked up."""

    __slots__ = ("compared", "looked_up")

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.looked_up: set[Any] = set()
        self.compared: list[Any] = []
        for value in values:
            self.add(value)

    def __contains__(self, value: Any) -> bool:
        if value.__class__ in TIMES or value.__class__ is Quantity:
            return any(equal(value, other) is True for other in self.compared)
        return frozen(value) in self.looked_up

    def add(self, value: Any) -> bool:
        """Whether it was not there yet."""
        if value in self:
            return False
        if value.__class__ in TIMES or value.__class__ is Quantity:
            self.compared.append(value)
        else:
            self.looked_up.add(frozen(value))
        return True


Convert = Callable[[Any], Any]


def _value(item: Any, convert: Convert) -> Any:
    """What an item is compared by; `convert` is for items that are no Elements."""
    if item.__class__ is Element:
        return plain(item) if item.value is not None else item.extra
    return convert(item)


def distinct(items: list[Any], convert: Convert) -> list[Any]:
    seen = Seen()
    return [item for item in items if seen.add(_value(item, convert))]


def is_distinct(items: list[Any], convert: Convert) -> bool:
    seen = Seen()
    return all(seen.add(_value(item, convert)) for item in items)


def intersect(left: list[Any], right: list[Any], convert: Convert) -> list[Any]:
    wanted = Seen(_value(item, convert) for item in right)
    return [item for item in distinct(left, convert) if _value(item, convert) in wanted]


def exclude(left: list[Any], right: list[Any], convert: Convert) -> list[Any]:
    unwanted = Seen(_value(item, convert) for item in right)
    return [item for item in left if _value(item, convert) not in unwanted]


def subset(left: list[Any], right: list[Any], convert: Convert) -> bool:
    """Whether every item of the left is in the right."""
    wanted = Seen(_value(item, convert) for item in right)
    return all(_value(item, convert) in wanted for item in left)


def among(value: Any, items: list[Any]) -> bool | None:
    """`in`: None where there is no value to look for."""
    if value is None:
        return None
    return any(equal(value, item) is True for item in items)


class Repeated:
    """The items of repeat(): to be walked once, growing meanwhile; an item equal to another comes once."""

    __slots__ = ("found", "length", "seen", "start")
    MOST: Final = 100_000
    LONGEST: Final = 10_000_000

    def __init__(self, start: list[Any]) -> None:
        self.start = start
        self.found: list[Any] = []
        self.seen = Seen()
        self.length = 0  # of all strings together

    def __iter__(self) -> Any:
        yield from self.start
        yield from self.found

    def add(self, item: Any) -> None:
        """Raises EvaluationError where there are too many."""
        if self.seen.add(_value(item, plain)):
            self.found.append(item)
            if item.__class__ is str:
                self.length += len(item)
            if len(self.found) > self.MOST or self.length > self.LONGEST:
                raise EvaluationError("repeat() finds too many items")
