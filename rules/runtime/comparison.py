"""Equal, equivalent, less and greater (https://cql.hl7.org/09-b-cqlreference.html#comparison-operators-4).

The plain operators (`equal_simple`, `less`, …) rest on Python's own: an Uncertainty answers them with None
where it cannot know. The others look at the structure of their type; `equal` and `equivalent` find it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

from rules.runtime import ordering
from rules.runtime.context import current
from rules.runtime.decimals import CONTEXT, places
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval, end, start
from rules.runtime.logic import and_, not_
from rules.runtime.ordering import PLAIN, TIMES, Uncertainty, aligned, order_times, uncertain
from rules.runtime.temporal import Temporal, at_offset
from rules.runtime.values import Code, CodeSystem, Concept, Long, Quantity, Ratio, Tuple, ValueSet


def equal_simple(left: Any, right: Any) -> bool | None:
    """Equality of Booleans, numbers and strings."""
    if left is None or right is None:
        return None
    return left == right  # type: ignore[no-any-return]


def not_equal_simple(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    return left != right  # type: ignore[no-any-return]


def equal_times(left: Temporal | None, right: Temporal | None) -> bool | None:
    return ordering.same(left, right)


def equal_quantity(left: Quantity | None, right: Quantity | None) -> bool | None:
    return ordering.same(left, right)


def equal_ratio(left: Ratio | None, right: Ratio | None) -> bool | None:
    if left is None or right is None:
        return None
    return and_(equal(left.numerator, right.numerator), equal(left.denominator, right.denominator))


def equal_interval(left: Interval | None, right: Interval | None) -> bool | None:
    if left is None or right is None:
        return None
    return and_(equal(start(left), start(right)), equal(end(left), end(right)))


def equal_list(left: list[Any] | None, right: list[Any] | None) -> bool | None:
    """Element by element in order; two nulls are the same."""
    if left is None or right is None:
        return None
    return len(left) == len(right) and _all(map(_equal_or_both_null, left, right))


def equal_tuple(left: dict[str, Any] | None, right: dict[str, Any] | None) -> bool | None:
    """Element by element by name; an element that is not there is null, and two nulls are the same.

    The first element that is not equal decides between false and null, as the suite has it.
    """
    if left is None or right is None:
        return None
    names = dict.fromkeys((*left, *right))
    answers = (_equal_or_both_null(left.get(name), right.get(name)) for name in names)
    return next((answer for answer in answers if answer is not True), True)


def equal_code(left: Code | None, right: Code | None) -> bool | None:
    if left is None or right is None:
        return None
    names = ("code", "system", "version", "display")
    return _all(_equal_or_both_null(getattr(left, name), getattr(right, name)) for name in names)


def equal_concept(left: Concept | None, right: Concept | None) -> bool | None:
    if left is None or right is None:
        return None
    codes = equal_list(list(left.codes), list(right.codes))
    return and_(codes, _equal_or_both_null(left.display, right.display))


def equal(left: Any, right: Any) -> bool | None:
    """Equality of any two values; values of different types are not equal."""
    if left is None or right is None:
        return None
    kind, other = type(left), type(right)
    if kind in PLAIN and other in PLAIN:
        return left == right  # type: ignore[no-any-return]
    if kind is Uncertainty or other is Uncertainty:
        return _equal_bounds(left, right)
    if kind in TIMES and other in TIMES:
        return ordering.same(left, right) if left.first == right.first else False
    compare = _EQUAL.get(kind)
    if compare is None or compare is not _EQUAL.get(other):
        return kind is other and left == right
    return compare(left, right)


def _equal_bounds(left: Any, right: Any) -> bool | None:
    try:
        return ordering.same(left, right)
    except EvaluationError:  # of types that have no common order, and so are not equal
        return False


def not_equal(left: Any, right: Any) -> bool | None:
    return not_(equal(left, right))


def alike(left: Any, right: Any) -> bool:
    """Whether lists take two elements for one: equal for sure, or both null."""
    if left is None or right is None:
        return left is right
    return equal(left, right) is True


def _equal_or_both_null(left: Any, right: Any) -> bool | None:
    return True if left is None and right is None else equal(left, right)


def _all(answers: Iterable[bool | None]) -> bool | None:
    result: bool | None = True
    for answer in answers:
        if answer is False:
            return False
        if answer is None:
            result = None
    return result


_EQUAL: Final[dict[type, Callable[[Any, Any], bool | None]]] = {
    Quantity: equal_quantity,
    Ratio: equal_ratio,
    Interval: equal_interval,
    list: equal_list,
    Tuple: equal_tuple,
    dict: equal_tuple,
    Code: equal_code,
    Concept: equal_concept,
}


def less(left: Any, right: Any) -> bool | None:
    """< of numbers and strings (by code point)."""
    if left is None or right is None:
        return None
    return left < right  # type: ignore[no-any-return]


def less_or_equal(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    return left <= right  # type: ignore[no-any-return]


def greater(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    return left > right  # type: ignore[no-any-return]


def greater_or_equal(left: Any, right: Any) -> bool | None:
    if left is None or right is None:
        return None
    return left >= right  # type: ignore[no-any-return]


# Anything that has an order: times, quantities, uncertainties too.
less_ordered: Final = ordering.less
less_or_equal_ordered: Final = ordering.at_most


def greater_ordered(left: Any, right: Any) -> bool | None:
    return ordering.less(right, left)


def greater_or_equal_ordered(left: Any, right: Any) -> bool | None:
    return ordering.at_most(right, left)


def equivalent_simple(left: Any, right: Any) -> bool:
    """Equivalence of Booleans and integers."""
    return equivalent(left, right)


def equivalent_string(left: str | None, right: str | None) -> bool:
    """The same but for case, and with every kind of white space taken for one."""
    if left is None or right is None:
        return left is right
    return left == right or _folded(left) == _folded(right)


def _folded(text: str) -> str:
    return "".join(" " if character.isspace() else character for character in text).casefold()


def equivalent_decimal(left: Decimal | None, right: Decimal | None) -> bool:
    """The same when rounded to the precision of the less precise, trailing zeros not counted."""
    if left is None or right is None:
        return left is right
    if uncertain(left, right):
        return _equivalent_bounds(left, right)
    mine, its = left.normalize(CONTEXT), right.normalize(CONTEXT)
    step = Decimal(1).scaleb(-min(places(mine), places(its)))
    return CONTEXT.quantize(mine, step) == CONTEXT.quantize(its, step)


def equivalent_times(left: Temporal | None, right: Temporal | None) -> bool:
    if left is None or right is None:
        return left is right
    if uncertain(left, right):
        return _equivalent_bounds(left, right)
    return left.first == right.first and order_times(left, right) == 0


def equivalent_quantity(left: Quantity | None, right: Quantity | None) -> bool:
    if left is None or right is None:
        return left is right
    if uncertain(left, right):
        return _equivalent_bounds(left, right)
    values = aligned(left, right, loose=True)
    return values is not None and equivalent_decimal(*values)


def equivalent_ratio(left: Ratio | None, right: Ratio | None) -> bool:
    """Whether two ratios are one proportion: 1:100 and 10:1000."""
    if left is None or right is None:
        return left is right
    above = aligned(left.numerator, right.numerator, loose=True)
    below = aligned(left.denominator, right.denominator, loose=True)
    if above is None or below is None:
        return False
    return CONTEXT.multiply(above[0], below[1]) == CONTEXT.multiply(above[1], below[0])


def equivalent_interval(left: Interval | None, right: Interval | None) -> bool:
    if left is None or right is None:
        return left is right
    return equivalent(start(left), start(right)) and equivalent(end(left), end(right))


def equivalent_list(left: list[Any] | None, right: list[Any] | None) -> bool:
    if left is None or right is None:
        return left is right
    return len(left) == len(right) and all(map(equivalent, left, right))


def equivalent_tuple(left: dict[str, Any] | None, right: dict[str, Any] | None) -> bool:
    if left is None or right is None:
        return left is right
    return all(equivalent(left.get(name), right.get(name)) for name in {*left, *right})


def equivalent_code(left: Code | None, right: Code | None) -> bool:
    """The same code of the same system, whatever version and display say."""
    if left is None or right is None:
        return left is right
    return left.code == right.code and left.system == right.system


def equivalent_concept(left: Code | Concept | None, right: Code | Concept | None) -> bool:
    """Whether any code of one is a code of the other; either may be a Code."""
    if left is None or right is None:
        return left is right
    return any(equivalent_code(mine, its) for mine in _codes(left) for its in _codes(right))


def _codes(value: Code | Concept) -> tuple[Code | None, ...]:
    return (value,) if isinstance(value, Code) else value.codes


def equivalent(left: Any, right: Any) -> bool:
    """Equivalence of any two values: true or false, never null."""
    if left is None or right is None:
        return left is right
    kind, other = type(left), type(right)
    if kind is Uncertainty or other is Uncertainty:
        return _equivalent_bounds(left, right)
    if Decimal in (kind, other) and kind in PLAIN and other in PLAIN and str not in (kind, other):
        return equivalent_decimal(Decimal(left), Decimal(right))
    compare = _EQUIVALENT.get(kind)
    if compare is None or compare is not _EQUIVALENT.get(other):
        return alike(left, right)
    return compare(left, right)


def _equivalent_bounds(left: Any, right: Any) -> bool:
    (low, high), (its_low, its_high) = ordering.ends(left), ordering.ends(right)
    return equivalent(low, its_low) and equivalent(high, its_high)


def not_equivalent(left: Any, right: Any) -> bool:
    return not equivalent(left, right)


_EQUIVALENT: Final[dict[type, Callable[[Any, Any], bool]]] = {
    str: equivalent_string,
    **dict.fromkeys(TIMES, equivalent_times),
    Quantity: equivalent_quantity,
    Ratio: equivalent_ratio,
    Interval: equivalent_interval,
    list: equivalent_list,
    Tuple: equivalent_tuple,
    dict: equivalent_tuple,
    Code: equivalent_concept,
    Concept: equivalent_concept,
}

_HASHED: Final = frozenset((int, Long, Decimal, str, bool, Code, Concept, CodeSystem, ValueSet))
_WHOLE_TIME: Final = 6


def key(value: Any) -> Any:
    """A hashable stand-in, the same for two values if and only if they are alike; None where there is none.

    Quantities, intervals and imprecise times have none: whether they are alike takes a comparison.
    """
    kind = type(value)
    if kind in _HASHED:
        return (kind is bool, value)
    if kind in TIMES:
        return (
            (kind, at_offset(value, current().offset))
            if len(value.fields) + value.first > _WHOLE_TIME
            else None
        )
    if kind is list:
        keys = [None if item is None else key(item) for item in value]
        return (
            None
            if any(k is None and item is not None for k, item in zip(keys, value, strict=True))
            else tuple(keys)
        )
    if kind is Tuple or kind is dict:
        named = {name: key(part) for name, part in value.items() if part is not None}
        return None if None in named.values() else frozenset(named.items())
    return None
