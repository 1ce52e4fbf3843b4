"""A threshold of one plan with its bounds in the unit that its rule judges in."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from rules.plans.plan import Plan
from rules.plans.threshold import Bound, Threshold


class Units(Protocol):
    """Conversion of UCUM units; both raise ValueError where two units cannot be compared."""

    def convert(self, value: Decimal, source: str, target: str) -> Decimal: ...

    def convert_difference(self, value: Decimal, source: str, target: str) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class Zone:
    """A threshold of one plan, its bounds in the unit of the rule."""

    threshold: Threshold
    plan: Plan
    low: Decimal | None
    high: Decimal | None
    baseline: Decimal | None


def zone_in_unit(threshold: Threshold, plan: Plan, unit: str, units: Units) -> Zone:
    """The threshold in `unit`. Raises ValueError where its bounds cannot be converted."""
    differences = threshold.kind in ("relative", "change")
    change = units.convert_difference if differences else units.convert

    def in_unit(bound: Bound | None) -> Decimal | None:
        if bound is None or threshold.percent:
            return bound.value if bound else None
        return change(bound.value, bound.unit, unit)

    base = threshold.baseline_value
    return Zone(
        threshold,
        plan,
        in_unit(threshold.low),
        in_unit(threshold.high),
        units.convert(base.value, base.unit, unit) if base else None,
    )
