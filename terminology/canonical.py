"""A quantity in UCUM in base units, so that two that can be compared have one unit (https://ucum.org/ucum).

The units are read from the table of the standard, which comes with the `ucumvert` library; the library
itself, which takes seconds to load, is not needed. Beyond the standard's base units, the mole counts as one
(it is a number there, but amounts of substance are not compared with counts), and so do arbitrary units.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

from terminology.ucum import UnitError

_NAMESPACE = "{http://unitsofmeasure.org/ucum-essence}"
_PART = re.compile(r"[./()]|\{[^{}]*\}|(?:\[[^\[\]]*\]|[^./(){}\[\]])+")
_POWER = re.compile(r"(.+?)([+-]?[0-9]+)")
# The special units that are a scale with another zero: kelvin = (value + shift) * factor.
_SHIFTED = {
    "Cel": (Fraction(1), Decimal("273.15")),
    "[degF]": (Fraction(5, 9), Decimal("459.67")),
    "[degRe]": (Fraction(5, 4), Decimal("218.52")),
}
_DIGITS = Context(prec=34)
_LONGEST = 200  # characters of a unit
_MOST = 60  # of an exponent


@dataclass(frozen=True, slots=True)
class Canonical:
    """base value = (value + shift) * factor; `unit` is the base units with their powers, "" for a number.

    The factor is numerator / denominator, each to 34 digits, as is the value.
    """

    unit: str
    numerator: Decimal
    denominator: Decimal
    shift: Decimal = Decimal(0)

    @property
    def factor(self) -> float:
        return float(self.numerator / self.denominator)

    def convert(self, value: Decimal) -> Decimal:
        """The value in base units."""
        if self.shift:
            value = _DIGITS.add(value, self.shift)
        value = _DIGITS.multiply(value, self.numerator)
        return value if self.denominator == 1 else _DIGITS.divide(value, self.denominator)


@lru_cache(maxsize=4096)
def canonical(unit: str) -> Canonical:
    """The base units of a UCUM unit. UnitError for what is none, or is on a scale that is not linear."""
    if not unit or len(unit) > _LONGEST:
        raise UnitError("no unit of UCUM")
    if unit in _SHIFTED:
        factor, shift = _SHIFTED[unit]
        return Canonical("K1", *_ratio(factor), shift)
    factor, powers = _Parser(unit).whole()
    return Canonical(".".join(f"{base}{powers[base]}" for base in sorted(powers)), *_ratio(factor))


def is_unit(code: str) -> bool:
    """Whether UCUM's grammar allows it, on whatever scale."""
    try:
        canonical(code)
    except UnitError:
        units = _table().units
        starts = [code[:length] for length in (1, 2) if code[:length] in _table().prefixes]
        rests = [units.get(code.removeprefix(start)) for start in starts]
        return code in units or any(rest is not None and rest.metric for rest in rests)
    return True


def _ratio(factor: Fraction) -> tuple[Decimal, Decimal]:
    """The factor as a plain number where it is one, which spares a division with each value."""
    numerator, denominator = (
        _DIGITS.create_decimal(factor.numerator),
        _DIGITS.create_decimal(factor.denominator),
    )
    plain = _DIGITS.divide(numerator, denominator)
    return (plain, Decimal(1)) if Fraction(plain) == factor else (numerator, denominator)


Product = tuple[Fraction, dict[str, int]]


def _times(one: Product, other: Product, power: int = 1) -> Product:
    if abs(power) > _MOST:
        raise UnitError("a power that no quantity has")
    powers = dict(one[1])
    for base, exponent in other[1].items():
        powers[base] = powers.get(base, 0) + exponent * power
    return one[0] * other[0] ** power, {base: exponent for base, exponent in powers.items() if exponent}


_ONE: Product = (Fraction(1), {})


class _Parser:
    """https://ucum.org/ucum#section-Grammar-of-Units-and-Unit-Terms; from left to right, . and / alike."""

    def __init__(self, unit: str) -> None:
        self.parts = _PART.findall(unit)
        if "".join(self.parts) != unit:
            raise UnitError("not a unit of UCUM")
        self.at = 0

    def whole(self) -> Product:
        found = self.term(0)
        if self.at < len(self.parts):
            raise UnitError("not a unit of UCUM")
        return found

    def peek(self) -> str:
        return self.parts[self.at] if self.at < len(self.parts) else ""

    def term(self, depth: int) -> Product:
        if depth > 10:
            raise UnitError("a unit with too many parentheses")
        found, power = _ONE, 1
        if self.peek() == "/":
            self.at, power = self.at + 1, -1
        while True:
            found = _times(found, self.component(depth), power)
            if self.peek() not in (".", "/"):
                return found
            power = 1 if self.peek() == "." else -1
            self.at += 1

    def component(self, depth: int) -> Product:
        part = self.peek()
        self.at += 1
        if part == "(":
            found = self.term(depth + 1)
            if self.peek() != ")":
                raise UnitError("not a unit of UCUM")
            self.at += 1
        elif part.startswith("{"):
            return _ONE
        elif not part or part in ").//":
            raise UnitError("not a unit of UCUM")
        else:
            found = _symbol(part)
        if self.peek().startswith("{"):  # an annotation says nothing about the magnitude
            self.at += 1
        return found


@lru_cache(maxsize=4096)
def _symbol(part: str) -> Product:
    """A unit with its prefix and power, or a whole number."""
    if part.isdigit() and part.isascii() and int(part):
        return Fraction(int(part)), {}
    if (found := _prefixed(part)) is not None:
        return found
    raised = _POWER.fullmatch(part)
    if raised and (found := _prefixed(raised[1])) is not None:
        return _times(_ONE, found, int(raised[2]))
    raise UnitError("not a unit of UCUM")


def _prefixed(symbol: str) -> Product | None:
    table = _table()
    if symbol in table.units:
        return _unit(symbol)
    for length in (2, 1):
        factor, rest = table.prefixes.get(symbol[:length]), symbol[length:]
        if factor is not None and rest in table.units and table.units[rest].metric:
            return _times((factor, {}), _unit(rest))
    return None


@lru_cache(maxsize=1024)
def _unit(symbol: str) -> Product:
    unit = _table().units[symbol]
    if unit.special:
        raise UnitError("a unit on a scale of its own, which cannot be part of another")
    if unit.of is None:
        return Fraction(1), {symbol: 1}
    return _times((unit.factor, {}), _Parser(unit.of).whole())


@dataclass(frozen=True, slots=True)
class _Unit:
    """A row of the table: `factor` times `of`, a base unit where that is None."""

    metric: bool
    special: bool
    factor: Fraction
    of: str | None


@dataclass(frozen=True, slots=True)
class _Table:
    prefixes: dict[str, Fraction]
    units: dict[str, _Unit]


@cache
def _table() -> _Table:
    spec = find_spec("ucumvert")
    if spec is None or spec.origin is None:
        raise UnitError("the table of UCUM is not installed")
    # a file of an installed package, not of a client's
    root = ElementTree.parse(Path(spec.origin).parent / "vendor" / "ucum-essence.xml").getroot()  # noqa: S314
    prefixes = {
        each.attrib["Code"]: Fraction(_value(each).attrib["value"])
        for each in root.iter(f"{_NAMESPACE}prefix")
    }
    units = {
        each.attrib["Code"]: _Unit(True, False, Fraction(1), None)
        for each in root.iter(f"{_NAMESPACE}base-unit")
    }
    for each in root.iter(f"{_NAMESPACE}unit"):
        code, value = each.attrib["Code"], _value(each).attrib
        special, metric = each.get("isSpecial") == "yes", each.get("isMetric") == "yes"
        own = code == "mol" or (each.get("isArbitrary") == "yes" and value["Unit"] == "1")
        factor = Fraction(value.get("value", "1"))
        units[code] = _Unit(metric, special, factor, None if own else value["Unit"])
    return _Table(prefixes, units)


def _value(element: ElementTree.Element) -> ElementTree.Element:
    found = element.find(f"{_NAMESPACE}value")
    assert found is not None
    return found
