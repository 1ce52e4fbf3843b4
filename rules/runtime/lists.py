"""Lists (https://cql.hl7.org/09-b-cqlreference.html#list-operators-2). No list is ever changed.

Elements are one where they are equal for sure, or both null.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key
from typing import Any, TypeVar

from rules.runtime import ordering
from rules.runtime.comparison import alike, equal, equivalent, key
from rules.runtime.context import current
from rules.runtime.errors import EvaluationError
from rules.runtime.logic import and_, not_, or_
from rules.runtime.ordering import PLAIN, TIMES, Uncertainty
from rules.runtime.temporal import DateTime, at_offset

T = TypeVar("T")


def exists(values: list[Any] | None) -> bool:
    """Whether any element is not null."""
    return values is not None and any(value is not None for value in values)


def to_list(value: Any) -> list[Any]:
    """The value alone, or nothing where it is null."""
    return [] if value is None else [value]


def first(values: list[T] | None) -> T | None:
    return values[0] if values else None


def last(values: list[T] | None) -> T | None:
    return values[-1] if values else None


def indexer_list(values: list[T] | None, index: int | None) -> T | None:
    if values is None or index is None or not 0 <= index < len(values):
        return None
    return values[index]


def index_of(values: list[Any] | None, element: Any) -> int | None:
    """Where the element is first found, or -1; null where either is null."""
    if values is None or element is None:
        return None
    return next((at for at, value in enumerate(values) if equal(value, element)), -1)


def length_list(values: list[Any] | None) -> int:
    return len(values) if values is not None else 0


def singleton_from(values: list[T] | None) -> T | None:
    """The only element, or null where there is none. Raises EvaluationError where there are more."""
    if not values:
        return None
    if len(values) > 1:
        raise EvaluationError("singleton from: the list has more than one element")
    return values[0]


def slice_(values: list[T] | None, start: int | None = None, stop: int | None = None) -> list[T] | None:
    """The elements from `start` until before `stop`; negative counts are from the end."""
    return None if values is None else values[start:stop]


def skip(values: list[T] | None, count: int | None) -> list[T] | None:
    """Without the first elements; nothing where the count is negative."""
    if values is None:
        return None
    return [] if count is not None and count < 0 else values[count or 0 :]


def tail(values: list[T] | None) -> list[T] | None:
    return None if values is None else values[1:]


def take(values: list[T] | None, count: int | None) -> list[T] | None:
    return None if values is None else values[: max(0, count or 0)]


def flatten(values: list[list[T] | None] | None) -> list[T] | None:
    """The elements of the lists in one list; lists that are null have none."""
    return None if values is None else [item for value in values if value is not None for item in value]


def distinct(values: list[T] | None) -> list[T] | None:
    return None if values is None else _unique(values)


class _Set:
    """Elements, of which no two are alike."""

    __slots__ = ("compared", "keys")

    def __init__(self, values: Iterable[Any] = ()) -> None:
        self.keys: set[Any] = set()
        self.compared: list[Any] = []
        for value in values:
            self.add(value)

    def add(self, value: Any) -> bool:
        """Whether it was not there yet."""
        if value in self:
            return False
        stand_in = None if value is None else key(value)
        if stand_in is None and value is not None:
            self.compared.append(value)
        else:
            self.keys.add(stand_in)
        return True

    def __contains__(self, value: Any) -> bool:
        stand_in = None if value is None else key(value)
        if stand_in is None and value is not None:
            return any(alike(value, other) for other in self.compared)
        return stand_in in self.keys


def _unique(values: Iterable[T]) -> list[T]:
    """Every element once, where it is first found."""
    seen = _Set()
    return [value for value in values if seen.add(value)]


def has(values: Sequence[Any], element: Any) -> bool | None:
    """Whether the element is in the list; null where it is in it only perhaps."""
    result: bool | None = False
    for value in values:
        if value is None or element is None:
            answer: bool | None = value is element
        else:
            answer = equal(value, element)
        if answer:
            return True
        if answer is None:
            result = None
    return result


def contains(values: list[Any] | None, element: Any) -> bool | None:
    return False if values is None else has(values, element)


def in_(element: Any, values: list[Any] | None) -> bool | None:
    return contains(values, element)


def equivalent_contains(values: list[Any] | None, element: Any) -> bool:
    return values is not None and any(equivalent(value, element) for value in values)


def equivalent_in(element: Any, values: list[Any] | None) -> bool:
    return equivalent_contains(values, element)


def includes(left: list[Any] | None, right: list[Any] | None) -> bool | None:
    """Whether every element of right is in left."""
    if left is None or right is None:
        return None
    result: bool | None = True
    for element in right:
        result = and_(result, has(left, element))
        if result is False:
            return False
    return result


def included_in(left: list[Any] | None, right: list[Any] | None) -> bool | None:
    return includes(right, left)


def includes_element(left: list[Any] | None, right: Any) -> bool | None:
    """`includes` of one element: null where it is null, as the suite has it."""
    return None if right is None else contains(left, right)


def included_in_element(left: Any, right: list[Any] | None) -> bool | None:
    return includes_element(right, left)


def proper_includes(left: list[Any] | None, right: list[Any] | None) -> bool | None:
    """Whether every element of right is in left, and left has more different elements."""
    if left is None or right is None:
        return None
    return and_(includes(left, right), len(_unique(left)) > len(_unique(right)))


def proper_included_in(left: list[Any] | None, right: list[Any] | None) -> bool | None:
    return proper_includes(right, left)


def proper_contains(values: list[Any] | None, element: Any) -> bool | None:
    """Whether the element is in the list, and something else as well."""
    if values is None:
        return False
    other: bool | None = False
    for value in values:
        differs = value is not None if element is None else not_(equal(value, element))
        other = or_(other, differs)
    return and_(has(values, element), other)


def proper_in(element: Any, values: list[Any] | None) -> bool | None:
    return proper_contains(values, element)


def union(left: list[Any] | None, right: list[Any] | None) -> list[Any]:
    """Every element of either once; null is an empty list."""
    return _unique((*(left or ()), *(right or ())))


def intersect(left: list[Any] | None, right: list[Any] | None) -> list[Any] | None:
    """Every element that both have, once."""
    if left is None or right is None:
        return None
    wanted = _Set(right)
    return [value for value in _unique(left) if value in wanted]


def except_(left: list[Any] | None, right: list[Any] | None) -> list[Any] | None:
    """Every element of left that right has not, once; a null right has none."""
    if left is None:
        return None
    unwanted = _Set(right or ())
    return [value for value in _unique(left) if value not in unwanted]


SortKey = tuple[Callable[[Any], Any] | None, bool]


def sort(values: list[T] | None, by: Sequence[SortKey] = ((None, False),)) -> list[T] | None:
    """Sorted by each (key, descending) in turn, a key of None being the element; nulls are the least.

    Values whose order is not known stay as they came, a time before the ones that only say more.
    """
    if values is None:
        return None
    found = list(values)
    for get, descending in reversed(by):
        found = sorted_by(found, found if get is None else [get(value) for value in found], descending) or []
    return found


def first_sorted(values: list[T] | None, keys: Sequence[Any], descending: bool) -> T | None:
    """The first of the values sorted by their keys; without sorting where the keys have a total order."""
    return _utmost(values, keys, descending, last=False)


def last_sorted(values: list[T] | None, keys: Sequence[Any], descending: bool) -> T | None:
    """The last of the values sorted by their keys; without sorting where the keys have a total order."""
    return _utmost(values, keys, descending, last=True)


def _utmost(values: list[T] | None, keys: Sequence[Any], descending: bool, *, last: bool) -> T | None:
    """Of values with equal keys the sorted list has the first of all first, and the last of all last."""
    if not values:
        return None
    if len(values) == 1:
        return values[0]
    ranks = _ranks(keys)
    if ranks is None:
        ordered = sorted_by(values, keys, descending)
        return ordered[-1 if last else 0] if ordered else None
    found = max(ranks) if last is not descending else min(ranks)
    return values[len(ranks) - 1 - ranks[::-1].index(found) if last else ranks.index(found)]


def _ranks(keys: Sequence[Any]) -> list[Any] | None:
    """What Python orders as the keys are; None where their order is not total."""
    first = keys[0]
    if first.__class__ is DateTime:
        offset, ranks = first.offset, []
        for key in keys:
            if key.__class__ is not DateTime or key.offset != offset:
                break
            ranks.append(key.fields)
        else:
            return ranks
    kinds = {type(value) for value in keys if value is not None}
    if not kinds <= TIMES and not (kinds <= PLAIN and (str not in kinds or kinds == {str})):
        return None
    rank = _rank(keys)
    return [rank(key) for key in keys]


def sorted_by(values: list[T] | None, keys: Sequence[Any], descending: bool) -> list[T] | None:
    """`sort` by one key, given for each value."""
    if values is None:
        return None
    rank = _rank(keys)
    order = sorted(range(len(values)), key=[rank(key) for key in keys].__getitem__, reverse=descending)
    return [values[at] for at in order]


def _rank(keys: Sequence[Any]) -> Callable[[Any], Any]:
    """What puts the keys in order."""
    kinds = {type(value) for value in keys if value is not None}
    if kinds <= TIMES:
        if len({value.offset for value in keys if value is not None}) < 2:
            return lambda value: (value is not None, value is not None and value.fields)
        offset = current().offset
        return lambda value: (value is not None, value is not None and at_offset(value, offset))
    if kinds <= PLAIN and (str not in kinds or kinds == {str}):
        return lambda value: (value is not None, value)
    compared = cmp_to_key(_compare)
    return lambda value: (value is not None, value is not None and compared(value))


def _compare(left: Any, right: Any) -> int:
    if type(left) is Uncertainty or type(right) is Uncertainty:
        return -1 if ordering.less(left, right) else 1 if ordering.less(right, left) else 0
    return ordering.order(left, right) or 0
