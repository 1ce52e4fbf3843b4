"""Arithmetic of numbers: tables, ranges, and exact fractions as the slow reference."""

from __future__ import annotations

from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.runtime import arithmetic as a
from rules.runtime import bounds
from rules.runtime.decimals import DECIMAL_MAX, DECIMAL_MIN, fit, plain
from rules.runtime.errors import EvaluationError
from rules.runtime.ordering import Uncertainty
from rules.runtime.temporal import parse_date, parse_datetime, parse_time
from rules.runtime.values import INTEGER_MAX, INTEGER_MIN, LONG_MAX, LONG_MIN, Long, Quantity

TABLE = [
    (a.add_integer, (1, 1), 2),
    (a.add_integer, (1, None), None),
    (a.add_integer, (INTEGER_MAX, 1), None),
    (a.add_long, (Long(1), Long(2)), Long(3)),
    (a.add_long, (Long(LONG_MAX), Long(1)), None),
    (a.add_decimal, (D("1.1"), D("2")), D("3.1")),
    (a.subtract_integer, (INTEGER_MIN, 1), None),
    (a.subtract_decimal, (D(2), D("1.1")), D("0.9")),
    (a.multiply_integer, (65536, 65536), None),
    (a.multiply_long, (Long(2), Long(3)), Long(6)),
    (a.multiply_decimal, (D("0.00000001"), D("0.5")), D("0.00000001")),
    (a.divide_decimal, (D(10), D(3)), D("3.33333333")),
    (a.divide_decimal, (D(1), D(0)), None),
    (a.truncated_divide_integer, (10, 3), 3),
    (a.truncated_divide_integer, (-10, 3), -3),
    (a.truncated_divide_integer, (10, -3), -3),
    (a.truncated_divide_integer, (-10, -3), 3),
    (a.truncated_divide_integer, (10, 0), None),
    (a.truncated_divide_integer, (INTEGER_MIN, -1), None),
    (a.truncated_divide_long, (Long(10), Long(0)), None),
    (a.truncated_divide_decimal, (D("10.1"), D("-3.1")), D(-3)),
    (a.truncated_divide_decimal, (D("10.1"), D("0.0")), None),
    (a.modulo_integer, (10, 3), 1),
    (a.modulo_integer, (-10, 3), -1),
    (a.modulo_integer, (0, 0), None),
    (a.modulo_long, (Long(4), Long(2)), Long(0)),
    (a.modulo_decimal, (D("3.5"), D(3)), D("0.5")),
    (a.modulo_decimal, (D("-3.5"), D(3)), D("-0.5")),
    (a.negate_integer, (INTEGER_MIN,), None),
    (a.negate_integer, (5,), -5),
    (a.negate_long, (Long(LONG_MIN),), None),
    (a.abs_integer, (INTEGER_MIN,), None),
    (a.abs_decimal, (D("-1.0"),), D("1.0")),
    (a.ceiling, (D("1.1"),), 2),
    (a.ceiling, (D("-0.1"),), 0),
    (a.ceiling, (D("2147483647.2"),), None),
    (a.floor, (D("-0.1"),), -1),
    (a.floor, (D("-2147483648.2"),), None),
    (a.truncate, (D("-1.9"),), -1),
    (a.round_, (D("0.5"),), D(1)),
    (a.round_, (D("-0.5"),), D(-1)),
    (a.round_, (D("-0.4"),), D(0)),
    (a.round_, (D("3.14159"), 2), D("3.14")),
    (a.round_, (D("3.14159"), 20), D("3.14159")),
    (a.round_, (D(1234), -2), D(1200)),
    (a.exp, (D(0),), D(1)),
    (a.exp, (D(-1),), D("0.36787944")),
    (a.exp, (D(-1000),), D(0)),
    (a.ln, (D(1),), D(0)),
    (a.ln, (D(-1),), None),
    (a.ln, (D(1000),), D("6.90775528")),
    (a.log, (D(16), D(2)), D(4)),
    (a.log, (D("0.125"), D(2)), D(-3)),
    (a.log, (D(2), D(1)), None),
    (a.log, (D(-2), D(2)), None),
    (a.power_integer, (2, 4), 16),
    (a.power_integer, (0, 0), 1),
    (a.power_integer, (2, -2), D("0.25")),
    (a.power_integer, (2, 31), None),
    (a.power_integer, (2, 2**30), None),
    (a.power_integer, (-1, 2**30 + 1), -1),
    (a.power_integer, (0, -1), None),
    (a.power_long, (Long(2), Long(62)), Long(2**62)),
    (a.power_decimal, (D("2.5"), D(2)), D("6.25")),
    (a.power_decimal, (D(10), D(30)), None),
    (a.power_decimal, (D(-8), D("0.5")), None),
]


@pytest.mark.parametrize(
    ("function", "operands", "expected"), TABLE, ids=lambda part: getattr(part, "__name__", None)
)
def test_results(function, operands, expected):
    found = function(*operands)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("function", [row[0] for row in TABLE])
def test_null_in_null_out(function):
    operands = next(row[1] for row in TABLE if row[0] is function)
    if function is not a.round_:
        for at in range(len(operands)):
            assert function(*operands[:at], None, *operands[at + 1 :]) is None


@pytest.mark.parametrize(("function", "operand"), [(a.exp, D(1000)), (a.ln, D(0)), (a.ln, D("-0"))])
def test_undefined_results_are_errors(function, operand):
    with pytest.raises(EvaluationError):
        function(operand)


numbers = st.decimals(-(10**12), 10**12, places=8)


@settings(deadline=None, max_examples=150)
@given(numbers, numbers)
def test_decimals_against_fractions(x, y):
    assert Fraction(a.add_decimal(x, y)) == Fraction(x) + Fraction(y)
    assert Fraction(a.subtract_decimal(x, y)) == Fraction(x) - Fraction(y)
    grain = Fraction(1, 2 * 10**8)
    assert abs(Fraction(a.multiply_decimal(x, y)) - Fraction(x) * Fraction(y)) <= grain
    if y:
        quotient = Fraction(x) / Fraction(y)
        found = a.divide_decimal(x, y)
        assert (found is None) if abs(quotient) > 10**28 else abs(Fraction(found) - quotient) <= grain
        whole = Fraction(int(quotient))
        assert Fraction(a.truncated_divide_decimal(x, y)) == whole
        assert Fraction(a.modulo_decimal(x, y)) == Fraction(x) - whole * Fraction(y)


integers = st.integers(INTEGER_MIN, INTEGER_MAX)


@settings(deadline=None, max_examples=150)
@given(integers, integers)
def test_integers_against_fractions(x, y):
    if y:
        whole = int(Fraction(x, y))
        assert a.truncated_divide_integer(x, y) == (whole if whole <= INTEGER_MAX else None)
        assert a.modulo_integer(x, y) == x - whole * y
    product = x * y
    assert a.multiply_integer(x, y) == (product if INTEGER_MIN <= product <= INTEGER_MAX else None)


def test_uncertainties_add_subtract_and_multiply():
    months, days = Uncertainty(4, 16), Uncertainty(16, 44)
    assert a.add_integer(days, days).bounds == (32, 88)
    assert a.subtract_integer(days, months).bounds == (0, 40)
    assert a.multiply_integer(days, days).bounds == (256, 1936)
    assert a.multiply_integer(Uncertainty(-2, 3), Uncertainty(-5, 7)).bounds == (-15, 21)
    assert a.add_integer(1, days).bounds == (17, 45)
    assert a.subtract_integer(20, days).bounds == (-24, 4)
    assert a.negate_integer(days).bounds == (-44, -16)
    for undefined in (a.truncated_divide_integer, a.modulo_integer):
        with pytest.raises(EvaluationError):
            undefined(days, months)


@pytest.mark.parametrize(
    ("value", "before", "after"),
    [
        (0, -1, 1),
        (Long(1), Long(0), Long(2)),
        (D("1.0"), D("0.99999999"), D("1.00000001")),
        (Quantity(D(1), "cm"), Quantity(D("0.99999999"), "cm"), Quantity(D("1.00000001"), "cm")),
        (parse_date("2014"), parse_date("2013"), parse_date("2015")),
        (parse_date("2014-01-01"), parse_date("2013-12-31"), parse_date("2014-01-02")),
        (parse_datetime("2000-01-01"), parse_datetime("1999-12-31"), parse_datetime("2000-01-02")),
        (
            parse_datetime("2000-01-01T00:00:00.000+01:00"),
            parse_datetime("1999-12-31T23:59:59.999+01:00"),
            parse_datetime("2000-01-01T00:00:00.001+01:00"),
        ),
        (parse_time("12:00"), parse_time("11:59"), parse_time("12:01")),
    ],
)
def test_predecessor_and_successor(value, before, after):
    assert (bounds.predecessor(value), bounds.successor(value)) == (before, after)


@pytest.mark.parametrize("name", ["Integer", "Long", "Decimal", "Quantity", "Date", "DateTime", "Time"])
def test_nothing_before_the_least_or_after_the_greatest(name):
    with pytest.raises(EvaluationError):
        bounds.predecessor(bounds.minimum(name))
    with pytest.raises(EvaluationError):
        bounds.successor(bounds.maximum(name))
    assert bounds.predecessor(None) is None
    assert bounds.point_type(bounds.minimum(name)) == name


@pytest.mark.parametrize("name", ["Boolean", "String", "Any"])
def test_types_without_a_least_value(name):
    with pytest.raises(EvaluationError):
        bounds.minimum(name)
    with pytest.raises(EvaluationError):
        bounds.maximum(name)


@pytest.mark.parametrize(
    ("value", "precision", "low", "high"),
    [
        (D("1.587"), 8, "1.58700000", "1.58799999"),
        (D("1.58888"), None, "1.58888000", "1.58888999"),
        (D("-1.587"), 8, "-1.58799999", "-1.58700000"),
        (D("1.587"), 2, "1.58", "1.59"),
        (D("1.587"), 3, "1.587", "1.587"),
        (D("1.587"), 9, "None", "None"),
        (None, 8, "None", "None"),
    ],
)
def test_boundaries_of_decimals(value, precision, low, high):
    assert str(bounds.low_boundary_decimal(value, precision)) == low
    assert str(bounds.high_boundary_decimal(value, precision)) == high


@pytest.mark.parametrize(
    ("value", "precision", "low", "high"),
    [
        (parse_date("2014"), 6, "@2014-01", "@2014-12"),
        (parse_date("2014-02"), None, "@2014-02-01", "@2014-02-28"),
        (parse_datetime("2014-01-01T08"), 17, "@2014-01-01T08:00:00.000", "@2014-01-01T08:59:59.999"),
        (parse_datetime("2014-02"), 8, "@2014-02-01T", "@2014-02-28T"),
        (parse_time("10:30"), 9, "@T10:30:00.000", "@T10:30:59.999"),
        (parse_time("10:30"), 5, "None", "None"),
    ],
)
def test_boundaries_of_times(value, precision, low, high):
    assert str(bounds.low_boundary_times(value, precision)) == low
    assert str(bounds.high_boundary_times(value, precision)) == high


def test_precision():
    assert bounds.precision_decimal(D("1.58700")) == 5
    assert bounds.precision_decimal(D("1E+2")) == 0
    assert [bounds.precision_times(parse_date(text)) for text in ("2014", "2014-01", "2014-01-05")] == [
        4,
        6,
        8,
    ]
    assert bounds.precision_times(parse_datetime("2014-01-05T10:30:00.000")) == 17
    assert bounds.precision_times(parse_time("10:30")) == 4
    assert bounds.precision_times(None) is None


def test_decimals_are_kept_within_28_digits_and_8_places():
    assert fit(D("0.000000005")) == D("0.00000001")
    assert fit(D("-0.0000000049")) == 0
    assert fit(D(10) ** 29) is None
    assert fit(D("NaN")) is None
    assert (
        D("99999999999999999999.99999999"),
        D("-99999999999999999999.99999999"),
    ) == (DECIMAL_MAX, DECIMAL_MIN)
    assert [plain(D(text)) for text in ("1", "1E+2", "18.55", "0E-8")] == [
        "1.0",
        "100.0",
        "18.55",
        "0.00000000",
    ]
