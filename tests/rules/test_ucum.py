"""UCUM conversion: exact, offsets only for values, and honest about what it cannot do."""

from decimal import Decimal
from itertools import permutations

import pytest

from terminology import ucum

D = Decimal


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("200", "[lb_av]", "kg", "90.718474"),
        ("100.4", "[degF]", "Cel", "38"),
        ("310.15", "K", "Cel", "37"),
        ("72", "{beats}/min", "/min", "72"),
        ("1.2", "/s", "/min", "72"),
        ("0.915", "1", "%", "91.5"),
        ("500", "mL", "L", "0.5"),
        ("7", "{score}", "1", "7"),
        ("5", "mmol/L", "umol/L", "5000"),
        ("2", "wk", "d", "14"),
        ("1", "10*9/L", "10*6/mL", "1"),
    ],
)
def test_a_value_is_converted_exactly(value, source, target, expected):
    assert ucum.convert(D(value), source, target) == D(expected)


def test_the_same_unit_keeps_the_value_as_written():
    assert str(ucum.convert(D("91.50"), "%", "%")) == "91.50"


def test_a_difference_of_temperatures_has_no_offset():
    assert ucum.convert_difference(D("1.8"), "[degF]", "Cel") == D("1")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("kg", "mm[Hg]"),
        ("", "%"),
        ("%", ""),
        ("foo", "kg"),
        ("kg", ""),
        ("mmol/L", "mg/dL"),
        ("%", "/min"),
        ("kg'); DROP", "kg"),
    ],
)
def test_what_cannot_be_compared_is_an_error(source, target):
    with pytest.raises(ucum.UnitError):
        ucum.convert(D(1), source, target)


def test_the_everyday_table_agrees_with_the_library():
    for units in ucum._EVERYDAY.values():
        for source, target in permutations(units, 2):
            factor, offset = ucum._relation(source, target)
            assert (factor, offset) == ucum._relation_by_library(source, target), (source, target)


def test_what_the_everyday_table_keeps_apart_the_library_does_too():
    units = [next(iter(units)) for units in ucum._EVERYDAY.values()]
    for source, target in permutations(units, 2):
        for relation in (ucum._relation, ucum._relation_by_library):
            with pytest.raises(ucum.UnitError):
                relation(source, target)
