"""Three-valued logic and tests for null, by their whole truth tables."""

from __future__ import annotations

from itertools import product

import pytest

from rules.runtime import logic, nullology

WORLDS = {True: {True}, False: {False}, None: {True, False}}
TABLES = {
    logic.and_: lambda a, b: a and b,
    logic.or_: lambda a, b: a or b,
    logic.xor: lambda a, b: a is not b,
    logic.implies: lambda a, b: not a or b,
}


@pytest.mark.parametrize(("operator", "plain"), TABLES.items(), ids=lambda f: getattr(f, "__name__", ""))
def test_binary_operators_are_null_only_where_null_matters(operator, plain):
    for left, right in product(WORLDS, repeat=2):
        outcomes = {plain(a, b) for a, b in product(WORLDS[left], WORLDS[right])}
        assert operator(left, right) is (outcomes.pop() if len(outcomes) == 1 else None)


def test_not():
    assert [logic.not_(value) for value in (True, False, None)] == [False, True, None]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("a", None), "a"),
        ((None, "a"), "a"),
        ((None, None), None),
        (([],), None),
        (([None, None, "a"],), "a"),
        ((["a"], None), ["a"]),
        ((None, ["a"]), ["a"]),
        ((False, True), False),
        ((0, 1), 0),
    ],
)
def test_coalesce(values, expected):
    assert nullology.coalesce(*values) == expected


def test_null_tests():
    assert [nullology.is_null(value) for value in (None, "", 0, False)] == [True, False, False, False]
    assert [nullology.is_true(value) for value in (True, False, None)] == [True, False, False]
    assert [nullology.is_false(value) for value in (True, False, None)] == [False, True, False]
