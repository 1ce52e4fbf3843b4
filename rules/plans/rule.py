"""From the thresholds of a patient's plans to rules: one a measure and kind, most severe zone first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from typing import Any

from rules.plans.emit import Compiled, compile_shape, parameters, shape_of
from rules.plans.plan import Plan
from rules.plans.text import Text
from rules.plans.threshold import ZONES, Coding, Problem, Threshold
from rules.plans.zone import Units, Zone, zone_in_unit

_KNOWN_SYSTEMS = ("http://loinc.org", "http://snomed.info/sct")


@dataclass(frozen=True, slots=True)
class Rule:
    """What is watched together: `key` stays the same while plans and numbers change, and names the Flag.

    `compiled` is the function of the rule's shape, `numbers` what it is called with (see emit.py).
    """

    key: str
    kind: str
    codes: frozenset[Coding]
    unit: str
    zones: tuple[Zone, ...]
    compiled: Compiled
    numbers: tuple[Any, ...]

    @property
    def label(self) -> str:
        return self.zones[0].threshold.label

    @property
    def auto_resolve(self) -> int:
        """The most cautious of the zones': 0 (never) wins, else the largest."""
        asked = [zone.threshold.auto_resolve for zone in self.zones]
        return 0 if 0 in asked else max(asked)

    @property
    def has_unitless_bound(self) -> bool:
        """Whether a zone has bounds that are neither in a unit nor per cent of a baseline."""
        return any(not (zone.threshold.percent or zone.threshold.unit) for zone in self.zones)

    @property
    def looks_back(self) -> bool:
        """Whether other readings than the one judged matter."""
        return self.kind != "absolute"

    @property
    def count_back(self) -> int:
        """How many readings before the judged one it needs, however old they are."""
        unbounded = [z.threshold for z in self.zones if z.threshold.window is None]
        asked = [t.m if t.kind == "persistence" else int(t.baseline == "previous") for t in unbounded]
        return max(asked, default=0)

    def start(self, time: int) -> int:
        """The earliest instant that a window of this rule ending at `time` contains."""
        return min((w.start(time) for z in self.zones if (w := z.threshold.window)), default=time)

    def reach(self, time: int) -> int:
        """By when no later reading can have `time` in its window any more."""
        return max((w.reach(time) for z in self.zones if (w := z.threshold.window)), default=time)


def make_rule(key: str, kind: str, codes: frozenset[Coding], unit: str, zones: tuple[Zone, ...]) -> Rule:
    """A rule and the function that judges it."""
    return Rule(key, kind, codes, unit, zones, compile_shape(shape_of(kind, zones)), parameters(zones))


def make_rules(plans: Sequence[Plan], units: Units) -> tuple[list[Rule], list[tuple[Plan, Problem]]]:
    """The rules of these plans together, and what cannot be judged (by plan)."""
    problems = [(plan, problem) for plan in plans for problem in plan.problems]
    rules = []
    for codes, members in _groups(plans):
        unit = next((t.unit for t, _ in members if t.unit), "")
        zones = []
        for threshold, plan in members:
            try:
                zones.append(zone_in_unit(threshold, plan, unit, units))
            except ValueError:
                problems.append((plan, Problem(threshold.expression, _INCOMPARABLE, codes)))
        zones.sort(key=lambda zone: ZONES.index(zone.threshold.zone))  # stable: plans keep their order
        if zones:
            kind = zones[0].threshold.kind
            rule = make_rule(rule_key(kind, codes), kind, codes, unit, tuple(zones))
            rules.append(rule)
            problems += _overlaps(rule)
    return rules, problems


_INCOMPARABLE = Text(
    "grensene er i enheter som ikke kan sammenlignes", "the bounds are in units that cannot be compared"
)
_OVERLAP = Text(
    "rød grense ligger innenfor gul grense: en verdi kan være rød uten å være gul",
    "the red bound lies inside the yellow one: a value could be red without being yellow",
)


def _groups(plans: Sequence[Plan]) -> list[tuple[frozenset[Coding], list[tuple[Threshold, Plan]]]]:
    """Thresholds that share kind and a code, joined; in the order the plans name them."""
    groups: list[tuple[str, frozenset[Coding], list[tuple[Threshold, Plan]]]] = []
    for plan in plans:
        for threshold in plan.thresholds:
            joined = [g for g in groups if g[0] == threshold.kind and g[1] & threshold.codes]
            codes = threshold.codes.union(*(g[1] for g in joined))
            members = [member for g in joined for member in g[2]] + [(threshold, plan)]
            groups = [g for g in groups if g not in joined] + [(threshold.kind, codes, members)]
    return [(codes, members) for _, codes, members in groups]


def rule_key(kind: str, codes: frozenset[Coding]) -> str:
    """A stable name: the kind and the first of the codes; a digest where its system is not a known one."""
    system, code = min(codes, key=lambda coding: (coding[0] not in _KNOWN_SYSTEMS, coding))
    if system in _KNOWN_SYSTEMS and len(code) <= 32:
        return f"{kind}.{code}"
    return f"{kind}.{sha256(f'{system}|{code}'.encode()).hexdigest()[:16]}"


def _overlaps(rule: Rule) -> list[tuple[Plan, Problem]]:
    """Red zones that begin before the yellow zone of the same plan does."""
    found = []
    for red in (z for z in rule.zones if z.threshold.zone == "red"):
        for yellow in (z for z in rule.zones if z.threshold.zone == "yellow" and z.plan is red.plan):
            if _measures_alike(red.threshold, yellow.threshold) and (
                _inside(red.low, yellow.low, 1) or _inside(red.high, yellow.high, -1)
            ):
                found.append((red.plan, Problem(red.threshold.expression, _OVERLAP, rule.codes)))
    return found


def _inside(red: Decimal | None, yellow: Decimal | None, direction: int) -> bool:
    return red is not None and yellow is not None and (red - yellow) * direction > 0


def _measures_alike(a: Threshold, b: Threshold) -> bool:
    """Whether two zones measure the same thing, so that their bounds can be compared at all."""
    return (a.window, a.baseline, a.baseline_value, a.percent, a.n, a.m) == (
        b.window,
        b.baseline,
        b.baseline_value,
        b.percent,
        b.n,
        b.m,
    )
