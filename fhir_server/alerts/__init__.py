"""From what was written to the Flags, Communications and Tasks that the patients' plans call for.

Called inside the transaction of the write (promise 1), with everything it wrote already put.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from fhir_server.alerts import unresolved
from fhir_server.alerts.catalogue import BUGS
from fhir_server.alerts.desk import Desk
from fhir_server.alerts.libraries import Libraries
from fhir_server.alerts.memory import Learned, Memory
from fhir_server.alerts.observed import Written, changes_by_patient
from fhir_server.alerts.people import person_acted
from fhir_server.alerts.publishing import CHECKED, check, warm
from fhir_server.alerts.watch import report_failure, watch
from fhir_server.errors import Issue
from fhir_server.store.base import Store, Transaction
from rules import plans
from terminology import ucum
from terminology.measures import same_measure

__all__ = ["Learned", "Memory", "Written", "check_definitions", "check_plan", "follow_up", "prepare"]


def follow_up(
    tx: Transaction,
    written: Sequence[Written],
    put: Callable[[dict[str, Any]], None],
    new_id: Callable[[], str],
    now: datetime,
    memory: Memory,
    base: str = "",
) -> Learned:
    """Judge the Observations among `written`, mind what people did to Flags and Tasks; put what follows.

    `base` is the server's own URL, below which a reference is local. Returns what was learnt of the patients,
    to be kept in `memory` once the transaction is committed.
    """
    if not any(one.type in ("Observation", "Flag", "Task") for one in written):
        return Learned()
    desk = Desk(tx, put, new_id, now, memory)
    for one in written:
        if one.type in ("Flag", "Task"):
            person_acted(desk, one)
        elif one.problem and one.after:
            unresolved.report(desk, one.id, one.after, one.problem)
        elif one.type == "Observation" and unresolved.may_be_told(one.before):
            unresolved.settle(desk, one.id)
    for patient, changes in changes_by_patient(written, base, now).items():
        saved = desk.saved()
        try:
            watch(desk, patient, changes)
        except BUGS as error:  # promise 2, for what no rule foresaw
            desk.back_to(saved)
            report_failure(desk, patient, changes, error)
    desk.flush()
    return desk.learned


async def prepare(store: Store, resources: Iterable[dict[str, Any]]) -> None:
    """Load and compile what judging these needs and takes long, before they hold up a transaction."""
    resources = list(resources)
    await warm(store, resources)
    for resource in resources:
        if resource.get("resourceType") == "Observation" and not all(
            map(ucum.everyday, plans.units_of(resource))
        ):
            await asyncio.to_thread(ucum.load)
            return


def check_definitions(tx: Transaction, written: Sequence[Written]) -> list[tuple[Written, list[Issue]]]:
    """What is wrong with the Libraries and PlanDefinitions among `written`, each with its errors (422)."""
    libraries = None
    found = []
    for one in written:
        if one.type in CHECKED and one.after is not None:
            libraries = libraries or Libraries(tx.search)
            if issues := check(one.after, libraries):
                found.append((one, issues))
    return found


def check_plan(resource: dict[str, Any]) -> list[Issue]:
    """What is wrong with the thresholds of a CarePlan or Goal, as errors that refuse the write (422).

    Goals that a CarePlan refers to are checked when they are written, and together when they judge.
    """
    goals = [("Goal", resource)]
    if resource.get("resourceType") == "CarePlan":
        contained = enumerate(resource.get("contained") or ())
        goals = [
            (f"CarePlan.contained[{i}]", goal) for i, goal in contained if goal.get("resourceType") == "Goal"
        ]
    problems = [p for where, goal in goals for p in plans.read_goal(goal, where, same_measure)[1]]
    return [Issue("error", "business-rule", p.text.en, p.expression) for p in problems]
