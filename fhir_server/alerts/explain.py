"""What `varde explain` prints of a CarePlan or PlanDefinition: its rules and the Python that runs."""

from __future__ import annotations

from datetime import UTC, datetime

from fhir_server.alerts.catalogue import Catalogue
from fhir_server.alerts.definitions import Condition, CqlRule
from fhir_server.alerts.desk import Desk
from fhir_server.alerts.libraries import Used
from fhir_server.alerts.memory import Memory
from fhir_server.alerts.observed import subject_of
from fhir_server.alerts.patient import read_plan
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode_stored
from fhir_server.store.base import Transaction
from rules import cql, plans
from rules.values import ValueSet
from terminology import ucum


def explain(tx: Transaction, reference: str) -> str:
    """The rules of this plan alone, as they judge now. FhirError("invalid" or "not-found") without one."""
    type, _, id = reference.partition("/")
    if type == "PlanDefinition" and id:
        return _definition(tx, id)
    if type != "CarePlan" or not id:
        raise FhirError("invalid", "Name a plan as CarePlan/ID or PlanDefinition/ID")
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


def _definition(tx: Transaction, id: str) -> str:
    """The rules of a PlanDefinition: whom they judge, what they look at, what they find."""
    version = tx.read("PlanDefinition", id)
    if version is None or version.body is None:
        raise FhirError("not-found", f"There is no PlanDefinition/{id}")
    catalogue = Catalogue(tx.search)
    definition = catalogue.read(decode_stored(version.body))
    judges = "everybody" if definition.everybody else "patients whose care plan instantiates it"
    status = definition.status if definition.status == "active" else f"{definition.status}: judges nobody"
    lines = [f"{definition.reference} (status {status})", f"judges {judges}", ""]
    libraries: dict[str, Used] = {}
    for rule in definition.rules:
        lines += _rule(rule)
        libraries |= {c.used.key: c.used for action in rule.actions for c in action.conditions if c.used}
    for used in libraries.values():
        lines += [f"{used.reference or 'expression'}:", used.library.python_source.rstrip(), ""]
    lines += [f"cannot be judged: {flaw.expression}: {flaw.message}" for flaw in definition.flaws]
    if not definition.rules and not definition.flaws:
        lines.append("This PlanDefinition has no rule that a reading triggers.")
    return "\n".join(lines).rstrip()


def _rule(rule: CqlRule) -> list[str]:
    codes = "any" if rule.codes is None else ", ".join(sorted(code for _, code in rule.codes))
    lines = [f"{rule.key}: {rule.label.en}", f"  readings: {codes}"]
    for action in rule.actions:
        conditions = " and ".join(map(_condition, action.conditions))
        lines.append(f"  {action.zone}: {conditions} ({action.text.en})")
    retrieves = dict.fromkeys(retrieve for needs in rule.needs for retrieve in needs.retrieves)
    lines += [f"  looks at: {_asked(retrieve)}" for retrieve in retrieves]
    return [*lines, f"  autoResolve: {rule.auto_resolve or 'never'}", ""]


def _condition(condition: Condition) -> str:
    if condition.used is None:
        return condition.define
    return f"{condition.used.library.name or 'expression'}.{condition.define}"


def _asked(retrieve: cql.Retrieve) -> str:
    """A retrieve as CQL writes it."""
    codes = retrieve.codes
    if retrieve.path is None or codes == ():
        return f"[{retrieve.type}]"
    if codes is None:
        return f"[{retrieve.type}: {retrieve.path} in codes that the rule computes]"
    listed = f"'{codes.id}'" if isinstance(codes, ValueSet) else ", ".join(str(code.code) for code in codes)
    limited = " (as far back as its dates say)" if retrieve.dates else ""
    return f"[{retrieve.type}: {retrieve.path} in {listed}]{limited}"
