"""Short ways to write plans, goals and readings in tests."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from rules import plans
from terminology import ucum
from terminology.measures import same_measure

LOINC = "http://loinc.org"
SPO2, WEIGHT, PULSE, PANEL, SYSTOLIC, TEMPERATURE = (
    "59408-5",
    "29463-7",
    "8867-4",
    "85354-9",
    "8480-6",
    "8310-5",
)
UNITS = {SPO2: "%", WEIGHT: "kg", PULSE: "/min", SYSTOLIC: "mm[Hg]", PANEL: "mm[Hg]", TEMPERATURE: "Cel"}
THRESHOLD = "https://varde.dev/fhir/StructureDefinition/dho-threshold"
ZONE = "https://varde.dev/fhir/StructureDefinition/dho-zone"
_VALUE = {
    "ruleId": "valueId",
    "zone": "valueCode",
    "kind": "valueCode",
    "baseline": "valueCode",
    "lowInclusive": "valueBoolean",
    "highInclusive": "valueBoolean",
    "percent": "valueBoolean",
    "component": "valueCodeableConcept",
    "baselineValue": "valueQuantity",
    "window": "valueDuration",
    "n": "valuePositiveInt",
    "m": "valuePositiveInt",
    "autoResolve": "valueUnsignedInt",
}


def concept(code: str, system: str = LOINC, text: str | None = None) -> dict[str, Any]:
    coded: dict[str, Any] = {"coding": [{"system": system, "code": code}]}
    return {**coded, "text": text} if text else coded


def quantity(value: Any, unit: str) -> dict[str, Any]:
    return {"value": Decimal(str(value)), "unit": unit, "system": "http://unitsofmeasure.org", "code": unit}


def target(
    code: str, low: Any = None, high: Any = None, unit: str | None = None, **parts: Any
) -> dict[str, Any]:
    """A Goal.target; keyword arguments are parts of dho-threshold (window="3 d", baselineValue="94 %")."""
    unit = UNITS.get(code, "1") if unit is None else unit
    bounds = {"low": low, "high": high}
    found: dict[str, Any] = {
        "measure": concept(code),
        "detailRange": {k: quantity(v, unit) for k, v in bounds.items() if v is not None},
    }
    if parts:
        nested = [{"url": name, _VALUE[name]: _part(name, value)} for name, value in parts.items()]
        found["extension"] = [{"url": THRESHOLD, "extension": nested}]
    return found


def _part(name: str, value: Any) -> Any:
    if name in ("window", "baselineValue") and isinstance(value, str):
        return quantity(*value.split())
    return concept(value) if name == "component" and isinstance(value, str) else value


def goal(*targets: dict[str, Any], id: str = "g", patient: str | None = None, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Goal",
        "id": id,
        "lifecycleStatus": "active",
        "description": {"text": "reference values"},
        "target": list(targets),
        "subject": {"reference": f"Patient/{patient or 'p'}"},
    }
    return {**found, **more}


def care_plan(*targets: dict[str, Any], id: str = "plan", patient: str = "p", **more: Any) -> dict[str, Any]:
    """An active CarePlan with one contained Goal of these targets."""
    found: dict[str, Any] = {
        "resourceType": "CarePlan",
        "id": id,
        "status": "active",
        "intent": "plan",
        "subject": {"reference": f"Patient/{patient}"},
        "contained": [goal(*targets, patient=patient)],
        "goal": [{"reference": "#g"}],
    }
    return {**found, **more}


def rules_of(*care_plans: dict[str, Any]) -> list[plans.Rule]:
    """The rules of these plans, which must have no problems."""
    rules, problems = make(*care_plans)
    assert not problems, problems
    return rules


def make(*care_plans: dict[str, Any]) -> tuple[list[plans.Rule], list[tuple[plans.Plan, plans.Problem]]]:
    read = [plans.read_plan(care_plan, lambda _: None, same_measure) for care_plan in care_plans]
    return plans.make_rules(read, ucum)


def at(text: str) -> int:
    """Microseconds of `2026-11-21T08:00+01:00`, or of a day at 08:00 in Norway's winter."""
    moment = plans.instant(text if "T" in text else f"{text}T08:00:00+01:00")
    assert moment is not None
    return moment


def reading(
    value: Any, time: str, unit: str, *, id: str | None = None, comparator: str = ""
) -> plans.Reading:
    id = id or f"o-{time}"
    return plans.Reading(
        id,
        f"Observation/{id}/_history/1",
        at(time),
        None if value is None else Decimal(str(value)),
        unit,
        comparator,
    )


def judged(rule: plans.Rule, *readings: plans.Reading) -> plans.Verdict:
    """The verdict on the last of these readings, the others being what is on record."""
    return plans.judge(rule, readings[-1], readings, ucum)


def observation(
    code: str, value: Any, time: str | datetime, *, patient: str = "p", unit: str | None = None, **more: Any
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": concept(code),
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": time.isoformat() if isinstance(time, datetime) else time,
    }
    if value is not None:
        found["valueQuantity"] = quantity(value, UNITS.get(code, "1") if unit is None else unit)
    return {**found, **more}
