"""What the patients measure: plausible random walks around each patient's usual values, with episodes.

https://hl7.org/fhir/R4/observation.html
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fhir_server.demo.measures import MEASURES, quantity
from fhir_server.demo.people import Person

OSLO = ZoneInfo("Europe/Oslo")
VITAL_SIGNS = {
    "coding": [
        {
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": "vital-signs",
            "display": "Vital Signs",
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Slot:
    """A time of day at which the plan asks for these measures."""

    hour: int
    minute: int
    measures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Episode:
    """Some days of getting worse and better again; severity about 0.6 is yellow, 1 and more red."""

    start: float
    peak: float
    end: float
    severity: float
    kind: str

    def strength(self, day: float) -> float:
        """How far into it the patient is on a day (days since the first), 0 outside."""
        if not self.start < day < self.end:
            return 0.0
        if day <= self.peak:
            return self.severity * (day - self.start) / (self.peak - self.start)
        return self.severity * (self.end - day) / (self.end - self.peak)


@dataclass(frozen=True, slots=True)
class Reading:
    """One Observation to be sent, and when it was taken."""

    moment: datetime
    person: Person
    resource: dict[str, Any]


SCHEDULES: dict[str, tuple[Slot, ...]] = {
    "copd": (Slot(8, 30, ("spo2", "pulse", "temperature")), Slot(20, 0, ("spo2", "pulse"))),
    "heart-failure": (Slot(7, 30, ("weight", "pressure", "pulse")), Slot(19, 30, ("pressure",))),
    "diabetes": (
        Slot(7, 0, ("glucose", "weight")),
        Slot(12, 0, ("glucose",)),
        Slot(17, 0, ("glucose",)),
        Slot(22, 0, ("glucose",)),
    ),
}
# programme -> measure -> the range in which a patient's usual value lies
USUAL: dict[str, dict[str, tuple[float, float]]] = {
    "copd": {"spo2": (92.6, 96.0), "pulse": (68, 84), "temperature": (36.5, 36.9)},
    "heart-failure": {
        "weight": (62, 98), "systolic": (114, 136), "diastolic": (66, 78), "pulse": (60, 76),
    },
    "diabetes": {"glucose": (5.8, 7.4), "weight": (66, 99)},
}  # fmt: skip
# measure -> (standard deviation of the walk, how much of yesterday's deviation is left today)
NOISE = {
    "spo2": (0.7, 0.5), "pulse": (4.0, 0.5), "temperature": (0.15, 0.4), "weight": (0.22, 0.6),
    "systolic": (6.0, 0.5), "diastolic": (4.0, 0.5), "glucose": (0.8, 0.3),
}  # fmt: skip
# kind of episode -> what severity 1 adds to each measure
EPISODES: dict[str, dict[str, dict[str, float]]] = {
    "copd": {"exacerbation": {"spo2": -7.5, "pulse": 26, "temperature": 1.5}},
    "heart-failure": {
        "fluid retention": {"weight": 3.6, "pulse": 20, "systolic": 22, "diastolic": 8},
        "low pressure": {"systolic": -44, "diastolic": -14, "pulse": 18},
    },
    "diabetes": {"infection": {"glucose": 8.0}, "low glucose": {"glucose": -4.4}},
}
DEVICES = {
    "spo2": "Pulsoksymeter", "pulse": "Pulsoksymeter", "temperature": "Termometer", "weight": "Vekt",
    "pressure": "Blodtrykksmåler", "glucose": "Blodsukkerapparat",
}  # fmt: skip
MISSED = 0.03  # the share of readings that are forgotten


def device_kind(person: Person, measure: str) -> str:
    """Which of the patient's devices measures it: the pulse comes from the cuff where there is one."""
    if measure == "pulse" and person.programme == "heart-failure":
        return DEVICES["pressure"]
    return DEVICES[measure]


def device_kinds(person: Person) -> list[str]:
    """The devices that the patient has at home."""
    measures = [measure for slot in SCHEDULES[person.programme] for measure in slot.measures]
    return list(dict.fromkeys(device_kind(person, measure) for measure in measures))


def usual(person: Person) -> dict[str, float]:
    """What each measure is when the patient is well."""
    draw = random.Random(f"{person.seed}/usual")  # noqa: S311 - synthetic readings, not secrets
    return {name: draw.uniform(*limits) for name, limits in USUAL[person.programme].items()}


def episodes(person: Person, days: int) -> list[Episode]:
    """When the patient gets worse: about every sixth week; the first two of a programme surely do once."""
    draw = random.Random(f"{person.seed}/episodes")  # noqa: S311
    kinds = tuple(EPISODES[person.programme])
    found = []
    turn = person.index // len(USUAL)
    if turn < 2 and days >= 2:
        length = min(7.0, days - 1.0)
        start = 0.4 + (days - 1 - length) * 0.6
        peak = start + length * 0.6
        found.append(Episode(start, peak, start + length, (1.25, 0.75)[turn], kinds[turn % len(kinds)]))
    elif turn >= 2:
        day = draw.expovariate(1 / 42)
        while day < days:
            length = draw.uniform(3, 8)
            peak = day + length * draw.uniform(0.4, 0.7)
            found.append(Episode(day, peak, day + length, draw.triangular(0.4, 1.3, 0.6), draw.choice(kinds)))
            day += length + draw.expovariate(1 / 42)
    return found


def readings(person: Person, days: int, end: datetime, links: Mapping[str, str]) -> Iterator[Reading]:
    """The patient's readings of the last `days` days before `end` (aware), oldest first.

    `links` gives the references to put in: "patient", and one for each of device_kinds().
    """
    draw = random.Random(f"{person.seed}/readings")  # noqa: S311
    body = _Body(person, days, draw)
    today = end.astimezone(OSLO).date()
    for day in range(days):
        for slot in SCHEDULES[person.programme]:
            date = today - timedelta(days=days - 1 - day)
            planned = datetime(date.year, date.month, date.day, slot.hour, slot.minute, tzinfo=OSLO)
            moment = planned + timedelta(seconds=draw.randrange(-1500, 1500))
            for step, measure in enumerate(slot.measures):
                at = moment + timedelta(seconds=70 * step)
                value = body.value(measure, day + slot.hour / 24)
                if draw.random() >= MISSED and at <= end:
                    resource = _observation(person, measure, value, at, day, links)
                    yield Reading(at, person, resource)


class _Body:
    """The walk of one patient's values: each deviation keeps a part of the one before."""

    def __init__(self, person: Person, days: int, draw: random.Random) -> None:
        self.usual = usual(person)
        self.effects = EPISODES[person.programme]
        self.episodes = episodes(person, days)
        self.draw = draw
        self.deviation = dict.fromkeys(self.usual, 0.0)

    def value(self, measure: str, day: float) -> dict[str, float]:
        """The value of a measure, or of both parts of a blood pressure, by name."""
        parts = ("systolic", "diastolic") if measure == "pressure" else (measure,)
        return {part: self._walk(part, day) for part in parts}

    def _walk(self, measure: str, day: float) -> float:
        spread, kept = NOISE[measure]
        fresh = spread * (1 - kept**2) ** 0.5
        self.deviation[measure] = kept * self.deviation[measure] + self.draw.gauss(0, fresh)
        worse = sum(one.strength(day) * self.effects[one.kind].get(measure, 0) for one in self.episodes)
        value = self.usual[measure] + self.deviation[measure] + worse
        return max(2.2, value) if measure == "glucose" else min(value, 99) if measure == "spo2" else value


def _observation(
    person: Person, measure: str, value: dict[str, float], at: datetime, day: int, links: Mapping[str, str]
) -> dict[str, Any]:
    resource = {
        "resourceType": "Observation",
        "status": "final",
        "category": [VITAL_SIGNS],
        "code": MEASURES[measure].concept,
        "subject": {"reference": links["patient"]},
        "effectiveDateTime": at.isoformat(),
        "performer": [{"reference": links["patient"]}],
        "device": {"reference": links[device_kind(person, measure)]},
    }
    if measure == "pressure":
        resource["component"] = [
            {"code": MEASURES[part].concept, "valueQuantity": MEASURES[part].quantity(number)}
            for part, number in value.items()
        ]
    else:
        resource["valueQuantity"] = _shown(person, measure, value[measure], day)
    return resource


def _shown(person: Person, measure: str, value: float, day: int) -> dict[str, Any]:
    """As the patient's own equipment shows it.

    One in eight scales of the heart failure programme shows pounds, which convert to the plan's kilograms.
    One in eight of those with diabetes borrows a meter that shows mg/dL on the third day; a mass cannot be
    compared with an amount of substance, so the team must be told of that (a technical alert).
    """
    turn = person.index // len(USUAL) % 8
    if measure == "weight" and person.programme == "heart-failure" and turn == 5:
        return quantity(value / 0.45359237, "lb", "[lb_av]", 1)
    if measure == "glucose" and turn == 4 and day == 2:
        return quantity(value * 18.016, "mg/dL", "mg/dL", 0)
    return MEASURES[measure].quantity(value)
