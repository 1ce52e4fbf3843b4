"""Units of quantities: CQL's calendar durations, products of units, and conversion by whoever is injected.

https://cql.hl7.org/02-authorsguide.html#unit-conversion, https://cql.hl7.org/05-languagesemantics.html#quantities
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Protocol

from rules.runtime.decimals import CONTEXT

MILLISECONDS: Final = {
    "week": 604_800_000,
    "day": 86_400_000,
    "hour": 3_600_000,
    "minute": 60_000,
    "second": 1_000,
    "millisecond": 1,
}
PERIODS: Final = ("year", "month", *MILLISECONDS)
CALENDAR: Final = {name: period for period in PERIODS for name in (period, period + "s")}
DEFINITE: Final = {
    "a": "year",
    "mo": "month",
    "wk": "week",
    "d": "day",
    "h": "hour",
    "min": "minute",
    "s": "second",
    "ms": "millisecond",
}
_VARIABLE: Final = ("year", "month")
_STEPS: Final = {("year", "month"): 12, ("year", "day"): 365, ("month", "day"): 30}
_TERM: Final = re.compile(r"([a-zA-Z%\[{][^./]*?)(-?\d+)?")


class Units(Protocol):
    """What an evaluation needs to know of units."""

    def convert(self, value: Decimal, source: str, target: str) -> Decimal | None:
        """`value` of `source` in `target`, or None where the two do not measure the same thing."""

    def product(self, left: str, right: str) -> str | None:
        """The unit of a product, or None where a unit is not understood."""

    def quotient(self, left: str, right: str) -> str | None:
        """The unit of a quotient, or None where a unit is not understood."""


def period_of(unit: str) -> str | None:
    """The calendar period that a keyword (singular or plural) or a UCUM unit of time stands for."""
    return CALENDAR.get(unit) or DEFINITE.get(unit)


def same_unit(left: str, right: str) -> bool:
    """Whether two units are one: the same text, or names of one period of at most a week."""
    if left == right or {left, right} == {"", "1"}:
        return True
    period = period_of(left)
    if period is None or period != period_of(right):
        return False
    return period not in _VARIABLE or (left in CALENDAR) == (right in CALENDAR)


def convert_period(value: Decimal, source: str, target: str) -> Decimal | None:
    """`value` of one calendar period in another, in the fewest steps: 12 months, or 365 days, are a year."""
    factor = _factor(source, target)
    return None if factor is None else _decimal(Fraction(value) * factor)


def _factor(source: str, target: str) -> Fraction | None:
    if source == target:
        return Fraction(1)
    if source in _VARIABLE and target in _VARIABLE:
        step = _STEPS["year", "month"]
        return Fraction(step) if source == "year" else Fraction(1, step)
    if source in _VARIABLE:
        return Fraction(_STEPS[source, "day"] * MILLISECONDS["day"], MILLISECONDS[target])
    if target in _VARIABLE:
        return Fraction(MILLISECONDS[source], _STEPS[target, "day"] * MILLISECONDS["day"])
    return Fraction(MILLISECONDS[source], MILLISECONDS[target])


def _decimal(value: Fraction) -> Decimal:
    return CONTEXT.divide(Decimal(value.numerator), Decimal(value.denominator))


@dataclass(frozen=True, slots=True)
class TextUnits:
    """Units by their text; `conversion` (value, source, target), which may raise ValueError, knows UCUM."""

    conversion: Callable[[Decimal, str, str], Decimal] | None = None

    def convert(self, value: Decimal, source: str, target: str) -> Decimal | None:
        if same_unit(source, target):
            return value
        left, right = period_of(source), period_of(target)
        if left is not None and right is not None:
            return convert_period(value, left, right)
        if self.conversion is None or source in CALENDAR or target in CALENDAR:
            return None
        try:
            return self.conversion(value, source or "1", target or "1")
        except ValueError:
            return None

    def product(self, left: str, right: str) -> str | None:
        return _combine(left, right, 1)

    def quotient(self, left: str, right: str) -> str | None:
        return _combine(left, right, -1)


def _combine(left: str, right: str, sign: int) -> str | None:
    if right in ("", "1"):
        return left or "1"
    powers, others = _powers(left), _powers(right)
    if powers is None or others is None:
        return "1" if sign < 0 and left == right else None
    for name, power in others.items():
        powers[name] = powers.get(name, 0) + sign * power
    return _text(powers)


def _powers(unit: str) -> dict[str, int] | None:
    """The factors of a unit without parentheses; None for what is written in another way."""
    powers: dict[str, int] = {}
    sign = 1
    for part in re.split(r"([./])", unit):
        if part in (".", "/"):
            sign = 1 if part == "." else -1
        elif part not in ("", "1"):
            match = _TERM.fullmatch(part)
            if match is None or "(" in part:
                return None
            powers[match[1]] = powers.get(match[1], 0) + sign * int(match[2] or 1)
    return powers


def _text(powers: dict[str, int]) -> str:
    above = ".".join(_power(name, power) for name, power in powers.items() if power > 0)
    below = "".join("/" + _power(name, -power) for name, power in powers.items() if power < 0)
    return (above + below) if above or below else "1"


def _power(name: str, power: int) -> str:
    return name if power == 1 else f"{name}{power}"
