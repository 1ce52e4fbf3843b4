"""Who wrote what, on whose behalf, with what: a Provenance in the commit of the write.

https://hl7.org/fhir/R4/provenance.html. Two kinds: the server's own, of who was signed in and with which
application; and what an application says itself in the header X-Provenance, a Provenance without target
(https://hl7.org/fhir/R4/provenance.html#header). Either names the versions that were written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from fhir_server.access.grant import Grant
from fhir_server.access.permits import permits
from fhir_server.audit.event import Item
from fhir_server.errors import FhirError, Issue
from fhir_server.instants import instant, microseconds
from fhir_server.resource_json import decode
from profiles.structure import validate

if TYPE_CHECKING:
    from fhir_server.exchange import Service

Resource = dict[str, Any]

# The interactions that write what a header can be about; a Bundle's is about all that it writes.
WRITING = frozenset({"create", "update", "patch", "delete", "meta-add", "meta-delete", "bundle"})
_ACTIVITY = {"C": "CREATE", "U": "UPDATE", "D": "DELETE"}
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_CLIENT = "https://varde.dev/fhir/client-id"
# What a patient or a device sends again and again. Who it is from stands in the resource, and who sent it in
# the log of accesses; a Provenance for each would double what is stored.
_MEASURED = frozenset({"Observation", "QuestionnaireResponse"})
_MEASURING = frozenset({"patient", "related", "system"})
_AT_ONCE = 1000  # targets of one Provenance
_TARGET = [{"reference": "Basic/to-be"}]  # for the validation of what has none yet


def asserted(header: str, interaction: str, grant: Grant | None) -> Resource:
    """What X-Provenance says, without target.

    FhirError("malformed") where it is no Provenance, "invalid" where it has a target or goes with a request
    that writes nothing, "unprocessable" with every problem, "forbidden" where it is not granted, or a patient
    speaks for others.
    """
    if interaction not in WRITING:
        raise FhirError("invalid", "X-Provenance goes with a request that writes")
    resource = decode(header.encode("latin-1"))
    if not isinstance(resource, dict) or resource.get("resourceType") != "Provenance":
        raise FhirError("malformed", "X-Provenance must be a Provenance as JSON, in one line")
    if "target" in resource:
        raise FhirError("invalid", "The target of X-Provenance is what the request writes: leave it out")
    problems = validate({**resource, "target": _TARGET})
    issues = [Issue(p.severity, p.code, p.diagnostics, p.expression, p.rule) for p in problems]
    if any(issue.severity in ("error", "fatal") for issue in issues):
        raise FhirError("unprocessable", issues=issues)
    _check(resource, grant)
    return {name: value for name, value in resource.items() if name not in ("id", "meta")}


def _check(resource: Resource, grant: Grant | None) -> None:
    if grant is None:
        return
    if not permits(grant, "Provenance", "c"):
        raise FhirError("forbidden", "The access token has no scope to create Provenance")
    if grant.role in ("patient", "related", "practitioner"):
        mine = {grant.user, *(f"Organization/{id}" for id in grant.organizations)}
        for agent in resource["agent"]:
            named = [agent[name] for name in ("who", "onBehalfOf") if name in agent]
            if any("identifier" in each for each in named) or not all(
                (each.get("reference") or "") in mine or each.get("reference", "").startswith("Device/")
                for each in named
            ):
                raise FhirError("forbidden", "X-Provenance names another agent than who is signed in")


class Made(NamedTuple):
    """A Provenance, whose data it is about, and its item for the log where a client asked for it."""

    resource: Resource
    patient: str
    item: Item | None = None


def made(service: Service, items: Sequence[Item], now: datetime) -> Iterator[Made]:
    """The Provenances of what was written."""
    written = [item for item in items if item.action in _ACTIVITY]
    grant = service.grant
    if service.asserted is not None:
        for targets in _portions(written):
            resource, patient = _placed(service.asserted, service.new_id(), targets), targets[0].patient
            yield Made(resource, patient, Item("C", "Provenance", resource["id"], 1, patient))
    if grant is None or service.policy.provenance == "none":
        return
    if service.policy.provenance == "changes":
        written = [item for item in written if not _is_measured(item, grant)]
    for targets in _portions(written):
        own = _own(grant, targets[0].action, instant(microseconds(now)))
        yield Made(_placed(own, service.new_id(), targets), targets[0].patient)


def _is_measured(item: Item, grant: Grant) -> bool:
    return item.action == "C" and item.type in _MEASURED and grant.role in _MEASURING


def _portions(items: Iterable[Item]) -> Iterator[Sequence[Item]]:
    """Those of one patient and one activity together: who may see one of them may see all."""
    alike: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        alike.setdefault((item.patient, item.action), []).append(item)
    for some in alike.values():
        for start in range(0, len(some), _AT_ONCE):
            yield some[start : start + _AT_ONCE]


def _placed(resource: Resource, id: str, targets: Sequence[Item]) -> Resource:
    references = [{"reference": f"{item.type}/{item.id}/_history/{item.version}"} for item in targets]
    rest = {name: value for name, value in resource.items() if name != "resourceType"}
    return {"resourceType": "Provenance", "id": id, "target": references, **rest}


def _own(grant: Grant, action: str, recorded: str) -> Resource:
    application = {"identifier": {"system": _CLIENT, "value": grant.client}}
    who = {"reference": grant.user} if grant.user else application
    author: Resource = {"type": _participant("author"), "who": who}
    if grant.organizations:
        author["onBehalfOf"] = {"reference": f"Organization/{grant.organizations[0]}"}
    agents = [author]
    if grant.user:
        agents.append({"type": _participant("assembler"), "who": application})
    return {
        "recorded": recorded,
        "reason": [{"coding": [{"system": _REASON, "code": grant.purpose}]}],
        "activity": {"coding": [{"system": _OPERATION, "code": _ACTIVITY[action]}]},
        "agent": agents,
    }


def _participant(code: str) -> Resource:
    return {"coding": [{"system": _PARTICIPANT, "code": code}]}
