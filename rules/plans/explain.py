"""What a nurse reads of a verdict, and what an engineer reads of a rule."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from rules.plans.judge import Verdict
from rules.plans.rule import Rule
from rules.plans.text import ZONES, Text, number, quantity
from rules.plans.threshold import Threshold
from rules.plans.zone import Zone

_BASELINES = {
    "min": Text("laveste", "lowest"),
    "max": Text("høyeste", "highest"),
    "median": Text("median", "median"),
    "mean": Text("gjennomsnitt", "mean"),
    "first": Text("første", "first"),
    "previous": Text("forrige", "previous"),
}
_GOAL = Text("utgangsverdien", "baseline")


def verdict_text(verdict: Verdict) -> Text:
    """One sentence: what was measured, against which limit. For a verdict that has a zone."""
    zone = verdict.zone
    if zone is None or verdict.measured is None:
        raise ValueError("only a reading that fell into a zone has something to say")
    kind = zone.threshold.kind
    if kind == "absolute":
        return _absolute(verdict, zone, verdict.measured)
    if kind == "persistence":
        return _persistence(verdict, zone)
    return _difference(verdict, zone, verdict.measured, verdict.baseline or Decimal(0))


def _value(verdict: Verdict) -> Text:
    reading = verdict.reading
    shown = quantity(reading.value, reading.unit) if reading.value is not None else Text("", "")
    return Text(f"{reading.comparator}{shown.nb}", f"{reading.comparator}{shown.en}")


def _unit(verdict: Verdict) -> str:
    return verdict.rule.unit or verdict.reading.unit


def _side(zone: Zone, measured: Decimal) -> str:
    return "low" if zone.low is not None and measured <= zone.low else "high"


def _absolute(verdict: Verdict, zone: Zone, measured: Decimal) -> Text:
    side = _side(zone, measured)
    limit = quantity((zone.low if side == "low" else zone.high) or Decimal(0), _unit(verdict))
    name, value, color = zone.threshold.label, _value(verdict), ZONES[zone.threshold.zone]
    over = Text("under", "below") if side == "low" else Text("over", "above")
    bound = zone.threshold.low if side == "low" else zone.threshold.high
    if bound and not bound.inclusive:
        over = Text("på eller " + over.nb, "at or " + over.en)
    return Text(
        f"{name} {value.nb} er {over.nb} {color.nb} grense {limit.nb}",
        f"{name} {value.en} is {over.en} the {color.en} limit {limit.en}",
    )


def _persistence(verdict: Verdict, zone: Zone) -> Text:
    t, color, value = zone.threshold, ZONES[zone.threshold.zone], _value(verdict)
    limits = _limits(zone, _unit(verdict))
    return Text(
        f"{t.label}: minst {t.n} av de siste {t.m} målingene er utenfor {color.nb} grense {limits.nb}, "
        f"siste er {value.nb}",
        f"{t.label}: at least {t.n} of the last {t.m} readings are outside the {color.en} limit {limits.en}, "
        f"the last is {value.en}",
    )


def _limits(zone: Zone, unit: str) -> Text:
    shown = [quantity(bound, unit) for bound in (zone.low, zone.high) if bound is not None]
    return Text("–".join(s.nb for s in shown), "–".join(s.en for s in shown))


def _difference(verdict: Verdict, zone: Zone, difference: Decimal, base: Decimal) -> Text:
    t, unit, color = zone.threshold, _unit(verdict), ZONES[zone.threshold.zone]
    rose = difference > 0
    limit_value = (zone.high if rose else zone.low) or Decimal(0)
    limit = quantity(limit_value, "%") if t.percent else _size(limit_value, base, unit, False)
    size, start, value = _size(abs(difference), base, unit, t.percent), quantity(base, unit), _value(verdict)
    verb = Text("høyere", "higher") if rose else Text("lavere", "lower")
    origin = _origin(t, rose)
    return Text(
        f"{t.label} {value.nb} er {size.nb} {verb.nb} enn {origin.nb}, {start.nb}; "
        f"{color.nb} grense er {limit.nb}",
        f"{t.label} {value.en} is {size.en} {verb.en} than the {origin.en}, {start.en}; "
        f"the {color.en} limit is {limit.en}",
    )


def _size(difference: Decimal, base: Decimal, unit: str, percent: bool) -> Text:
    """A difference. That of two percentages is in percentage points, lest 6 % be taken for a part of them."""
    if unit == "%":
        points = number(difference)
        size = Text(f"{points.nb} prosentpoeng", f"{points.en} percentage points")
    else:
        size = quantity(difference, unit)
    if percent and base:
        part = quantity(round(difference * 100 / abs(base), 1), "%")
        return Text(f"{size.nb} ({part.nb})", f"{size.en} ({part.en})")
    return size


def _origin(t: Threshold, rose: bool) -> Text:
    baseline = _BASELINES.get(t.baseline or ("min" if rose else "max"), _GOAL)
    if t.window is None or t.baseline in ("goal", "previous"):
        return _GOAL if t.baseline == "goal" else baseline + Text("måling", "reading")
    within = t.window.text
    return baseline + Text(f"siste {within.nb}", f"in the last {within.en}")


def rule_text(rule: Rule) -> str:
    """The rule as an engineer reads it: codes, zones with plans and numbers, and the Python that runs."""
    codes = ", ".join(f"{system}|{code}" for system, code in sorted(rule.codes))
    lines = [f"rule {rule.key} ({rule.kind})", f"  codes: {codes}", f"  unit: {rule.unit or '(as read)'}"]
    lines += [f"  {_zone_line(zone)}" for zone in rule.zones]
    lines += [f"  autoResolve: {rule.auto_resolve or 'never'}", f"  p = {_shown(rule.numbers)}", ""]
    lines += [f"    {line}" for line in rule.compiled.source.splitlines()]
    return "\n".join(lines)


def _zone_line(zone: Zone) -> str:
    t = zone.threshold
    parts = [f"{t.zone}: {t.rule_id} of {zone.plan.reference}, {t.expression}"]
    if t.low:
        parts.append(
            f"low {number(t.low.value).en} {t.low.unit} ({'normal' if t.low.inclusive else 'outside'})"
        )
    if t.high:
        parts.append(
            f"high {number(t.high.value).en} {t.high.unit} ({'normal' if t.high.inclusive else 'outside'})"
        )
    parts += [f"{name} {value}" for name, value in _extras(t) if value]
    return "; ".join(parts)


def _extras(t: Threshold) -> Sequence[tuple[str, object]]:
    value = t.baseline_value
    return (
        ("baseline", t.baseline),
        ("baselineValue", f"{value.value} {value.unit}" if value else None),
        ("percent", t.percent),
        ("window", t.window.text.en if t.window else None),
        ("n", t.n if t.kind == "persistence" else None),
        ("m", t.m if t.kind == "persistence" else None),
    )


def _shown(numbers: Sequence[object]) -> str:
    return "(" + ", ".join("-" if n is None else str(n) for n in numbers) + ")"
