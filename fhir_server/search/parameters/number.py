"""Number parameters: a search value stands for the range that its digits imply.

https://hl7.org/fhir/R4/search.html#number. The range is half a unit of the last digit to either side, so 100
is [99.5, 100.5) and 1e2, which has one significant digit, is [50, 150): the page's own rule, with which its
example for 1e2 is at odds. gt, lt, ge, le, sa and eb take the number as exact. Rows are closed: [low, high].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import EXACT, clamp, prefixed
from fhir_server.search.query import MAX_NUMBER, MIN_NUMBER, Match, Node, Or, Test

TABLE = "number"
SORT = "low"
MODIFIERS: frozenset[str] = frozenset()
LEFT_OUT: frozenset[str] = frozenset()

_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,5})?")


def decimal(value: Any) -> Decimal:
    """A number of a resource as a plain Decimal within the bounds; BadValue for anything else."""
    if isinstance(value, Decimal):
        return clamp(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return clamp(Decimal(value))
    if isinstance(value, float):
        return clamp(Decimal(repr(value)))
    raise BadValue("not a number")


# Extraction


def _number(value: Any) -> list[tuple[Decimal, Decimal]]:
    number = decimal(value)
    return [(number, number)]


def _range(value: Mapping[str, Any]) -> list[tuple[Decimal, Decimal]]:
    ends = range_ends(value)
    return [ends] if ends else []


def range_ends(value: Mapping[str, Any]) -> tuple[Decimal, Decimal] | None:
    """The numbers of a Range; an end that is not given is open. None where there is neither."""
    low, high = value.get("low", {}).get("value"), value.get("high", {}).get("value")
    if low is None and high is None:
        return None
    return (
        MIN_NUMBER if low is None else decimal(low),
        MAX_NUMBER if high is None else decimal(high),
    )


ROWS: dict[str, Callable[[Any], list[tuple[Decimal, Decimal]]]] = {
    "decimal": _number,
    "integer": _number,
    "positiveInt": _number,
    "unsignedInt": _number,
    "Range": _range,
}


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """The rows that lie as the prefix asks."""
    alternatives = [Match(TABLE, parameter.code, tests) for tests in tests_of(text)]
    return alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))


def tests_of(text: str) -> list[tuple[Test, ...]]:
    """Alternatives, each the tests of one row, of `[prefix]number`."""
    # A + that was not percent-encoded (1e+2) has become a space on its way here.
    prefix, rest = prefixed(text.replace(" ", "+"))
    if not _NUMBER.fullmatch(rest):
        raise BadValue("not a number")
    value = Decimal(rest)
    low, high = _implied(value)
    if prefix == "ap":
        tenth = EXACT.divide(EXACT.abs(value), Decimal(10))
        low = min(low, clamp(EXACT.subtract(value, tenth)))
        high = max(high, clamp(EXACT.add(value, tenth)))
    lies = _lies(prefix, clamp(value), low, high)
    return [tuple(Test(*test) for test in tests) for tests in lies]


def _implied(value: Decimal) -> tuple[Decimal, Decimal]:
    """[low, high): half a unit of the last digit to either side."""
    half = Decimal((0, (5,), int(value.as_tuple().exponent) - 1))
    return clamp(EXACT.subtract(value, half)), clamp(EXACT.add(value, half))


def _lies(prefix: str, value: Decimal, low: Decimal, high: Decimal) -> list[list[tuple[str, str, Decimal]]]:
    """Alternatives, each a list of tests of one row, from the table of prefixes."""
    return {
        "eq": [[("low", ">=", low), ("high", "<", high)]],
        "ne": [[("low", "<", low)], [("high", ">=", high)]],
        "gt": [[("high", ">", value)]],
        "lt": [[("low", "<", value)]],
        "ge": [[("high", ">=", value)]],
        "le": [[("low", "<=", value)]],
        "sa": [[("low", ">", value)]],
        "eb": [[("high", "<", value)]],
        "ap": [[("low", "<=", high), ("high", ">=", low)]],
    }[prefix]
