"""Conversion between units of the Unified Code for Units of Measure (https://ucum.org/ucum).

Exact: factors are fractions, a value is a Decimal. Everyday units are a table, so that the first reading in
pounds does not wait two seconds for a registry; every other unit goes to the `ucumvert` library, loaded then.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import Any

# dimension -> unit -> (factor, offset) to the dimension's base: base = value * factor + offset.
# tests/rules/test_ucum.py holds every pair to the library's answer.
_EVERYDAY: dict[str, dict[str, tuple[str, str]]] = {
    "mass": {
        "kg": ("1", "0"),
        "g": ("1/1000", "0"),
        "mg": ("1/1000000", "0"),
        "[lb_av]": ("45359237/100000000", "0"),
        "[oz_av]": ("45359237/1600000000", "0"),
        "[stone_av]": ("635029318/100000000", "0"),
    },
    "temperature": {"Cel": ("1", "0"), "K": ("1", "-5463/20"), "[degF]": ("5/9", "-160/9")},
    "pressure": {"kPa": ("1", "0"), "Pa": ("1/1000", "0"), "mm[Hg]": ("133322387415/1000000000000", "0")},
    "rate": {"/min": ("1", "0"), "/s": ("60", "0"), "/h": ("1/60", "0"), "/d": ("1/1440", "0")},
    "number": {"1": ("1", "0"), "%": ("1/100", "0"), "[ppth]": ("1/1000", "0"), "mmol/mol": ("1/1000", "0")},
    "volume": {"L": ("1", "0"), "l": ("1", "0"), "dL": ("1/10", "0"), "mL": ("1/1000", "0")},
    "concentration": {"mmol/L": ("1", "0"), "umol/L": ("1/1000", "0"), "mol/L": ("1000", "0")},
    "mass concentration": {"g/L": ("1", "0"), "mg/dL": ("1/100", "0"), "mg/L": ("1/1000", "0")},
    "flow": {"L/min": ("1", "0"), "L/s": ("60", "0"), "mL/min": ("1/1000", "0"), "L/h": ("1/60", "0")},
    "length": {"m": ("1", "0"), "cm": ("1/100", "0"), "mm": ("1/1000", "0"), "[in_i]": ("127/5000", "0")},
    "time": {
        "s": ("1", "0"),
        "min": ("60", "0"),
        "h": ("3600", "0"),
        "d": ("86400", "0"),
        "wk": ("604800", "0"),
    },
}
_BASE = {
    unit: (dimension, Fraction(factor), Fraction(offset))
    for dimension, units in _EVERYDAY.items()
    for unit, (factor, offset) in units.items()
}
_ANNOTATION = re.compile(r"\{[^{}]*\}")


class UnitError(ValueError):
    """A unit that is not UCUM, or two that measure different things."""


def convert(value: Decimal, source: str, target: str) -> Decimal:
    """`value` in `source`, expressed in `target`. Raises UnitError."""
    if source == target:
        return value
    factor, offset = _relation(source, target)
    return _decimal(Fraction(value) * factor + offset)


def convert_difference(value: Decimal, source: str, target: str) -> Decimal:
    """A difference in `source`, in `target`: 9 [degF] warmer is 5 Cel warmer. Raises UnitError."""
    if source == target:
        return value
    return _decimal(Fraction(value) * _relation(source, target)[0])


def everyday(unit: str) -> bool:
    """Whether the unit is converted without the library, which takes seconds to load (see `load`)."""
    return not unit or _plain(unit) in _BASE


def load() -> None:
    """Load the library, so that the first conversion that needs it does not wait for it."""
    _registry()


@lru_cache(maxsize=4096)
def _relation(source: str, target: str) -> tuple[Fraction, Fraction]:
    """(factor, offset) with target = source * factor + offset."""
    source, target = _plain(source), _plain(target)
    if source == target:
        return Fraction(1), Fraction(0)
    if source in _BASE and target in _BASE:
        dimension, factor, offset = _BASE[source]
        other, other_factor, other_offset = _BASE[target]
        if dimension != other:
            raise UnitError(f"{source!r} cannot be converted to {target!r}")
        return factor / other_factor, (offset - other_offset) / other_factor
    return _relation_by_library(source, target)


def _plain(unit: str) -> str:
    """Without annotations, which carry no meaning: `{beats}/min` is `/min`, `{score}` is the unity."""
    if not unit:
        raise UnitError("a quantity without a unit cannot be compared with one that has a unit")
    return _ANNOTATION.sub("", unit) or "1"


def _relation_by_library(source: str, target: str) -> tuple[Fraction, Fraction]:
    registry = _registry()
    units = []
    for unit in (source, target):
        try:
            quantity = registry.from_ucum(unit) if unit != "1" else registry.Quantity(Fraction(1))
            units.append((Fraction(quantity.magnitude), quantity.units))
        except Exception as error:  # the library raises many kinds for text that is no unit
            raise UnitError(f"{unit[:40]!r} is not a UCUM unit that can be converted") from error
    (source_scale, source_units), (target_scale, target_units) = units
    try:
        zero = registry.Quantity(Fraction(0), source_units).to(target_units).magnitude
        one = registry.Quantity(source_scale, source_units).to(target_units).magnitude
    except Exception as error:
        raise UnitError(f"{source[:40]!r} cannot be converted to {target[:40]!r}") from error
    zero, one = Fraction(zero), Fraction(one)
    return (one - zero) / target_scale, zero / target_scale


@lru_cache(maxsize=1)
def _registry() -> Any:
    from ucumvert import PintUcumRegistry

    return PintUcumRegistry(non_int_type=Fraction)


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)
