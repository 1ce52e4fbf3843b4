"""Date parameters: every value is a range of time, and a prefix says how two ranges must lie.

https://hl7.org/fhir/R4/search.html#date. Ranges are [low, high) in microseconds since 1970 UTC. What has no
time zone is taken in the server's, which is UTC; a date has none by nature, so it is the UTC day.
"""

from __future__ import annotations

import re
from calendar import isleap, monthrange
from collections.abc import Callable, Mapping
from datetime import date as Date
from typing import Any

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import prefixed
from fhir_server.search.query import MAX_TIME, MIN_TIME, Match, Node, Or, Test

TABLE = "date"
SORT = "low"
MODIFIERS: frozenset[str] = frozenset()

SECOND = 1_000_000
MINUTE = 60 * SECOND
DAY = 86_400 * SECOND

_EPOCH = Date(1970, 1, 1).toordinal()
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})"
    r"(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]+))?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?)?)?"
)


def bounds(text: str) -> tuple[int, int]:
    """The range that a date, dateTime or instant stands for by its precision; ValueError if it is none.

    Seconds may be missing (a search value's may) and may be 60; digits beyond the microsecond are dropped.
    """
    found = _DATE.fullmatch(text)
    if not found:
        raise BadValue("not a date")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    if hour is None:
        return _day_bounds(int(year), month, day)
    low = (Date(int(year), int(month), int(day)).toordinal() - _EPOCH) * DAY
    if hour > "23" or minute > "59" or (second and second > "60"):
        raise BadValue("not a time of day")
    low += (int(hour) * 60 + int(minute)) * MINUTE - _offset(zone)
    if second is None:
        return low, low + MINUTE
    low += int(second) * SECOND
    if not fraction:
        return low, low + SECOND
    digits = fraction[:6]
    width = 10 ** (6 - len(digits))
    low += int(digits) * width
    return low, low + width


def _day_bounds(year: int, month: str | None, day: str | None) -> tuple[int, int]:
    low = (Date(year, int(month or 1), int(day or 1)).toordinal() - _EPOCH) * DAY
    if day:
        return low, low + DAY
    if month:
        return low, low + monthrange(year, int(month))[1] * DAY
    return low, low + (366 if isleap(year) else 365) * DAY


def _offset(zone: str | None) -> int:
    if zone is None or zone == "Z":
        return 0
    hours, minutes = int(zone[1:3]), int(zone[4:])
    if minutes > 59 or hours * 60 + minutes > 14 * 60:
        raise BadValue("not a time zone")
    offset = (hours * 60 + minutes) * MINUTE
    return -offset if zone[0] == "-" else offset


# Extraction


def _moment(value: str) -> list[tuple[int, int]]:
    return [bounds(value)]


def _period(value: Mapping[str, Any]) -> list[tuple[int, int]]:
    """An open end is before or after any date. A period that ends before it starts spans what it names."""
    start, end = value.get("start"), value.get("end")
    if start is None and end is None:
        return []
    first = bounds(start) if start is not None else (MIN_TIME, MIN_TIME)
    last = bounds(end) if end is not None else (MAX_TIME, MAX_TIME)
    if last[1] <= first[0]:
        first, last = last, first
    return [(first[0], last[1])]


def _timing(value: Mapping[str, Any]) -> list[tuple[int, int]]:
    """Only the outer limits count: of the events, and of the period that bounds the repetition."""
    ranges = [bounds(event) for event in value.get("event", ()) if event is not None]
    ranges += _period(value.get("repeat", {}).get("boundsPeriod", {}))
    return [(min(low for low, _ in ranges), max(high for _, high in ranges))] if ranges else []


ROWS: dict[str, Callable[[Any], list[tuple[int, int]]]] = {
    "date": _moment,
    "dateTime": _moment,
    "instant": _moment,
    "Period": _period,
    "Timing": _timing,
}
# An age, a range of ages or free text is not a point in time: Procedure.performed, Immunization.occurrence.
LEFT_OUT = frozenset(("Age", "Range", "string"))


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """The rows whose range lies as the prefix asks."""
    prefix, low, high = search_range(text, scope)
    alternatives = [
        Match(TABLE, parameter.code, tuple(Test(*test) for test in tests))
        for tests in _lies(prefix, low, high)
    ]
    return alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))


def search_range(text: str, scope: Scope) -> tuple[str, int, int]:
    """(prefix, low, high) of a search value; for `ap` widened by a tenth of its distance from now.

    A `+` of a time zone that was not percent-encoded has become a space on its way here.
    """
    prefix, rest = prefixed(text.replace(" ", "+"))
    try:
        low, high = bounds(rest)
    except ValueError:
        raise BadValue("not a date (YYYY, YYYY-MM, YYYY-MM-DD, or with a time and zone)") from None
    if prefix == "ap":
        tenth = abs(scope.now - low) // 10
        return prefix, low - tenth, high + tenth
    return prefix, low, high


def _lies(prefix: str, low: int, high: int) -> list[list[tuple[str, str, int]]]:
    """Alternatives, each a list of tests of one row, from the table of prefixes.

    `ge` is "reaches above, or lies within": a row that starts at low or later is one or the other.
    """
    return {
        "eq": [[("low", ">=", low), ("high", "<=", high)]],
        "ne": [[("low", "<", low)], [("high", ">", high)]],
        "gt": [[("high", ">", high)]],
        "lt": [[("low", "<", low)]],
        "ge": [[("low", ">=", low)], [("high", ">", high)]],
        "le": [[("low", "<", low)], [("high", "<=", high)]],
        "sa": [[("low", ">=", high)]],
        "eb": [[("high", "<=", low)]],
        "ap": [[("low", "<", high), ("high", ">", low)]],
    }[prefix]
