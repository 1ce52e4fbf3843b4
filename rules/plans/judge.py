"""A reading held against a rule: the zone it is in, and everything needed to say why."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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
    return judge_in(rule, reading, Series(rule, others, units))


class Series:
    """Readings on record as one rule sees them: those that it can compare, copies once, in order of time."""

    def __init__(self, rule: Rule, found: Iterable[Reading], units: Units) -> None:
        self.units = units
        kept: dict[tuple[int, Decimal], Reading] = {}
        for reading in found if rule.looks_back else ():
            # where the plan gives per cent alone, each reading is in its own unit at first (see `_in_unit`)
            value = _value_in(reading, rule.unit or reading.unit, units)
            if value is not None:
                kept.setdefault((reading.time, value), reading)
        ordered = sorted(kept.items(), key=_moment)
        self.times = [time for (time, _), _ in ordered]
        self.values = [value for (_, value), _ in ordered]
        self.readings = [reading for _, reading in ordered]
        self.mixed = not rule.unit and len({reading.unit for reading in self.readings}) > 1

    def before(self, rule: Rule, time: int) -> tuple[int, int]:
        """What a window ending at `time` may contain, as indices into the series."""
        end = bisect_right(self.times, time)
        start = bisect_left(self.times, rule.start(time), 0, end)
        return max(0, min(start, end - rule.count_back - 1)), end


def _moment(item: tuple[tuple[int, Decimal], Reading]) -> int:
    return item[0][0]


def judge_in(rule: Rule, reading: Reading, series: Series) -> Verdict:
    """As `judge`, of one of many readings of the same series."""
    try:
        return _judge(rule, reading, series)
    except Exception as error:  # promise 2: a failing rule loses nothing and hides nothing
        failed = type(error).__name__
        text = Text(f"regelen feilet ({failed})", f"the rule failed ({failed})")
        return Verdict(rule, reading, None, technical=(Technical("failed", text),))


def _judge(rule: Rule, reading: Reading, series: Series) -> Verdict:
    rule = _of_plans_in_force(rule, reading.time)
    if not rule.zones:
        return Verdict(rule, reading, None)
    if reading.value is None:
        return _not_judged(rule, reading, "value", reading.why or _NO_VALUE)
    unit = rule.unit or reading.unit
    value = _value_in(reading, unit, series.units)
    if value is None or (not rule.unit and rule.has_unitless_bound and not _is_plain_number(unit)):
        return _not_judged(rule, reading, "unit", _unit_text(reading.unit, rule.unit))
    if reading.comparator and rule.kind in ("relative", "change"):
        return _not_judged(rule, reading, "comparator", _COMPARATOR)
    verdict = _verdict(rule, _up_to(rule, reading, value, series), reading)
    if reading.comparator in ("<", "<=", ">", ">=") and rule.kind == "absolute":
        return _bounded(rule, verdict, reading, value)
    return verdict


def _is_plain_number(unit: str) -> bool:
    """Whether a bound that names no unit can mean values in this one: a score, a count."""
    return unit in ("", "1") or (unit.startswith("{") and unit.endswith("}"))


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


_Seen = tuple[list[int], list[Decimal], list[Reading]]


def _up_to(rule: Rule, reading: Reading, value: Decimal, series: Series) -> _Seen:
    """Times, values and readings up to the judged one, the last of its instant, which sees the others."""
    if not rule.looks_back:
        return [reading.time], [value], [reading]
    if series.mixed:
        series = _in_unit(rule, reading.unit, series)
    first, end = series.before(rule, reading.time)
    times, values, seen = series.times[first:end], series.values[first:end], series.readings[first:end]
    for i in reversed(range(bisect_left(times, reading.time), len(times))):
        # itself, a copy that it speaks for, or another value of the same Observation
        if values[i] == value or seen[i].reference == reading.reference:
            del times[i], values[i], seen[i]
    return [*times, reading.time], [*values, value], [*seen, reading]


def _in_unit(rule: Rule, unit: str, series: Series) -> Series:
    """The series for a rule of per cent alone, which has no unit of its own, in the unit of one reading."""
    return Series(replace(rule, unit=unit), series.readings, series.units)


def _verdict(rule: Rule, seen: _Seen, reading: Reading) -> Verdict:
    times, values, readings = seen
    i = len(times) - 1
    starts = [w.start(reading.time) if (w := zone.threshold.window) else 0 for zone in rule.zones]
    zone, measured, base, first, missing = rule.compiled.function(times, values, i, starts, rule.numbers)
    looked_at = tuple(readings[first:])
    technical = tuple(Technical("baseline", _no_baseline(rule.zones[k]), passing=True) for k in missing)
    return Verdict(
        rule, reading, rule.zones[zone] if zone >= 0 else None, measured, base, looked_at, technical
    )


def _bounded(rule: Rule, near: Verdict, reading: Reading, value: Decimal) -> Verdict:
    """`<70` may be anything below: certain is the milder of what the nearest and the farthest value give."""
    far = -_FAR if reading.comparator in ("<", "<=") else _FAR
    farthest = _verdict(rule, ([reading.time], [far], [reading]), reading)
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
    if not expected:
        return Text(
            f"grensen mangler enhet, og målingen er i «{given}»",
            f"the bound has no unit, and the reading is in '{given}'",
        )
    if not given:
        return Text(
            f"målingen mangler enhet, og kan ikke sammenlignes med grensens enhet «{expected}»",
            f"the reading has no unit and cannot be compared with the bound's unit '{expected}'",
        )
    return Text(
        f"målingens enhet «{given}» kan ikke sammenlignes med grensens enhet «{expected}»",
        f"the reading's unit '{given}' cannot be compared with the bound's unit '{expected}'",
    )


def _no_baseline(zone: Zone) -> Text:
    window = zone.threshold.window
    within = Text(f" siste {window.text.nb}", f" in the last {window.text.en}") if window else Text("", "")
    return Text(
        f"utgangsverdi mangler: ingen tidligere måling{within.nb} å sammenligne med",
        f"the baseline is missing: no earlier reading{within.en} to compare with",
    )
