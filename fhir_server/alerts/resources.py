"""Flag, Communication and Task as FHIR writes them.

https://hl7.org/fhir/R4/flag.html, https://hl7.org/fhir/R4/communication.html, https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fhir_server.alerts import vocabulary as v
from fhir_server.alerts.desk import RULE_SYSTEM
from fhir_server.alerts.explanation import Entry, complete, without_readings
from fhir_server.instants import not_before
from rules.plans import Plan, Text

Resource = dict[str, Any]
_EXTENSIONS = (v.FLAG_PRIORITY_URL, v.SEVERITY_URL, v.FLAG_DETAIL_URL, v.EXPLANATION_URL)


def new_flag(id: str, patient: str, rule: str, category: str, now: str) -> Resource:
    """An active Flag of one rule, without its entries yet (see `fill_flag`)."""
    return {
        "resourceType": "Flag",
        "id": id,
        "language": "nb",
        "extension": [],
        "identifier": [{"system": RULE_SYSTEM, "value": rule}],
        "status": "active",
        "category": [{"coding": [v.CATEGORIES[category]]}],
        "code": {},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": now},
        "author": v.ENGINE,
    }


def fill_flag(flag: Resource, entries: Iterable[Entry], zone: str, text: Text) -> Resource:
    """The Flag with these entries, their severity and what they say; what others added to it stays."""
    entries = list(entries)
    others = [e for e in flag.get("extension") or () if e.get("url") not in _EXTENSIONS]
    details = [
        {"url": v.FLAG_DETAIL_URL, "valueReference": {"reference": f"Observation/{entry.observation}"}}
        for entry in entries
    ]
    own = [
        {"url": v.FLAG_PRIORITY_URL, "valueCodeableConcept": {"coding": [v.PRIORITY[zone]]}},
        {"url": v.SEVERITY_URL, "valueCoding": v.VKP_SEVERITY[zone]},
    ]
    codings = [v.OUTSIDE_RANGE, v.READING_REPORTED, v.ZONE_CODINGS[zone]] if zone in v.ZONE_CODINGS else []
    code: Resource = {"coding": codings} if codings else {"coding": [v.CATEGORIES["technical"]]}
    code |= {"text": text.nb, "_text": v.translated(text)}
    explained = [entry.extension for entry in _shortened(entries)]
    return {**flag, "extension": [*own, *details, *explained, *others], "code": code}


def without_entries(flag: Resource) -> Resource:
    """The Flag with nothing to say of any reading; its code, priority and what others added to it stay."""
    entries = (v.FLAG_DETAIL_URL, v.EXPLANATION_URL)
    return {**flag, "extension": [e for e in flag["extension"] if e.get("url") not in entries]}


def _shortened(entries: Sequence[Entry]) -> Iterable[Entry]:
    """A Flag that nobody attends to grows with every reading: only the first and the latest entries list the
    readings they looked at. The Flag's earlier versions keep what is left out."""
    for position, entry in enumerate(entries):
        few = 0 < position < len(entries) - _FULLY_EXPLAINED
        yield without_readings(entry) if few else complete(entry)


_FULLY_EXPLAINED = 10


def restored(before: Resource, after: Resource) -> Resource:
    """What a person made of a Flag of the engine, with everything in it that is the engine's own.

    Theirs are its status and period, and what they add.
    """
    own = [e for e in before.get("extension") or () if e.get("url") in _EXTENSIONS]
    others = [e for e in after.get("extension") or () if e.get("url") not in _EXTENSIONS]
    kept = {**after, "extension": [*own, *others]}
    for name in ("identifier", "category"):
        added = [item for item in after.get(name) or () if item not in before[name]]
        kept[name] = [*before[name], *added]
    return {**kept, "code": before["code"], "subject": before["subject"]}


def ended(flag: Resource, status: str, now: str) -> Resource:
    """The Flag no longer active: `inactive` or `entered-in-error`."""
    period = flag.get("period") or {}
    return {**flag, "status": status, "period": {**period, "end": not_before(now, period.get("start"))}}


def new_task(id: str, flag: Resource, zone: str, text: Text, plans: Sequence[Plan], now: str) -> Resource:
    """The worklist entry of a Flag."""
    task: Resource = {
        "resourceType": "Task",
        "id": id,
        "language": "nb",
        "basedOn": _based_on(plans),
        "status": "requested",
        "intent": "order",
        "priority": v.REQUEST_PRIORITY[zone],
        "code": {"coding": flag["category"][0]["coding"]},
        "description": text.nb,
        "_description": v.translated(text),
        "focus": {"reference": f"Flag/{flag['id']}"},
        "for": flag["subject"],
        "authoredOn": now,
        "lastModified": now,
        "requester": v.ENGINE,
    }
    teams = care_teams(plans)
    if teams:
        task["owner"] = teams[0]
    return task if task["basedOn"] else {key: value for key, value in task.items() if key != "basedOn"}


def modified(task: Resource, now: str, **changes: Any) -> Resource:
    """The Task with these elements as of now."""
    return {**task, **changes, "lastModified": not_before(now, task.get("authoredOn"))}


def described(task: Resource, text: Text) -> Resource:
    """The Task saying something new."""
    return {**task, "description": text.nb, "_description": v.translated(text)}


def message(
    id: str,
    flag: Resource,
    entry: Entry,
    zone: str,
    plans: Sequence[Plan],
    now: str,
    *,
    to: Sequence[Resource],
    category: str,
    text: Text | str,
) -> Resource:
    """A Communication about the Flag and the reading that raised it.

    A Text is Norwegian with its English translation; a str is what the plan says, in a language it chose.
    """
    payload: Resource = {"contentString": text.nb if isinstance(text, Text) else text}
    if isinstance(text, Text):
        payload["_contentString"] = v.translated(text)
    communication: Resource = {
        "resourceType": "Communication",
        "id": id,
        "basedOn": _based_on(plans),
        "status": "completed",
        "category": [{"coding": [{"system": _COMMUNICATION, "code": category}]}],
        "priority": v.REQUEST_PRIORITY[zone],
        "subject": flag["subject"],
        "about": [
            {"reference": f"Flag/{flag['id']}"},
            {"reference": f"Observation/{entry.observation}"},
        ],
        "sent": now,
        "recipient": list(to),
        "sender": v.ENGINE,
        "payload": [payload],
    }
    return {key: value for key, value in communication.items() if value}


_COMMUNICATION = "http://terminology.hl7.org/CodeSystem/communication-category"


def care_teams(plans: Sequence[Plan]) -> list[Resource]:
    """The care teams of these plans, each once."""
    teams = [team for plan in plans for team in plan.care_teams]
    return [team for i, team in enumerate(teams) if team not in teams[:i]]


def _based_on(plans: Sequence[Plan]) -> list[Resource]:
    return [{"reference": f"CarePlan/{id}"} for id in dict.fromkeys(plan.id for plan in plans)]


# who reads nynorsk reads bokmål sooner than English, and the other way round
_NEXT_BEST = {"nb": ("no", "nn"), "nn": ("no", "nb"), "no": ("nb", "nn"), "se": ("nb", "no", "nn")}


def advice_for(patient: Resource | None, texts: Mapping[str, str]) -> str:
    """The self-care text in the language that the patient prefers, or the one nearest to it."""
    by_language = {language.lower(): text for language, text in texts.items()}
    for language in _languages(patient):
        primary = language.split("-")[0]
        for candidate in (language, primary, f"{primary}-no", *_NEXT_BEST.get(primary, ())):
            if candidate in by_language:
                return by_language[candidate]
    return texts[""]


def _languages(patient: Resource | None) -> list[str]:
    """Patient.communication as lower-case language tags, the preferred first."""
    spoken = [c for c in (patient or {}).get("communication") or () if isinstance(c, dict)]
    spoken.sort(key=lambda communication: not communication.get("preferred"))
    return [
        str(coding["code"]).lower()
        for communication in spoken
        for coding in (communication.get("language") or {}).get("coding") or ()
        if "code" in coding
    ]
