"""CQL, compiled and run, against slow references that try every possibility.

A partial date is all the days it may be: what is true of all is true, what is false of all is false, and
anything else is not known (https://cql.hl7.org/05-languagesemantics.html#uncertainty). Only two dates of the
same precision are compared as they are: a month is not before itself.
"""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from rules import cql
from rules.runtime.interval import Interval
from rules.runtime.temporal import Date
from rules.runtime.units import TextUnits
from rules.runtime.values import Quantity
from terminology import ucum

UNITS = TextUnits(ucum.convert)
few = settings(max_examples=60, deadline=None, derandomize=True)


@cache
def compiled(expression: str, types: tuple[str, ...]) -> cql.Library:
    parameters = "".join(f"parameter p{n} {type_} " for n, type_ in enumerate(types))
    return cql.compile(f"{parameters} define X: {expression}")


def value(expression: str, types: tuple[str, ...], *operands: Any) -> Any:
    given = {f"p{n}": operand for n, operand in enumerate(operands)}
    return compiled(expression, types).evaluate("X", parameters=given, units=UNITS)


# Dates

days = st.dates(date(2019, 11, 1), date(2021, 3, 31))
partial = st.builds(lambda day, kept: Date((day.year, day.month, day.day)[:kept]), days, st.integers(2, 3))
ordered = st.tuples(partial, partial)


def possible(at: Date) -> list[date]:
    """Every day that a date may be."""
    if len(at.fields) == 3:
        return [date(*at.fields)]
    year, month = at.fields
    first = date(year, month, 1)
    return [first + timedelta(days=n) for n in range(31) if (first + timedelta(days=n)).month == month]


def stepped(day: date, months: int) -> date:
    """So many months later, in a shorter month its last day."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    for last in (day.day, 30, 29, 28):
        try:
            return date(year, month + 1, min(day.day, last))
        except ValueError:
            continue
    raise AssertionError


def whole(precision: str, first: date, second: date) -> int:
    """How many whole years, months, weeks or days lie between, found by stepping."""
    if second < first:
        return -whole_back(precision, first, second)
    if precision in ("day", "week"):
        return (second - first).days // (7 if precision == "week" else 1)
    step, count = (12 if precision == "year" else 1), 0
    while stepped(first, step * (count + 1)) <= second:
        count += 1
    return count


def whole_back(precision: str, first: date, second: date) -> int:
    if precision in ("day", "week"):
        return (first - second).days // (7 if precision == "week" else 1)
    step, count = (12 if precision == "year" else 1), 0
    while stepped(first, -step * (count + 1)) >= second:
        count += 1
    return count


@few
@given(ordered, st.sampled_from(["year", "month", "week", "day"]))
def test_durations_are_known_within_the_bounds_of_what_the_dates_may_be(pair: Any, precision: str) -> None:
    first, second = pair
    found = value(f"duration in {precision}s between p0 and p1", ("Date", "Date"), first, second)
    answers = {whole(precision, a, b) for a in possible(first) for b in possible(second)}
    least, most = (found.low, found.high) if isinstance(found, Interval) else (found, found)
    assert (least, most) == (min(answers), max(answers))


@few
@given(ordered, st.sampled_from(["year", "month", "day"]))
def test_differences_count_the_boundaries_that_are_crossed(pair: Any, precision: str) -> None:
    first, second = pair

    def crossed(a: date, b: date) -> int:
        months = (b.year - a.year) * 12 + b.month - a.month
        return {"year": b.year - a.year, "month": months, "day": (b - a).days}[precision]

    found = value(f"difference in {precision}s between p0 and p1", ("Date", "Date"), first, second)
    answers = {crossed(a, b) for a in possible(first) for b in possible(second)}
    least, most = (found.low, found.high) if isinstance(found, Interval) else (found, found)
    assert (least, most) == (min(answers), max(answers))


def decided(answers: set[bool]) -> bool | None:
    return next(iter(answers)) if len(answers) == 1 else None


@few
@given(ordered, st.sampled_from(["before", "after", "on or before", "on or after", "same day as", "="]))
def test_comparisons_are_known_where_all_days_agree(pair: Any, relation: str) -> None:
    first, second = pair
    compare = {
        "before": date.__lt__,
        "after": date.__gt__,
        "on or before": date.__le__,
        "on or after": date.__ge__,
    }.get(relation, date.__eq__)
    found = value(f"p0 {relation} p1", ("Date", "Date"), first, second)
    if len(first.fields) == len(second.fields) and relation != "same day as":
        assert found is compare(possible(first)[0], possible(second)[0])
    else:
        assert found is decided({bool(compare(a, b)) for a in possible(first) for b in possible(second)})


FULL = st.builds(lambda day: Date((day.year, day.month, day.day)), days)


@few
@given(FULL, FULL, st.integers(0, 40), st.sampled_from(["before", "after"]))
def test_offsets_of_days(first: Date, second: Date, number: int, side: str) -> None:
    (a,), (b,) = possible(first), possible(second)
    away = (b - a).days if side == "before" else (a - b).days
    expected = {
        f"{number} days {side}": away == number,
        f"{number} days or more {side}": away >= number,
        f"{number} days or less {side}": 0 < away <= number,
        f"less than {number} days {side}": 0 < away < number,
        f"more than {number} days {side}": away > number,
        f"{number} days or less on or {side}": 0 <= away <= number,
        f"within {number} days of": abs(away) <= number,
        f"properly within {number} days of": abs(away) < number,
    }
    for phrase, answer in expected.items():
        assert value(f"p0 {phrase} p1", ("Date", "Date"), first, second) is answer, phrase


# Intervals

bounds = st.tuples(FULL, FULL).map(lambda pair: sorted(pair, key=lambda d: d.fields))
intervals = st.builds(lambda pair: Interval(pair[0], pair[1], True, True, "Date"), bounds)
RELATIONS = {
    "overlaps": lambda a, b: bool(a & b),
    "during": lambda a, b: a <= b,
    "properly during": lambda a, b: a < b,
    "includes": lambda a, b: a >= b,
    "before": lambda a, b: max(a) < min(b),
    "after": lambda a, b: min(a) > max(b),
    "meets": lambda a, b: (min(b) - max(a)).days == 1 or (min(a) - max(b)).days == 1,
    "starts": lambda a, b: min(a) == min(b) and max(a) <= max(b),
    "ends": lambda a, b: max(a) == max(b) and min(a) >= min(b),
    "same as": lambda a, b: a == b,
    "on or before": lambda a, b: max(a) <= min(b),
}


def covered(interval: Interval) -> set[date]:
    (low,), (high,) = possible(interval.low), possible(interval.high)
    return {low + timedelta(days=n) for n in range((high - low).days + 1)}


@few
@given(intervals, intervals, st.sampled_from(sorted(RELATIONS)))
def test_relations_of_intervals_are_those_of_their_days(
    left: Interval, right: Interval, relation: str
) -> None:
    found = value(f"p0 {relation} p1", ("Interval<Date>", "Interval<Date>"), left, right)
    assert found is RELATIONS[relation](covered(left), covered(right))


@few
@given(partial, partial, partial, partial, st.sampled_from(sorted(RELATIONS)))
def test_relations_of_uncertain_intervals_are_never_wrong(
    a: Date, b: Date, c: Date, d: Date, relation: str
) -> None:
    """Whatever the days are: an answer that is known holds for all of them."""
    months = [at.fields for at in (a, b, c, d) if len(at.fields) == 2]
    assume(len(set(months)) == len(months))  # two that are the same month count as equal
    try:
        found = value(f"Interval[p0, p1] {relation} Interval[p2, p3]", ("Date",) * 4, a, b, c, d)
    except cql.EvaluationError:
        return  # an interval that ends before it begins
    if found is None:
        return
    choices = [(possible(x)[0], possible(x)[-1]) for x in (a, b, c, d)]
    for low, high, other_low, other_high in [
        (w, x, y, z) for w in choices[0] for x in choices[1] for y in choices[2] for z in choices[3]
    ]:
        if low <= high and other_low <= other_high:
            left = {low + timedelta(days=n) for n in range((high - low).days + 1)}
            right = {other_low + timedelta(days=n) for n in range((other_high - other_low).days + 1)}
            assert RELATIONS[relation](left, right) is found


@few
@given(st.integers(-20, 20), st.integers(0, 30), st.integers(1, 7))
def test_expand_steps_from_the_low_end(low: int, length: int, per: int) -> None:
    interval = Interval(low, low + length, True, True, "Integer")
    found = value(f"expand p0 per {per}", ("Interval<Integer>",), interval)
    assert found == [n for n in range(low, low + length + 1, per) if n + per - 1 <= low + length]


@few
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 6)), max_size=6))
def test_collapse_covers_the_same_points_with_the_fewest_intervals(parts: list[tuple[int, int]]) -> None:
    intervals = [Interval(low, low + length, True, True, "Integer") for low, length in parts]
    found = value("collapse p0", ("List<Interval<Integer>>",), intervals)
    points = {n for low, length in parts for n in range(low, low + length + 1)}
    assert [n for i in found for n in range(i.low, i.high + 1)] == sorted(points)
    assert len(found) == sum(n - 1 not in points for n in points)


# Quantities

GRAMS = {"kg": Fraction(1000), "g": Fraction(1), "mg": Fraction(1, 1000), "ug": Fraction(1, 10**6)}
masses = st.builds(
    lambda n, unit: Quantity(Decimal(n) / 100, unit),
    st.integers(-50_000, 50_000),
    st.sampled_from(sorted(GRAMS)),
)


def grams(quantity: Quantity) -> Fraction:
    return Fraction(quantity.value) * GRAMS[quantity.unit]


@few
@given(masses, masses)
def test_quantities_compare_as_what_they_measure(left: Quantity, right: Quantity) -> None:
    types = ("Quantity", "Quantity")
    assert value("p0 < p1", types, left, right) is (grams(left) < grams(right))
    assert value("p0 >= p1", types, left, right) is (grams(left) >= grams(right))
    assert value("p0 = p1", types, left, right) is (grams(left) == grams(right))
    assert value("Max({p0, p1})", types, left, right) in (left, right)
    assert grams(value("Max({p0, p1})", types, left, right)) == max(grams(left), grams(right))


@few
@given(masses, masses)
def test_sums_of_quantities_measure_what_their_parts_do(left: Quantity, right: Quantity) -> None:
    """Up to the eight decimals that a Decimal has, in the finer of the units."""
    for expression, exact in (
        ("p0 + p1", grams(left) + grams(right)),
        ("p0 - p1", grams(left) - grams(right)),
    ):
        found = value(expression, ("Quantity", "Quantity"), left, right)
        assert abs(grams(found) - exact) <= GRAMS[found.unit] / 10**8


@few
@given(masses, masses, masses)
def test_an_interval_of_quantities_holds_what_lies_between(
    low: Quantity, high: Quantity, point: Quantity
) -> None:
    low, high = sorted((low, high), key=grams)
    found = value("Interval[p0, p1] contains p2", ("Quantity",) * 3, low, high, point)
    assert found is (grams(low) <= grams(point) <= grams(high))
