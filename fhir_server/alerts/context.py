"""The readings around a change, and what the rule says of every reading that the change touches."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from fhir_server.alerts.desk import Desk
from fhir_server.alerts.observed import Change
from rules.plans import JUDGED, Coding, Reading, Rule, Verdict, judge, readings, time_of
from terminology import ucum

_SEVERITY = {"": 0, "green": 1, "yellow": 2, "red": 3}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the rule says of one Observation. `fresh`: it was not judged before this transaction."""

    verdict: Verdict
    fresh: bool


def series(desk: Desk, patient: str, rules: Sequence[Rule], changes: Sequence[Change]) -> list[Reading]:
    """The readings that these rules, which judge the same codes, need to judge the changes: the changed
    themselves, what their windows hold, and the later ones whose windows hold them; in the order of time."""
    changed = {change.id for change in changes}
    codes = rules[0].codes
    own = [r for change in changes if change.observation for r in _own(change, codes)]
    around = _counted(_around(desk, patient, rules, changes), codes)
    return _sorted([*own, *(reading for reading in around if reading.id not in changed)])


def outcomes(
    rule: Rule, changes: Sequence[Change], ordered: Sequence[Reading]
) -> tuple[list[Outcome], list[str]]:
    """Verdicts of the changed readings and of later ones whose window they are in, in the order of time;
    and the ids of Observations that say nothing to this rule any more. `ordered` is their `series`."""
    unique = _unique(ordered) if rule.looks_back else []
    worst: dict[str, Verdict] = {}
    for reading in _touched(rule, changes, ordered):
        verdict = judge(rule, reading, _before(rule, unique, reading), ucum)
        known = worst.get(reading.id)
        if known is None or _SEVERITY[verdict.color] > _SEVERITY[known.color]:
            worst[reading.id] = verdict
    fresh = {change.id for change in changes if change.fresh}
    gone = [change.id for change in changes if change.id not in worst and not change.fresh]
    return [Outcome(verdict, id in fresh) for id, verdict in worst.items()], gone


def count_normal_since(desk: Desk, patient: str, rule: Rule, since: int, until: int | None) -> int:
    """How many comparable readings were taken after `since` and up to `until`, copies counted once.

    After the last reading in a zone they are all normal: each was judged when it came.
    """
    want = rule.auto_resolve
    found = desk.observations(patient, rule.codes, since=since + 1, until=until)
    distinct = {(r.time, r.value) for r in _counted(found, rule.codes) if _comparable(rule, r)}
    return min(len({time for time, _ in distinct}), want) if distinct else 0


def _own(change: Change, codes: frozenset[Coding]) -> Iterable[Reading]:
    return readings(change.observation or {}, codes, change.time)


def _around(
    desk: Desk, patient: str, rules: Sequence[Rule], changes: Sequence[Change]
) -> Iterable[dict[str, Any]]:
    """Observations that the judged ones look at, and later ones that look at the changed."""
    codes = rules[0].codes
    times = [time for change in changes for time in (*change.times, change.time)]
    first, last = min(times), max(times)
    # alone a reading matters to any rule; where one was taken back, a copy may have to speak in its place
    again = {time for change in changes if not change.fresh for time in change.times}
    found = [o for t in sorted(again) for o in desk.observations(patient, codes, since=t, until=t)]
    start, reach = min(rule.start(first) for rule in rules), max(rule.reach(last) for rule in rules)
    if (start, reach) != (first, last):
        found += desk.observations(patient, codes, since=start, until=reach)
    if count_back := max(rule.count_back for rule in rules):
        found += _nearest(desk, patient, codes, count_back, first, back=True)
        found += _nearest(desk, patient, codes, count_back, last, back=False)
    return {observation["id"]: observation for observation in found}.values()


def _nearest(
    desk: Desk, patient: str, codes: frozenset[Coding], count: int, time: int, *, back: bool
) -> list[dict[str, Any]]:
    """Enough Observations before (or after) a time that `count` distinct ones of them count."""
    ask = count + 4
    while True:
        if back:
            found = desk.observations(patient, codes, until=time, newest=ask)
        else:
            found = desk.observations(patient, codes, since=time, oldest=ask)
        counted = {(r.time, r.value) for r in _counted(found, codes) if r.time != time}
        if len(found) < ask or len(counted) >= count:
            return found
        ask *= 4


def _counted(observations: Iterable[dict[str, Any]], codes: frozenset[Coding]) -> list[Reading]:
    """The readings of those Observations whose status counts and that say when they were taken."""
    return [
        reading
        for observation in observations
        if observation.get("status") in JUDGED and (time := time_of(observation)) is not None
        for reading in readings(observation, codes, time)
    ]


def _sorted(found: Iterable[Reading]) -> list[Reading]:
    return sorted(found, key=_time)


def _unique(ordered: Sequence[Reading]) -> list[Reading]:
    """Readings with a value, copies (same time, value and unit) once."""
    kept = {(r.time, r.value, r.unit, r.comparator): r for r in reversed(ordered) if r.value is not None}
    return _sorted(kept.values())


def _before(rule: Rule, unique: Sequence[Reading], reading: Reading) -> Sequence[Reading]:
    """What the reading's windows may contain: a long series must not cost every reading its length."""
    if not rule.looks_back:
        return ()
    end = bisect_right(unique, reading.time, key=_time)
    start = bisect_left(unique, rule.start(reading.time), key=_time)
    return unique[max(0, min(start, end - rule.count_back - 1)) : end]


def _touched(rule: Rule, changes: Sequence[Change], ordered: Sequence[Reading]) -> list[Reading]:
    """The readings to judge: those that changed, and later ones that look at the time of one that did."""
    changed = {change.id for change in changes}
    times = sorted({time for change in changes for time in (*change.times, change.time)})
    touched = []
    for reading in ordered[bisect_left(ordered, times[0], key=_time) :]:
        if reading.id in changed or not rule.looks_back or _looks_at(rule, reading, times, ordered):
            touched.append(reading)
    return touched


def _looks_at(rule: Rule, reading: Reading, times: Sequence[int], ordered: Sequence[Reading]) -> bool:
    """Whether one of these (sorted) times is in the reading's window or among the readings it counts."""
    latest = bisect_right(times, reading.time) - 1
    if latest < 0:
        return False
    if times[latest] >= rule.start(reading.time):
        return True
    between = bisect_left(ordered, reading.time, key=_time) - bisect_left(ordered, times[latest], key=_time)
    return between <= rule.count_back


def _time(reading: Reading) -> int:
    return reading.time


def _comparable(rule: Rule, reading: Reading) -> bool:
    if reading.value is None:
        return False
    try:
        ucum.convert(reading.value, reading.unit, rule.unit or reading.unit)
    except ucum.UnitError:
        return False
    return True
