"""Equality and equivalence of every type, and the order of what has one."""

from __future__ import annotations

from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.runtime import comparison as c
from rules.runtime import ordering
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.ordering import Uncertainty
from rules.runtime.temporal import parse_date, parse_datetime, parse_time
from rules.runtime.values import Code, CodeSystem, Concept, Long, Quantity, Ratio, Tuple, ValueSet


def R(above, below):
    return Ratio(Quantity(D(above), "cm"), Quantity(D(below), "cm"))


LOINC = "http://loinc.org"
PAIRS = [  # left, right, equal, equivalent
    (True, True, True, True),
    (True, False, False, False),
    (True, 1, False, False),
    (1, 1, True, True),
    (1, Long(1), True, True),
    (1, D("1.0"), True, True),
    (1, "1", False, False),
    (D("1.0"), D("1.00"), True, True),
    (D("1.5"), D("1.55"), False, False),
    (D("1.001"), D("1.000"), False, True),
    (D("1.0"), D("2.0"), False, False),
    (D(100), D("1E+2"), True, True),
    ("a", "a", True, True),
    ("Abel", "abel", False, True),
    ("a\tb", "a b", False, True),
    ("a  b", "a b", False, False),
    ("", "a", False, False),
    (parse_date("2014-01"), parse_date("2014-01"), True, True),
    (parse_date("2014-01"), parse_date("2014-01-01"), None, False),
    (parse_date("2014-01"), parse_date("2014-02-01"), False, False),
    (parse_datetime("2014-01-25T14:30:14.559+01:00"), parse_datetime("2014-01-25T13:30:14.559Z"), True, True),
    (parse_date("2014"), parse_time("10:00"), False, False),
    (R(1, 2), R(1, 2), True, True),
    (R(1, 2), R(10, 20), False, True),
    (R(1, 2), R(1, 3), False, False),
    ([], [], True, True),
    ([1, None], [1, None], True, True),
    ([1, None], [1, 2], None, False),
    ([1, None], [2, 2], False, False),
    ([1], [1, 2], False, False),
    ([[1], ["a"]], [[1], ["A"]], False, True),
    ([1], 1, False, False),
    (Tuple(Id=1, Name="John"), Tuple(Id=1, Name="John"), True, True),
    (Tuple(Id=1, Name="John"), Tuple(Id=1, Name=None), None, False),
    (Tuple(Id=1, Name="John"), Tuple(Id=2, Name=None), False, False),
    (Tuple(Id=None, Name="John"), Tuple(Id=None, Name="John"), True, True),
    (Tuple(Id=None, Name="John"), Tuple(Id=1, Name="James"), None, False),
    ({"resourceType": "Patient", "id": "a"}, {"resourceType": "Patient", "id": "a"}, True, True),
    ({"resourceType": "Patient", "id": "a"}, {"resourceType": "Patient", "id": "b"}, False, False),
    (Code("8480-6", LOINC), Code("8480-6", LOINC), True, True),
    (Code("8480-6", LOINC), Code("8480-6", LOINC, "2", "Systolic"), None, True),
    (Code("8480-6", LOINC), Code("8462-4", LOINC), False, False),
    (Code("8480-6", LOINC), Code("8480-6", "http://other"), False, False),
    (Code("8480-6", LOINC), Concept((Code("1", "x"), Code("8480-6", LOINC, "3"))), False, True),
    (Concept((Code("1", "x"), Code("2", "x"))), Concept((Code("2", "x"), Code("3", "x"))), False, True),
    (Concept((Code("1", "x"),), "one"), Concept((Code("1", "x"),), "one"), True, True),
    (Concept(()), Concept(()), True, False),
    (ValueSet("http://a"), ValueSet("http://a"), True, True),
    (CodeSystem("http://a"), CodeSystem("http://a", "1"), False, False),
    (Interval(1, 5), Interval(1, 6, True, False), True, True),
    (Interval(1, 5), Interval(1, 6), False, False),
    (Uncertainty(1, 3), 5, False, False),
    (Uncertainty(1, 3), 2, None, False),
    (Uncertainty(1, 3), Uncertainty(1, 3), None, True),
]


@pytest.mark.parametrize(("left", "right", "equal", "equivalent"), PAIRS, ids=str)
def test_equality_and_equivalence(left, right, equal, equivalent):
    assert c.equal(left, right) is equal
    assert c.not_equal(left, right) is (None if equal is None else not equal)
    assert c.equivalent(left, right) is equivalent
    assert c.not_equivalent(left, right) is not equivalent


@pytest.mark.parametrize("value", [pair[0] for pair in PAIRS], ids=str)
def test_null(value):
    assert c.equal(value, None) is None
    assert c.equal(None, value) is None
    assert c.not_equal(None, None) is None
    assert c.equivalent(value, None) is False
    assert c.equivalent(None, value) is False
    assert c.equivalent(None, None) is True


@pytest.mark.parametrize(
    ("left", "right", "order"),
    [
        (1, 2, -1),
        (2, 1, 1),
        (Long(1), 1, 0),
        (D("1.0"), 1, 0),
        ("a", "aa", -1),
        ("Jack", "Jill", -1),
        ("b", "B", 1),
        (parse_date("2014"), parse_date("2014-02-15"), None),
        (parse_date("2013"), parse_date("2014-02-15"), -1),
        (parse_time("10:00:00.001"), parse_time("10:00:00.000"), 1),
        (Uncertainty(1, 3), 4, -1),
        (Uncertainty(1, 3), 2, None),
    ],
)
def test_order(left, right, order):
    expected = [None] * 4 if order is None else [order < 0, order <= 0, order > 0, order >= 0]
    ordered = (c.less_ordered, c.less_or_equal_ordered, c.greater_ordered, c.greater_or_equal_ordered)
    assert [operator(left, right) for operator in ordered] == expected
    assert [operator(None, right) for operator in ordered] == [None] * 4
    plain = (c.less, c.less_or_equal, c.greater, c.greater_or_equal)
    if not hasattr(left, "fields"):
        assert [operator(left, right) for operator in plain] == expected
        assert [operator(left, None) for operator in plain] == [None] * 4


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, "a"), (True, False), (parse_date("2014"), 1), ([1], [2]), (parse_date("2014"), parse_time("10"))],
)
def test_what_has_no_order(left, right):
    with pytest.raises(EvaluationError):
        ordering.less(left, right)


ranges = st.tuples(st.integers(-4, 4), st.integers(-4, 4)).map(sorted)


@settings(deadline=None, max_examples=200)
@given(ranges, ranges)
def test_uncertainty_against_enumeration(left, right):
    mine, its = Uncertainty(*left), Uncertainty(*right)
    pairs = [(a, b) for a in range(left[0], left[1] + 1) for b in range(right[0], right[1] + 1)]
    for found, outcomes in (
        (mine < its, {a < b for a, b in pairs}),
        (mine <= its, {a <= b for a, b in pairs}),
        (mine > its, {a > b for a, b in pairs}),
        (mine >= its, {a >= b for a, b in pairs}),
        (mine == its, {a == b for a, b in pairs}),
        (mine != its, {a != b for a, b in pairs}),
    ):
        assert found is (outcomes.pop() if len(outcomes) == 1 else None)
    for found, results in (
        (mine + its, [a + b for a, b in pairs]),
        (mine - its, [a - b for a, b in pairs]),
        (mine * its, [a * b for a, b in pairs]),
    ):
        assert ordering.ends(found) == (min(results), max(results))


simple = st.one_of(st.integers(0, 3), st.sampled_from("ab"), st.booleans(), st.none(), st.just(D("1.0")))


@settings(deadline=None, max_examples=200)
@given(
    st.recursive(simple, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
    st.recursive(simple, lambda inner: st.lists(inner, max_size=2), max_leaves=4),
)
def test_equality_is_symmetric_and_equivalence_never_null(left, right):
    assert c.equal(left, right) is c.equal(right, left)
    assert c.equivalent(left, right) is c.equivalent(right, left)
    assert c.equivalent(left, left) is True
    if c.equal(left, right):
        assert c.equivalent(left, right)


@pytest.mark.parametrize("left", [pair[0] for pair in PAIRS], ids=str)
def test_keys_are_the_same_for_what_is_alike(left):
    mine = c.key(left)
    for right in (pair[side] for pair in PAIRS for side in (0, 1)):
        its = c.key(right)
        if mine is not None and its is not None:
            assert (mine == its) is c.alike(left, right), right
        elif (mine is None) is not (its is None):
            assert not c.alike(left, right)
