"""What a grant gives of a resource type, as a condition of the query tree.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html

- patient/: the compartment of the patient of the launch context; for a practitioner as long as they may see
  that patient, for a related person as long as they are the patient's.
- user/: what the user may see. A patient: their own compartment. A related person: those of the patients
  whose RelatedPerson they are. A practitioner: what is about patients on whose active CareTeam they are,
  themselves, by one of their active PractitionerRoles or by an organisation of the grant; whose managing
  organisation or general practitioner they are in one of these ways; or for whom they have broken the glass.
  The log of accesses (AuditEvent) is the patient's and the administrators', not theirs. An administrator:
  what kinds.ADMINISTRATIVE lists, and nothing clinical.
- system/: everything, for backend services and administrators; nobody else is ever given it.
- Search parameters of a scope (`?category=...`) restrict it further.

A condition is asked of the whole store: a care team counts whether or not the user may read CareTeams.
What is hidden in spite of all this is in withheld.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, lru_cache
from urllib.parse import urlencode

from fhir_server.access.grant import Grant, Level, ResourceScope
from fhir_server.access.kinds import (
    ADMINISTRATIVE,
    SHARED,
    SHARED_WITHOUT_PATIENT,
    WORKLIST,
    about,
    in_compartment,
)
from fhir_server.errors import FhirError
from fhir_server.search.extract import confining
from fhir_server.search.lookup import needed
from fhir_server.search.parse import parse_criteria
from fhir_server.search.query import EVERYTHING, NOTHING, And, Chain, Has, Match, Node, Not, Or, Test


@lru_cache(maxsize=4096)
def granted(grant: Grant, type: str, may: str, patient: str | None = None) -> Node:
    """What of the type the grant gives for one permission (a letter of "cruds"): EVERYTHING, NOTHING, or
    the condition that a resource has to fulfil. With `patient`, one whose Values.patient that is."""
    nodes = []
    for scope in grant.scopes:
        if scope.type in ("*", type) and may in scope.may:
            nodes.append(both(level(grant, scope.level, type, patient), _criteria(scope, type)))
    return either(nodes)


@lru_cache(maxsize=4096)
def only_of(grant: Grant, type: str, may: str) -> str | None:
    """The id of a patient to whom all that is granted of the type refers, if there is one.

    A hint for the store: which index to walk.
    """
    found = set()
    for scope in grant.scopes:
        if scope.type in ("*", type) and may in scope.may:
            if scope.level == "system" or level(grant, scope.level, type) == EVERYTHING:
                return None
            found.add(_patient_of(grant, scope.level))
    linked = type not in SHARED_WITHOUT_PATIENT and type != "Patient" and in_compartment(type)
    return found.pop() if linked and len(found) == 1 else None


@cache
def belongs(type: str) -> bool:
    """Whether all that is in a patient's compartment is that patient's (Values.patient)."""
    return bool(in_compartment(type)) and set(in_compartment(type)) <= confining(type)


@lru_cache(maxsize=4096)
def owners(grant: Grant, type: str, may: str) -> frozenset[str]:
    """The patients of whom everything of the type is granted: a version's `patient` decides, without asking
    the store further."""
    plain = grant.role in ("patient", "system")
    return frozenset(
        patient
        for scope in grant.scopes
        if plain and scope.level != "system" and scope.type in ("*", type) and may in scope.may
        if not scope.criteria and in_compartment(type)
        if (patient := _patient_of(grant, scope.level)) is not None
    )


def level(grant: Grant, level: Level, type: str, patient: str | None = None) -> Node:
    """What the level of a scope gives of a type, without the scope's own criteria; `patient` as above."""
    if level == "system":
        return EVERYTHING if grant.role in ("system", "administrator") else NOTHING
    if type in SHARED:
        return EVERYTHING
    if not in_compartment(type):
        return NOTHING
    if grant.role == "administrator":
        found = _administered(type)
    else:
        found = _of_patients(grant, level, type, patient)
    if type in SHARED_WITHOUT_PATIENT:
        return either([found, *(Not(Match("reference", code, _LOCAL)) for code in in_compartment(type))])
    return found


_LOCAL = (Test("type", "=", "Patient"),)


def _administered(type: str) -> Node:
    return EVERYTHING if type in ADMINISTRATIVE else NOTHING


def _of_patients(grant: Grant, level: Level, type: str, of: str | None) -> Node:
    patient = _patient_of(grant, level)
    if grant.role in ("patient", "system"):
        return compartment(type, patient) if patient else NOTHING
    if type == "AuditEvent":
        return NOTHING
    who = theirs(grant)
    if level == "patient":
        return linked(type, both(_is(patient), who), in_compartment(type)) if patient else NOTHING
    if of is not None and set(about(type)) <= confining(type):
        who = both(_is(of), who)  # the store looks at that one patient, and not at all of theirs
    found = linked(type, who, about(type) if type != "Patient" else ())
    if grant.role == "practitioner" and type in WORKLIST:
        return either([found, Not(Match("reference", about(type)[0], _LOCAL))])
    return found


def _patient_of(grant: Grant, level: Level) -> str | None:
    """The one patient of a level: of the launch context, or the user. A patient is nobody else."""
    kind, _, id = (grant.user or "").partition("/")
    own = id if kind == "Patient" else None
    if level == "user":
        return own if grant.role == "patient" else None
    if grant.role == "patient" and grant.user is not None and own != grant.patient:
        return None
    return grant.patient


def _is(patient: str) -> Node:
    return Match("resource", "_id", (Test("id", "=", patient),))


def compartment(type: str, patient: str) -> Node:
    """In the compartment of that patient."""
    here = (Test("type", "=", "Patient"), Test("id", "=", patient))
    nodes: list[Node] = [Match("reference", code, here) for code in in_compartment(type)]
    if type == "Patient":
        nodes.append(Match("resource", "_id", (Test("id", "=", patient),)))
    return either(nodes)


def linked(type: str, patient: Node, codes: Iterable[str]) -> Node:
    """It refers by one of these parameters to a patient of whom the condition holds, or is one."""
    if patient == NOTHING:
        return NOTHING
    itself = [patient] if type == "Patient" else []
    return either([*itself, *(Chain(code, "Patient", patient) for code in codes)])


# Patients of a user


@lru_cache(maxsize=1024)
def theirs(grant: Grant) -> Node:
    """A condition on Patients: those whom the user may see."""
    kind, _, id = (grant.user or "").partition("/")
    if grant.role == "related":
        if kind != "RelatedPerson":
            return NOTHING
        me = Match("resource", "_id", (Test("id", "=", id),))
        return Has("RelatedPerson", "patient", And((me, _ACTIVE)))
    if grant.role != "practitioner":
        return NOTHING
    team = And((Match("token", "status", (Test("code", "=", "active"),)), named(grant, "participant")))
    emergencies = [Match("resource", "_id", (Test("id", "in", grant.emergencies),))]
    known = named(grant, "general-practitioner")
    if known == NOTHING:
        return either(emergencies if grant.emergencies else [])
    managed = [Match("reference", "organization", of) for of in _organizations(grant)]
    return either(
        [Has("CareTeam", "patient", team), known, *managed, *(emergencies if grant.emergencies else [])]
    )


# what says nothing of being active counts as active
_ACTIVE = Not(Match("token", "active", (Test("code", "=", "false"),)))


def named(grant: Grant, param: str) -> Node:
    """The reference is to the user, to an active PractitionerRole of theirs, or to an organisation of the
    grant."""
    kind, _, id = (grant.user or "").partition("/")
    nodes: list[Node] = [Match("reference", param, of) for of in _organizations(grant)]
    if id:
        me = (Test("type", "=", kind), Test("id", "=", id))
        nodes.append(Match("reference", param, me))
        if kind == "Practitioner":
            of_mine = And((Match("reference", "practitioner", me), _ACTIVE))
            nodes.append(Chain(param, "PractitionerRole", of_mine))
    return either(nodes)


def _organizations(grant: Grant) -> list[tuple[Test, ...]]:
    ids = grant.organizations
    return [(Test("type", "=", "Organization"), Test("id", "in", ids))] if ids else []


# Granular scopes


@lru_cache(maxsize=1024)
def _criteria(scope: ResourceScope, type: str) -> Node:
    """The search parameters of a scope; NOTHING where they mean nothing for the type, as with a wildcard.

    One that means nothing anywhere is refused when it is asked for: here it must not give more than meant.
    """
    try:
        return criteria_of(scope, type)
    except FhirError:
        return NOTHING


def criteria_of(scope: ResourceScope, type: str) -> Node:
    """What the search parameters of a scope ask of resources of the type.

    FhirError("invalid" | "not-supported") for parameters that the type does not have, and for modifiers that
    depend on other resources (:in, :above, :below), which a scope cannot have.
    """
    found: Node = EVERYTHING
    for name, value in scope.criteria:
        pair = urlencode([(name, value)])
        node = parse_criteria(type, pair, base="", now=datetime.now(UTC)).where
        if needed(node):
            raise FhirError("not-supported", "A scope cannot have a modifier that depends on other resources")
        found = both(found, node)
    return found


# Conditions put together


def both(one: Node, other: Node) -> Node:
    """One and the other, as little of a tree as it takes."""
    if NOTHING in (one, other):
        return NOTHING
    if one in (EVERYTHING, other):
        return other
    return one if other == EVERYTHING else And((one, other))


def either(nodes: Iterable[Node]) -> Node:
    """One of these."""
    kept = list(dict.fromkeys(node for node in nodes if node != NOTHING))
    if EVERYTHING in kept:
        return EVERYTHING
    return kept[0] if len(kept) == 1 else Or(tuple(kept))
