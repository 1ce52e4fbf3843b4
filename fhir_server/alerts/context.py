"""The readings around a change, and what the rule says of every reading that the change touches."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.alerts.desk import Desk
from fhir_server.alerts.observed import Change
from rules.plans import JUDGED, Reading, Rule, Verdict, judge, readings, time_of
from terminology import ucum

_SEVERITY = {"": 0, "green": 1, "yellow": 2, "red": 3}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rule says of one Observation. `fresh`: it was not judged before this transaction."""

    verdict: Verdict
    fresh: bool


def outcomes(
    desk: Desk, patient: str, rule: Rule, changes: Sequence[Change]
) -> tuple[list[Outcome], list[str]]:
    """Verdicts of the changed readings and of later ones whose window they are in, in the order of time;
    and the ids of Observations that say nothing to this rule any more."""
    changed = {change.id: change for change in changes}
    own = [r for change in changes if change.observation for r in _own(change, rule)]
    around = _around(desk, patient, rule, changes)
    others = _sorted([*own, *(r for r in around if r.id not in changed)])
    touched = [r for r in others if r.id in changed or _touches(rule, changes, r, others)]
    unique = _unique(others)
    worst: dict[str, Verdict] = {}
    for reading in touched:
        verdict = judge(rule, reading, _before(rule, unique, reading), ucum)
        known = worst.get(reading.id)
        if known is None or _SEVERITY[verdict.color] > _SEVERITY[known.color]:
            worst[reading.id] = verdict
    fresh = {change.id for change in changes if change.fresh}
    gone = [id for id, change in changed.items() if id not in worst and not change.fresh]
    return [Outcome(verdict, id in fresh) for id, verdict in worst.items()], gone


def count_normal_since(desk: Desk, patient: str, rule: Rule, since: int, until: int | None) -> int:
    """How many comparable readings were taken after `since` and up to `until`, copies counted once.

    After the last reading in a zone they are all normal: each was judged when it came.
    """
    want = rule.auto_resolve
    found = desk.observations(patient, rule.codes, since=since + 1, until=until)
    distinct = {(r.time, r.value) for r in _counted(found, rule) if _comparable(rule, r)}
    return min(len({time for time, _ in distinct}), want) if distinct else 0


def _own(change: Change, rule: Rule) -> Iterable[Reading]:
    return readings(change.observation or {}, rule.codes, change.time)


def _around(desk: Desk, patient: str, rule: Rule, changes: Sequence[Change]) -> list[Reading]:
    """Readings that the judged ones look at, and later ones that look at the changed."""
    times = [time for change in changes for time in (*change.times, change.time)]
    first, last = min(times), max(times)
    if not rule.looks_back:
        # alone it matters; but where a reading was taken back, a copy of it may have to speak in its place
        again = {time for change in changes if not change.fresh for time in change.times}
        found = [o for t in sorted(again) for o in desk.observations(patient, rule.codes, since=t, until=t)]
        return _counted(found, rule)
    found = desk.observations(patient, rule.codes, since=rule.start(first), until=rule.reach(last))
    if rule.count_back:
        found += _nearest(desk, patient, rule, first, back=True)
        found += _nearest(desk, patient, rule, last, back=False)
    return _counted({o["id"]: o for o in found}.values(), rule)


def _nearest(desk: Desk, patient: str, rule: Rule, time: int, *, back: bool) -> list[dict[str, Any]]:
    """Enough Observations before (or after) a time that count_back distinct ones of them count."""
    ask = 2 * rule.count_back + 8
    while True:
        if back:
            found = desk.observations(patient, rule.codes, until=time, newest=ask)
        else:
            found = desk.observations(patient, rule.codes, since=time, oldest=ask)
        counted = {(r.time, r.value) for r in _counted(found, rule) if r.time != time}
        if len(found) < ask or len(counted) >= rule.count_back:
            return found
        ask *= 4


def _counted(observations: Iterable[dict[str, Any]], rule: Rule) -> list[Reading]:
    """The readings of those Observations whose status counts and that say when they were taken."""
    return [
        reading
        for observation in observations
        if observation.get("status") in JUDGED and (time := time_of(observation)) is not None
        for reading in readings(observation, rule.codes, time)
    ]


def _sorted(found: Iterable[Reading]) -> list[Reading]:
    return sorted(found, key=lambda reading: reading.time)


def _unique(ordered: Sequence[Reading]) -> list[Reading]:
    """Readings with a value, copies (same time, value and unit) once."""
    kept = {(r.time, r.value, r.unit, r.comparator): r for r in reversed(ordered) if r.value is not None}
    return _sorted(kept.values())


def _before(rule: Rule, unique: Sequence[Reading], reading: Reading) -> Sequence[Reading]:
    """What the reading's windows may contain: a long series must not cost every reading its length."""
    if not rule.looks_back:
        return ()
    end = bisect_right(unique, reading.time, key=lambda r: r.time)
    start = bisect_left(unique, rule.start(reading.time), key=lambda r: r.time)
    return unique[max(0, min(start, end - rule.count_back - 1)) : end]


def _touches(rule: Rule, changes: Sequence[Change], reading: Reading, ordered: Sequence[Reading]) -> bool:
    """Whether a reading that did not change itself looks at the time of one that did."""
    times = [time for change in changes for time in (*change.times, change.time)]
    if not rule.looks_back:
        return True  # only those of the very same time were read
    start = rule.start(reading.time)
    for time in times:
        if start <= time <= reading.time:
            return True
        between = bisect_left(ordered, reading.time, key=lambda r: r.time) - bisect_left(
            ordered, time, key=lambda r: r.time
        )
        if time <= reading.time and between <= rule.count_back:
            return True
    return False


def _comparable(rule: Rule, reading: Reading) -> bool:
    if reading.value is None:
        return False
    try:
        ucum.convert(reading.value, reading.unit, rule.unit or reading.unit)
    except ucum.UnitError:
        return False
    return True
