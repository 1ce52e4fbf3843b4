"""The rules of one patient, compiled once for each state of the plans and goals they come from."""

from __future__ import annotations

from typing import Any

from fhir_server.alerts.catalogue import Catalogue
from fhir_server.alerts.desk import Desk
from fhir_server.alerts.line import rule_of
from fhir_server.alerts.memory import PatientRules
from fhir_server.alerts.observed import is_about
from fhir_server.store.base import DEFINING, STAMPED
from rules import plans
from rules.plans import Coding, Plan, Problem, Rule, Text
from terminology import ucum
from terminology.measures import same_measure

_FLAG = STAMPED.index("Flag")
_PLAN_DEFINITION = DEFINING.index("PlanDefinition")


def rules_of(desk: Desk, patient: str) -> PatientRules:
    """The patient's rules as of this transaction.

    One look at the stamp tells whether the plans and goals they were compiled from are still the current
    ones. So a changed plan takes effect with the next reading, in every worker.
    """
    stamp = desk.stamp(patient)[:_FLAG]
    for known in (desk.learned, desk.memory):
        if patient in known.rules and known.rules[patient][0] == stamp:
            return known.rules[patient][1]
    rules = _compile(desk, patient)
    desk.learned.rules[patient] = (stamp, rules)
    return rules


def catalogue_of(desk: Desk, patient: str) -> Catalogue | None:
    """The PlanDefinitions as of this transaction; None where there never was one."""
    stamp = desk.stamp(patient)[len(STAMPED) :]
    if stamp[_PLAN_DEFINITION] == 0:
        return None
    for known in (desk.learned.catalogue, desk.memory.catalogue):
        if known is not None and known[0] == stamp:
            known[1].find = desk.tx.search
            return known[1]
    catalogue = Catalogue(desk.tx.search)
    desk.learned.catalogue = stamp, catalogue
    return catalogue


def active_flags(desk: Desk, patient: str) -> dict[str, dict[str, Any]]:
    """The engine's active Flags of the patient, by rule. Read only, like all that is remembered."""
    stamp = desk.stamp(patient)[_FLAG]
    if stamp == 0:
        return {}
    if patient in desk.memory.flags and desk.memory.flags[patient][0] == stamp:
        flags = desk.memory.flags[patient][1]
    else:
        flags = {key: flag for flag in desk.flags(patient) if (key := rule_of(flag))}
        desk.learned.flags[patient] = (stamp, flags)
    latest = {key: desk.latest(flag) for key, flag in flags.items()}
    return {key: flag for key, flag in latest.items() if flag.get("status") == "active"}


def _compile(desk: Desk, patient: str) -> PatientRules:
    heads = desk.tx.heads(patient, ("Patient", "CarePlan", "Goal"))
    goals = frozenset(head.id for head in heads if head.type == "Goal")
    read: list[Plan] = []
    follows: dict[str, tuple[Plan, ...]] = {}
    for head in heads:
        care_plan = desk.read("CarePlan", head.id) if head.type == "CarePlan" else None
        if care_plan and care_plan.get("status") == "active" and is_about(care_plan, patient):
            plan = read_plan(desk, goals, care_plan)
            read.append(plan)
            named = care_plan.get("instantiatesCanonical") or ()
            for canonical in filter(None, named):  # null where there is only an extension
                follows[canonical] = (*follows.get(canonical, ()), plan)
    rules, problems = plans.make_rules(read, ucum)
    by_code: dict[Coding, tuple[Rule, ...]] = {}
    for rule in rules:
        for code in rule.codes:
            by_code[code] = (*by_code.get(code, ()), rule)
    known = any(head.type == "Patient" for head in heads)
    return PatientRules(known, tuple(read), by_code, tuple(problems), follows)


def read_plan(desk: Desk, goals: frozenset[str], care_plan: dict[str, Any]) -> Plan:
    """One CarePlan with the Goals it refers to; what cannot be had or understood is among its problems.

    `goals` are the ids of the patient's own.
    """
    try:
        return plans.read_plan(care_plan, lambda reference: _goal(desk, goals, reference), same_measure)
    except Exception as error:  # a plan that cannot even be read is a problem to show, not a lost reading
        kind = type(error).__name__
        text = Text(f"planen kunne ikke leses ({kind})", f"the plan could not be read ({kind})")
        version = (care_plan.get("meta") or {}).get("versionId", "1")
        reference = f"CarePlan/{care_plan['id']}/_history/{version}"
        return Plan(reference, care_plan["id"], None, (), (Problem("CarePlan", text),), (), {})


def _goal(desk: Desk, goals: frozenset[str], reference: dict[str, Any]) -> dict[str, Any] | str | None:
    literal = reference.get("reference")
    parts = literal.split("/") if isinstance(literal, str) else []
    if "_history" in parts:
        parts = parts[: parts.index("_history")]
    if len(parts) < 2 or parts[-2] != "Goal":
        return None
    goal = desk.read("Goal", parts[-1])
    if goal is not None and parts[-1] not in goals:
        return "other-patient"
    return goal
