"""Quantities: units in products, quotients, sums and comparisons; calendar durations beside UCUM."""

from __future__ import annotations

from decimal import Decimal as D

import pytest

from rules.runtime import comparison as c
from rules.runtime import quantities as q
from rules.runtime.context import Context, evaluation
from rules.runtime.units import TextUnits, convert_period, same_unit
from rules.runtime.values import Quantity, Ratio


def Q(value, unit="1"):
    return Quantity(D(str(value)), unit)


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        (q.add_quantity, (Q(1, "g/cm3"), Q(1, "g/cm3")), Q(2, "g/cm3")),
        (q.add_quantity, (Q(1, "m"), Q(10, "cm")), Q(110, "cm")),
        (q.add_quantity, (Q(10, "cm"), Q(1, "m")), Q(110, "cm")),
        (q.add_quantity, (Q(1, "m"), Q(1, "s")), None),
        (q.add_quantity, (Q(1), Q(1, "s")), None),
        (q.add_quantity, (Q(1, "day"), Q(2, "hours")), Q(26, "hours")),
        (q.subtract_quantity, (Q(1, "kg"), Q(1, "g")), Q(999, "g")),
        (q.multiply_quantity, (Q(12, "cm"), Q(3, "cm")), Q(36, "cm2")),
        (q.multiply_quantity, (Q(3, "cm"), Q(12, "cm2")), Q(36, "cm3")),
        (q.multiply_quantity, (Q(3), Q(12, "cm2")), Q(36, "cm2")),
        (q.multiply_quantity, (Q(2, "mg/L"), Q(3, "L")), Q(6, "mg")),
        (q.divide_quantity, (Q(12, "cm2"), Q(3, "cm")), Q(4, "cm")),
        (q.divide_quantity, (Q(1, "g/cm3"), Q(1, "g/cm3")), Q(1)),
        (q.divide_quantity, (Q(1, "m"), Q(1, "cm")), Q(100)),
        (q.divide_quantity, (Q(10, "mg"), Q(2, "L")), Q(5, "mg/L")),
        (q.divide_quantity, (Q(10, "g"), Q(5)), Q(2, "g")),
        (q.divide_quantity, (Q(10, "g"), Q(0, "g")), None),
        (q.scale_quantity, (Q(10, "g"), D(5)), Q(50, "g")),
        (q.scaled_quantity, (D(5), Q(10, "g")), Q(50, "g")),
        (q.share_quantity, (Q(10, "g"), D(5)), Q(2, "g")),
        (q.share_quantity, (Q(10, "g"), D(0)), None),
        (q.truncated_divide_quantity, (Q("10.1", "cm"), Q("-3.1", "cm")), Q(-3, "cm")),
        (q.truncated_divide_quantity, (Q(10, "g"), Q(0, "g")), None),
        (q.modulo_quantity, (Q("3.5", "cm"), Q(3, "cm")), Q("0.5", "cm")),
        (q.modulo_quantity, (Q(1, "m"), Q(30, "cm")), Q("0.1", "m")),
        (q.negate_quantity, (Q(1, "cm"),), Q(-1, "cm")),
        (q.abs_quantity, (Q(-1, "cm"),), Q(1, "cm")),
        (q.round_quantity, (Q("1.25", "cm"), 1), Q("1.3", "cm")),
        (q.convert_quantity, (Q(1, "m"), "cm"), Q(100, "cm")),
        (q.convert_quantity, (Q(1, "m"), "s"), None),
        (q.convert_quantity, (Q(37, "Cel"), "[degF]"), Q("98.6", "[degF]")),
        (q.can_convert_quantity, (Q(1, "m"), "s"), False),
        (q.can_convert_quantity, (Q(1, "m"), "km"), True),
        (q.comparable, (Q(1, "m"), Q(1, "s")), False),
        (q.comparable, (Q(1, "m"), Q(1, "km")), True),
        (q.ratio_to_quantity, (Ratio(Q(10, "mg"), Q(2, "mL")),), Q(5, "mg/mL")),
    ],
)
def test_results(function, operands, expected):
    assert function(*operands) == expected
    assert function(None, *operands[1:]) is None


@pytest.mark.parametrize(
    ("left", "right", "equal", "equivalent"),
    [
        (Q(1, "cm"), Q(1, "cm"), True, True),
        (Q(1, "cm"), Q("0.01", "m"), True, True),
        (Q(1, "cm"), Q(1, "m"), False, False),
        (Q(1, "cm"), Q(1, "s"), None, False),
        (Q(90, "%"), Q("0.9"), True, True),
        (Q(1), Quantity(D(1), ""), True, True),
        (Q(1, "millisecond"), Q(1, "ms"), True, True),
        (Q(1, "week"), Q(7, "days"), True, True),
        (Q(1, "wk"), Q(7, "days"), True, True),
        (Q(1, "day"), Q(24, "h"), True, True),
        (Q(60, "minutes"), Q(1, "hour"), True, True),
        (Q(1, "month"), Q(1, "months"), True, True),
        (Q(1, "month"), Q(1, "mo"), None, True),
        (Q(1, "year"), Q(1, "a"), None, True),
        (Q(1, "year"), Q(12, "months"), True, True),
        (Q(1, "year"), Q(365, "days"), None, True),
        (Q(1, "month"), Q(30, "days"), None, True),
        (Q(1, "year"), Q(2, "a"), None, False),
    ],
)
def test_equality(left, right, equal, equivalent):
    assert c.equal(left, right) is equal
    assert c.equal(right, left) is equal
    assert c.equivalent(left, right) is equivalent
    assert c.equivalent(right, left) is equivalent


@pytest.mark.parametrize(
    ("left", "right", "less"),
    [
        (Q(1, "cm"), Q(1, "m"), True),
        (Q(1, "m"), Q(10, "cm"), False),
        (Q(88, "%"), Q(90, "%"), True),
        (Q(1, "m"), Q(1, "s"), None),
        (Q(11, "months"), Q(1, "year"), True),
        (Q(29, "days"), Q(1, "month"), None),
    ],
)
def test_order(left, right, less):
    assert c.less_ordered(left, right) is less
    assert c.greater_ordered(right, left) is less


def test_without_ucum_only_the_same_units_and_durations_convert():
    with evaluation(Context()):
        assert q.convert_quantity(Q(1, "cm"), "m") is None
        assert c.equal(Q(1, "cm"), Q("0.01", "m")) is None
        assert q.convert_quantity(Q(2, "hours"), "minutes") == Q(120, "minutes")
        assert q.convert_quantity(Q(2, "h"), "min") == Q(120, "min")


@pytest.mark.parametrize(
    ("left", "right", "product", "quotient"),
    [
        ("m", "s", "m.s", "m/s"),
        ("m/s", "s", "m", "m/s2"),
        ("1", "s", "s", "/s"),
        ("", "1", "1", "1"),
        ("/min", "min", "1", "/min2"),
        ("{beats}/min", "min", "{beats}", "{beats}/min2"),
        ("mmol/L", "mmol/L", "mmol2/L2", "1"),
        ("10*3/uL", "L", None, None),
        ("kg/(m.s)", "m", None, None),
    ],
)
def test_products_of_units(left, right, product, quotient):
    units = TextUnits()
    assert units.product(left, right) == product
    assert units.quotient(left, right) == quotient


def test_periods():
    assert round(convert_period(D(735), "day", "year"), 8) == D("2.01369863")
    assert convert_period(D(2), "year", "month") == 24
    assert same_unit("week", "wk")
    assert not same_unit("month", "mo")
    assert not same_unit("a", "mo")
