"""Patient age: whole years between the birth date and today, of patients who are not deceased.

The published parameter (patient-extensions-Patient-age) has a description and no expression. It comes down to
a condition on the birth date, so that what is found changes with the day and nothing is written for it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import prefixed
from fhir_server.search.query import MIN_TIME, And, Match, Node, Not, Or, Test

URL = "http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-age"
TABLE = "date"
SORT = None
MODIFIERS: frozenset[str] = frozenset()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """`[prefix]years`."""
    prefix, digits = prefixed(text)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 4):
        raise BadValue("not a whole number of years")
    years = int(digits)
    tenth = years // 10 if prefix == "ap" else 0
    reached, passed = _born_before(years - tenth, scope), _born_before(years + tenth + 1, scope)
    younger, older = Test("low", ">=", reached), Test("low", "<", passed)
    tests: dict[str, list[tuple[Test, ...]]] = {
        "ge": [(Test("low", "<", reached),)],
        "gt": [(older,)],
        "sa": [(older,)],
        "lt": [(younger,)],
        "eb": [(younger,)],
        "le": [(Test("low", ">=", passed),)],
        "ne": [(older,), (younger,)],
    }
    alternatives = tests.get(prefix, [(Test("low", "<", reached), Test("low", ">=", passed))])
    born = Or(tuple(Match(TABLE, "birthdate", each) for each in alternatives))
    return And((born, Not(Match("token", "deceased", (Test("code", "=", "true"),)))))


def _born_before(years: int, scope: Scope) -> int:
    """Who was born before this moment has completed so many years today."""
    today = _EPOCH + timedelta(microseconds=scope.now)
    year = today.year - years
    if year < 1:
        return MIN_TIME
    leap = (today.month, today.day) == (2, 29)
    birthday = datetime(year, today.month, 28 if leap else today.day, tzinfo=UTC)
    if leap and year % 4 == 0 and (year % 100 or year % 400 == 0):
        birthday += timedelta(days=1)
    return (birthday + timedelta(days=1) - _EPOCH) // timedelta(microseconds=1)
