"""What section 4 of the issue asks for, written plainly and slowly, to hold the engine to.

It knows the readings on record and judges each anew at its own time; it shares no code with rules/.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import mean, median

SEVERITY = {"unjudged": 0, "green": 0, "yellow": 1, "red": 2}


@dataclass(frozen=True)
class Zone:
    """One Goal.target. `window` is in hours; for relative and change the bounds are differences."""

    color: str
    kind: str
    low: Decimal | None = None
    high: Decimal | None = None
    low_inclusive: bool = True
    high_inclusive: bool = True
    baseline: str | None = None
    baseline_value: Decimal | None = None
    percent: bool = False
    window: int | None = None
    n: int | None = None
    m: int | None = None
    auto_resolve: int = 3

    def is_outside(self, value: Decimal) -> bool:
        if self.low is not None and (value < self.low or (value == self.low and not self.low_inclusive)):
            return True
        return self.high is not None and (
            value > self.high or (value == self.high and not self.high_inclusive)
        )


@dataclass(frozen=True)
class Taken:
    """A reading on record."""

    id: str
    time: datetime
    value: Decimal


def verdict(zones: list[Zone], reading: Taken, on_record: list[Taken]) -> str:
    """The color of one reading by the zones of one rule: the most severe zone wins."""
    answers = [in_zone(zone, reading, _seen(reading, on_record)) for zone in zones]
    colors = [zone.color for zone, answer in zip(zones, answers, strict=True) if answer]
    if colors:
        return max(colors, key=SEVERITY.__getitem__)
    return "unjudged" if None in answers else "green"


def _seen(reading: Taken, on_record: list[Taken]) -> list[tuple[datetime, Decimal]]:
    """What was measured up to the reading, without the reading itself; repeats count once."""
    measured = {(other.time, other.value) for other in on_record if other.time <= reading.time}
    return sorted(measured - {(reading.time, reading.value)})


def in_zone(zone: Zone, reading: Taken, seen: list[tuple[datetime, Decimal]]) -> bool | None:
    """Whether the reading is in the zone; None where it cannot be said."""
    if zone.window is not None:
        seen = [(time, value) for time, value in seen if time >= reading.time - timedelta(hours=zone.window)]
    earlier = [value for _, value in seen]
    if zone.kind == "absolute":
        return zone.is_outside(reading.value)
    if zone.kind == "persistence":
        assert zone.n is not None and zone.m is not None
        last = [*earlier, reading.value][-zone.m :]
        return zone.is_outside(reading.value) and sum(map(zone.is_outside, last)) >= zone.n
    if not earlier and zone.baseline != "goal":
        return None if zone.kind == "relative" else False
    if zone.kind == "change" and zone.baseline is None:
        rise = Zone("", "", high=zone.high, high_inclusive=zone.high_inclusive)
        fall = Zone("", "", low=zone.low, low_inclusive=zone.low_inclusive)
        return rise.is_outside(_difference(zone, reading.value, min(earlier))) or fall.is_outside(
            _difference(zone, reading.value, max(earlier))
        )
    return zone.is_outside(_difference(zone, reading.value, _baseline(zone, earlier)))


def _baseline(zone: Zone, earlier: list[Decimal]) -> Decimal:
    if zone.baseline == "goal":
        assert zone.baseline_value is not None
        return zone.baseline_value
    of = {
        "min": min,
        "max": max,
        "median": median,
        "mean": mean,
        "first": lambda values: values[0],
        "previous": lambda values: values[-1],
    }
    return of[zone.baseline or ""](earlier)


def _difference(zone: Zone, value: Decimal, base: Decimal) -> Decimal:
    return (value - base) * 100 / abs(base) if zone.percent else value - base


def order_matters(zones: list[Zone], on_record: list[Taken]) -> bool:
    """Whether two different readings of one instant leave open which of them came first."""
    by_order = any(z.kind == "persistence" or z.baseline in ("first", "previous") for z in zones)
    instants = {(one.time, one.value) for one in on_record}
    return by_order and len({time for time, _ in instants}) < len(instants)


@dataclass
class Stream:
    """The Flag of one rule while readings come in the order in which they were taken."""

    zones: list[Zone]
    active: str = ""
    messages: int = 0
    flags: int = 0
    normal: int = 0
    last: str = ""

    def take(self, reading: Taken, on_record: list[Taken]) -> None:
        if any((other.time, other.value) == (reading.time, reading.value) for other in on_record):
            return  # an identical repeat does nothing
        color = verdict(self.zones, reading, on_record)
        if color in ("yellow", "red"):
            self.normal = 0
            if not self.active:
                self.flags += 1
            if SEVERITY[color] > SEVERITY.get(self.active, 0):
                self.active = color
                self.messages += 1
        elif color == "green":
            self.normal += 1
            if self.active == "yellow" and 0 < self._auto_resolve() <= self.normal:
                self.active = ""

    def closed_by_a_person(self) -> None:
        self.active = ""

    def _auto_resolve(self) -> int:
        asked = [zone.auto_resolve for zone in self.zones]
        return 0 if 0 in asked else max(asked)
