"""Quantities in base units: https://ucum.org/ucum"""

from __future__ import annotations

import itertools
from decimal import Decimal

import pytest

from terminology import ucum
from terminology.canonical import canonical

# units that measure one thing, in groups; the arbitrary ones are alike only with themselves
ALIKE = [
    ["kg", "g", "mg", "[lb_av]", "[oz_av]", "[stone_av]"],
    ["Cel", "K", "[degF]"],
    ["kPa", "Pa"],
    ["/min", "{beats}/min", "/s", "/h", "Hz"],
    ["mmol/L", "umol/L", "mol/m3", "mmol/dL"],
    ["mg/dL", "g/L", "kg/m3", "ug/mL"],
    ["L/min", "mL/s", "l/h", "dm3/s"],
    ["m", "cm", "[in_i]", "10*-3.km"],
    ["1", "%", "{score}", "10*2", "mmol/mol", "[ppth]"],
    ["[iU]/L", "m[iU]/mL", "k[IU]/m3"],
    ["s", "min", "h", "d", "wk"],
]


@pytest.mark.parametrize("units", ALIKE, ids=lambda units: units[0])
def test_what_measures_one_thing_has_one_base(units):
    assert len({canonical(unit).unit for unit in units}) == 1
    for one, other in itertools.permutations(units, 2):
        if not (ucum.everyday(one) and ucum.everyday(other)):
            continue
        value = Decimal("98.6")
        here = canonical(one).convert(value)
        there = canonical(other).convert(ucum.convert(value, one, other))
        assert abs(here - there) <= abs(here) * Decimal("1e-20"), (one, other)


def test_what_measures_something_else_has_another():
    assert len({canonical(units[0]).unit for units in ALIKE}) == len(ALIKE)


@pytest.mark.parametrize(
    ("unit", "base", "value"),
    [
        ("mm[Hg]", "g1.m-1.s-2", "133322"),
        ("[degF]", "K1", "255.9277777777777777777777777777778"),
        ("10*3/uL", "m-3", "1000000000000"),
        ("(ml/min)/{1.73_m2}", "m3.s-1", "1.666666666666666666666666666666667E-8"),
        ("kg.m/s2", "g1.m1.s-2", "1000"),
        ("m/s/s", "m1.s-2", "1"),
        ("cm-1", "m-1", "100"),
        ("/(10.m)", "m-1", "0.1"),
    ],
)
def test_one_in_base_units(unit, base, value):
    found = canonical(unit)
    assert (found.unit, found.convert(Decimal(1))) == (base, Decimal(value))


@pytest.mark.parametrize(
    "unit",
    ["", "foo", "KG", "m[", "mm[Hg", "()", "m//s", "m.", ".m", "m)", "(m", "[pH]", "dB", "Cel/m", "kCel2", "0",
     "m" * 300, "(" * 20 + "m" + ")" * 20, "m99", "m2147483648", "km-99999", "ækg", "m\\0", "{", "}", "٣"],
)  # fmt: skip
def test_what_is_no_unit_or_has_no_base(unit):
    with pytest.raises(ucum.UnitError):
        canonical(unit)
