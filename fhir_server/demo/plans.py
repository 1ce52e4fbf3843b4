"""Each patient's own plan: goals with thresholds, what to do in each zone, what to measure and when.

The numbers are example template values, not advice: a service always sets the patient's own.
https://hl7.org/fhir/R4/careplan.html, https://hl7.org/fhir/R4/goal.html
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

from fhir_server.demo.measures import MEASURES, UCUM
from fhir_server.demo.people import Person, care_team
from fhir_server.demo.readings import SCHEDULES, usual
from fhir_server.demo.texts import OWN_GOALS, SELF_CARE

PLAN = "https://varde.dev/fhir/StructureDefinition/dho-plan"
GOAL = "https://varde.dev/fhir/StructureDefinition/dho-goal"
THRESHOLD = "https://varde.dev/fhir/StructureDefinition/dho-threshold"
ZONE = "https://varde.dev/fhir/StructureDefinition/dho-zone"
TRANSLATION = "http://hl7.org/fhir/StructureDefinition/translation"
PLAN_CATEGORY = "https://varde.dev/fhir/CodeSystem/dho-plan"
ICD_10 = "urn:oid:2.16.578.1.12.4.1.1.7110"
ICPC_2 = "http://hl7.org/fhir/sid/icpc-2"

# programme -> (name, ICD-10, ICPC-2, the diagnosis in words)
DIAGNOSES = {
    "copd": ("KOLS", "J44.9", "R95", "Kronisk obstruktiv lungesykdom"),
    "heart-failure": ("hjertesvikt", "I50.9", "K77", "Hjertesvikt"),
    "diabetes": ("diabetes", "E11.9", "T90", "Diabetes type 2"),
}
GOAL_TEXTS = {
    "spo2": "Oksygenmetningen holder seg der den pleier",
    "pulse": "Pulsen i hvile holder seg der den pleier",
    "temperature": "Ingen feber",
    "weight": "Vekten er stabil",
    "pressure": "Blodtrykket er innenfor det som er avtalt",
    "glucose": "Blodsukkeret er innenfor det som er avtalt",
}
ZONE_TITLES = {"green": "Grønn sone", "yellow": "Gul sone", "red": "Rød sone"}


@dataclass(frozen=True, slots=True)
class Threshold:
    """One target of a Goal: the bounds of one zone of one rule, and what the dho-threshold extension says."""

    measure: str
    rule: str
    zone: str
    low: str | None = None
    high: str | None = None
    kind: str = "absolute"
    component: str | None = None
    baseline: str | None = None
    baseline_value: float | None = None
    percent: bool | None = None
    window: tuple[str, str] | None = None  # number and UCUM unit of time
    n: int | None = None
    m: int | None = None
    auto_resolve: int | None = None
    inclusive: bool | None = None


def thresholds(person: Person) -> list[Threshold]:
    """The patient's own thresholds: the programme's template, moved to what is usual for this patient."""
    return _TEMPLATES[person.programme](usual(person))


def _copd(normal: dict[str, float]) -> list[Threshold]:
    low = 90 if normal["spo2"] >= 93.2 else 88
    return [
        Threshold("spo2", "metning", "yellow", low=f"{low}", inclusive=True),
        Threshold("spo2", "metning", "red", low=f"{low - 2}", inclusive=True),
        Threshold(
            "spo2", "metning-over-tid", "yellow", f"{low + 1}", None, "persistence",
            n=2, m=3, window=("2", "d"),
        ),
        Threshold("pulse", "puls", "yellow", "50", "110"),
        Threshold("pulse", "puls", "red", "40", "130"),
        Threshold(
            "pulse", "puls-stigning", "yellow", None, "40", "relative",
            baseline="goal", baseline_value=normal["pulse"], percent=True,
        ),
        Threshold("temperature", "feber", "yellow", high="38.0", auto_resolve=2),
        Threshold("temperature", "feber", "red", high="39.0"),
    ]  # fmt: skip


def _heart_failure(normal: dict[str, float]) -> list[Threshold]:
    return [
        # Half a day more than a day: nobody steps on the scale at the same minute each morning.
        Threshold(
            "weight", "vektoppgang", "yellow", None, "1.4", "change", baseline="min", window=("36", "h")
        ),
        Threshold("weight", "vektoppgang", "red", None, "2.0", "change", baseline="min", window=("3", "d")),
        Threshold(
            "weight", "torrvekt", "yellow", "-4.0", "3.0", "relative",
            baseline="goal", baseline_value=normal["weight"],
        ),
        Threshold("pressure", "overtrykk", "yellow", "90", "160", component="systolic"),
        Threshold("pressure", "overtrykk", "red", "80", "180", component="systolic"),
        Threshold("pressure", "undertrykk", "yellow", "50", "100", component="diastolic"),
        Threshold("pulse", "puls", "yellow", "50", "100"),
        Threshold("pulse", "puls", "red", "40", "120"),
    ]  # fmt: skip


def _diabetes(normal: dict[str, float]) -> list[Threshold]:
    high = "10.0" if normal["glucose"] < 7 else "11.0"
    return [
        Threshold("glucose", "blodsukker", "yellow", "3.9", high, inclusive=True),
        Threshold("glucose", "blodsukker", "red", "3.0", "13.9", inclusive=True),
        Threshold(
            "glucose", "blodsukker-over-tid", "red", None, "12.0", "persistence", n=3, m=4, window=("2", "d")
        ),
        Threshold("weight", "vekttap", "yellow", "-3.0", None, "change", baseline="max", window=("14", "d")),
    ]


_TEMPLATES = {"copd": _copd, "heart-failure": _heart_failure, "diabetes": _diabetes}


def target(threshold: Threshold) -> dict[str, Any]:
    """A Goal.target: the measure, the range that is normal, and the dho-threshold extension."""
    measure = MEASURES[threshold.component or threshold.measure]
    unit = ("%", "%") if threshold.percent else (measure.unit, measure.ucum)
    bounds = {"low": threshold.low, "high": threshold.high}
    return {
        "extension": [{"url": THRESHOLD, "extension": _parts(threshold)}],
        "measure": MEASURES[threshold.measure].concept,
        "detailRange": {name: _quantity(text, *unit) for name, text in bounds.items() if text is not None},
    }


def _quantity(text: str, unit: str, ucum: str) -> dict[str, Any]:
    value = Decimal(text)
    return {"value": value if "." in text else int(value), "unit": unit, "system": UCUM, "code": ucum}


def _parts(threshold: Threshold) -> list[dict[str, Any]]:
    component = threshold.component and MEASURES[threshold.component].concept
    baseline = threshold.baseline_value is not None and MEASURES[threshold.measure].quantity(
        threshold.baseline_value
    )
    window = threshold.window and _quantity(threshold.window[0], threshold.window[1], threshold.window[1])
    parts = (
        ("ruleId", "valueId", threshold.rule),
        ("zone", "valueCode", threshold.zone),
        ("kind", "valueCode", threshold.kind),
        ("lowInclusive", "valueBoolean", threshold.inclusive if threshold.low else None),
        ("highInclusive", "valueBoolean", threshold.inclusive if threshold.high else None),
        ("component", "valueCodeableConcept", component or None),
        ("baseline", "valueCode", threshold.baseline),
        ("baselineValue", "valueQuantity", baseline or None),
        ("percent", "valueBoolean", threshold.percent),
        ("window", "valueDuration", window or None),
        ("n", "valuePositiveInt", threshold.n),
        ("m", "valuePositiveInt", threshold.m),
        ("autoResolve", "valueUnsignedInt", threshold.auto_resolve),
    )
    return [{"url": url, kind: value} for url, kind, value in parts if value is not None]


def goals(person: Person, subject: str, start: date) -> list[dict[str, Any]]:
    """One Goal per measure that has thresholds, and last the patient's own goal, which has none."""
    by_measure: dict[str, list[Threshold]] = {}
    for threshold in thresholds(person):
        by_measure.setdefault(threshold.measure, []).append(threshold)
    own = random.Random(f"{person.seed}/goal").choice(OWN_GOALS[person.programme])  # noqa: S311
    return [
        _goal(GOAL_TEXTS[measure], subject, start, target=[target(one) for one in group])
        for measure, group in by_measure.items()
    ] + [_goal(own, subject, start, expressedBy={"reference": subject})]


def _goal(text: str, subject: str, start: date, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Goal",
        "meta": {"profile": [GOAL]},
        "lifecycleStatus": "active",
        "description": {"text": text},
        "subject": {"reference": subject},
        "startDate": start.isoformat(),
        **more,
    }


def condition(person: Person, subject: str) -> dict[str, Any]:
    """The diagnosis that the follow-up is for."""
    _, icd, icpc, text = DIAGNOSES[person.programme]
    return {
        "resourceType": "Condition",
        "clinicalStatus": {
            "coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}
            ]
        },
        "code": {
            "coding": [{"system": ICD_10, "code": icd}, {"system": ICPC_2, "code": icpc}],
            "text": text,
        },
        "subject": {"reference": subject},
    }


def care_plan(
    person: Person, subject: str, condition_reference: str, goal_references: list[str], start: date
) -> dict[str, Any]:
    """The self-management plan (egenbehandlingsplan) of one patient."""
    name = DIAGNOSES[person.programme][0]
    return {
        "resourceType": "CarePlan",
        "meta": {"profile": [PLAN]},
        "language": "nb",
        "status": "active",
        "intent": "plan",
        "category": [
            {
                "coding": [{"system": PLAN_CATEGORY, "code": "egenbehandlingsplan"}],
                "text": "Egenbehandlingsplan",
            }
        ],
        "title": f"Egenbehandlingsplan ved {name}",
        "subject": {"reference": subject},
        "period": {"start": start.isoformat()},
        "created": start.isoformat(),
        "careTeam": [{"reference": care_team(person.municipality)}],
        "addresses": [{"reference": condition_reference}],
        "goal": [{"reference": reference} for reference in goal_references],
        "activity": [
            *(zone_activity(zone, texts) for zone, texts in SELF_CARE[person.programme].items()),
            *_measuring(person, subject),
        ],
    }


def zone_activity(zone: str, texts: dict[str, str]) -> dict[str, Any]:
    """CarePlan.activity that says what the patient does in a zone, with translations of the Bokmål text."""
    translations = [
        {
            "url": TRANSLATION,
            "extension": [
                {"url": "lang", "valueCode": language},
                {"url": "content", "valueString": text},
            ],
        }
        for language, text in texts.items()
        if language != "nb"
    ]
    return {
        "extension": [{"url": ZONE, "valueCode": zone}],
        "detail": {
            "code": {"text": ZONE_TITLES[zone]},
            "status": "in-progress",
            "description": texts["nb"],
            "_description": {"extension": translations},
        },
    }


def _measuring(person: Person, subject: str) -> list[dict[str, Any]]:
    times: dict[str, list[str]] = {}
    for slot in SCHEDULES[person.programme]:
        for measure in slot.measures:
            times.setdefault(measure, []).append(f"{slot.hour:02}:{slot.minute:02}:00")
    return [
        {
            "detail": {
                "code": MEASURES[measure].concept,
                "status": "in-progress",
                "scheduledTiming": {
                    "repeat": {"frequency": 1, "period": 1, "periodUnit": "d", "timeOfDay": at}
                },
                "performer": [{"reference": subject}],
            }
        }
        for measure, at in times.items()
    ]
