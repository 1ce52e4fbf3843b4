"""Lists and aggregates: tables, and plain Python as the reference."""

from __future__ import annotations

from decimal import Decimal as D
from statistics import median, pstdev, pvariance, stdev, variance

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.runtime import aggregates as g
from rules.runtime import lists as l
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import Uncertainty
from rules.runtime.temporal import parse_date, parse_datetime, parse_time
from rules.runtime.values import Long, Quantity, Tuple

FIVE = [1, 2, 3, 4, 5]


def Q(value, unit="mg"):
    return Quantity(D(str(value)), unit)


T = parse_time


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        (l.exists, ([],), False),
        (l.exists, ([None],), False),
        (l.exists, ([None, 1],), True),
        (l.exists, (None,), False),
        (l.first, ([None, 1],), None),
        (l.first, ([1, 2],), 1),
        (l.first, ([],), None),
        (l.last, ([1, 2],), 2),
        (l.last, (None,), None),
        (l.indexer_list, (FIVE, 0), 1),
        (l.indexer_list, (FIVE, 5), None),
        (l.indexer_list, (FIVE, -1), None),
        (l.indexer_list, (None, 0), None),
        (l.index_of, (FIVE, 3), 2),
        (l.index_of, (FIVE, 9), -1),
        (l.index_of, ([1, None], None), None),
        (l.index_of, (None, 1), None),
        (l.length_list, (FIVE,), 5),
        (l.length_list, (None,), 0),
        (l.singleton_from, ([],), None),
        (l.singleton_from, ([1],), 1),
        (l.singleton_from, (None,), None),
        (l.slice_, (FIVE, 1, 3), [2, 3]),
        (l.slice_, (FIVE, -2), [4, 5]),
        (l.slice_, (FIVE, 1, -1), [2, 3, 4]),
        (l.slice_, (FIVE, None, None), FIVE),
        (l.slice_, (FIVE, 5), []),
        (l.slice_, (None, 1), None),
        (l.skip, (FIVE, 3), [4, 5]),
        (l.skip, (FIVE, None), FIVE),
        (l.skip, (FIVE, -1), []),
        (l.skip, (None, 3), None),
        (l.tail, (FIVE,), [2, 3, 4, 5]),
        (l.tail, ([],), []),
        (l.tail, (None,), None),
        (l.take, (FIVE, 2), [1, 2]),
        (l.take, (FIVE, None), []),
        (l.take, (FIVE, -1), []),
        (l.take, (FIVE, 9), FIVE),
        (l.take, (None, 1), None),
        (l.flatten, ([[1], None, [2, None]],), [1, 2, None]),
        (l.flatten, (None,), None),
        (l.distinct, ([1, None, 1, None, 2],), [1, None, 2]),
        (l.distinct, ([1, D("1.0"), True, "1"],), [1, True, "1"]),
        (l.distinct, ([Q(1, "cm"), Q("0.01", "m"), Q(2, "cm")],), [Q(1, "cm"), Q(2, "cm")]),
        (l.distinct, ([Tuple(a=1), Tuple(a=1), Tuple(a=2)],), [Tuple(a=1), Tuple(a=2)]),
        (l.distinct, ([parse_date("2014"), parse_date("2014-01"), parse_date("2014")],), [parse_date("2014"), parse_date("2014-01")]),
        (l.distinct, (None,), None),
        (l.contains, (["a", "b", None], None), True),
        (l.contains, ([None, "b"], "a"), False),
        (l.contains, (None, "a"), False),
        (l.contains, ([parse_date("2014")], parse_date("2014-01")), None),
        (l.in_, (1, FIVE), True),
        (l.in_, (None, []), False),
        (l.in_, (1, None), False),
        (l.equivalent_contains, (["A"], "a"), True),
        (l.equivalent_contains, (None, "a"), False),
        (l.equivalent_in, (None, [None]), True),
        (l.includes, (FIVE, [2, 3]), True),
        (l.includes, (FIVE, [2, 9]), False),
        (l.includes, ([], []), True),
        (l.includes, ([None], [None]), True),
        (l.includes, (None, [2]), None),
        (l.included_in, ([2], FIVE), True),
        (l.includes_element, (FIVE, None), None),
        (l.includes_element, (None, 1), False),
        (l.included_in_element, (3, FIVE), True),
        (l.proper_includes, (FIVE, [1, 2]), True),
        (l.proper_includes, (FIVE, FIVE), False),
        (l.proper_includes, ([1, 2, 2], [1, 2]), False),
        (l.proper_includes, ([None], [None]), False),
        (l.proper_includes, (None, [2]), None),
        (l.proper_included_in, ([], FIVE), True),
        (l.proper_contains, (["a"], "a"), False),
        (l.proper_contains, (["a", "a"], "a"), False),
        (l.proper_contains, (["a", "b"], "a"), True),
        (l.proper_contains, (["a", None], "a"), None),
        (l.proper_contains, (["a", None], None), True),
        (l.proper_contains, ([None, None], None), False),
        (l.proper_contains, (None, "a"), False),
        (l.proper_contains, ([T("15:59:59.999"), T("20:59:59.999")], T("15:59:59")), None),
        (l.proper_in, ("a", ["a", "b"]), True),
        (l.union, ([1, 2], [2, 3]), [1, 2, 3]),
        (l.union, (None, [4, 4]), [4]),
        (l.union, (None, None), []),
        (l.intersect, (FIVE, [4, 2, 2]), [2, 4]),
        (l.intersect, ([None, 1], [None]), [None]),
        (l.intersect, (None, [1]), None),
        (l.except_, ([1, 1, 2, None], [2]), [1, None]),
        (l.except_, ([1, 4], None), [1, 4]),
        (l.except_, (None, [1]), None),
        (l.to_list, (1,), [1]),
        (l.to_list, (None,), []),
        (l.sort, ([3, None, 1],), [None, 1, 3]),
        (l.sort, ([3, None, 1], [(None, True)]), [3, 1, None]),
        (l.sort, (["b", "A", "a"],), ["A", "a", "b"]),
        (l.sort, ([Q(1, "g"), Q(10, "mg")],), [Q(10, "mg"), Q(1, "g")]),
        (l.sort, ([parse_date("2014-01"), parse_date("2014"), parse_date("2013")],), [parse_date("2013"), parse_date("2014"), parse_date("2014-01")]),
        (l.sort, ([Uncertainty(5, 6), 3],), [3, Uncertainty(5, 6)]),
        (l.sort, (None,), None),
        (g.count, ([1, None, 2],), 2),
        (g.count, (None,), 0),
        (g.all_true, ([True, None],), True),
        (g.all_true, ([True, False],), False),
        (g.all_true, (None,), True),
        (g.any_true, ([False, None],), False),
        (g.any_true, ([False, True],), True),
        (g.any_true, (None,), False),
        (g.sum_, ([None, 1, None],), 1),
        (g.sum_, ([Long(6), Long(2)],), Long(8)),
        (g.sum_, ([2147483647, 1],), None),
        (g.sum_, ([Q(1, "mL"), Q(2, "mL")],), Q(3, "mL")),
        (g.sum_, ([Q(1, "mL"), Q(2, "mg")],), None),
        (g.sum_, ([],), None),
        (g.product, ([Long(5), Long(4), Long(5)],), Long(100)),
        (g.product, ([D(2), D("1.5")],), D(3)),
        (g.product, ([Q(2), Q(3)],), Q(6)),
        (g.product, ([Q(2), Q(3, "mL"), Q(1)],), None),
        (g.min_, ([5, None, 1],), 1),
        (g.max_, (["hi", "zebra", "bye"],), "zebra"),
        (g.max_, ([Q(1, "g"), Q(10, "mg")],), Q(1, "g")),
        (g.min_, ([None],), None),
        (g.mode, ([2, 1, 8, 2, 9, 1, 9, 9],), 9),
        (g.mode, ([1, 2, 2, 1],), 1),
        (g.mode, ([Q(1, "cm"), Q(2, "cm"), Q("0.02", "m")],), Q(2, "cm")),
        (g.mode, ([None],), None),
        (g.avg, ([D(1), D(2), D(3), D(6)],), D(3)),
        (g.avg, ([Q(1, "g"), Q(500)],), Q("0.75", "g")),
        (g.avg, ([Q(1, "g"), Q(1, "s")],), None),
        (g.median, ([D(6), D(5), D(4), D(3), D(2), D(1)],), D("3.5")),
        (g.median, ([Q(3), Q(1), Q(2)],), Q(2)),
        (g.variance, (list(map(D, FIVE)),), D("2.5")),
        (g.variance, ([D(1)],), None),
        (g.population_variance, (list(map(D, FIVE)),), D(2)),
        (g.std_dev, (list(map(D, FIVE)),), D("1.58113883")),
        (g.population_std_dev, (list(map(Q, FIVE)),), Q("1.41421356")),
        (g.population_std_dev, ([None, None],), None),
        (g.geometric_mean, ([D(2), D(8)],), D(4)),
        (g.geometric_mean, ([D(0), D(8)],), D(0)),
        (g.geometric_mean, ([D(-2), D(8)],), None),
        (g.geometric_mean, (None,), None),
    ],
)  # fmt: skip
def test_results(function, operands, expected):
    kept = [list(operand) if isinstance(operand, list) else operand for operand in operands]
    found = function(*operands)
    if isinstance(found, list):
        assert list(map(repr, found)) == list(map(repr, expected))
    else:
        assert found == expected
        assert type(found) is type(expected)
    assert [repr(operand) for operand in operands] == [
        repr(operand) for operand in kept
    ]  # no list is changed


def test_errors():
    with pytest.raises(EvaluationError):
        l.singleton_from([1, 2])
    with pytest.raises(EvaluationError):
        g.sum_(["a", "b"])


def test_sorting_by_several_keys_is_stable():
    rows = [Tuple(a=1, b="x", n=0), Tuple(a=2, b="x", n=1), Tuple(a=1, b="y", n=2), Tuple(a=None, b="x", n=3)]
    found = l.sort(rows, [(lambda row: row["b"], True), (lambda row: row["a"], False)])
    assert [row["n"] for row in found] == [2, 3, 0, 1]
    assert [row["n"] for row in l.sort(rows, [(lambda row: row["b"], False)])] == [0, 1, 3, 2]


def test_times_of_different_zones_are_sorted_as_moments():
    early, late = parse_datetime("2026-01-01T12:00:00.000+02:00"), parse_datetime("2026-01-01T11:00:00.000Z")
    assert l.sort([late, None, early]) == [None, early, late]


integers = st.lists(st.one_of(st.none(), st.integers(0, 4)), max_size=6)


def once(values):
    return list(dict.fromkeys(values))


@settings(deadline=None, max_examples=200)
@given(integers, integers)
def test_set_operators_against_python(left, right):
    assert l.union(left, right) == once([*left, *right])
    assert l.intersect(left, right) == [value for value in once(left) if value in right]
    assert l.except_(left, right) == [value for value in once(left) if value not in right]
    assert l.includes(left, right) is (set(left) >= set(right))
    assert l.proper_includes(left, right) is (set(left) > set(right))
    assert l.distinct(left) == once(left)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.decimals(-1000, 1000, places=3), min_size=2, max_size=8))
def test_statistics_against_python(values):
    for mine, theirs in (
        (g.median, median),
        (g.variance, variance),
        (g.population_variance, pvariance),
        (g.std_dev, stdev),
        (g.population_std_dev, pstdev),
    ):
        assert abs(mine(values) - theirs(values)) < D("0.0000001")


def test_many_resources_are_told_apart_in_one_pass():
    readings = [
        {"resourceType": "Observation", "id": str(at), "component": [{"value": D(at)}]} for at in range(3000)
    ]
    assert len(l.union(readings, [dict(reading) for reading in readings])) == 3000
    assert l.intersect(readings, readings[:5]) == readings[:5]
    assert l.except_(readings, readings[5:]) == readings[:5]
