"""Whatever values of its types an operator is given, it answers or raises EvaluationError, and changes nothing."""

from __future__ import annotations

import random
from decimal import Decimal as D

import pytest

from rules.runtime.context import Context, evaluation
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import interval
from rules.runtime.ordering import Uncertainty
from rules.runtime.registry import OPERATORS
from rules.runtime.temporal import Date, DateTime, Time, parse_date, parse_datetime, parse_time
from rules.runtime.units import PERIODS, TextUnits
from rules.runtime.values import Code, CodeSystem, Concept, Long, Quantity, Ratio, Tuple, ValueSet
from terminology.ucum import convert

TEXTS = [
    "",
    "a",
    "A\u00a0b",
    "2014-01-01",
    "T10:00",
    "5.5 'cm'",
    "(a+)+$",
    "\\",
    "\x00",
    "\ud83d",
    "1:2",
    "Integer",
    "cm",
]
UNITS = [
    "1",
    "",
    "cm",
    "m",
    "kg",
    "mg/dL",
    "day",
    "months",
    "year",
    "a",
    "h",
    "ms",
    "[lb_av]",
    "no such unit",
    "Cel",
]
VALUES = {
    "Boolean": [True, False],
    "Integer": [0, 1, -1, 7, 2**31 - 1, -(2**31), Uncertainty(-3, 5), Uncertainty(17, 44)],
    "Long": [Long(0), Long(-5), Long(2**63 - 1), Long(-(2**63))],
    "Decimal": [
        Uncertainty(D(1), D("2.5")),
        *map(D, ("0", "-0.0", "1.5", "1E+2", "0.00000001", "-7.25", "99999999999999999999.99999999")),
    ],
    "String": TEXTS,
    "Date": [*map(parse_date, ("0001-01-01", "9999-12-31", "2014", "2014-02", "2016-02-29"))],
    "DateTime": [
        *map(
            parse_datetime,
            (
                "0001-01-01T00:00:00.000+14:00",
                "9999-12-31T23:59:59.999-14:00",
                "2014",
                "2014-02-03T04",
                "2014-02-03T04:05:06",
                "2014-02-03T04:05:06.007",
                "2014-02-03T04:05+05:30",
                "2014-02-03T04+05:30",
            ),
        )
    ],
    "Time": [*map(parse_time, ("00", "23:59:59.999", "12:30", "12:30:15"))],
    "Quantity": [Quantity(value, unit) for value in (D(0), D("1.5"), D(-1), D("1E+20")) for unit in UNITS],
    "Code": [Code("1", "a"), Code(), Code("1")],
    "Concept": [Concept((Code("1", "a"), None)), Concept()],
    "CodeSystem": [CodeSystem("a"), CodeSystem("b", "1")],
    "ValueSet": [ValueSet("a"), ValueSet("b")],
}  # fmt: skip
POINTS = ("Integer", "Long", "Decimal", "Date", "DateTime", "Time", "Quantity")
PRECISE = {"DurationBetween", "DifferenceBetween", "DateTimeComponentFrom", "CalculateAge", "CalculateAgeAt"}
NUMBERS = ("Decimal!", "Quantity!")
ELEMENTS = {
    **dict.fromkeys(
        ("Avg", "GeometricMean", "Median", "PopulationStdDev", "PopulationVariance", "StdDev", "Variance"),
        NUMBERS,
    ),
    **dict.fromkeys(("Sum", "Product"), ("Integer!", "Long!", *NUMBERS)),
    **dict.fromkeys(("AllTrue", "AnyTrue"), ("Boolean",)),
    **dict.fromkeys(("Collapse", "Expand"), tuple(f"Interval<{point}>" for point in POINTS)),
    **dict.fromkeys(("Min", "Max"), (*(f"{point}!" for point in POINTS), "String")),
    "Combine": ("String",),
    "Flatten": [f"List<{point}>" for point in POINTS],
}
TRIES = 25


def value(kind, rng, point):
    """A value of a type; elements and points are of the type `point`."""
    if rng.random() < 0.08:
        return None
    if kind == "List":
        inner = point if point not in POINTS or rng.random() < 0.7 else "Interval"
        return [value(inner, rng, point) for _ in range(rng.randrange(5))]
    if kind.startswith(("List<", "Interval<")):
        return value(kind.partition("<")[0], rng, kind.partition("<")[2][:-1])
    if kind == "Interval":
        while True:
            low, high = value(point, rng, point), value(point, rng, point)
            try:
                return interval(low, high, rng.random() < 0.6, rng.random() < 0.6, rng.choice([None, point]))
            except EvaluationError:
                continue
    kind = kind.rstrip("!")  # an element type that is no interval
    if kind == "Tuple":
        return Tuple(a=value(point, rng, point), b=value("List", rng, point))
    if kind == "Ratio":
        return Ratio(rng.choice(VALUES["Quantity"]), rng.choice(VALUES["Quantity"]))
    if kind == "Any":
        return value(rng.choice([*VALUES, point, point, "List", "Interval", "Tuple"]), rng, point)
    return rng.choice(VALUES[kind])


@pytest.mark.parametrize(("name", "operands"), OPERATORS, ids=lambda part: str(part))
def test_an_operator_answers_or_raises_a_defined_error(name, operands):
    rng = random.Random(f"{name} {operands}")
    codes = [Code("1", "a"), Code("1", "b"), Code("a", "c")]
    given = Context(
        now=parse_datetime("2026-11-21T10:00:00.000+01:00"),
        units=TextUnits(convert),
        valueset=lambda wanted: codes if wanted.id == "a" else None,
        in_codesystem=lambda code, system: code == "1" if system.id == "a" else None,
    )
    for _ in range(TRIES):
        point = rng.choice(POINTS)
        if operands[:1] == ("List",):
            point = rng.choice(ELEMENTS.get(name, POINTS))
        values = [value(kind, rng, point) for kind in operands]
        if name in PRECISE or (
            name.startswith(("Same", "Before", "After", "Overlaps")) and rng.random() < 0.3
        ):
            values.append(rng.choice(PERIODS))
        before = repr(values)
        try:
            with evaluation(given):
                OPERATORS[name, operands](*values)
        except EvaluationError as error:
            assert len(str(error)) < 300
        assert repr(values) == before


def test_what_the_values_are():
    assert {type(value) for value in (*VALUES["Date"], *VALUES["DateTime"], *VALUES["Time"])} == {
        Date,
        DateTime,
        Time,
    }
