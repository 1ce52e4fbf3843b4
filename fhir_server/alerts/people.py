"""What people do to the engine's Flags and Tasks: closing the one closes the other.

Without this a Task that a nurse completed would leave its Flag active, and the next red reading would be
"more of the same" that nobody is told about. A Task that is deleted is off the worklist like one completed.

What the engine knows a Flag by and explains it with stays the engine's: an application that stores a Flag
without the extensions it does not know would else make a red Flag a yellow one, which resolves itself. It is
put back in the same commit, as a version of its own.
"""

from __future__ import annotations

from fhir_server.alerts import resources
from fhir_server.alerts.desk import Desk
from fhir_server.alerts.line import OPEN_TASK, close_tasks, rule_of
from fhir_server.alerts.observed import Written


def person_acted(desk: Desk, one: Written) -> None:
    """Follow up a Flag or Task that somebody wrote or deleted."""
    if one.type == "Flag":
        _flag_written(desk, one)
    else:
        _task_written(desk, one)


def _flag_written(desk: Desk, one: Written) -> None:
    before, after = one.before or {}, one.after or {}
    if not rule_of(before):
        return
    if before.get("status") == "active" and after.get("status") != "active":
        close_tasks(desk, before, "completed" if after.get("status") == "inactive" else "cancelled")
    if after and (restored := resources.restored(before, after)) != after:
        desk.save(restored)


def _task_written(desk: Desk, one: Written) -> None:
    before, after = one.before or {}, one.after or {}
    if before.get("status") not in OPEN_TASK or after.get("status") in OPEN_TASK:
        return
    focus = (before.get("focus") or {}).get("reference") or ""
    flag = desk.read("Flag", focus.removeprefix("Flag/")) if focus.startswith("Flag/") else None
    if not flag or flag.get("status") != "active" or not rule_of(flag):
        return
    if not any(task.get("status") in OPEN_TASK for task in desk.tasks_of(flag)):
        desk.save(resources.ended(flag, "inactive", desk.now))
