"""Varde's own profiles: their examples keep them, counter-examples break each for the one reason they show.

The files are profiles/published/StructureDefinition-dho-*.json and profiles/published/examples/*.json.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.demo.people import people
from fhir_server.demo.readings import readings
from fhir_server.demo.service import links, patient_bundle
from profiles.definitions import PUBLISHED, load
from rules.plans.threshold import BASELINES, KINDS, THRESHOLD_URL, ZONES, read_goal
from tests.profiles.known import findings, knowledge

SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"


@cache
def examples() -> dict[str, dict[str, Any]]:
    files = sorted((PUBLISHED / "examples").glob("*.json"))
    return {
        file.stem.partition("-")[2]: json.loads(file.read_text("utf-8"), parse_float=Decimal)
        for file in files
    }


def resource_profiles():
    for url, text in load().published.items():
        definition = json.loads(bytes(text))
        if definition["type"] != "Extension":
            yield url


def test_every_profile_has_an_example_that_claims_it():
    claimed = {url for example in examples().values() for url in example["meta"]["profile"]}
    assert claimed == set(resource_profiles())
    assert len(claimed) >= 20


def test_every_example_keeps_what_it_claims():
    for name, example in examples().items():
        (claim,) = example["meta"]["profile"]
        assert knowledge().profiles.check(claim)
        remarks = findings(example, severities=("error", "fatal", "warning"))
        if example["resourceType"] == "QuestionnaireResponse":
            remarks.remove(("not-found", "QuestionnaireResponse"))  # the form itself is not here
        assert remarks == [], name


def coding(system, code):
    return {"coding": [{"system": system, "code": code}]}


THRESHOLD = "target.0.extension.0.extension"
NO_NUMBER = {"unit": "%", "system": UCUM, "code": "%"}
WEIGHT_IN = {"value": Decimal("81.4"), "system": UCUM}
# what a counter-example shows -> (the example, {place: value or ... for none}, what is found)
BROKEN: dict[str, tuple[str, dict[str, Any], tuple[str, str]]] = {
    "a heart rate is counted by the minute": (
        "dho-heart-rate", {"valueQuantity.code": "/s"}, ("value", "Observation.value.ofType(Quantity).code"),
    ),
    "a heart rate is a number": (
        "dho-heart-rate", {"valueQuantity": ..., "valueString": "72"}, ("structure", "Observation.value.ofType(string)"),
    ),
    "a saturation by pulse oximetry says so": (
        "dho-oxygen-saturation", {"code.coding.1": {"system": "http://loinc.org", "code": "20564-1"}}, ("structure", "Observation.code"),
    ),
    "a temperature is in degrees Celsius": (
        "dho-body-temperature", {"valueQuantity.code": "[degF]"}, ("value", "Observation.value.ofType(Quantity).code"),
    ),
    "a weight is somebody's": ("dho-body-weight", {"subject": ...}, ("required", "Observation.subject")),
    "a weight names its unit": ("dho-body-weight", {"valueQuantity": {**WEIGHT_IN, "code": "kg"}}, ("required", "Observation.value.ofType(Quantity).unit")),
    "a respiratory rate is a vital sign": ("dho-respiratory-rate", {"category.0.coding.0.code": "exam"}, ("structure", "Observation")),
    "a blood pressure has both its parts": ("dho-blood-pressure", {"component.1.code.coding": [{"system": SNOMED, "code": "74400008"}]}, ("structure", "Observation")),
    "a glucose in mg/dL is another quantity": (
        "dho-glucose", {"valueQuantity": {"value": 115, "unit": "mg/dL", "system": UCUM, "code": "mg/dL"}}, ("value", "Observation.value.ofType(Quantity).code"),
    ),
    "an HbA1c is coded in LOINC": ("dho-hba1c", {"code.coding.0.code": "4548-4"}, ("structure", "Observation.code")),
    "steps are not less than none": ("dho-steps", {"valueQuantity.value": -1}, ("invalid", "Observation.value.ofType(Quantity).value")),
    "a urine output says when": ("dho-urine-output", {"effectivePeriod": ...}, ("required", "Observation.effective")),
    "an oxygen flow is in litres": ("dho-oxygen-flow", {"valueQuantity.code": "mL/min"}, ("value", "Observation.value.ofType(Quantity).code")),
    "a level of consciousness is no number": (
        "dho-consciousness", {"valueCodeableConcept": ..., "valueInteger": 1}, ("structure", "Observation.value.ofType(integer)"),
    ),
    "a NEWS2 is at most 20": ("dho-news2", {"valueQuantity.value": 21}, ("invalid", "Observation.value.ofType(Quantity).value")),
    "a NEWS2 is a whole number": ("dho-news2", {"valueQuantity.value": Decimal("2.5")}, ("dho-news2-1", "Observation")),
    "a score comes from answers": (
        "dho-questionnaire-score", {"derivedFrom.0.reference": "Observation/1"}, ("structure", "Observation.derivedFrom[0]"),
    ),
    "a reading has a value or says why not": ("dho-reading", {"dataAbsentReason": ...}, ("dho-reading-1", "Observation")),
    "a reading is coded": ("dho-reading", {"code": {"text": "Gripestyrke"}}, ("dho-reading-2", "Observation.code")),
    "a reading is a patient's": ("dho-reading", {"subject.reference": "Group/1"}, ("structure", "Observation.subject")),
    "answers say to which form": ("dho-symptom-answers", {"questionnaire": ...}, ("required", "QuestionnaireResponse.questionnaire")),
    "answers that are handed in are answers": ("dho-symptom-answers", {"item": ...}, ("dho-symptom-answers-1", "QuestionnaireResponse")),
    "a plan says that it is one": ("dho-plan", {"category": [{"text": "Plan"}]}, ("structure", "CarePlan")),
    "a plan is a plan": ("dho-plan", {"intent": "proposal"}, ("value", "CarePlan.intent")),
    "a plan begins": ("dho-plan", {"period": {"end": "2027-01-01"}}, ("required", "CarePlan.period.start")),
    "a zone has its advice": ("dho-plan", {"activity.0.detail.description": ..., "activity.0.detail._description": ...}, ("dho-plan-2", "CarePlan.activity[0]")),
    "a zone is one of three": ("dho-plan", {"activity.0.extension.0.valueCode": "blue"}, ("code-invalid", "CarePlan.activity[0].extension[0].value.ofType(code)")),
    "a goal is a patient's": ("dho-goal", {"subject.reference": "Organization/1"}, ("structure", "Goal.subject")),
    "a threshold has a coded measure": ("dho-goal", {"target.0.measure": {"text": "Metning"}}, ("dho-goal-1", "Goal.target[0]")),
    "a threshold bounds something": ("dho-goal", {"target.1.detailRange": ..., "target.1.detailString": "88"}, ("dho-goal-2", "Goal.target[1]")),
    "a bound is a number": ("dho-goal", {"target.0.detailRange.low": NO_NUMBER}, ("dho-goal-3", "Goal.target[0]")),
    "a fall is below 0": ("dho-goal-weight", {"target.1.detailRange.low.value": 1}, ("dho-goal-5", "Goal.target[1]")),
    "a threshold is described once": ("dho-goal", {"target.1.extension": [{"url": THRESHOLD_URL, "extension": [{"url": "n", "valuePositiveInt": 1}]}] * 2}, ("structure", "Goal.target[1]")),
    "a baseline goal has its value": ("dho-goal-weight", {"target.1.extension.0.extension.2": {"url": "baseline", "valueCode": "goal"}}, ("dho-threshold-1", "Goal.target[1].extension[0]")),
    "a change has a window": ("dho-goal-weight", {"target.0.extension.0.extension.4": {"url": "autoResolve", "valueUnsignedInt": 2}}, ("dho-threshold-3", "Goal.target[0].extension[0]")),
    "n is not more than m": ("dho-goal", {"target.2.extension.0.extension.2.valuePositiveInt": 4}, ("dho-threshold-5", "Goal.target[2].extension[0]")),
    "no rule looks at thousands": ("dho-goal", {"target.2.extension.0.extension.3.valuePositiveInt": 1001}, ("dho-threshold-6", "Goal.target[2].extension[0]")),
    "a threshold is yellow or red": ("dho-goal", {"target.1.extension.0.extension.0.valueCode": "green"}, ("dho-threshold-7", "Goal.target[1].extension[0].extension[0].value.ofType(code)")),
    "a window has a unit of time": ("dho-goal", {"target.2.extension.0.extension.4.valueDuration.code": "ms"}, ("dho-threshold-10", "Goal.target[2].extension[0].extension[4].value.ofType(Duration)")),
    "a part of a threshold is a known one": ("dho-goal", {"target.1.extension.0.extension.0.url": "colour"}, ("structure", "Goal.target[1].extension[0].extension[0]")),
    "an active alert says why": ("dho-alert", {"extension.2": ..., "extension.3": ...}, ("dho-alert-1", "Flag")),
    "each reading of an alert is explained": ("dho-alert", {"extension.2": ...}, ("dho-alert-2", "Flag")),
    "a red alert is of high priority": ("dho-alert", {"extension.0.valueCodeableConcept.coding.0.code": "PM", "extension.0.valueCodeableConcept.coding.0.display": ...}, ("dho-alert-3", "Flag")),
    "an alert names its rule": ("dho-alert", {"identifier.0.system": "https://varde.example/rule"}, ("structure", "Flag")),
    "an alert says what it is about": ("dho-alert", {"category.0.coding.0.system": "https://varde.example/kinds"}, ("structure", "Flag")),
    "an alert is raised by an engine": ("dho-alert", {"author.reference": "Practitioner/1"}, ("structure", "Flag.author")),
    "a task is about an alert": ("dho-alert-task", {"focus.reference": "CarePlan/1"}, ("structure", "Task.focus")),
    "a task is as urgent as its alert": ("dho-alert-task", {"priority": ...}, ("required", "Task.priority")),
    "a task is an order": ("dho-alert-task", {"intent": "plan"}, ("value", "Task.intent")),
    "a message is about an alert and its reading": ("dho-alert-message", {"about.1.reference": "Flag/other"}, ("dho-alert-message-1", "Communication")),
    "a message is an alert or an instruction": ("dho-alert-message", {"category.0.coding.0.code": "reminder"}, ("dho-alert-message-2", "Communication")),
    "an instruction goes to the patient": ("dho-alert-message-patient", {"recipient.0.reference": "CareTeam/fjordvik"}, ("dho-alert-message-3", "Communication")),
    "a message says something": ("dho-alert-message", {"payload": ...}, ("required", "Communication.payload")),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_counter_example_is_refused_for_its_one_reason(name, changed):
    example, changes, expected = BROKEN[name]
    resource = examples()[example]
    for place, value in reversed(changes.items()):
        resource = changed(resource, place, value)
    assert findings(resource) == [expected]


def test_every_profile_has_a_counter_example():
    broken = {url for example, _, _ in BROKEN.values() for url in examples()[example]["meta"]["profile"]}
    assert broken == set(resource_profiles())


# The profile of a Goal and the plans' reader


def amount(value, unit="kg", **more):
    return {"value": Decimal(value), "unit": unit, "system": UCUM, "code": unit, **more}


WEIGHT = coding("http://loinc.org", "29463-7")
NUMBERS = st.sampled_from(["-2", "0", "1.5", "90"])
QUANTITIES = st.one_of(
    st.builds(amount, NUMBERS, st.sampled_from(["kg", "kg", "g"])),
    st.sampled_from([{"value": 2, "unit": "kg"}, {"unit": "kg"}, amount(3, comparator="<")]),
)
DURATIONS = st.builds(
    amount,
    st.sampled_from(["0", "2", "1.5", "11", "4000"]),
    st.sampled_from(["s", "min", "h", "d", "wk", "mo", "a"]),
)
# part -> its type, and what a plan may say, sense or not
PARTS = {
    "zone": ("Code", st.sampled_from([*ZONES, "green"])),
    "kind": ("Code", st.sampled_from([*KINDS, "sudden"])),
    "component": ("CodeableConcept", st.just(coding("http://loinc.org", "8480-6"))),
    "baseline": ("Code", st.sampled_from([*BASELINES, "usual"])),
    "baselineValue": ("Quantity", QUANTITIES),
    "percent": ("Boolean", st.booleans()),
    "window": ("Duration", DURATIONS),
    "n": ("PositiveInt", st.sampled_from([1, 2, 5, 1001])),
    "m": ("PositiveInt", st.sampled_from([1, 3, 1001])),
    "autoResolve": ("UnsignedInt", st.sampled_from([0, 3])),
    "lowInclusive": ("Boolean", st.booleans()),
    "colour": ("String", st.just("pink")),
}
# thresholds that make sense, to be changed a little
SENSIBLE: list[dict[str, Any]] = [
    {},
    {"zone": "red", "lowInclusive": True},
    {"kind": "relative", "baseline": "median", "window": amount(14, "d")},
    {"kind": "relative", "baselineValue": amount(80), "percent": True},
    {"kind": "change", "window": amount(3, "d")},
    {"kind": "change", "baseline": "previous"},
    {"kind": "persistence", "n": 2, "m": 3, "window": amount(2, "d")},
]
DETAILS = st.one_of(
    st.fixed_dictionaries({}, optional={"low": QUANTITIES, "high": QUANTITIES}).map(lambda r: {"detailRange": r or {"id": "r"}}),
    st.sampled_from([{"detailRange": {"low": amount(-4), "high": amount(4)}}, {"detailRange": {"high": amount(2)}}]),
    st.builds(lambda q: {"detailQuantity": q}, QUANTITIES),
    st.sampled_from([{"detailQuantity": amount(n, comparator=c)} for n in (-1, 1) for c in ("<", "<=", ">", ">=")]),
    st.sampled_from([{"detailString": "as usual"}, {}]),
)  # fmt: skip


@st.composite
def targets(draw):
    """Goal.target as R4 allows it: thresholds of all kinds, some of which make no sense."""
    parts = dict(draw(st.sampled_from(SENSIBLE)))
    for name in draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=2)):
        if parts.pop(name, None) is None or draw(st.booleans()):
            parts[name] = draw(PARTS[name][1])
    listed = [{"url": name, f"value{PARTS[name][0]}": value} for name, value in parts.items()]
    odd = draw(st.integers(0, 11))
    target: dict[str, Any] = draw(DETAILS) | ({"measure": WEIGHT} if odd else {"measure": {"text": "Vekt"}})
    if listed:
        again = [listed[0]] if odd == 1 else []
        target["extension"] = [{"url": THRESHOLD_URL, "extension": listed + again}] * (2 if odd == 2 else 1)
    return target


@settings(max_examples=200, deadline=None, derandomize=True)
@given(target=targets())
def test_the_profile_of_a_goal_refuses_what_the_plan_would(target):
    goal = {
        "resourceType": "Goal",
        "id": "g",
        "lifecycleStatus": "active",
        "description": {"text": "Vekten er stabil"},
        "subject": {"reference": "Patient/kari"},
        "target": [target],
    }
    of_r4 = [f for f in findings(goal) if f[0].startswith(("rng-", "qty-"))]
    if of_r4:
        return  # R4 itself refuses it
    assert bool(findings(goal, "dho-goal")) == bool(read_goal(goal)[1]), (goal, findings(goal, "dho-goal"))


# The demo

MEASURED = {
    "59408-5": "dho-oxygen-saturation",
    "8867-4": "dho-heart-rate",
    "8310-5": "dho-body-temperature",
    "29463-7": "dho-body-weight",
    "85354-9": "dho-blood-pressure",
    "15074-8": "dho-glucose",
}


def test_the_demo_keeps_the_profiles():
    for person in people(3, 7):
        bundle = patient_bundle(person, date(2026, 3, 1))
        resources = [entry["resource"] for entry in bundle["entry"]]
        (plan,) = [r for r in resources if r["resourceType"] == "CarePlan"]
        goals = [r for r in (*resources, *plan.get("contained", ())) if r["resourceType"] == "Goal"]
        assert findings(plan, "dho-plan") == []
        assert len(goals) >= 3
        for goal in goals:
            assert findings(goal, "dho-goal") == []
        answer = {"entry": [{"response": {"location": f"{r['resourceType']}/1"}} for r in resources]}
        end = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
        sent = [reading.resource for reading in readings(person, 2, end, links(person, answer))]
        assert sent
        for reading in sent:
            assert findings(reading, MEASURED[reading["code"]["coding"][0]["code"]]) == []


def test_a_borrowed_meter_in_the_demo_shows_another_quantity():
    """One of the demo's patients measures in mg/dL on the third day: no glucose as the profile has it."""
    person = next(p for p in people(40, 7) if p.programme == "diabetes" and p.index // 3 % 8 == 4)
    end = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)
    references = {"patient": "Patient/1", "Blodsukkerapparat": "Device/1", "Vekt": "Device/2"}
    borrowed = [
        reading.resource
        for reading in readings(person, 3, end, references)
        if reading.resource.get("valueQuantity", {}).get("code") == "mg/dL"
    ]
    assert borrowed
    for reading in borrowed:
        assert findings(reading, "dho-glucose") == [("value", "Observation.value.ofType(Quantity).code")]
