"""The readings around a change, and what the rule says of every reading that the change touches."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from fhir_server.alerts.desk import Desk
from fhir_server.alerts.observed import Change, is_about
from fhir_server.resource_json import decode_stored
from fhir_server.store.base import Span
from rules.plans import JUDGED, Coding, Reading, Rule, Series, Verdict, judge_in, readings, time_of
from terminology import ucum

_SEVERITY = {"green": 0, "": 1, "yellow": 2, "red": 3}


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
    around = _around(desk, patient, rules, changes)
    return _sorted([*own, *(reading for reading in around if reading.id not in changed)])


def outcomes(
    rule: Rule, changes: Sequence[Change], ordered: Sequence[Reading]
) -> tuple[list[Outcome], list[str]]:
    """Verdicts of the changed readings and of later ones whose window they are in, in the order of time;
    and the ids of Observations that say nothing to this rule any more. `ordered` is their `series`."""
    seen = Series(rule, ordered, ucum)
    worst: dict[str, Verdict] = {}
    for reading in _touched(rule, changes, ordered, seen):
        verdict = judge_in(rule, reading, seen)
        known = worst.get(reading.id)
        worst[reading.id] = _worse(known, verdict) if known else verdict
    fresh = {change.id for change in changes if change.fresh}
    gone = [change.id for change in changes if change.id not in worst and not change.fresh]
    return [Outcome(verdict, id in fresh) for id, verdict in worst.items()], gone


def _worse(known: Verdict, other: Verdict) -> Verdict:
    """What two values of one Observation come to: the more severe, with all that could not be judged."""
    worse, milder = (other, known) if _SEVERITY[other.color] > _SEVERITY[known.color] else (known, other)
    return replace(worse, technical=(*worse.technical, *milder.technical)) if milder.technical else worse


def normal_in_a_row(desk: Desk, patient: str, rule: Rule, since: int, until: int | None) -> int:
    """The most readings in a row after `since` and up to `until` that the rule judges normal as it is now.

    Those of one instant count as one; those that cannot be judged neither count nor break the row.
    """
    start = min(since + 1, rule.start(since + 1))
    found = _read(desk, patient, rule.codes, since=start, until=until, own=True)
    if rule.count_back:
        found += _nearest(desk, patient, [rule], until=since, own=True)
    ordered = _sorted(dict.fromkeys(found))
    seen = Series(rule, ordered, ucum)
    colors: dict[int, str] = {}
    for reading in ordered[bisect_right(ordered, since, key=_time) :]:
        color = judge_in(rule, reading, seen).color
        colors[reading.time] = max(color, colors.get(reading.time, color), key=_SEVERITY.__getitem__)
    row = most = 0
    for color in colors.values():
        row = row + (color == "green") if _SEVERITY[color] <= _SEVERITY[""] else 0
        most = max(most, row)
    return most


def _own(change: Change, codes: frozenset[Coding]) -> Iterable[Reading]:
    return readings(change.observation or {}, codes, change.time)


def _around(desk: Desk, patient: str, rules: Sequence[Rule], changes: Sequence[Change]) -> list[Reading]:
    """Readings that the judged ones look at, and later ones that look at the changed."""
    codes = rules[0].codes
    times = [time for change in changes for time in (*change.times, change.time)]
    first, last = min(times), max(times)
    # alone a reading matters to any rule; where one was taken back, a copy may have to speak in its place
    again = {time for change in changes if not change.fresh for time in change.times}
    found = [r for t in sorted(again) for r in _read(desk, patient, codes, since=t, until=t)]
    start, reach = min(rule.start(first) for rule in rules), max(rule.reach(last) for rule in rules)
    counting = [rule for rule in rules if rule.count_back]
    if (start, reach) != (first, last) or (counting and first != last):
        found += _read(desk, patient, codes, since=start, until=reach)
    if counting:
        found += _nearest(desk, patient, counting, until=first)
        found += _nearest(desk, patient, counting, since=last)
    return list(dict.fromkeys(found))


def _nearest(
    desk: Desk,
    patient: str,
    rules: Sequence[Rule],
    *,
    since: int | None = None,
    until: int | None = None,
    own: bool = False,
) -> list[Reading]:
    """Enough readings up to (or from) a time that as many as the rules count lie beyond it, if there are.

    Only those count that every one of the rules can compare, and copies count once.
    """
    codes, count = rules[0].codes, max(rule.count_back for rule in rules)
    ask = count + 4
    while True:
        newest, oldest = (ask, None) if since is None else (None, ask)
        bodies = desk.tx.timeline(patient, _texts(codes), Span(since, until, newest, oldest), own=own)
        found = _parsed(bodies, patient, codes)
        beyond = [reading for reading in found if reading.time not in (since, until)]
        if len(bodies) < ask or all(len(Series(rule, beyond, ucum).times) >= count for rule in rules):
            return found
        ask *= 4


def _read(
    desk: Desk,
    patient: str,
    codes: frozenset[Coding],
    *,
    since: int | None,
    until: int | None,
    own: bool = False,
) -> list[Reading]:
    bodies = desk.tx.timeline(patient, _texts(codes), Span(since, until), own=own)
    return _parsed(bodies, patient, codes)


@lru_cache(maxsize=1024)
def _texts(codes: frozenset[Coding]) -> tuple[str, ...]:
    return tuple(sorted({code for _, code in codes}))


def _parsed(bodies: Iterable[bytes], patient: str, codes: frozenset[Coding]) -> list[Reading]:
    return [reading for body in bodies for reading in _counted(body, patient, codes)]


@lru_cache(maxsize=16_384)
def _counted(body: bytes, patient: str, codes: frozenset[Coding]) -> tuple[Reading, ...]:
    """The readings of an Observation that is the patient's, of a status that counts, and says its time.

    Remembered by content: the next reading looks at the same ones again.
    """
    observation = decode_stored(body)
    time = time_of(observation)
    if time is None or observation.get("status") not in JUDGED or not is_about(observation, patient):
        return ()
    return tuple(readings(observation, codes, time))


def _sorted(found: Iterable[Reading]) -> list[Reading]:
    return sorted(found, key=_time)


def _touched(
    rule: Rule, changes: Sequence[Change], ordered: Sequence[Reading], seen: Series
) -> list[Reading]:
    """The readings to judge: those that changed, and later ones that look at the time of one that did."""
    changed = {change.id for change in changes}
    times = sorted({time for change in changes for time in (*change.times, change.time)})
    touched = []
    for reading in ordered[bisect_left(ordered, times[0], key=_time) :]:
        if reading.id in changed or not rule.looks_back or _looks_at(rule, reading, times, seen):
            touched.append(reading)
    return touched


def _looks_at(rule: Rule, reading: Reading, times: Sequence[int], seen: Series) -> bool:
    """Whether one of these (sorted) times is in the reading's window or among the readings it counts."""
    latest = bisect_right(times, reading.time) - 1
    if latest < 0:
        return False
    if times[latest] >= rule.start(reading.time):
        return True
    between = bisect_left(seen.times, reading.time) - bisect_left(seen.times, times[latest])
    return between <= rule.count_back


def _time(reading: Reading) -> int:
    return reading.time
