"""Intervals: tables for what is special, sets of points as the slow reference for the rest."""

from __future__ import annotations

from decimal import Decimal as D
from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.runtime import comparison, interval_sets, ordering, relations
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval, end, interval, start
from rules.runtime.ordering import Uncertainty
from rules.runtime.temporal import DateTime, parse_date, parse_datetime, parse_time
from rules.runtime.values import INTEGER_MAX, INTEGER_MIN, Long, Quantity


def I(written, point=None):  # noqa: E743
    """An interval of Integers, Decimals or times from CQL's notation, without the word Interval."""
    low, high = (part.strip() for part in written[1:-1].split(","))
    return interval(value(low), value(high), written[0] == "[", written[-1] == "]", point)


def value(written):
    if written == "null":
        return None
    if written.startswith("@T"):
        return parse_time(written[1:])
    if written.startswith("@"):
        return parse_datetime(written[1:]) if "T" in written else parse_date(written[1:])
    return D(written) if "." in written else int(written)


def Q(number, unit):
    return Quantity(D(number), unit)


def test_starts_and_ends():
    assert (start(I("[1, 5]")), end(I("[1, 5]"))) == (1, 5)
    assert (start(I("(1, 5)")), end(I("(1, 5)"))) == (2, 4)
    assert (start(I("[null, 5]")), end(I("[1, null]"))) == (INTEGER_MIN, INTEGER_MAX)
    assert start(I("(null, 5]")).bounds == (INTEGER_MIN, 5)
    assert start(I("(null, 5)")).bounds == (INTEGER_MIN, 4)
    assert end(I("(1, null)")).bounds == (2, INTEGER_MAX)
    assert start(I("(null, null)", "Integer")).bounds == (INTEGER_MIN, INTEGER_MAX)
    assert end(I("[null, null]", "Date")) == parse_date("9999-12-31")
    assert (start(I("[null, null]")), end(I("[null, null]", "Any"))) == (None, None)
    assert (start(None), end(None)) == (None, None)


@pytest.mark.parametrize(
    "written", ["[5, 3]", "[5, 5)", "(5, 6)", "[@2014-02-01, @2014-01-31]", "[1.5, 1.4]"]
)
def test_an_interval_must_not_end_before_it_begins(written):
    with pytest.raises(EvaluationError):
        I(written)


def test_an_interval_of_a_quantity_without_a_common_unit():
    assert interval(Q(1, "cm"), Q(1, "m")).point == "Quantity"
    with pytest.raises(EvaluationError):
        interval(Q(1, "m"), Q(1, "cm"))


RELATIONS = [
    (relations.after, "[11, 20]", "[1, 10]", True),
    (relations.after, "[11, 20]", 12, False),
    (relations.after, 12, "[1, 10]", True),
    (relations.before, 9, "[1, 10]", False),
    (relations.before, "[1, 10]", "[11, 20]", True),
    (relations.before, None, "[1, 10]", None),
    (relations.contains, "[null, 5]", 10, False),
    (relations.contains, "[null, 5]", 3, True),
    (relations.contains, "(null, 5]", 3, None),
    (relations.contains, "(null, 5]", 10, False),
    (relations.contains, "[1, 10]", None, None),
    (relations.contains, None, 5, False),
    (relations.contains, "[null, null]", 5, False),
    (relations.in_, "@2012-01-07T", "[@2012-01-05T, null]", True),
    (relations.in_, None, "[1, 10]", None),
    (relations.in_, "@2014-01T", "[@2014-01-15T, @2014-02-01T]", None),
    (relations.proper_contains, "[@T12:00:00.000, @T21:59:59.999]", "@T12:00:00.001", True),
    (relations.proper_contains, "[@T12:00:00.000, @T21:59:59.999]", "@T12:00:00.000", False),
    (relations.proper_contains, "[@T12:00:00.001, @T21:59:59.999]", "@T12:00:00", None),
    (relations.proper_in, "@T12:00:00.001", "[@T12:00:00.000, @T21:59:59.999]", True),
    (relations.includes, "[1, 10]", None, None),
    (relations.includes, "[1, 10]", 5, True),
    (relations.included_in, 5, "[1, 10]", True),
    (relations.included_in, None, "[1, 10]", None),
    (relations.included_in, 5, None, False),
    (
        relations.included_in,
        "[@2017-09-01T00:00:00, @2017-09-01T00:00:00]",
        "[@2017-09-01T00:00:00.000, @2017-12-30T23:59:59.999]",
        None,
    ),
    (relations.proper_included_in, "[1, 10]", "[null, null]", True),
    (relations.proper_included_in, 5, "[1, 10]", True),
    (relations.proper_includes, "[1, 10]", 1, False),
    (relations.overlaps, "[null, null]", "[1, 10]", None),
    (relations.overlaps, "[@2012-02-25T, @2012-03-26T]", "[@2012-01-10T, @2012-02T]", None),
    (relations.overlaps, "[@2012T, @2013-03T]", "[@2012-02T, @2013-02T]", True),
    (relations.overlaps_before, "[4, 10]", "(4, 10]", True),
    (relations.overlaps_after, "[4, 10]", "[4, 10)", True),
    (relations.meets, "(null, 5]", "(null, 15)", None),
    (relations.meets, "[3.01, 5.00000001]", "[5.00000002, 8.50]", True),
    (relations.meets, "[@T03, @T04]", "[@T05, @T06]", True),
    (relations.meets_before, "(null, 5]", "(null, 25]", None),
    (relations.meets_before, "[1, null]", "[1, 5]", False),
    (relations.meets_after, "(null, 5]", "[11, null)", False),
    (relations.starts, "[null, null]", "[1, 10]", None),
    (relations.starts, "[4, 10]", "[4, 15]", True),
    (relations.ends, "[1, 10]", "(null, null)", None),
    (relations.ends, "[4, 10]", "[1, 10]", True),
    (relations.same_or_after, "[6, 10]", 6, True),
    (relations.same_or_after, 2.5, "[1.666, 2.50000001]", False),
    (relations.same_or_before, "[4, 6]", 6, True),
    (relations.same_or_before, "[1, 10]", None, None),
    (relations.same_as, "[1, 5]", "(0, 6)", True),
    (comparison.equal, "[1, 5]", "(0, 6)", True),
    (comparison.equal, "[1, 10]", "(null, null)", None),
    (comparison.equal, "[1, null]", "[1, 2147483647]", True),
    (comparison.equal, "[1, null)", "[2, null)", False),
    (comparison.equivalent, "[1, null]", "[1, null]", True),
    (comparison.equivalent, "[1, null)", "[1, null)", True),
    (comparison.equivalent, "[1, 5]", None, False),
]


def operand(part):
    if isinstance(part, str):
        return I(part) if part[0] in "[(" else value(part)
    return D(str(part)) if isinstance(part, float) else part


@pytest.mark.parametrize(("relation", "left", "right", "expected"), RELATIONS)
def test_relations(relation, left, right, expected):
    assert relation(operand(left), operand(right)) is expected


@pytest.mark.parametrize(
    ("relation", "left", "right", "precision", "expected"),
    [
        (relations.same_or_after, "[@2012-12-01, @2013-12-01]", "@2012-11-15", "month", True),
        (relations.same_or_after, "[@2012-12-01, @2013-12-01]", "@2012-12-15", "month", True),
        (relations.same_or_before, "@2012-11-15", "[@2012-10-01, @2013-12-01]", "month", False),
        (relations.proper_contains, "[@T12:00:00.001, @T21:59:59.999]", "@T12:00:00", "second", False),
        (relations.proper_contains, "[@T12:00:00.001, @T21:59:59.999]", "@T12:00:00", "millisecond", None),
        (
            relations.meets,
            "[@2012-01-01T00:00, @2012-01-14T10:00]",
            "[@2012-01-15T08:00, @2012-01-25T00:00]",
            "day",
            True,
        ),
        (
            relations.meets,
            "[@2012-01-01T00:00, @2012-01-14T10:00]",
            "[@2012-01-15T08:00, @2012-01-25T00:00]",
            None,
            False,
        ),
        (
            relations.overlaps,
            "[@2012-01-01T00:00, @2012-01-14T10:00]",
            "[@2012-01-14T12:00, @2012-01-25T00:00]",
            "day",
            True,
        ),
        (relations.contains, "[@2012-01-01T10:00, @2012-01-14T10:00]", "@2012-01-14T12:00", "day", True),
        (relations.contains, "[@2012-01-01T10:00, @2012-01-14T10:00)", "@2012-01-14T09:00", "day", False),
        (
            relations.included_in,
            "[@2012-01-01T00:00, @2012-01-14T10:00]",
            "[@2012-01-01T12:00, @2012-01-14T08:00]",
            "day",
            True,
        ),
    ],
)
def test_relations_to_a_precision(relation, left, right, precision, expected):
    assert relation(operand(left), operand(right), precision) is expected


@pytest.mark.parametrize(
    ("function", "left", "right", "expected"),
    [
        (interval_sets.union, "[1, 10]", "[4, 15]", "[1, 15]"),
        (interval_sets.union, "[1, 10]", "[11, 15]", "[1, 15]"),
        (interval_sets.union, "[1, 10]", "[44, 50]", None),
        (interval_sets.union, "(null, 5]", "[3, 10]", "(null, 10]"),
        (interval_sets.union, "[null, null]", "[1, 10]", None),
        (interval_sets.intersect, "[1, 10]", "[5, null)", "[5, null)"),
        (interval_sets.intersect, "[1, 10]", "[5, null]", "[5, 10]"),
        (interval_sets.intersect, "[1, 10]", "[11, 20]", None),
        (interval_sets.intersect, "[@2012-01-07T, @2012-01-14T]", "[@2012-01T, @2012-01-10T]", None),
        (interval_sets.except_, "[1, 10]", "[4, 10]", "[1, 3]"),
        (interval_sets.except_, "[1, 10]", "[3, 7]", None),
        (interval_sets.except_, "[1, 10]", "[1, 10]", None),
        (interval_sets.except_, "[1, 10]", "[20, 30]", "[1, 10]"),
        (interval_sets.except_, "[1.0, 10.0]", "[4.0, 10.0]", "[1.0, 3.99999999]"),
        (
            interval_sets.except_,
            "[@2012-01-07T, @2012-01-16T]",
            "[@2012-01-05T, @2012-01-12T]",
            "[@2012-01-13T, @2012-01-16T]",
        ),
        (interval_sets.except_, "[null, null]", "[null, null]", None),
    ],
)
def test_sets(function, left, right, expected):
    assert function(I(left), I(right)) == (None if expected is None else I(expected))
    assert function(None, I(right)) is None
    assert function(I(left), None) is None


def test_width_and_size():
    assert (interval_sets.width(I("[1, 10]")), interval_sets.size(I("[3, 8)"))) == (9, 5)
    assert (interval_sets.width(I("[4.0, 15.0]")), interval_sets.size(I("[4.0, 5.0]"))) == (
        D(11),
        D("1.00000001"),
    )
    assert interval_sets.width(interval(Q(5, "g"), Q(10, "g"))) == Q(5, "g")
    assert interval_sets.size(interval(Q(5, "g"), Q(10, "g"))) == Q("5.00000001", "g")
    assert interval_sets.size(interval(Long(3), Long(7))) == Long(5)
    assert interval_sets.width(None) is None
    assert interval_sets.width(I("[0, null)")) is None
    assert interval_sets.width(I("[null, null]")) is None
    with pytest.raises(EvaluationError):
        interval_sets.width(I("[@2012-01-01, @2012-01-02]"))


def test_point_from():
    assert interval_sets.point_from(I("[4, 5)")) == 4
    assert interval_sets.point_from(I("[null, null]")) is None
    assert interval_sets.point_from(None) is None
    for written in ("[1, 4]", "(null, 4]"):
        with pytest.raises(EvaluationError):
            interval_sets.point_from(I(written))
    with pytest.raises(EvaluationError):
        interval_sets.point_from(I("[null, null]", "Integer"))


@pytest.mark.parametrize(
    ("values", "per", "expected"),
    [
        (["[1, 5]", "[3, 7]", "[12, 19]", "[7, 10]"], None, ["[1, 10]", "[12, 19]"]),
        (["[4.0, 6.0]", "[6.00000001, 8.0]"], None, ["[4.0, 8.0]"]),
        (["(null, null)"], None, []),
        ([], None, []),
        (
            ["[@2012-01-01T10, @2012-01-01T12]", "[@2012-01-01T13:30, @2012-01-01T14:30]"],
            None,
            ["[@2012-01-01T10, @2012-01-01T14:30]"],
        ),
        (
            ["[@2012-01-01T10, @2012-01-01T12]", "[@2012-01-01T14:30, @2012-01-01T15:30]"],
            None,
            ["[@2012-01-01T10, @2012-01-01T12]", "[@2012-01-01T14:30, @2012-01-01T15:30]"],
        ),
        (["[1, 3]", "[5, 7]"], Q(1, "1"), ["[1, 3]", "[5, 7]"]),
        (["[1, 3]", "[5, 7]"], Q(2, "1"), ["[1, 7]"]),
        (["[@2012-01-01, @2012-01-15]", "[@2012-01-16, @2012-05-25]"], None, ["[@2012-01-01, @2012-05-25]"]),
        (
            ["[@2012-01-01, @2012-01-15]", "[@2012-01-18, @2012-05-25]"],
            Q(3, "days"),
            ["[@2012-01-01, @2012-05-25]"],
        ),
        (
            ["[@2012-01-01, @2012-01-15]", "[@2012-02-18, @2012-05-25]"],
            Q(1, "month"),
            ["[@2012-01-01, @2012-05-25]"],
        ),
        (
            ["[@2012-01-01, @2012-01-15]", "[@2012-03-18, @2012-05-25]"],
            Q(1, "month"),
            ["[@2012-01-01, @2012-01-15]", "[@2012-03-18, @2012-05-25]"],
        ),
    ],
)
def test_collapse(values, per, expected):
    assert interval_sets.collapse([*map(I, values), None], per) == list(map(I, expected))


def test_collapse_and_expand_of_null():
    assert interval_sets.collapse(None) is None
    assert interval_sets.expand_list(None) is None
    assert interval_sets.expand_interval(None) is None
    assert interval_sets.expand_list([None]) == []


@pytest.mark.parametrize(
    ("written", "per", "points", "last"),
    [
        ("[@2018-01-01, @2018-01-04]", Q(1, "day"), ["@2018-01-01", "@2018-01-02", "@2018-01-03", "@2018-01-04"], "[@2018-01-04, @2018-01-04]"),
        ("[@2018-01-01, @2018-01-04]", Q(2, "days"), ["@2018-01-01", "@2018-01-03"], "[@2018-01-03, @2018-01-04]"),
        ("[@2018-01-01, @2018-01-21]", Q(1, "week"), ["@2018-01-01", "@2018-01-08", "@2018-01-15"], "[@2018-01-15, @2018-01-21]"),
        ("[@2018-01-15, @2018-03-02]", Q(1, "month"), ["@2018-01", "@2018-02", "@2018-03"], "[@2018-03, @2018-03]"),
        ("[@2018-01, @2018-02]", None, ["@2018-01", "@2018-02"], "[@2018-02, @2018-02]"),
        ("[@T10:00, @T12:30)", Q(1, "hour"), ["@T10", "@T11", "@T12"], "[@T12, @T12]"),
        ("[@T22, @T23]", Q(1, "hour"), ["@T22", "@T23"], "[@T23, @T23]"),
        ("[@T10, @T10]", Q(1, "minute"), [], None),
        ("[10.0, 12.5]", Q(1, "1"), ["10", "11", "12"], "[12, 12]"),
        ("[10, 10]", Q("0.1", "1"), [f"10.{tenth}" for tenth in range(10)], "[10.9, 10.9]"),
        ("[1, 10)", Q(2, "1"), ["1", "3", "5", "7"], "[7, 8]"),
        ("[1, 4]", None, ["1", "2", "3", "4"], "[4, 4]"),
        ("[1.5, 1.75]", None, ["1.5", "1.6", "1.7"], "[1.7, 1.7]"),
        ("[1, null)", None, [], None),
        ("[1, 4]", Q(-1, "1"), [], None),
        ("[1, 4]", Q(1, "day"), [], None),
    ],
)  # fmt: skip
def test_expand(written, per, points, last):
    assert interval_sets.expand_interval(I(written), per) == [value(point) for point in points]
    pieces = interval_sets.expand_list([I(written)], per)
    assert len(pieces) == len(points)
    assert pieces[-1:] == ([] if last is None else [I(last)])


def test_expand_of_quantities():
    cut = interval_sets.expand_interval(interval(Q(1, "g"), Q(3, "g")), Q(1, "g"))
    assert cut == [Q(1, "g"), Q(2, "g"), Q(3, "g")]
    assert interval_sets.expand_interval(interval(Q(1, "g"), Q("1.002", "g")), Q(1, "mg"))[-1] == Q(
        "1.002", "g"
    )


def test_expand_gives_up():
    with pytest.raises(EvaluationError):
        interval_sets.expand_interval(I("[0, 2000000]"))


# The slow reference: an interval over a small range is the set of its points, an open null bound is any point.

DOMAIN = range(6)
closed = st.tuples(st.sampled_from(DOMAIN), st.sampled_from(DOMAIN), st.booleans(), st.booleans())


def points(low, high, low_closed, high_closed):
    return {p for p in DOMAIN if low + (not low_closed) <= p <= high - (not high_closed)}


definite = closed.filter(lambda parts: bool(points(*parts)))


REFERENCE = {
    relations.before: lambda a, b: max(a) < min(b),
    relations.after: lambda a, b: min(a) > max(b),
    relations.same_or_before: lambda a, b: max(a) <= min(b),
    relations.same_or_after: lambda a, b: min(a) >= max(b),
    relations.same_as: lambda a, b: a == b,
    relations.overlaps: lambda a, b: bool(a & b),
    relations.overlaps_before: lambda a, b: bool(a & b) and min(a) < min(b),
    relations.overlaps_after: lambda a, b: bool(a & b) and max(a) > max(b),
    relations.meets_before: lambda a, b: max(a) + 1 == min(b),
    relations.meets_after: lambda a, b: min(a) == max(b) + 1,
    relations.meets: lambda a, b: max(a) + 1 == min(b) or min(a) == max(b) + 1,
    relations.includes: lambda a, b: a >= b,
    relations.included_in: lambda a, b: a <= b,
    relations.proper_includes: lambda a, b: a > b,
    relations.proper_included_in: lambda a, b: a < b,
    relations.starts: lambda a, b: min(a) == min(b) and max(a) <= max(b),
    relations.ends: lambda a, b: max(a) == max(b) and min(a) >= min(b),
    comparison.equal: lambda a, b: a == b,
}


@settings(deadline=None, max_examples=200)
@given(definite, definite)
def test_relations_against_sets(left, right):
    a, b = points(*left), points(*right)
    for relation, reference in REFERENCE.items():
        assert relation(interval(*left), interval(*right)) is reference(a, b), relation.__name__


def of(found):
    return None if found is None else set(range(start(found), end(found) + 1))


@settings(deadline=None, max_examples=200)
@given(definite, definite)
def test_sets_against_sets(left, right):
    a, b = points(*left), points(*right)
    one_piece = {frozenset(range(low, high)) for low in range(7) for high in range(low + 1, 7)}
    for function, expected in (
        (interval_sets.union, a | b),
        (interval_sets.intersect, a & b),
        (interval_sets.except_, a - b),
    ):
        assert of(function(interval(*left), interval(*right))) == (
            expected if expected in one_piece else None
        )
    assert interval_sets.size(interval(*left)) == len(a)
    assert interval_sets.width(interval(*left)) == max(a) - min(a)
    assert interval_sets.expand_interval(interval(*left)) == sorted(a)


@settings(deadline=None, max_examples=200)
@given(definite, st.sampled_from(DOMAIN))
def test_points_against_sets(parts, point):
    a, found = points(*parts), interval(*parts)
    assert relations.contains(found, point) is (point in a)
    assert relations.in_(point, found) is (point in a)
    assert relations.proper_contains(found, point) is (min(a) < point < max(a))


@settings(deadline=None, max_examples=150)
@given(st.lists(definite, max_size=5))
def test_collapse_against_sets(parts):
    covered = set().union(*(points(*part) for part in parts)) if parts else set()
    found = interval_sets.collapse([interval(*part) for part in parts])
    assert set().union(*map(of, found)) == covered
    for left, right in pairwise(found):
        assert end(left) + 1 < start(right)


bound = st.one_of(st.none(), st.integers(-3, 3))
vague = st.tuples(bound, bound, st.booleans(), st.booleans()).filter(
    lambda p: None in p[:2] or points_of(p, -3, 3) != [set()]
)


def points_of(parts, least, greatest):
    """Every set of points that an interval with unknown bounds may be."""
    low, high, low_closed, high_closed = parts
    lows = (
        [low + (not low_closed)] if low is not None else [least] if low_closed else range(least, greatest + 1)
    )
    highs = (
        [high - (not high_closed)]
        if high is not None
        else [greatest]
        if high_closed
        else range(least, greatest + 1)
    )
    found = [set(range(a, b + 1)) for a, b in product(lows, highs)]
    return [found for found in found if found] or [set()]


@settings(deadline=None, max_examples=200)
@given(vague, vague)
def test_unknown_bounds_never_give_a_wrong_answer(left, right):
    # The bounds of Integer are far away; -9 and 9 stand for them here.
    mine, its = points_of(left, -9, 9), points_of(right, -9, 9)
    if set() in mine or set() in its:
        return
    for relation, reference in REFERENCE.items():
        found = relation(Interval(*left, "Integer"), Interval(*right, "Integer"))
        possible = {reference(a, b) for a, b in product(mine, its)}
        if found is not None:
            assert possible == {found}, relation.__name__
        if not (None in left[:2] or None in right[:2]):
            assert {found} == possible, relation.__name__


def test_uncertain_points_of_times():
    after = end(Interval(parse_datetime("2026-01-01T00:00:00.000"), None, True, False))
    assert isinstance(after, Uncertainty)
    assert isinstance(after.high, DateTime)
    assert ordering.less(after, parse_datetime("2025-01-01T00:00:00.000")) is False
    assert ordering.less(after, parse_datetime("2027-01-01T00:00:00.000")) is None
