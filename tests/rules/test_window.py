"""How far back a window reaches: by the calendar in Norway, against a reference that counts days."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.plans.window import EPOCH, MICROSECOND, read_window

OSLO = ZoneInfo("Europe/Oslo")
moments = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))


def us(moment):
    return (moment - EPOCH) // MICROSECOND


def window(value, unit):
    found = read_window(Decimal(value), unit)
    assert found is not None
    return found


@settings(deadline=None, max_examples=200)
@given(moments, st.integers(1, 40))
def test_days_back_are_the_same_time_of_day(moment, days):
    local = moment.astimezone(OSLO)
    wall = (local.replace(tzinfo=None) - timedelta(days=days)).replace(tzinfo=OSLO, fold=local.fold)
    assert window(days, "d").start(us(moment)) == us(wall.astimezone(UTC))


@settings(deadline=None, max_examples=200)
@given(moments, st.integers(1, 400), st.sampled_from(["s", "min", "h", "d", "wk", "mo", "a"]))
def test_every_instant_whose_window_holds_a_time_is_within_its_reach(moment, value, unit):
    if (w := read_window(Decimal(value), unit)) is None:
        return
    start = w.start(us(moment))
    assert start < us(moment) <= w.reach(start)


@pytest.mark.parametrize(
    ("end", "value", "unit", "start"),
    [
        ("2026-03-30T08:00+02:00", 3, "d", "2026-03-27T08:00+01:00"),  # 71 hours
        ("2026-10-26T08:00+01:00", 3, "d", "2026-10-23T08:00+02:00"),  # 73 hours
        ("2026-10-26T08:00+01:00", 72, "h", "2026-10-23T09:00+02:00"),
        ("2026-03-31T08:00+02:00", 1, "mo", "2026-02-28T08:00+01:00"),
        ("2028-02-29T08:00+01:00", 1, "a", "2027-02-28T08:00+01:00"),
        ("2026-11-21T08:00+01:00", 2, "wk", "2026-11-07T08:00+01:00"),
    ],
)
def test_windows_over_the_calendar(end, value, unit, start):
    moment = window(value, unit).start(us(datetime.fromisoformat(end)))
    assert moment == us(datetime.fromisoformat(start))
