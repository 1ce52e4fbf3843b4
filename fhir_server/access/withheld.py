"""What is hidden although it is granted: by security labels (sperring), and by a patient's Consent.

https://hl7.org/fhir/R4/security-labels.html, https://hl7.org/fhir/R4/consent.html

Labels of a resource (meta.security):
- R (restricted) and V (very restricted) of http://terminology.hl7.org/CodeSystem/v3-Confidentiality, and
  `sperret` of https://varde.dev/fhir/CodeSystem/access, hide it from everybody but those who wrote it (a
  performer, author, custodian, ... that is the user or an organisation of the grant) and emergencies.
- R and `sperret` do not hide it from its own patient, whose right sperring is; V does.

Consents that are active and deny (their provision, or one below it, has the type deny) hide from the actors
that they name, or from all: of their patient the resource types in `class`, or everything; or the resources
in `data`. A period and purposes limit them. Other criteria (code, securityLabel, action) are not looked at,
so that such a Consent hides more than it says; so does an actor that is a Group or no reference to this
server, who may be anybody. A permission below a denial is not looked at either. The patient is not concerned,
nor are administrators of their own types.

Neither holds for patients for whom the user has broken the glass, nor for a backend service that acts in an
emergency (purpose ETREAT or BTG). Shared types (kinds.SHARED) are not hidden.
"""

from __future__ import annotations

from functools import lru_cache

from fhir_server.access.grant import Grant
from fhir_server.access.kinds import ADMINISTRATIVE, SHARED, in_compartment
from fhir_server.access.predicate import both, compartment, either, named
from fhir_server.search import parameters
from fhir_server.search.query import NOTHING, And, Chain, Has, Match, Node, Not, Query, Test

CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
OURS = "https://varde.dev/fhir/CodeSystem/access"
_EMERGENCY = frozenset({"ETREAT", "BTG"})
# The parameters that say by whom a resource was made.
_AUTHORS = (
    "asserter", "author", "creator", "custodian", "enterer", "organization", "performer",
    "recorder", "requester", "sender", "source",
)  # fmt: skip

_DENIES = Match("token", "deny", (Test("code", "=", "deny"),))
_IN_FORCE = Match("token", "status", (Test("code", "=", "active"),))
# Whether there are any at all, which is seldom.
DENYING = Query("Consent", And((_IN_FORCE, _DENIES)), count=1)
MINUTE = 60_000_000


def withheld(grant: Grant, type: str, now: int, denials: bool) -> Node:
    """The condition that what is hidden fulfils; NOTHING where nothing is.

    `now` is in microseconds, heeded to the minute; `denials`: there are Consents that deny.
    """
    if type in SHARED or (grant.role == "system" and grant.purpose in _EMERGENCY):
        return NOTHING
    return _withheld(grant, type, now // MINUTE * MINUTE if denials else 0, denials)


@lru_cache(maxsize=4096)
def _withheld(grant: Grant, type: str, now: int, denials: bool) -> Node:
    hidden = either([_labelled(grant, type), _denied(grant, type, now) if denials else NOTHING])
    excepted = either([compartment(type, patient) for patient in grant.emergencies])
    return both(hidden, Not(excepted)) if excepted != NOTHING else hidden


def _labelled(grant: Grant, type: str) -> Node:
    very = Match("token", "_security", (Test("system", "=", CONFIDENTIALITY), Test("code", "=", "V")))
    restricted = either(
        [
            Match("token", "_security", (Test("system", "=", CONFIDENTIALITY), Test("code", "=", "R"))),
            Match("token", "_security", (Test("system", "=", OURS), Test("code", "=", "sperret"))),
        ]
    )
    if grant.role == "patient":
        return _unless(very, _written(grant, type))
    return _unless(either([very, restricted]), _written(grant, type))


def _unless(hidden: Node, excepted: Node) -> Node:
    return both(hidden, Not(excepted)) if excepted != NOTHING else hidden


def _written(grant: Grant, type: str) -> Node:
    """Made by the user or an organisation of the grant. That a patient wrote it does not show it to them:
    what they wrote may have been labelled V since."""
    if grant.role == "patient":
        return NOTHING
    known = parameters.of(type)
    codes = [code for code in _AUTHORS if code in known and known[code].type == "reference"]
    return either([named(grant, code) for code in codes])


def _denied(grant: Grant, type: str, now: int) -> Node:
    if grant.role == "patient" or (grant.role == "administrator" and type in ADMINISTRATIVE):
        return NOTHING
    consent = And((_IN_FORCE, _DENIES, _concerns(grant), _now(now), _purpose(grant)))
    whole = And((consent, Not(Match("reference", "deny-data")), _of_class(type)))
    of_patient = Has("Consent", "patient", whole)
    nodes: list[Node] = [Has("Consent", "deny-data", consent)]
    if type == "Patient":
        nodes.append(of_patient)
    nodes += [Chain(code, "Patient", of_patient) for code in in_compartment(type)]
    return either(nodes)


def _concerns(grant: Grant) -> Node:
    """It names the user, an organisation of the grant, a care team of theirs, somebody unknown, or nobody."""
    me = named(grant, "deny-actor")
    team = named(grant, "participant")
    return either(
        [
            Not(Match("reference", "deny-actor")),
            Match("reference", "deny-actor", (Test("type", "in", ("", "Group")),)),
            me,
            Chain("deny-actor", "CareTeam", team) if team != NOTHING else NOTHING,
        ]
    )


def _now(now: int) -> Node:
    within = Match("date", "deny-period", (Test("low", "<=", now + MINUTE), Test("high", ">", now)))
    return either([Not(Match("date", "deny-period")), within])


def _purpose(grant: Grant) -> Node:
    named_ = Match("token", "deny-purpose", (Test("code", "=", grant.purpose),))
    return either([Not(Match("token", "deny-purpose")), named_])


def _of_class(type: str) -> Node:
    named_ = Match("token", "deny-class", (Test("code", "=", type),))
    return either([Not(Match("token", "deny-class")), named_])


def may_be_labelled(body: bytes) -> bool:
    """Whether a stored resource could have security labels: its keys are written as we write them."""
    return b'"security"' in body
