"""A reading held against a rule: the zone it is in, and everything needed to say why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from rules.plans.plan import in_force
from rules.plans.reading import Reading
from rules.plans.rule import Rule, make_rule
from rules.plans.text import Text
from rules.plans.zone import Units, Zone

_FAR = Decimal("1e300")


@dataclass(frozen=True, slots=True)
class Technical:
    """Why a rule could not judge a reading. `passing`: the next reading that can be judged makes it moot."""

    code: str  # value | unit | comparator | baseline | failed
    text: Text
    passing: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says of one reading.

    `zone` is the Zone it fell into or None when normal; `measured` is what was held against the bounds (the
    value, or the difference from `baseline`), in the rule's unit; `looked_at` are the readings considered,
    oldest first, the judged one last. `technical` says what could not be judged: with no zone the reading
    is then not known to be normal.
    """

    rule: Rule
    reading: Reading
    zone: Zone | None
    measured: Decimal | None = None
    baseline: Decimal | None = None
    looked_at: tuple[Reading, ...] = ()
    technical: tuple[Technical, ...] = ()

    @property
    def color(self) -> str:
        """red, yellow, green, or "" where it could not be judged."""
        if self.zone:
            return self.zone.threshold.zone
        return "" if self.technical else "green"


def judge(rule: Rule, reading: Reading, others: Sequence[Reading], units: Units) -> Verdict:
    """Hold `reading` against `rule`, given the `others` that its windows may contain (any order).

    Never raises: what goes wrong is a Technical of the verdict. Readings that are copies of one another (same
    time and value) count once; others that carry no comparable value are passed over.
    """
    try:
        return _judge(rule, reading, others, units)
    except Exception as error:  # promise 2: a failing rule loses nothing and hides nothing
        failed = type(error).__name__
        text = Text(f"regelen feilet ({failed})", f"the rule failed ({failed})")
        return Verdict(rule, reading, None, technical=(Technical("failed", text),))


def _judge(rule: Rule, reading: Reading, others: Sequence[Reading], units: Units) -> Verdict:
    rule = _of_plans_in_force(rule, reading.time)
    if not rule.zones:
        return Verdict(rule, reading, None)
    if reading.value is None:
        return _not_judged(rule, reading, "value", reading.why or _NO_VALUE)
    unit = rule.unit or reading.unit
    value = _value_in(reading, unit, units)
    if value is None:
        return _not_judged(rule, reading, "unit", _unit_text(reading.unit, unit))
    if reading.comparator and rule.kind in ("relative", "change"):
        return _not_judged(rule, reading, "comparator", _COMPARATOR)
    series = _series(reading, value, others, unit, units) if rule.looks_back else [(value, reading)]
    verdict = _verdict(rule, series, reading)
    if reading.comparator in ("<", "<=", ">", ">=") and rule.kind == "absolute":
        return _bounded(rule, verdict, reading, value)
    return verdict


def _of_plans_in_force(rule: Rule, time: int) -> Rule:
    zones = tuple(zone for zone in rule.zones if in_force(zone.plan, time))
    if len(zones) == len(rule.zones):
        return rule
    return make_rule(rule.key, rule.kind, rule.codes, rule.unit, zones)


def _value_in(reading: Reading, unit: str, units: Units) -> Decimal | None:
    """The reading's value in the rule's unit, None where they cannot be compared.

    `<70` becomes the number just below 70: what it is at the most.
    """
    value, source = reading.value, reading.unit
    if value is None:
        return None
    if source != unit and not (source == "1" and unit == ""):
        try:
            value = units.convert(value, source, unit)
        except ValueError:
            return None
    if reading.comparator == "<":
        return value.next_minus()
    return value.next_plus() if reading.comparator == ">" else value


def _series(
    reading: Reading, value: Decimal, others: Sequence[Reading], unit: str, units: Units
) -> list[tuple[Decimal, Reading]]:
    """All comparable readings in order of time, copies once; the judged one is in it as itself."""
    known = {(reading.time, value)}
    series = [(value, reading)]
    for other in others:
        if other.reference == reading.reference or (converted := _value_in(other, unit, units)) is None:
            continue
        if (other.time, converted) not in known:
            known.add((other.time, converted))
            series.append((converted, other))
    # the judged reading comes last among those of its own instant, so that it sees them
    series.sort(key=lambda pair: (pair[1].time, pair[1] is reading))
    return series


def _verdict(rule: Rule, series: list[tuple[Decimal, Reading]], reading: Reading) -> Verdict:
    values = [value for value, _ in series]
    times = [other.time for _, other in series]
    i = next(k for k, (_, other) in enumerate(series) if other is reading)
    starts = [w.start(reading.time) if (w := zone.threshold.window) else 0 for zone in rule.zones]
    zone, measured, base, first, missing = rule.compiled.function(times, values, i, starts, rule.numbers)
    looked_at = tuple(other for _, other in series[first : i + 1])
    technical = tuple(Technical("baseline", _no_baseline(rule.zones[k]), passing=True) for k in missing)
    return Verdict(
        rule, reading, rule.zones[zone] if zone >= 0 else None, measured, base, looked_at, technical
    )


def _bounded(rule: Rule, near: Verdict, reading: Reading, value: Decimal) -> Verdict:
    """`<70` may be anything below: certain is the milder of what the nearest and the farthest value give."""
    far = -_FAR if reading.comparator in ("<", "<=") else _FAR
    farthest = _verdict(rule, [(far, reading)], reading)
    if farthest.color == near.color:
        return near
    certain = min((near, farthest), key=lambda v: ("green", "yellow", "red").index(v.color))
    technical = (*certain.technical, Technical("comparator", _COMPARATOR))
    return Verdict(rule, reading, certain.zone, value, None, (reading,), technical)


def _not_judged(rule: Rule, reading: Reading, code: str, text: Text) -> Verdict:
    return Verdict(rule, reading, None, looked_at=(reading,), technical=(Technical(code, text),))


_NO_VALUE = Text("målingen mangler verdi", "the reading carries no value")
_COMPARATOR = Text(
    "målingen er oppgitt som større eller mindre enn en verdi, og kan ikke bedømmes sikkert",
    "the reading is given as more or less than a value and cannot be judged with certainty",
)


def _unit_text(given: str, expected: str) -> Text:
    given, expected = given[:40], expected[:40]
    return Text(
        f"målingens enhet «{given}» kan ikke sammenlignes med grensens enhet «{expected}»",
        f"the reading's unit '{given}' cannot be compared with the bound's unit '{expected}'",
    )


def _no_baseline(zone: Zone) -> Text:
    window = zone.threshold.window.text if zone.threshold.window else Text("", "")
    return Text(
        f"utgangsverdi mangler: ingen tidligere måling å sammenligne med {window.nb}".strip(),
        f"the baseline is missing: no earlier reading to compare with {window.en}".strip(),
    )
