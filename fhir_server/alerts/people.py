"""What people do to the engine's Flags and Tasks: closing the one closes the other.

Without this a Task that a nurse completed would leave its Flag active, and the next red reading would be
"more of the same" that nobody is told about.
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
    if before.get("status") == "active" and after.get("status") != "active" and rule_of(before):
        close_tasks(desk, before, "completed" if after.get("status") == "inactive" else "cancelled")


def _task_written(desk: Desk, one: Written) -> None:
    before, after = one.before or {}, one.after or {}
    if before.get("status") not in OPEN_TASK or not after or after.get("status") in OPEN_TASK:
        return
    focus = (after.get("focus") or {}).get("reference") or ""
    flag = desk.read("Flag", focus.removeprefix("Flag/")) if focus.startswith("Flag/") else None
    if flag and flag.get("status") == "active" and rule_of(flag):
        desk.save(resources.ended(flag, "inactive", desk.now))
