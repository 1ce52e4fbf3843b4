"""The rules of one patient, compiled once for each state of the plans and goals they come from."""

from __future__ import annotations

from typing import Any

from fhir_server.alerts.desk import Desk
from fhir_server.alerts.memory import PatientRules
from fhir_server.alerts.observed import patient_of
from rules import plans
from rules.plans import Coding, Plan, Problem, Rule, Text
from terminology import ucum
from terminology.measures import same_measure

_SOURCES = ("Patient", "CarePlan", "Goal")


_NOTHING = PatientRules(True, (), {}, ())


def rules_of(desk: Desk, patient: str) -> PatientRules:
    """The patient's rules as of this transaction.

    One index lookup tells which versions of plans and goals are current; only when that has changed are they
    read and compiled again. So a changed plan takes effect with the next reading, in every worker.
    """
    heads = desk.tx.heads(patient, _SOURCES)
    stamp = tuple((head.type, head.id, head.version) for head in heads)
    known = any(type == "Patient" for type, _, _ in stamp)
    if not any(type == "CarePlan" for type, _, _ in stamp):
        return _NOTHING if known else PatientRules(False, (), {}, ())
    cached = desk.memory.get((patient, stamp))
    if cached is None:
        cached = _compile(desk, patient, stamp)
        desk.memory.put((patient, stamp), cached)
    return cached


def _compile(desk: Desk, patient: str, stamp: tuple[tuple[str, str, int], ...]) -> PatientRules:
    read: list[Plan] = []
    for type, id, _ in stamp:
        care_plan = desk.read(type, id) if type == "CarePlan" else None
        if care_plan and care_plan.get("status") == "active" and patient_of(care_plan) == patient:
            read.append(read_plan(desk, patient, care_plan))
    rules, problems = plans.make_rules(read, ucum)
    by_code: dict[Coding, tuple[Rule, ...]] = {}
    for rule in rules:
        for code in rule.codes:
            by_code[code] = (*by_code.get(code, ()), rule)
    known = any(type == "Patient" for type, _, _ in stamp)
    return PatientRules(known, tuple(read), by_code, tuple(problems))


def read_plan(desk: Desk, patient: str, care_plan: dict[str, Any]) -> Plan:
    """One CarePlan with the Goals it refers to; what cannot be had or understood is among its problems."""
    try:
        return plans.read_plan(care_plan, lambda reference: _goal(desk, patient, reference), same_measure)
    except Exception as error:  # a plan that cannot even be read is a problem to show, not a lost reading
        kind = type(error).__name__
        text = Text(f"planen kunne ikke leses ({kind})", f"the plan could not be read ({kind})")
        version = (care_plan.get("meta") or {}).get("versionId", "1")
        reference = f"CarePlan/{care_plan['id']}/_history/{version}"
        return Plan(reference, care_plan["id"], None, (), (Problem("CarePlan", text),), (), {})


def _goal(desk: Desk, patient: str, reference: dict[str, Any]) -> dict[str, Any] | str | None:
    literal = reference.get("reference")
    parts = literal.split("/") if isinstance(literal, str) else []
    if "_history" in parts:
        parts = parts[: parts.index("_history")]
    if len(parts) < 2 or parts[-2] != "Goal":
        return None
    goal = desk.read("Goal", parts[-1])
    if goal is not None and patient_of(goal) not in (None, patient):
        return "other-patient"
    return goal
