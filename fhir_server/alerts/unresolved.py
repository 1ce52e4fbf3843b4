"""Readings whose patient is given by an identifier that leads to nobody, or to several (promise 2).

They are stored and judged for nobody, and a technical Flag with its Task says so. The Flag's subject is the
reading's own; it ends when the reading is written again and its patient is found.
"""

from __future__ import annotations

from typing import Any

from fhir_server.alerts import resources
from fhir_server.alerts import vocabulary as v
from fhir_server.alerts.desk import Desk
from fhir_server.alerts.line import close_tasks
from rules.plans import Text

RULE = "engine/unresolved-subject"
_NOBODY = Text(
    "Målingen gjelder en pasient med en identifikator som ingen har her, og er ikke bedømt",
    "The reading is of a patient whose identifier nobody here has, and was not judged",
)
_SEVERAL = Text(
    "Målingen gjelder en pasient med en identifikator som flere har her, og er ikke bedømt",
    "The reading is of a patient whose identifier several here have, and was not judged",
)


def may_be_told(before: dict[str, Any] | None) -> bool:
    """Whether the subject of a reading was named by an identifier, so that it may have led nowhere."""
    subject = (before or {}).get("subject")
    return isinstance(subject, dict) and "identifier" in subject


def report(desk: Desk, id: str, observation: dict[str, Any], problem: str) -> None:
    """Tell that the subject of the Observation could not be found out; once, however often it is written."""
    flag_id = _flag_id(id)
    known = desk.read("Flag", flag_id)
    if known and known.get("status") == "active":
        return
    text = _SEVERAL if problem == "several" else _NOBODY
    flag = resources.fill_flag(
        resources.new_flag(flag_id, "", RULE, "technical", desk.now), (), "technical", text
    )
    concerned = {"url": v.FLAG_DETAIL_URL, "valueReference": {"reference": f"Observation/{id}"}}
    flag = {
        **flag,
        "extension": [*flag["extension"], concerned],
        "subject": {"identifier": observation["subject"]["identifier"]},
    }
    desk.save(flag)
    desk.save(resources.new_task(desk.new_id(), flag, "technical", text, (), desk.now))


def settle(desk: Desk, id: str) -> None:
    """The subject of the Observation is known now, or it is gone: what was told of it is over."""
    flag = desk.read("Flag", _flag_id(id))
    if flag and flag.get("status") == "active":
        desk.save(resources.ended(flag, "inactive", desk.now))
        close_tasks(desk, flag, "completed")


def _flag_id(id: str) -> str:
    """The one Flag of an Observation, found again by its id."""
    return f"{id[:48]}.unresolved"
