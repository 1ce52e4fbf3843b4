"""What loops lift out, remember and write out gives what the operators give, round by round."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rules import cql
from rules.emit.expressions import Expressions
from rules.model.values import to_date_time, to_quantity
from rules.runtime import calendar, comparison, quantities, relations, timing
from rules.runtime.context import Context, evaluation
from rules.runtime.interval import Interval
from rules.runtime.logic import and_
from rules.runtime.temporal import DateTime, parse_datetime
from rules.runtime.units import TextUnits
from rules.runtime.values import Quantity
from terminology.ucum import convert

NOW = "2026-11-21T10:00:00.000+01:00"
UCUM = "http://unitsofmeasure.org"
UNITS = TextUnits(convert)
DAYS, HEAVY = Quantity(Decimal(3), "days"), Quantity(Decimal(2), "kg")

LIBRARY = cql.compile("""library Loops using FHIR version '4.0.1'
context Patient
define Pairs: from [Observation] A, [Observation] B
  where (A.effective as FHIR.dateTime) 3 days or less after (B.effective as FHIR.dateTime)
    and (A.value as FHIR.Quantity) - (B.value as FHIR.Quantity) > 2 'kg'
  return all Tuple { a: A.id, b: B.id }
define Exists: exists (from [Observation] A, [Observation] B
  where (A.value as FHIR.Quantity) - (B.value as FHIR.Quantity) >= 2 'kg'
    and (A.effective as FHIR.dateTime) on or before (B.effective as FHIR.dateTime) - 1 day)
define With: exists ([Observation] A with [Observation] B
  such that (A.value as FHIR.Quantity) - (B.value as FHIR.Quantity) >= 2 'kg'
    and (A.effective as FHIR.dateTime) on or before (B.effective as FHIR.dateTime) - 1 day)
define Recent: [Observation] O
  where (O.effective as FHIR.dateTime) in Interval[Now() - 3 days, Now()] return all O.id.value
define Low: [Observation] O where (O.value as FHIR.Quantity) < 2 'kg' return all O.id.value
define Late: [Observation] O where (O.effective as FHIR.dateTime) > Now() - 3 days return all O.id.value
define Last: Last([Observation] O sort by (effective as FHIR.dateTime).value).id.value
""")

_times = st.none() | st.sampled_from(
    ["2026", "2026-11", "2026-11-19", "2026-11-18", "2026-11-19T08:00:00+01:00", "2026-11-18T09:00:00Z"]
    + ["2026-11-18T10:00:00.000+01:00", "2026-11-21T10:00:00+01:00", "2026-11-21T09:00:00.000Z", "nonsense"]
    + ["2026-11-20T23:30:00-05:00", "2026-11-22T04:30:00.001Z", "9999-12-31T23:59:59Z", "0001-01-01"]
)
_quantities = st.none() | st.builds(
    lambda value, unit, more: {"value": value, "system": UCUM, "code": unit, **more},
    st.sampled_from([0, 1, 2, 4, Decimal("2.0"), Decimal("4.1"), 2000, Decimal("1E+30"), 4.5]),
    st.sampled_from(["kg", "kg", "kg", "g", "cm"]),
    st.sampled_from([{}] * 12 + [{"comparator": "<"}, {"system": "urn:other"}]),
)


@st.composite
def _observations(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = []
    for n in range(draw(st.integers(0, 5))):
        time, quantity = draw(_times), draw(_quantities)
        found.append(
            {"resourceType": "Observation", "id": str(n)}
            | ({"effectiveDateTime": time} if time else {})
            | ({"valueQuantity": quantity} if quantity else {})
        )
    return found


def _time(resource: dict[str, Any]) -> DateTime | None:
    return to_date_time(resource.get("effectiveDateTime"))


def _quantity(resource: dict[str, Any]) -> Quantity | None:
    return to_quantity(resource.get("valueQuantity"))


def _both(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    return False if left is False else and_(left, right())


def _heavier(a: dict[str, Any], b: dict[str, Any], compare: Callable[[Any, Any], bool | None]) -> bool | None:
    return compare(quantities.subtract_quantity(_quantity(a), _quantity(b)), HEAVY)


def _pairs(data: list[dict[str, Any]]) -> Iterator[dict[str, str]]:
    for a in data:
        for b in data:
            soon = _both(
                timing.after(_time(a), _time(b)),
                lambda a=a, b=b: timing.same_or_before(_time(a), calendar.add(_time(b), DAYS)),
            )
            if _both(soon, lambda a=a, b=b: _heavier(a, b, comparison.greater_ordered)):
                yield {"a": a["id"], "b": b["id"]}


def _exists(data: list[dict[str, Any]]) -> bool:
    day = Quantity(Decimal(1), "day")
    for a in data:
        for b in data:
            heavier = _heavier(a, b, comparison.greater_or_equal_ordered)
            if _both(
                heavier,
                lambda a=a, b=b: timing.same_or_before(_time(a), calendar.subtract(_time(b), day)),
            ):
                return True
    return False


def _reference(name: str, data: list[dict[str, Any]], now: DateTime) -> Any:
    begin = calendar.subtract(now, DAYS)
    if name == "Pairs":
        return list(_pairs(data))
    if name in ("Exists", "With"):
        return _exists(data)
    if name == "Recent":
        return [o["id"] for o in data if relations.in_(_time(o), Interval(begin, now))]
    if name == "Low":
        return [o["id"] for o in data if comparison.less_ordered(_quantity(o), HEAVY)]
    return [o["id"] for o in data if comparison.greater_ordered(_time(o), begin)]


@pytest.mark.parametrize("name", ["Pairs", "Exists", "With", "Recent", "Low", "Late"])
@settings(max_examples=60, deadline=None)
@given(data=_observations())
def test_a_loop_gives_what_the_operators_give(name: str, data: list[dict[str, Any]]) -> None:
    now = parse_datetime(NOW)
    assert now is not None
    expected: Any
    with evaluation(Context(now, UNITS)):
        try:
            expected = _reference(name, data, now)
        except cql.EvaluationError as error:
            expected = str(error)
    try:
        found = LIBRARY.evaluate(name, resources=data, now=NOW, units=UNITS)
    except cql.EvaluationError as error:
        found = str(error)
    assert found == expected


def value(text: str, **given: Any) -> Any:
    return cql.compile(f"define V: {text}").evaluate("V", now=NOW, **given)


def test_what_a_loop_lifts_out_is_not_evaluated_if_no_round_needs_it() -> None:
    fails = "Message(1, true, 'x', 'Error', 'boom')"
    overflows = "(DateTime(9999) + 10 years)"
    assert value(f"({{1, 2}}) X where X > 5 and Now() > {overflows}") == []
    assert value(f"(({{}}) as List<Integer>) X where X < {fails}") == []
    with pytest.raises(cql.EvaluationError):
        value(f"({{1, 2}}) X where X < 5 and Now() < {overflows}")


def test_what_is_lifted_out_knows_the_rounds_of_the_loops_that_it_depends_on() -> None:
    assert value("({1, 2}) X return all (from ({10, 20}) Y, ({100}) Z return all X + Y + Z)") == [
        [111, 121],
        [112, 122],
    ]
    assert value("from ({1, 2}) X, ({10, 20}) Y let s: X + 1 where s + X > 3 return all s + Y") == [13, 23]
    assert value("from ({1, 2}) X, ({1, 2}) Y where Y + 1 = X + 0 + X return all {Y + 1, X}") == [[2, 1]]
    assert value("({1, 2, 3}) X aggregate R starting 0: R + (X * 2) + (R * 0)") == 12
    assert value("from ({1, 1}) X, ({1}) Y aggregate R starting 0: Y + R") == 2
    assert value("({1, 2}) X with ({2, 3}) Y such that X + 1 = Y + 0 return all X") == [1, 2]
    assert value(
        "({1, 2}) X with ({2, 3}) Y such that Y > X + 1 without ({3}) Z such that Z = X + 1 return X"
    ) == [1]
    related = "({1, 2}) X return all (({5, 6}) Y with ({3, 4}) Z such that Y - Z = X return all Y)"
    assert value(related) == [[5], [5, 6]]
    nested = "({1, 2}) X return all First(({3, 4}) Y sort by ($this * X) desc)"
    assert value(nested) == [4, 4]


def test_messages_are_said_in_each_round() -> None:
    said: list[Any] = []
    value("({1, 2, 3}) X return all X + Message(1, true, 'c', 'Trace', 't')", message=said.append)
    assert len(said) == 3


# Random queries in queries: the same without lifting anything

_NUMBERS = st.sampled_from(["1", "2", "3", "null", "maximum Integer"])


def _number(names: list[str], depth: int) -> st.SearchStrategy[str]:
    """An Integer expression of the names; some overflow."""
    leaves = st.sampled_from([*names, *names, "Two", "P", "1", "2"]) if names else _NUMBERS
    if depth == 0:
        return leaves
    inner = _number(names, depth - 1)
    return st.one_of(
        leaves,
        st.tuples(inner, st.sampled_from(["+", "-", "*"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(_condition(names, depth - 1), inner, inner).map(
            lambda t: f"(if {t[0]} then {t[1]} else {t[2]})"
        ),
        _queries(names, depth - 1).map(lambda q: f"Sum({q})"),
        _queries(names, depth - 1).map(lambda q: f"Last({q})"),
    )


def _condition(names: list[str], depth: int) -> st.SearchStrategy[str]:
    number = _number(names, max(depth - 1, 0))
    compared = st.tuples(number, st.sampled_from(["<", ">=", "=", "!="]), number).map(" ".join)
    if depth == 0:
        return compared
    inner = _condition(names, depth - 1)
    return st.one_of(
        compared,
        st.tuples(inner, st.sampled_from(["and", "or", "implies"]), inner).map(lambda t: f"({' '.join(t)})"),
        _queries(names, depth - 1).map(lambda q: f"exists ({q})"),
    )


@st.composite
def _queries(draw: st.DrawFn, names: list[str], depth: int) -> str:
    """A query that gives Integers: of one or two sources, with let, with, where, aggregate, return or sort."""
    own: list[str] = []
    sources = []
    for _ in range(draw(st.integers(1, 2))):
        alias = f"X{len(names) + len(own)}"
        own.append(alias)
        items = draw(st.lists(_number(names, 0), min_size=1, max_size=3))
        sources.append(f"({{{', '.join(items)}}}) {alias}")
    known = [*names, *own]
    text = f"from {', '.join(sources)}"
    if draw(st.booleans()):
        text += f" let L{len(known)}: {draw(_number(known, depth))}"
        known.append(f"L{len(known)}")
    if draw(st.integers(0, 3)) == 0:
        word, alias = draw(st.sampled_from(["with", "without"])), f"W{len(known)}"
        items = draw(st.lists(_number(names, 0), min_size=1, max_size=3))
        such = draw(_condition([*known, alias], depth))
        text += f" {word} ({{{', '.join(items)}}}) {alias} such that {such}"
    if draw(st.booleans()):
        text += f" where {draw(_condition(known, depth))}"
    if draw(st.integers(0, 4)) == 0:
        text += f" aggregate R{len(known)} starting 0: {draw(_number([*known, f'R{len(known)}'], depth))}"
        return f"{{({text})}}"
    text += f" return all {draw(_number(known, depth))}"
    return f"({text} sort asc)" if draw(st.booleans()) else f"({text})"


def _evaluated(text: str) -> Any:
    library = cql.compile(f"parameter P Integer default 3\ndefine Two: 2\ndefine Q: {text}")
    try:
        return library.evaluate("Q", now=NOW, steps=100_000)
    except cql.EvaluationError as error:
        return str(error)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(_queries([], 2))
def test_random_queries_give_the_same_without_lifting(text: str) -> None:
    found = _evaluated(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Expressions, "_lifted_out", lambda self, node: None)
        assert found == _evaluated(text)
