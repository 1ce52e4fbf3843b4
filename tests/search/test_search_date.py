"""https://hl7.org/fhir/R4/search.html#date"""

import calendar
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fhir_server.search.parameters.date import bounds
from fhir_server.search.query import MAX_TIME, MIN_TIME

SECOND = 1_000_000
DAY = 86_400 * SECOND


def at(text):
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def observation(**effective):
    return {"resourceType": "Observation", **effective}


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", "2026-01-01T00:00Z", "2027-01-01T00:00Z"),
        ("2024-02", "2024-02-01T00:00Z", "2024-03-01T00:00Z"),
        ("2026-12", "2026-12-01T00:00Z", "2027-01-01T00:00Z"),
        ("2024-02-29", "2024-02-29T00:00Z", "2024-03-01T00:00Z"),
        ("2026-11-21T10:15", "2026-11-21T10:15Z", "2026-11-21T10:16Z"),
        ("2026-11-21T10:15:30Z", "2026-11-21T10:15:30Z", "2026-11-21T10:15:31Z"),
        ("2026-11-21T10:15:30+01:00", "2026-11-21T09:15:30Z", "2026-11-21T09:15:31Z"),
        ("2026-11-21T00:15:30+05:30", "2026-11-20T18:45:30Z", "2026-11-20T18:45:31Z"),
        ("2026-11-21T23:15:30-03:00", "2026-11-22T02:15:30Z", "2026-11-22T02:15:31Z"),
        ("2026-11-21T10:15:30.123Z", "2026-11-21T10:15:30.123Z", "2026-11-21T10:15:30.124Z"),
        ("2026-11-21T10:15:30.123456789Z", "2026-11-21T10:15:30.123456Z", "2026-11-21T10:15:30.123457Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"),
        ("0001", "0001-01-01T00:00Z", "0002-01-01T00:00Z"),
        ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", None),
    ],
)
def test_a_value_is_the_range_of_its_precision(text, low, high):
    assert bounds(text) == (at(low), at(high) if high else at(low) + SECOND)


def test_the_last_year_has_an_end():
    low, high = bounds("9999")
    assert high - low == 365 * DAY


@pytest.mark.parametrize(
    "text",
    [
        "", "26", "2026-13", "2026-00", "2026-02-30", "2023-02-29", "0000", "2026-1-1", "2026-11-21T", "2026-11-21T10",
        "2026-11-21T24:00:00Z", "2026-11-21T10:60:00Z", "2026-11-21T10:15:61Z", "2026-11-21T10:15:30+15:00",
        "2026-11-21T10:15:30+01:60", "2026-11-21 10:15:30", "2026-11-21T10:15:30z", "2026-11-21T10:15:30.Z", "２０２６",
        "20261121", "2026-W10", " 2026", "2026\n",
    ],
)  # fmt: skip
def test_what_is_no_date(text):
    with pytest.raises(ValueError):
        bounds(text)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        # the examples of the page
        ("date=eq2013-01-14", [True, True, False]),
        ("date=2013-01-14", [True, True, False]),
        ("date=ne2013-01-14", [False, False, True]),
    ],
)
def test_the_page_s_examples_of_eq_and_ne(finds, query, found):
    moments = ["2013-01-14T00:00:00Z", "2013-01-14T10:00:00Z", "2013-01-15T00:00:00Z"]
    assert [finds(query, observation(effectiveDateTime=moment)) for moment in moments] == found


def test_the_page_s_examples_of_a_day_and_a_minute(finds):
    assert finds("date=lt2013-01-14T10:00", observation(effectiveDateTime="2013-01-14"))
    assert finds("date=gt2013-01-14T10:00", observation(effectiveDateTime="2013-01-14"))


FROM_15_MARCH = {"start": "2013-03-15"}
FROM_21_JANUARY = {"start": "2013-01-21"}
UNTIL_21_JANUARY = {"end": "2013-01-21"}


@pytest.mark.parametrize(
    ("query", "period", "found"),
    [
        ("date=ge2013-03-14", FROM_21_JANUARY, True),
        ("date=le2013-03-14", FROM_21_JANUARY, True),
        ("date=sa2013-03-14", FROM_15_MARCH, True),
        ("date=sa2013-03-14", FROM_21_JANUARY, False),
        ("date=sa2013-03-14", UNTIL_21_JANUARY, False),
        ("date=eb2013-03-14", FROM_15_MARCH, False),
        ("date=eb2013-03-14", FROM_21_JANUARY, False),
        ("date=eb2013-03-14", UNTIL_21_JANUARY, True),
    ],
)
def test_the_page_s_examples_of_open_periods(finds, query, period, found):
    assert finds(query, observation(effectivePeriod=period)) == found


def test_approximately_is_a_tenth_of_the_way_to_now(finds):
    """Now is 2026-11-21: from 2013-03-14 that is some 5000 days, so 500 to either side."""
    assert finds("date=ap2013-03-14", observation(effectiveDateTime="2013-03-14"))
    assert finds("date=ap2013-03-14", observation(effectiveDateTime="2014-07-01"))
    assert not finds("date=ap2013-03-14", observation(effectiveDateTime="2015-06-15"))
    assert finds("date=ap2026-11-21", observation(effectiveDateTime="2026-11-21T23:00:00Z"))


def test_a_plus_that_was_not_encoded_is_a_plus(finds):
    reading = observation(effectiveDateTime="2026-11-21T10:15:30+01:00")
    assert finds("date=2026-11-21T10:15:30+01:00", reading)
    assert finds("date=2026-11-21T10:15:30%2B01:00", reading)
    assert finds("date=2026-11-21T09:15:30Z", reading)


def test_several_dates_are_a_window(finds):
    reading = observation(effectiveDateTime="2026-11-21T10:15:30Z")
    assert finds("date=ge2026-11-20&date=lt2026-11-22", reading)
    assert not finds("date=ge2026-11-20&date=lt2026-11-21", reading)
    assert finds("date=2025,2026", reading)


def test_a_timing_is_its_outer_limits(finds, rows):
    timing = {
        "event": ["2013-01-31", "2013-03-24", None],
        "repeat": {"boundsPeriod": {"start": "2013-01-01"}},
    }
    assert rows(observation(effectiveTiming=timing))["date"] == (("date", at("2013-01-01T00:00Z"), MAX_TIME),)
    events = {"event": ["2013-03-24", "2013-01-31"]}
    assert finds("date=gt2013-02-01", observation(effectiveTiming=events))
    assert finds("date=sa2013-01-30", observation(effectiveTiming=events))
    assert not finds("date=sa2013-01-31", observation(effectiveTiming=events))


@pytest.mark.parametrize(
    "odd",
    [
        {"effectiveDateTime": "tomorrow"},
        {"effectivePeriod": {}},
        {"effectivePeriod": {"extension": []}},
        {"effectiveTiming": {"code": {"text": "daily"}}},
        {"effectiveTiming": {"repeat": {"boundsDuration": {"value": 3}}}},
        {"_effectiveDateTime": {"extension": []}},
    ],
)
def test_what_is_no_time_is_left_out(rows, odd):
    assert "date" not in rows(observation(**odd))


def test_a_period_that_ends_before_it_starts_spans_what_it_names(rows):
    period = {"start": "2013-03-14", "end": "2013-03-01"}
    low, high = at("2013-03-01T00:00Z"), at("2013-03-15T00:00Z")
    assert rows(observation(effectivePeriod=period))["date"] == (("date", low, high),)


def test_an_open_start(rows):
    assert rows(observation(effectivePeriod={"end": "2013"}))["date"][0][1] == MIN_TIME


@pytest.mark.parametrize("value", ["abc", "2026-02-30", "xx2026", "ge", "2026-11-21T25:00", "ge2026,"])
def test_a_value_that_is_no_date_is_refused(bad_value, value):
    bad_value("Observation", f"date={value}")


def test_last_updated_is_of_the_version(finds):
    patient = {"resourceType": "Patient", "id": "1"}
    updated = at("2026-11-21T10:15:30.250Z")
    for query, found in {
        "2026-11-21": True, "eq2026-11-21T10:15:30.250Z": True, "ne2026-11-21": False, "ne2026-11-20": True,
        "gt2026-11-20": True, "gt2026-11-21": False, "ge2026-11-21": True, "lt2026-11-21": False,
        "le2026-11-21": True, "sa2026-11-20": True, "eb2026-11-22": True, "ap2026-11-21": True,
    }.items():  # fmt: skip
        assert finds(f"_lastUpdated={query}", patient, updated) == found, query


# The table of prefixes, applied to sets of instants: slow, and taken word by word from the specification.
# The steps are the first second of each hour and the rest of it; one more at either end stands for whatever
# lies before and after the calendar shown.

START = datetime(2024, 2, 26, tzinfo=UTC)
STEPS = 2 * 24 * 12
ALWAYS = range(-1, STEPS + 1)


def steps_of(text):
    """The steps that a date, month or second covers, among those of the calendar shown."""
    if len(text) == 4:
        low, high = datetime(int(text), 1, 1, tzinfo=UTC), datetime(int(text) + 1, 1, 1, tzinfo=UTC)
    elif len(text) == 7:
        year, month = map(int, text.split("-"))
        low = datetime(year, month, 1, tzinfo=UTC)
        high = low + timedelta(days=calendar.monthrange(year, month)[1])
    elif len(text) == 10:
        low = datetime.fromisoformat(text).replace(tzinfo=UTC)
        high = low + timedelta(days=1)
    else:
        low = datetime.fromisoformat(text)
        high = low + timedelta(seconds=1)
    return {step for step in ALWAYS if low <= begin_of(step) < high}


def begin_of(step):
    return START + timedelta(hours=step // 2, seconds=step % 2)


def expected(prefix, searched, target):
    above = {step for step in ALWAYS if step > max(searched)}
    below = {step for step in ALWAYS if step < min(searched)}
    return {
        "eq": target <= searched,
        "ne": not target <= searched,
        "gt": bool(above & target),
        "lt": bool(below & target),
        "ge": bool(above & target) or target <= searched,
        "le": bool(below & target) or target <= searched,
        "sa": not target & searched and target <= above,
        "eb": not target & searched and target <= below,
    }[prefix]


def text_of_day(day):
    return (START + timedelta(days=day)).strftime("%Y-%m-%d")


def text_of_hour(hour):
    return (START + timedelta(hours=hour)).strftime("%Y-%m-%dT%H:%M:%SZ")


days = st.integers(1, 10).map(text_of_day)
moments = st.integers(24, 24 * 11).map(text_of_hour)
searched = st.one_of(days, moments)
prefixes = st.sampled_from(["eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"])


@settings(deadline=None, max_examples=200)
@example(prefix="gt", text="2024-03-02T23:00:00Z", value="2024-03-02")
@given(prefix=prefixes, text=searched, value=searched)
def test_prefixes_on_points_of_every_precision(prefix, text, value):
    assert matches(prefix, text, observation(effectiveDateTime=value)) == expected(
        prefix, steps_of(text), steps_of(value)
    )


@settings(deadline=None, max_examples=300)
@given(prefix=prefixes, text=searched, start=st.none() | searched, end=st.none() | searched)
def test_prefixes_on_periods_open_and_closed(prefix, text, start, end):
    if start is None and end is None:
        return
    first = min(steps_of(start)) if start else -1
    last = max(steps_of(end)) if end else STEPS
    if first > last:
        return
    period = {name: value for name, value in (("start", start), ("end", end)) if value}
    target = {step for step in ALWAYS if first <= step <= last}
    assert matches(prefix, text, observation(effectivePeriod=period)) == expected(
        prefix, steps_of(text), target
    )


def matches(prefix, text, resource):
    found = matches.finds
    return found(f"date={prefix}{text}", resource)


@pytest.fixture(autouse=True)
def _finds_for_the_properties(finds):
    """Hypothesis and function-scoped fixtures do not mix; finds has no state."""
    matches.finds = finds
