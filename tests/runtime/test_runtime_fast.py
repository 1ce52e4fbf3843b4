"""Where an operator has a short way, it answers as the long way does."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rules.model.values import has_code, to_concept
from rules.runtime import lists, ordering, relations
from rules.runtime.comparison import equivalent_concept
from rules.runtime.context import Context, evaluation
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.temporal import DateTime
from rules.runtime.values import Code, Concept, Quantity

_FIELDS = ((2026, 1, 9998, 1), (11, 12), (1, 21, 22, 30), (0, 9, 10, 23), (0, 29, 30), (0, 59), (0, 7, 999))
_zones = st.sampled_from([None, 0, 60, -300, 330, 840, -840])
moments = st.builds(
    DateTime,
    st.integers(1, 7).flatmap(lambda n: st.tuples(*map(st.sampled_from, _FIELDS[:n]))),
    _zones,
)
clocks = st.sampled_from([0, 60, -660, 840, 345]).map(
    lambda zone: DateTime((2026, 11, 21, 10, 0, 0, 0), zone)
)


def outcome(function: Any, *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except EvaluationError:
        return "an error"


@given(moments, moments, clocks)
def test_times_whose_spans_do_not_meet_are_in_order(left: DateTime, right: DateTime, now: DateTime) -> None:
    with evaluation(Context(now)):
        if left.latest < right.earliest:
            assert ordering.order_times(left, right) == -1
        if left.earliest > right.latest:
            assert ordering.order_times(left, right) == 1


@given(moments, moments, moments, st.booleans(), st.booleans(), clocks)
def test_a_time_is_in_an_interval_if_it_is_between_its_bounds(
    point: DateTime, low: DateTime, high: DateTime, low_closed: bool, high_closed: bool, now: DateTime
) -> None:
    interval = Interval(low, high, low_closed, high_closed)
    with evaluation(Context(now)):
        above = ordering.at_most(low, point) if low_closed else ordering.less(low, point)
        below = ordering.at_most(point, high) if high_closed else ordering.less(point, high)
        expected = False if False in (above, below) else None if None in (above, below) else True
        assert relations.contains(interval, point) is expected


keys = st.one_of(
    st.lists(st.none() | moments, min_size=1, max_size=6),
    st.lists(st.none() | st.integers(0, 3), min_size=1, max_size=6),
    st.lists(st.none() | st.sampled_from("aAb"), min_size=1, max_size=6),
    st.lists(
        st.none() | st.builds(Quantity, st.integers(0, 3).map(Decimal), st.sampled_from(["g", "kg"])),
        min_size=1,
        max_size=6,
    ),
    st.lists(st.one_of(st.integers(0, 3), st.just("a")), min_size=1, max_size=4),
)


@given(keys, st.booleans(), clocks)
def test_the_first_and_the_last_of_a_sorted_list(found: list[Any], descending: bool, now: DateTime) -> None:
    values = list(range(len(found)))
    with evaluation(Context(now)):
        ordered = outcome(lists.sort, values, ((found.__getitem__, descending),))
        first = outcome(lists.first_sorted, values, found, descending)
        last = outcome(lists.last_sorted, values, found, descending)
    assert (first, last) == ((ordered[0], ordered[-1]) if isinstance(ordered, list) else (ordered, ordered))


_texts = st.none() | st.sampled_from(["a", "b"])
_codes = st.builds(Code, _texts, _texts)


@given(
    st.none() | st.lists(st.none() | st.dictionaries(st.sampled_from(["code", "system"]), _texts)),
    st.lists(_codes),
)
def test_data_have_a_code_if_they_are_equivalent_to_it(codings: Any, codes: list[Code]) -> None:
    value = None if codings is None else {"coding": codings}
    wanted = frozenset((code.system, code.code) for code in codes)
    assert has_code(value, wanted) is equivalent_concept(to_concept(value), Concept(tuple(codes)))
