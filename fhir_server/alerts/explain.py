"""What `varde explain CarePlan/ID` prints: the rules of a plan and the Python that runs."""

from __future__ import annotations

from datetime import UTC, datetime

from fhir_server.alerts.desk import Desk
from fhir_server.alerts.memory import Memory
from fhir_server.alerts.observed import subject_of
from fhir_server.alerts.patient import read_plan
from fhir_server.errors import FhirError
from fhir_server.store.base import Transaction
from rules import plans
from terminology import ucum


def explain(tx: Transaction, reference: str) -> str:
    """The rules of this plan alone, as they judge now. FhirError("invalid" or "not-found") without one."""
    type, _, id = reference.partition("/")
    if type != "CarePlan" or not id:
        raise FhirError("invalid", "Name a plan as CarePlan/ID")
    desk = Desk(tx, lambda _: None, lambda: "", datetime.now(UTC), Memory())
    care_plan = desk.read("CarePlan", id)
    if care_plan is None:
        raise FhirError("not-found", f"There is no CarePlan/{id}")
    goals = frozenset(head.id for head in tx.heads(subject_of(care_plan), ("Goal",)))
    plan = read_plan(desk, goals, care_plan)
    rules, problems = plans.make_rules([plan], ucum)
    status = str(care_plan.get("status"))
    lines = [f"{plan.reference} (status {status}{'' if status == 'active' else ': judges nobody'})", ""]
    for rule in rules:
        lines += [plans.rule_text(rule), ""]
    lines += [f"cannot be judged: {problem.expression}: {problem.text.en}" for _, problem in problems]
    if not rules and not problems:
        lines.append("This plan has no thresholds.")
    return "\n".join(lines).rstrip()
