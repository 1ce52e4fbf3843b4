"""Dates and times: tables for every operator; stepping and enumeration as the slow references."""

from __future__ import annotations

from calendar import monthrange
from datetime import date, datetime, timedelta
from decimal import Decimal as D

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.runtime import calendar, clinical, ordering, timing
from rules.runtime.context import Context, evaluation
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import Uncertainty
from rules.runtime.temporal import Date, DateTime, Time, parse_date, parse_datetime, parse_time, text
from rules.runtime.values import Quantity


def T(written):
    """A Date, a DateTime (it has a T) or a Time (it begins with one)."""
    if written is None:
        return None
    parse = parse_time if written[0] == "T" else parse_datetime if "T" in written else parse_date
    found = parse(written)
    assert found is not None, written
    return found


def Q(value, unit):
    return Quantity(D(str(value)), unit)


@pytest.mark.parametrize(
    "written",
    [
        "@2014",
        "@2014-01",
        "@2014-01-31",
        "@2014T",
        "@2014-01-31T",
        "@2014-01-31T08",
        "@2014-01-31T08:05",
        "@2014-01-31T08:05:06.007",
        "@2014-01-31T08:05:06.007-07:30",
        "@T08",
        "@T23:59:59.999",
    ],
)
def test_str_is_the_literal(written):
    assert str(T(written[1:])) == written
    assert hash(T(written[1:])) == hash(T(written[1:]))


@pytest.mark.parametrize(
    "written",
    [
        "2014-13",
        "2014-02-29",
        "2014-1-1",
        "142",
        "2014-01-01T24",
        "2014-01-01T10:60",
        "2014T10",
        "2014/01/01",
        "0000",
    ]
    + ["2014-01-01T10:00:60", "2014-01-01T10:00+15:00", "x", ""],
)
def test_what_is_no_time(written):
    assert parse_date(written) is None
    assert parse_datetime(written) is None
    assert parse_time(f"T{written}") is None


def test_parts_of_seconds():
    assert T("T10:00:00.1").fields == (10, 0, 0, 100)
    assert T("T23:59:59.10000").fields == (23, 59, 59, 100)
    assert parse_time("14:30:00.0+05:30") == Time((14, 30, 0, 0))


def test_construction():
    assert timing.date(2014, 2) == T("2014-02")
    assert timing.date(None) is None
    assert timing.date_time(2014, 1, 5, 8, None) == T("2014-01-05T08")
    assert timing.date_time(2014, 1, 5, 8, 0, 0, 0, D("-7.5")) == T("2014-01-05T08:00:00.000-07:30")
    assert timing.time(10, 30) == T("T10:30")
    for wrong in ((2014, None, 1), (10000,), (0,), (2014, 2, 30)):
        with pytest.raises(EvaluationError):
            timing.date(*wrong)
    with pytest.raises(EvaluationError):
        timing.date_time(2014, 1, 1, 0, 0, 0, 0, D(15))


def test_the_clock():
    assert timing.now() == T("2026-11-21T10:00:00.000+01:00")
    assert timing.today() == T("2026-11-21")
    assert timing.time_of_day() == T("T10:00:00.000")
    with evaluation(Context()), pytest.raises(EvaluationError):
        timing.now()


def test_components():
    moment = T("2003-10-29T20:50:33.955+02:00")
    names = ("year", "month", "day", "hour", "minute", "second", "millisecond")
    assert [timing.component_from(moment, name) for name in names] == [2003, 10, 29, 20, 50, 33, 955]
    assert timing.component_from(T("2003-10"), "day") is None
    assert timing.component_from(T("T23:20"), "minute") == 20
    assert timing.component_from(T("T23:20"), "year") is None
    assert timing.component_from(None, "year") is None
    assert timing.timezone_offset_from(moment) == 2
    assert timing.timezone_offset_from(T("2003-10-29T20:50")) == 1  # the evaluation's
    assert timing.date_from(moment) == T("2003-10-29")
    assert timing.time_from(moment) == T("T19:50:33.955")
    assert timing.time_from(T("2003-10-29T")) is None


ADDITIONS = [
    ("2005-10-10T", 5, "years", "2010-10-10T"),
    ("2012-02-29T", 1, "year", "2013-02-28T"),
    ("2014-01-31", 1, "month", "2014-02-28"),
    ("2005-05-10T", 10, "months", "2006-03-10T"),
    ("2018-05-02T", 3, "weeks", "2018-05-23T"),
    ("2016-06-10T", 21, "days", "2016-07-01T"),
    ("2005-05-10T05", 5, "hours", "2005-05-10T10"),
    ("2005-05-10T", 25, "hours", "2005-05-11T"),
    ("2005-05-10T", 5, "hours", "2005-05-10T"),
    ("2014", 24, "months", "2016"),
    ("2014", 25, "months", "2016"),
    ("2014", 23, "months", "2015"),
    ("2014-06", 33, "days", "2014-07"),
    ("2014T", 735, "days", "2016T"),
    ("2016-05T", -31535999, "seconds", "2015-05T"),
    ("2016-06-10T05:05:05.005", 995, "milliseconds", "2016-06-10T05:05:06.000"),
    ("2016-06-10T05:05:05.005", "1.5", "seconds", "2016-06-10T05:05:06.505"),
    ("2016-06-10T05:05:05", "1.5", "seconds", "2016-06-10T05:05:06"),
    ("2016-06-10T05:05:05", "1.5", "minutes", "2016-06-10T05:06:05"),
    ("2016-06-10T05:05:05", "1.9", "years", "2017-06-10T05:05:05"),
    ("2016-06-10T05:05:05+02:00", 1, "d", "2016-06-11T05:05:05+02:00"),
    ("2016-06-10T05:05:05", 1, "wk", "2016-06-17T05:05:05"),
    ("T15:59:59.999", 5, "hours", "T20:59:59.999"),
    ("T23:30:00", 1, "hour", "T00:30:00"),
    ("T00:30:00", -1, "hour", "T23:30:00"),
    ("T10", 90, "minutes", "T11"),
]


@pytest.mark.parametrize(("value", "amount", "unit", "expected"), ADDITIONS)
def test_add_and_subtract(value, amount, unit, expected):
    assert calendar.add(T(value), Q(amount, unit)) == T(expected)
    assert calendar.subtract(T(value), Q(-D(str(amount)), unit)) == T(expected)


@pytest.mark.parametrize(
    ("value", "amount", "unit"),
    [
        ("2005-10-10T", 8000, "years"),
        ("2005-10-10T", -2005, "years"),
        ("2005-10-10", 10**7, "days"),
        ("2005-10-10", 1, "hour"),
        ("2005-10-10T", 1, "mo"),
        ("2005-10-10T", 1, "cm"),
        ("T10:00", 1, "day"),
        ("T10:00", 1, "month"),
    ],
)
def test_what_cannot_be_added(value, amount, unit):
    with pytest.raises(EvaluationError):
        calendar.add(T(value), Q(amount, unit))


def test_adding_null():
    assert calendar.add(None, Q(1, "day")) is None
    assert calendar.subtract(T("2014"), None) is None


COMPARISONS = [  # left, right, precision, order (-1, 0, 1, None)
    ("2014T", "2014T", None, 0),
    ("2014T", "2014-02-15T", None, None),
    ("2013T", "2014-02-15T", None, -1),
    ("2015T", "2014-02-15T", None, 1),
    ("2014-02-15T10:00:00", "2014-02-15T10:00:00.000", None, None),
    ("2014T", "2014T", "year", 0),
    ("2014T", "2014T", "month", None),
    ("2014-10T", "2014-10-12T", "day", None),
    ("2014-12-20T", "2014-12-20T15", "minute", None),
    ("2004-12-10T", "2004-11-10T", "month", 1),
    ("2004-11-30T", "2004-11-10T", "month", 0),
    ("2012-03-10T10:20:00.999+07:00", "2012-03-10T09:20:00.999+06:00", "hour", 0),
    ("2012-03-10T10:20:00.999+07:00", "2012-03-10T10:20:00.999+06:00", "hour", -1),
    ("2012-03-10T23:20:00.999+00:00", "2012-03-11T00:20:00.999+01:00", None, 0),
    ("2012-03-10T23:20:00.999+00:00", "2012-03-11T00:20:00.999+01:00", "day", -1),
    ("2012-03-10T09:20:00.000+00:00", "2012-03-10T10:20:00.000", None, 0),
    ("T10:00:00.000", "T22:00:00.000", None, -1),
    ("T23:25:25.555", "T23:55:25.900", "hour", 0),
    ("2014-01-01", "2014-01", None, None),
]


@pytest.mark.parametrize(("left", "right", "precision", "order"), COMPARISONS)
def test_comparisons(left, right, precision, order):
    left, right = T(left), T(right)
    expected = {
        timing.same_as: None if order is None else order == 0,
        timing.before: None if order is None else order < 0,
        timing.after: None if order is None else order > 0,
        timing.same_or_before: None if order is None else order <= 0,
        timing.same_or_after: None if order is None else order >= 0,
    }
    for operator, answer in expected.items():
        assert operator(left, right, precision) is answer
        assert operator(None, right, precision) is None


def test_precisions_that_a_type_has_not():
    for value, precision in (("2014-01-01", "hour"), ("T10:00", "day"), ("2014-01-01", "week")):
        with pytest.raises(EvaluationError):
            timing.same_as(T(value), T(value), precision)
    for value, precision in (("2014-01-01", "hour"), ("T10:00", "day"), ("2014-01-01", "decade")):
        with pytest.raises(EvaluationError):
            timing.duration_between(T(value), T(value), precision)


DIFFERENCES = [
    ("2000T", "2005-12T", "year", 5),
    ("2016T", "1998T", "year", -18),
    ("2000-02T", "2000-10T", "month", 8),
    ("2000-10-15T10:30", "2000-10-25T10:00", "day", 10),
    ("2000-10-15T", "2000-10-28T", "week", 1),
    ("2000-10-15T", "2000-10-29T", "week", 2),
    ("2012-03-10T22:05:09", "2012-03-24T07:19:33", "week", 2),
    ("2000-10-10T10:05:45.500-06:00", "2000-10-10T10:05:45.900-07:00", "millisecond", 3600400),
    ("2017-03-12T01:00:00-07:00", "2017-03-12T03:00:00-06:00", "hour", 1),
    ("2017-11-05T01:30:00-06:00", "2017-11-05T01:15:00-07:00", "minute", 45),
    ("2017-03-12T00:00:00-07:00", "2017-03-13T00:00:00-06:00", "day", 1),
    ("T20", "T23:25:15.555", "hour", 3),
    ("2005T", "2006-07T", "month", (7, 18)),
    ("2012-01-02", "2012", "month", (0, 11)),
]
DURATIONS = [
    ("2005T", "2010T", "year", (4, 5)),
    ("2005-05T", "2010-04T", "year", 4),
    ("2014-01-31", "2014-02-01", "month", 0),
    ("2014-01-31", "2014-02-28", "month", 1),
    ("2012-02-29", "2014-02-28", "year", 2),
    ("2012-02-29", "2014-02-27", "year", 1),
    ("2010-10-12T12:05", "2008-08-15T08:08", "day", -788),
    ("2014-01-15T", "2014-02T", "day", (16, 44)),
    ("2005T", "2006-05T", "month", (4, 16)),
    ("2015-02-10T", "2015-03T", "day", (18, 49)),
    ("2012-03-10T22:05:09", "2012-03-20T07:19:33", "week", 1),
    ("2012-03-10T06:05:09", "2012-03-24T07:19:33", "week", 2),
    ("2017-03-12T00:00:00-07:00", "2017-03-13T00:00:00-06:00", "day", 0),
    ("2017-11-05T01:30:00-06:00", "2017-11-05T01:15:00-07:00", "minute", 45),
    ("T20:26:15.555", "T23:25:15.555", "hour", 2),
    ("T06", "T07:00:00", "hour", 1),
    ("T23:25:25.555", "T23:25:25.560", "millisecond", 5),
    ("2014-01-15", "2014-01-17T00:00:00.000", "day", (1, 2)),
]


@pytest.mark.parametrize(
    ("function", "left", "right", "precision", "expected"),
    [(timing.difference_between, *row) for row in DIFFERENCES]
    + [(timing.duration_between, *row) for row in DURATIONS],
)
def test_differences_and_durations(function, left, right, precision, expected):
    found = function(T(left), T(right), precision)
    backwards = function(T(right), T(left), precision)
    if isinstance(expected, tuple):
        assert found.bounds == expected
        assert backwards.bounds == (-expected[1], -expected[0])
    else:
        assert (found, backwards) == (expected, -expected)
    assert function(None, T(right), precision) is None


def test_uncertain_durations_answer_what_can_be_known():
    months = timing.duration_between(T("2005T"), T("2006-07T"), "month")
    assert [months > 5, months > 25, months < 24, months == 24, months <= 18] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert (timing.duration_between(T("2005T"), T("2006-02T"), "month") > 5) is None
    assert (months == Uncertainty(6, 18)) is None


@pytest.mark.parametrize(
    ("birth", "at", "precision", "expected"),
    [
        ("2000-03-15", "2020-03-14", "year", 19),
        ("2000-03-15", "2020-03-15", "year", 20),
        ("2000-02-29", "2001-02-28", "year", 1),
        ("2000-03", "2020-03-15", "year", (19, 20)),
        ("2000", "2020-01-01", "month", (228, 240)),
        ("2020-01-01", "2020-01-31", "day", 30),
        ("2020-01-01", "2020-01-31", "week", 4),
        ("2020-01-01T00:00:00.000", "2020-01-01T05:30:00.000", "hour", 5),
        ("2000-03-15", "2020-03-15T10:00:00.000", "year", 20),
        (None, "2020-03-15", "year", None),
    ],
)
def test_ages(birth, at, precision, expected):
    found = clinical.calculate_age_at(T(birth), T(at), precision)
    assert (found.bounds if isinstance(found, Uncertainty) else found) == expected


def test_age_now():
    assert clinical.calculate_age(T("1976-11-21"), "year") == 50
    assert clinical.calculate_age(T("1976-11-22"), "year") == 49
    assert clinical.calculate_age(T("2026-11-20T10:00:00.000+01:00"), "hour") == 24


days = st.dates(date(1999, 1, 1), date(2005, 12, 31))


def stepped(first, months):
    """A date so many months later by the calendar."""
    year, month = divmod(first.year * 12 + first.month - 1 + months, 12)
    return date(year, month + 1, min(first.day, monthrange(year, month + 1)[1]))


@settings(deadline=None, max_examples=200)
@given(days, days)
def test_durations_of_dates_against_stepping(first, second):
    left, right = Date((first.year, first.month, first.day)), Date((second.year, second.month, second.day))
    low, high = min(first, second), max(first, second)
    months = 0
    while stepped(low, months + 1) <= high:
        months += 1
    sign = 1 if first <= second else -1
    assert timing.duration_between(left, right, "month") == sign * months
    assert timing.duration_between(left, right, "year") == sign * (months // 12)
    assert timing.duration_between(left, right, "day") == (second - first).days
    assert timing.duration_between(left, right, "week") == sign * ((high - low).days // 7)
    crossed = sum((low + timedelta(at)).weekday() == 6 for at in range(1, (high - low).days + 1))
    assert timing.difference_between(left, right, "week") == sign * crossed
    between = sum((low + timedelta(at)).day == 1 for at in range(1, (high - low).days + 1))
    assert timing.difference_between(left, right, "month") == sign * between


moments = st.datetimes(datetime(1999, 1, 1), datetime(2005, 1, 1)).map(
    lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
)
steps = st.tuples(
    st.sampled_from(["week", "day", "hour", "minute", "second", "millisecond"]), st.integers(-5000, 5000)
)


def of(at, offset=None):
    fields = (at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond // 1000)
    return DateTime(fields, offset)


@settings(deadline=None, max_examples=200)
@given(moments, steps, st.sampled_from([None, 60, -420]))
def test_addition_against_datetime(at, step, offset):
    unit, count = step
    moved = at + timedelta(**{f"{unit}s": count})
    assert calendar.add(of(at, offset), Q(count, f"{unit}s")) == of(moved, offset)
    assert timing.duration_between(of(at, offset), of(moved, offset), unit) == count


ZONES = st.integers(-56, 56).map(lambda quarters: quarters * 15)


@settings(deadline=None, max_examples=150)
@given(moments, moments, ZONES, ZONES)
def test_moments_in_different_zones_are_compared_as_moments(first, second, zone, other):
    left, right = of(first + timedelta(minutes=zone), zone), of(second + timedelta(minutes=other), other)
    assert ordering.order(left, right) == (first > second) - (first < second)
    assert timing.duration_between(left, right, "hour") == int((second - first) / timedelta(hours=1))


partial = st.tuples(st.integers(2003, 2005), st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)).map(
    lambda parts: Date(parts[: parts[3]])
)


def possible(value):
    """Every day that a Date may be."""
    year = date(value.fields[0], 1, 1)
    every = (year + timedelta(at) for at in range(366))
    return [at for at in every if (at.year, at.month, at.day)[: len(value.fields)] == value.fields]


def answer(outcomes):
    found = set(outcomes)
    return found.pop() if len(found) == 1 else None


@settings(deadline=None, max_examples=60)
@given(partial, partial)
def test_partial_dates_against_enumeration(left, right):
    mine, its = possible(left), possible(right)
    if left != right:
        common = min(len(left.fields), len(right.fields))
        known = left.fields[:common] != right.fields[:common]
        before = answer((min(mine) < max(its), max(mine) < min(its)))
        assert timing.before(left, right) is (before if known else None)
        expected = answer(
            {a == b for a in mine for b in (its if len(mine) * len(its) < 2000 else (its[0], its[-1]))}
        )
        assert timing.same_as(left, right) in (expected, None)
    for precision in ("day", "month", "year", "week"):
        for function in (timing.duration_between, timing.difference_between):
            low, high = ordering.ends(function(left, right, precision))
            edges = [(a, b) for a in (mine[0], mine[-1]) for b in (its[0], its[-1])]
            counts = [
                function(Date((a.year, a.month, a.day)), Date((b.year, b.month, b.day)), precision)
                for a, b in edges
            ]
            assert (low, high) == (min(counts), max(counts))


def test_text_has_the_parts_that_are_known():
    assert text(T("2014-01-31T08:05:06.007+00:00")) == "2014-01-31T08:05:06.007+00:00"
    assert text(T("2014T")) == "2014"
