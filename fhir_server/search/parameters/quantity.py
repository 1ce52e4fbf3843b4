"""Quantity parameters: a number as in number.py, and a unit by system and code, or by code or text.

https://hl7.org/fhir/R4/search.html#quantity. A unit of UCUM (system and code) finds what is in any unit of
the same dimension; other units match as they are written, and a number alone matches whatever the unit.
A value with a comparator is the open range that it means: `> 300` reaches above every number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from fhir_server.search.parameters.number import decimal, range_ends, tests_of
from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import EXACT, clamp, split, unescape
from fhir_server.search.query import MAX_NUMBER, MIN_NUMBER, Match, Node, Or, Test
from terminology.canonical import Canonical, canonical
from terminology.ucum import UnitError

TABLE = "quantity"
SORT = "low"
MODIFIERS: frozenset[str] = frozenset()
LEFT_OUT: frozenset[str] = frozenset()

UCUM = "http://unitsofmeasure.org"
CURRENCIES = "urn:iso:std:iso:4217"

Row = tuple[Decimal, Decimal, str, str, str]


# Extraction


def _quantity(value: Mapping[str, Any]) -> list[Row]:
    number = value.get("value")
    if number is None:
        return []
    low = high = decimal(number)
    match value.get("comparator"):
        case "<" | "<=":
            low = MIN_NUMBER
        case ">" | ">=":
            high = MAX_NUMBER
    return [(low, high, *_unit(value))]


def _unit(value: Mapping[str, Any]) -> tuple[str, str, str]:
    system, code, unit = value.get("system", ""), value.get("code", ""), value.get("unit", "")
    if not (isinstance(system, str) and isinstance(code, str) and isinstance(unit, str)):
        raise BadValue("a unit that is not text")
    return system, code, unit


def _money(value: Mapping[str, Any]) -> list[Row]:
    number = value.get("value")
    if number is None:
        return []
    amount = decimal(number)
    _, currency, _ = _unit({"code": value.get("currency", "")})
    return [(amount, amount, CURRENCIES, currency, "")]


def _range(value: Mapping[str, Any]) -> list[Row]:
    ends = range_ends(value)
    return [(*ends, *_unit(value.get("low") or value["high"]))] if ends else []


def _sampled(value: Mapping[str, Any]) -> list[Row]:
    """The bounds of the samples: https://hl7.org/fhir/R4/datatypes.html#SampledData.

    A sample E is an error; L and U are below and above what the device can tell.
    """
    samples = list(_samples(value, value.get("data", "").split()))
    if not samples:
        return []
    factor, origin = decimal(value.get("factor", 1)), value.get("origin", {})
    start = decimal(origin.get("value", 0))
    ends = [clamp(EXACT.fma(sample, factor, start)) for sample in (min(samples), max(samples))]
    return [(min(ends), max(ends), *_unit(origin))]


def _samples(value: Mapping[str, Any], data: list[str]) -> Iterable[Decimal]:
    limits = {"L": value.get("lowerLimit"), "U": value.get("upperLimit"), "E": None}
    for sample in data:
        if sample not in limits:
            yield clamp(EXACT.create_decimal(sample))
        elif limits[sample] is not None:
            yield decimal(limits[sample])


ROWS: dict[str, Callable[[Any], list[Row]]] = {
    "Quantity": _quantity,
    "Age": _quantity,
    "Duration": _quantity,
    "Distance": _quantity,
    "Count": _quantity,
    "Money": _money,
    "Range": _range,
    "SampledData": _sampled,
}


# What is in a unit of UCUM, in base units.


def measures(rows: Iterable[Row]) -> list[tuple[str, Decimal, Decimal]]:
    """(unit, low, high) of rows in a unit that is one of UCUM."""
    found = []
    for low, high, system, code, _ in rows:
        if system == UCUM and (unit := _canonical(code)):
            base = _in_base(unit, low)
            found.append((unit.unit, base, base if high is low else _in_base(unit, high)))
    return found


def _canonical(code: str) -> Canonical | None:
    try:
        return canonical(code)
    except UnitError:
        return None


def _in_base(unit: Canonical, value: Decimal) -> Decimal:
    return value if value is MIN_NUMBER or value is MAX_NUMBER else clamp(unit.convert(value))


def _measured(convert: Callable[[Any], list[Row]]) -> Callable[[Any], list[tuple[str, Decimal, Decimal]]]:
    return lambda value: measures(convert(value))


DERIVED = {"measure": ("measure", {type: _measured(convert) for type, convert in ROWS.items()})}


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """`[prefix]number`, or with a unit `number|system|code`; `||code` is the code or the unit's text."""
    number, *unit = split(text, "|")
    if len(unit) not in (0, 2):
        raise BadValue("not number, number|system|code or number||code")
    if len(unit) == 2 and unescape(unit[0]) == UCUM and (measure := _canonical(unescape(unit[1]))):
        in_base = [_tests_in_base(measure, tests) for tests in tests_of(number)]
        return Or(tuple(parameter.derived("measure", "measure", tests) for tests in in_base))
    alternatives = [
        Match(TABLE, parameter.code, tests + of_unit)
        for tests in tests_of(number)
        for of_unit in _unit_tests(*map(unescape, unit))
    ]
    return alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))


def _tests_in_base(unit: Canonical, tests: tuple[Test, ...]) -> tuple[Test, ...]:
    converted = (Test(test.column, test.op, _in_base(unit, test.value)) for test in tests)
    return (Test("unit", "=", unit.unit), *converted)


def _unit_tests(system: str = "", code: str = "") -> list[tuple[Test, ...]]:
    if system and code:
        return [(Test("system", "=", system), Test("code", "=", code))]
    if system:
        return [(Test("system", "=", system),)]
    if code:
        return [(Test("code", "=", code),), (Test("unit", "=", code),)]
    return [()]
