"""What a library asks of the data: merged, and limited in time where its conditions allow it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import cql
from rules.emit.retrieve import Retrieve
from rules.runtime.interval import Interval
from rules.runtime.temporal import DateTime
from rules.runtime.values import Code

NOW = "2026-11-21T10:00:00.000+01:00"
HEAD = """library X using FHIR version '4.0.1'
codesystem "L": 'urn:l'
code "A": 'a' from "L"
code "B": 'b' from "L"
parameter "Measurement Period" Interval<DateTime>
parameter Days Integer default 3
context Patient
define Begin: Now() - 3 days
define Recent: Interval[Begin, Now()]
"""


def library(*defines: str) -> cql.Library:
    return cql.compile(HEAD + "\n".join(f"define R{n}: {text}" for n, text in enumerate(defines)))


def period(condition: str, **given: Any) -> list[str | None]:
    compiled = library(f"[Observation] O where {condition}")
    (retrieve,) = compiled.retrieves
    bounds = compiled.period(retrieve, now=NOW, **given)
    return [None if bound is None else bound.isoformat(timespec="minutes")[:16] for bound in bounds]


NONE = [None, None]
TIME = "(O.effective as FHIR.dateTime)"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f"{TIME} after Now() - 3 days", ["2026-11-18T09:00", None]),
        (f"{TIME}.value > Now() - 3 days", ["2026-11-18T09:00", None]),
        (f"Now() - 3 days before {TIME}", ["2026-11-18T09:00", None]),
        (f"{TIME} on or after Begin", ["2026-11-18T09:00", None]),
        ("O.effective after Begin", ["2026-11-18T09:00", None]),
        (f"{TIME} before Now()", [None, "2026-11-21T09:00"]),
        (f"{TIME} in Interval[Now() - 3 days, Now()]", ["2026-11-18T09:00", "2026-11-21T09:00"]),
        (f"{TIME} during Recent", ["2026-11-18T09:00", "2026-11-21T09:00"]),
        (f"{TIME} after Recent", ["2026-11-21T09:00", None]),
        (f"{TIME} before Recent", [None, "2026-11-18T09:00"]),
        ("(O.effective as FHIR.Period) during Recent", ["2026-11-18T09:00", "2026-11-21T09:00"]),
        ("(O.effective as FHIR.Period) overlaps Recent", ["2026-11-18T09:00", "2026-11-21T09:00"]),
        ("(O.effective as FHIR.Period) starts after Now()", ["2026-11-21T09:00", None]),
        ("(O.effective as FHIR.Period) includes Now()", ["2026-11-21T09:00", "2026-11-21T09:00"]),
        (f"{TIME} 2 days or less before Now()", ["2026-11-19T09:00", "2026-11-21T09:00"]),
        (f"{TIME} within 1 day of Now()", ["2026-11-20T09:00", "2026-11-22T09:00"]),
        ("O.issued on or after Begin and O.status = 'final'", ["2026-11-18T09:00", None]),
        ("O.status = 'final' and O.issued before Begin", [None, "2026-11-18T09:00"]),
        ("O.issued before Begin or O.issued after Now()", NONE),
        ("O.issued before Begin or O.issued before Now()", [None, "2026-11-21T09:00"]),
        ("O.issued before Begin or O.status = 'final'", NONE),
        ("not (O.issued before Begin)", NONE),
        # of a day, whatever zone it is in
        (f"{TIME} same day as Today()", ["2026-11-20T10:00", "2026-11-22T13:59"]),
        (f"{TIME} on or after day of Begin", ["2026-11-17T10:00", None]),
        (f"{TIME} before month of Now()", [None, "2026-12-01T13:59"]),
        (f"date from {TIME} after Today()", ["2026-11-20T10:00", None]),
        (f"{TIME} after @2026-11", ["2026-10-31T10:00", None]),
        # what the data say themselves is no limit
        (f"{TIME} before O.issued", NONE),
        ("O.status = 'final'", NONE),
        (f"{TIME} after null", NONE),
    ],
)
def test_a_condition_limits_the_time(condition: str, expected: list[str | None]) -> None:
    assert period(condition) == expected


def test_a_bound_that_needs_data_is_none() -> None:
    length = "System.Quantity { value: Count([Condition]), unit: 'days' }"
    compiled = library(f"[Observation] O where {TIME} after Now() - {length}")
    assert [retrieve.dates for retrieve in compiled.retrieves] == [None, None]


def test_a_parameter_limits_the_time() -> None:
    condition = f'{TIME} during "Measurement Period"'
    assert period(condition) == NONE
    half = Interval(DateTime((2026, 1, 1, 0, 0, 0, 0), 0), None)
    assert period(condition, parameters={"Measurement Period": half}) == ["2026-01-01T00:00", None]


def test_a_number_that_is_a_parameter_limits_the_time() -> None:
    condition = f"{TIME} after Now() - System.Quantity {{ value: Days * 2.0, unit: 'days' }}"
    assert period(condition) == ["2026-11-15T09:00", None]
    assert period(condition, parameters={"Days": 1}) == ["2026-11-19T09:00", None]


def test_an_included_library_limits_its_own_retrieves() -> None:
    common = """library Common using FHIR version '4.0.1'
parameter Days Integer default 3
context Patient
define Begin: Now() - System.Quantity { value: Days, unit: 'days' }
define Recent: [Observation] O where O.issued after Begin"""
    main = """library Main using FHIR version '4.0.1' include Common
context Patient
define Mine: [Condition] C where C.recordedDate after Common.Begin
define Its: Common.Recent"""
    compiled = cql.compile(main, {"Common": common})
    periods = {
        retrieve.type: compiled.period(retrieve, now=NOW, parameters={"Common.Days": 1})
        for retrieve in compiled.retrieves
    }
    begin = datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert periods == {"Observation": (begin, None), "Condition": (begin, None)}


def test_a_limit_that_cannot_be_computed_is_none() -> None:
    compiled = library(
        f"[Observation] O where {TIME} after Now() - 3 'mg'",
        "[Condition] C where C.recordedDate after Now()",
    )
    observation, condition = compiled.retrieves
    assert compiled.period(observation, now=NOW) == (None, None)
    assert compiled.period(condition) == (None, None)  # no clock


def test_the_condition_of_a_relationship_limits_what_it_retrieves() -> None:
    compiled = library(f"[Condition] C with [Observation] O such that {TIME} after Begin")
    found = {retrieve.type: compiled.period(retrieve, now=NOW)[0] for retrieve in compiled.retrieves}
    assert found == {"Condition": None, "Observation": datetime(2026, 11, 18, 9, tzinfo=UTC)}


def test_what_has_a_name_of_its_own_is_not_limited_by_who_uses_it() -> None:
    compiled = library("[Observation]", f"R0 O where {TIME} after Begin")
    assert [retrieve.dates for retrieve in compiled.retrieves] == [None]


A, B = Code("a", "urn:l"), Code("b", "urn:l")


@pytest.mark.parametrize(
    ("defines", "expected"),
    [
        (['[Observation: "A"]', '[Observation: "B"]'], [(("a", "b"), None)]),
        (['[Observation: "A"]', '[Observation: "A"] O where O.issued after Begin'], [(("a",), None)]),
        (['[Observation: "A"] O where O.issued after Begin', "[Observation]"], [((), None)]),
        # one that is limited is not made unlimited for other codes
        (
            ['[Observation: "A"]', '[Observation: "B"] O where O.issued after Begin'],
            [(("a",), None), (("b",), 18)],
        ),
        (
            [
                '[Observation: "A"] O where O.issued after Now() - 1 day',
                '[Observation: "B"] O where O.issued after Now() - 9 days',
            ],
            [(("a", "b"), 12)],
        ),
        (
            [
                '[Observation: "A"] O where O.issued after Begin',
                f'[Observation: "B"] O where {TIME} after Begin',
            ],
            [(("a",), 18), (("b",), 18)],
        ),
    ],
)
def test_retrieves_of_a_type_are_merged(defines: list[str], expected: list[Any]) -> None:
    compiled = library(*defines)
    found = []
    for retrieve in compiled.retrieves:
        low, _ = compiled.period(retrieve, now=NOW)
        assert isinstance(retrieve.codes, tuple)
        found.append((tuple(str(code.code) for code in retrieve.codes), low and low.day))
    assert found == expected


def test_retrieves_at_other_paths_and_of_other_types_stay_apart() -> None:
    compiled = library('[Observation: "A"]', '[Observation: category ~ "A"]', '[Condition: "A"]')
    assert compiled.retrieves == (
        Retrieve("Observation", "code", (A,)),
        Retrieve("Observation", "category", (A,)),
        Retrieve("Condition", "code", (A,)),
    )


# The bounds leave nothing out that the condition keeps


_zones = st.sampled_from(["Z", "+01:00", "-05:00", "+14:00", "-12:00", "+05:30"])
_moments = st.integers(0, 4 * 24 * 60).map(lambda n: datetime(2026, 11, 19) + timedelta(minutes=n))


@st.composite
def _written(draw: st.DrawFn) -> str:
    """A FHIR dateTime around the 21st of November, to any precision."""
    moment = draw(_moments)
    form = draw(st.sampled_from(["%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.007"]))
    return moment.strftime(form) + (draw(_zones) if "T" in form else "")


def _extent(resource: dict[str, Any]) -> tuple[datetime, datetime]:
    """From when to when a search has it: days, months and years without a zone are UTC's."""
    if "effectivePeriod" in resource:
        given = resource["effectivePeriod"]
        low = _moment(given["start"])[0] if "start" in given else datetime.min.replace(tzinfo=UTC)
        return low, _moment(given["end"])[1] if "end" in given else datetime.max.replace(tzinfo=UTC)
    return _moment(resource["effectiveDateTime"])


def _moment(written: str) -> tuple[datetime, datetime]:
    if "T" in written:
        found = datetime.fromisoformat(written)
        return found, found + timedelta(milliseconds=0 if "." in written else 999)
    first = datetime.fromisoformat((written + "-01-01")[:10]).replace(tzinfo=UTC)
    later = {4: timedelta(days=367), 7: timedelta(days=32), 10: timedelta(days=1)}[len(written)]
    end = (first + later).replace(**{4: {"day": 1, "month": 1}, 7: {"day": 1}, 10: {}}[len(written)])
    return first, end - timedelta(milliseconds=1)


_literal = st.one_of(
    st.sampled_from(["Now()", "Today()", "Begin", "Now() - 8 hours", "@2026-11", "@2026-11-21T"]),
    _written().map(lambda text: f"@{text}" if "T" in text else f"@{text}T"),
)
_precision = st.sampled_from(["", "", "year of", "month of", "day of", "hour of", "minute of", "second of"])
_points = st.tuples(
    st.sampled_from(["after", "before", "on or after", "on or before", "same {} as"]), _precision, _literal
).map(
    lambda c: f"{c[0].format(c[1].removesuffix(' of'))} {c[2]}" if "{}" in c[0] else f"{c[0]} {c[1]} {c[2]}"
)
_intervals = st.tuples(
    st.sampled_from(["during", "overlaps", "after", "before"]),
    st.sampled_from("[("),
    _literal,
    _literal,
    st.sampled_from("])"),
).map(lambda c: f"{c[0]} Interval{c[1]}{c[2]}, {c[3]}{c[4]}")
_comparison = st.one_of(_points, _intervals)


@st.composite
def _condition(draw: st.DrawFn) -> str:
    comparison = draw(_comparison)
    as_period = "overlaps" in comparison or draw(st.booleans())
    value = "(O.effective as FHIR.Period)" if as_period else "(O.effective as FHIR.dateTime)"
    if not as_period and draw(st.integers(0, 4)) == 0:
        value = f"date from {value}"
    return f"{value} {comparison}"


@settings(max_examples=150, deadline=None)
@given(
    st.lists(_condition(), min_size=1, max_size=2),
    st.sampled_from(["and", "or"]),
    st.lists(st.one_of(_written(), st.tuples(_written(), _written())), min_size=1, max_size=8),
    st.sampled_from(["+01:00", "Z", "-11:00", "+13:00"]),
)
def test_what_lies_outside_the_bounds_does_not_fulfil_the_condition(
    conditions: list[str], joint: str, times: list[Any], zone: str
) -> None:
    text = f" {joint} ".join(f"({condition})" for condition in conditions)
    try:
        compiled = library(f"[Observation] O where {text}")
    except cql.CompileError:
        return
    resources = []
    for n, time in enumerate(times):
        if isinstance(time, tuple):
            start, end = sorted(time, key=lambda text: _moment(text)[0])
            value: dict[str, Any] = {"effectivePeriod": {"start": start, "end": end}}
        else:
            value = {"effectiveDateTime": time}
        resources.append({"resourceType": "Observation", "id": str(n), "status": "final", **value})
    now = f"2026-11-21T10:00:00.000{zone}"
    (retrieve,) = compiled.retrieves
    low, high = compiled.period(retrieve, now=now)
    near = [
        resource
        for resource in resources
        if (low is None or _extent(resource)[1] >= low) and (high is None or _extent(resource)[0] <= high)
    ]
    try:
        expected = compiled.evaluate("R0", resources=resources, now=now)
    except cql.EvaluationError:
        return
    assert compiled.evaluate("R0", resources=near, now=now) == expected
