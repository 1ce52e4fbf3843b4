"""What nobody who signed in may do within their grant: widen it, or take an alert away from others.

A grant says whose data may be written. It does not say whose record a resource may be put into besides, nor
that what decides who sees whom is the writer's to change. For patients, related persons and practitioners:

- every patient whom a resource refers to, as its subject, performer, recipient or participant, and did not
  before, is one whom they may see: their own, or one whom they care for. A Flag or a Task has a patient;
- patients are taken on record by administrators and backend services, and who they are and who cares for them
  (`_STEERS`) is changed by these: an identifier that two patients have keeps the alerts of both from being
  raised, and lets one sign in as the other;
- what breaking the glass opens is not made to last by it (care teams, kin), and nothing is deleted by it;
- a Consent that denies is kept by administrators and services: who is held back would end it, and who is not
  would hide alerts from others;
- what the rules engine wrote is not deleted and not hidden by a label: it is ended by its status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from fhir_server.access.grant import Grant
from fhir_server.access.judge import Facts
from fhir_server.access.kinds import WORKLIST, about, in_compartment
from fhir_server.access.predicate import both, theirs
from fhir_server.access.withheld import withheld
from fhir_server.errors import FhirError
from fhir_server.search.query import NOTHING, And, Match, Not, Query, Test
from fhir_server.store.base import Transaction

Resource = Mapping[str, Any]
ENGINE = "Device/varde-engine"
# What decides who sees whom.
STEERING = frozenset({"CareTeam", "Consent", "Group", "Patient", "Person", "RelatedPerson"})
_STEERS = frozenset(
    {"active", "generalPractitioner", "identifier", "link", "managingOrganization", "deceasedBoolean"}
)
_AUTHORS = {"Flag": "author", "Task": "requester", "Communication": "sender"}


def is_bound(grant: Grant) -> bool:
    """Whether these rules are for whoever asks: administrators and services answer for what they do."""
    return grant.role in ("patient", "related", "practitioner")


def calm(grant: Grant) -> Grant:
    """The grant without its emergencies."""
    return replace(grant, emergencies=(), purpose="TREAT")


def outside(type: str) -> FhirError:
    """One refusal for all: that a patient is on record is not to be read off it."""
    return FhirError("forbidden", f"This {type} would not be within what is granted")


def patients_of(facts: Facts | None) -> set[str]:
    """Whose compartments a resource is in."""
    if facts is None:
        return set()
    codes = in_compartment(facts.type)
    rows = facts.rows.get("reference", ())
    linked = {row[2] for row in rows if row[0] in codes and row[1] == "Patient"}
    return linked | ({facts.id} if facts.type == "Patient" else set())


def check_patients(
    tx: Transaction, grant: Grant, now: int, denials: bool, before: Facts | None, after: Facts
) -> None:
    """FhirError("forbidden") where it comes into the record of somebody whom the writer may not see."""
    wanted = patients_of(after) - patients_of(before)
    if after.type in WORKLIST and grant.role == "practitioner":
        codes = about(after.type)
        rows = after.rows.get("reference", ())
        is_new = before is None or bool(patients_of(before))
        if is_new and not any(row[0] in codes and row[1] == "Patient" for row in rows):
            raise outside(after.type)
    if wanted - _seen(tx, calm(grant) if after.type in STEERING else grant, now, denials, wanted):
        raise outside(after.type)


def _seen(tx: Transaction, grant: Grant, now: int, denials: bool, ids: Iterable[str]) -> set[str]:
    """Those among them whom the user may see, whatever the scopes."""
    asked_for = tuple(sorted(ids))
    if not asked_for:
        return set()
    if grant.role == "patient":
        own = (grant.user or "").removeprefix("Patient/")
        return {own} if grant.user else {grant.patient or ""}
    hidden = withheld(grant, "Patient", now, denials and grant.role != "related")
    seen = theirs(grant) if hidden == NOTHING else both(theirs(grant), Not(hidden))
    if seen == NOTHING:
        return set()
    where = And((Match("resource", "_id", (Test("id", "in", asked_for),)), seen))
    return {version.id for version in tx.search(Query("Patient", where, count=len(asked_for)))}


def check_change(grant: Grant, type: str, before: Resource | None, after: Resource | None) -> None:
    """FhirError("forbidden") for a change of what decides who sees whom; `after` None for a deletion."""
    if type == "Patient" and grant.role == "practitioner":
        if before is None or after is None:
            raise FhirError("forbidden", "Patients are taken on record by administrators and services")
        changed = {name for name in _STEERS if before.get(name) != after.get(name)}
        if changed:
            names = ", ".join(sorted(changed))
            raise FhirError("forbidden", f"Of a Patient these are changed by administrators: {names}")
    if type == "Consent" and any(
        each is not None and _denies(each.get("provision")) for each in (before, after)
    ):
        raise FhirError("forbidden", "A Consent that denies is kept by administrators and services")
    if before is not None and _is_the_engines(type, before):
        if after is None:
            raise FhirError("forbidden", "An alert is ended by its status, and not deleted")
        if labels(after) - labels(before):
            raise FhirError("forbidden", "An alert is not hidden by a label")


def _denies(provision: Any) -> bool:
    if not isinstance(provision, Mapping):
        return False
    return provision.get("type") == "deny" or any(map(_denies, provision.get("provision") or ()))


def _is_the_engines(type: str, resource: Resource) -> bool:
    author = resource.get(_AUTHORS.get(type, "")) or {}
    return isinstance(author, Mapping) and author.get("reference") == ENGINE


def labels(resource: Resource) -> set[tuple[Any, Any]]:
    """System and code of each security label."""
    found = (resource.get("meta") or {}).get("security") or ()
    return {(label.get("system"), label.get("code")) for label in found}
