"""Aggregate functions: nulls are passed over (https://cql.hl7.org/09-b-cqlreference.html#aggregate-functions)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from rules.runtime import arithmetic, ordering, quantities
from rules.runtime.comparison import alike, key
from rules.runtime.decimals import CONTEXT, fit
from rules.runtime.errors import EvaluationError
from rules.runtime.values import Long, Quantity

_ZERO: Final = Decimal(0)


def _present(values: list[Any] | None) -> list[Any]:
    return [value for value in values or () if value is not None]


def count(values: list[Any] | None) -> int:
    return len(_present(values))


def all_true(values: list[bool | None] | None) -> bool:
    return False not in (values or ())


def any_true(values: list[bool | None] | None) -> bool:
    return True in (values or ())


def _folded(values: list[Any] | None, operations: dict[type, Callable[[Any, Any], Any]]) -> Any:
    """The values combined from the left by the operation of their type; null where one result is."""
    present = _present(values)
    if not present:
        return None
    operation = operations.get(type(present[0]))
    if operation is None:
        raise EvaluationError(f"values of {type(present[0]).__name__} cannot be summed or multiplied")
    result = present[0]
    for value in present[1:]:
        result = operation(result, value)
    return result


_ADD: Final[dict[type, Callable[[Any, Any], Any]]] = {
    int: arithmetic.add_integer,
    Long: arithmetic.add_long,
    Decimal: arithmetic.add_decimal,
    Quantity: quantities.add_quantity,
}
_MULTIPLY: Final[dict[type, Callable[[Any, Any], Any]]] = {
    int: arithmetic.multiply_integer,
    Long: arithmetic.multiply_long,
    Decimal: arithmetic.multiply_decimal,
    # The unit stays as it is: the product of 2 mg and 3 mg is 6 mg, as the specification has it.
    Quantity: lambda left, right: _product_of_quantities(left, right),
}


def _product_of_quantities(left: Quantity | None, right: Quantity) -> Quantity | None:
    converted = None if left is None else quantities.convert_quantity(right, left.unit)
    if left is None or converted is None:
        return None
    value = arithmetic.multiply_decimal(left.value, converted.value)
    return None if value is None else Quantity(value, left.unit)


def sum_(values: list[Any] | None) -> Any:
    """The sum of Integers, Longs, Decimals or quantities."""
    return _folded(values, _ADD)


def product(values: list[Any] | None) -> Any:
    """The product of Integers, Longs, Decimals or quantities."""
    return _folded(values, _MULTIPLY)


def min_(values: list[Any] | None) -> Any:
    return _best(values, ordering.less)


def max_(values: list[Any] | None) -> Any:
    return _best(values, lambda left, right: ordering.less(right, left))


def _best(values: list[Any] | None, better: Callable[[Any, Any], bool | None]) -> Any:
    best = None
    for value in values or ():
        if best is None or (value is not None and better(value, best)):
            best = value
    return best


def mode(values: list[Any] | None) -> Any:
    """The value that is found most often, of several the one that is found first."""
    present = _present(values)
    ordering.certain(*present)
    keys = [key(value) for value in present]
    counts: dict[int, int] = {}
    for value, mine in zip(present, keys, strict=True):
        at = _first(value, present) if mine is None else keys.index(mine)
        counts[at] = counts.get(at, 0) + 1
    return present[max(counts, key=lambda at: counts[at])] if counts else None


def _first(value: Any, values: list[Any]) -> int:
    """Where a value that is surely the same is first found."""
    return next(at for at, other in enumerate(values) if other is value or alike(value, other))


def _statistic(compute: Callable[[list[Decimal]], Decimal | None], values: list[Any] | None) -> Any:
    """The statistic of numbers, or of quantities in the unit of the first."""
    present = _present(values)
    if not present:
        return None
    ordering.certain(*present)
    if not isinstance(present[0], Quantity):
        return compute([Decimal(value) for value in present])
    unit = present[0].unit
    converted = [quantities.convert_quantity(value, unit) for value in present]
    numbers = [value.value for value in converted if value is not None]
    result = compute(numbers) if len(numbers) == len(present) else None
    return None if result is None else Quantity(result, unit)


def _sum(values: list[Decimal]) -> Decimal:
    total = _ZERO
    for value in values:
        total = CONTEXT.add(total, value)
    return total


def _mean(values: list[Decimal]) -> Decimal:
    return CONTEXT.divide(_sum(values), Decimal(len(values)))


def _median(values: list[Decimal]) -> Decimal | None:
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return fit(ordered[middle])
    return fit(_mean(ordered[middle - 1 : middle + 1]))


def _spread(values: list[Decimal], *, sample: bool) -> Decimal | None:
    """The variance; of a sample of one there is none."""
    if len(values) <= sample:
        return None
    mean = _mean(values)
    squares = [CONTEXT.power(CONTEXT.subtract(value, mean), Decimal(2)) for value in values]
    return CONTEXT.divide(_sum(squares), Decimal(len(values) - sample))


def _rooted(value: Decimal | None) -> Decimal | None:
    return None if value is None else fit(CONTEXT.sqrt(value))


def _fitted(value: Decimal | None) -> Decimal | None:
    return None if value is None else fit(value)


def avg(values: list[Any] | None) -> Any:
    return _statistic(lambda numbers: fit(_mean(numbers)), values)


def median(values: list[Any] | None) -> Any:
    return _statistic(_median, values)


def variance(values: list[Any] | None) -> Any:
    return _statistic(lambda numbers: _fitted(_spread(numbers, sample=True)), values)


def population_variance(values: list[Any] | None) -> Any:
    return _statistic(lambda numbers: _fitted(_spread(numbers, sample=False)), values)


def std_dev(values: list[Any] | None) -> Any:
    return _statistic(lambda numbers: _rooted(_spread(numbers, sample=True)), values)


def population_std_dev(values: list[Any] | None) -> Any:
    return _statistic(lambda numbers: _rooted(_spread(numbers, sample=False)), values)


def geometric_mean(values: list[Any] | None) -> Any:
    """The n-th root of the product; null where the product is negative."""
    return _statistic(_geometric, values)


def _geometric(values: list[Decimal]) -> Decimal | None:
    total = Decimal(1)
    for value in values:
        total = CONTEXT.multiply(total, value)
    if total < 0:
        return None
    return fit(CONTEXT.power(total, CONTEXT.divide(Decimal(1), Decimal(len(values))))) if total else _ZERO
