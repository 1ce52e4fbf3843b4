"""$break-the-glass: a practitioner opens the record of a patient whom they do not care for, in an emergency.

POST Patient/{id}/$break-the-glass with Parameters `reason`. It lasts an hour (a setting), and is told loudly:
in the log of accesses with the purpose BTG, as is everything that is looked at meanwhile; in a Communication
to the patient's care teams, organisation and the privacy officer; and in a Task for somebody to look into it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fhir_server import log
from fhir_server.access import Grant, as_server
from fhir_server.access.emergency import begin
from fhir_server.audit.query import without_numbers
from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.instants import instant, microseconds
from fhir_server.interactions.operations.parameters import answer, read_parameters
from fhir_server.preconditions import present
from fhir_server.resource_json import decode_stored
from fhir_server.search.parse import parse_criteria
from fhir_server.store.base import Transaction
from fhir_server.write import Change, commit

Resource = dict[str, Any]
_LONGEST, _SHORTEST = 500, 10  # characters of a reason
_COMMUNICATION = "http://terminology.hl7.org/CodeSystem/communication-category"
_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_ENGINE = {"reference": "Device/varde-engine"}
_CODE = {"coding": [{"system": _REASON, "code": "BTG", "display": "break the glass"}]}


async def break_the_glass(service: Service, request: Request) -> Response:
    """200 with the moment until which it lasts; 403 for whoever is no practitioner, 404 for no patient."""
    user = _allowed(service.grant)
    reason = _reason(request)
    found = present(await service.whole.read("Patient", request.id), "Patient")
    patient = decode_stored(found.body or b"{}")
    now = microseconds(service.clock())
    until = now + service.policy.emergency_minutes * 60_000_000
    recipients = await _recipients(service, request, patient)
    notice, task = _told(service, request.id, user, reason, (now, until), recipients)

    def work(tx: Transaction) -> None:
        begin(tx, user, request.id, reason, until)
        if service.trail:
            service.trail.emergency(tx, request.id, reason)

    changes = [Change("POST", one["resourceType"], one["id"], one) for one in (notice, task)]
    await commit(replace(as_server(service), trail=None), changes, request.base, work)
    service.smart.grants.clear()  # in force at once on this worker, within a second on the others
    if service.trail:
        service.trail.committed()
    log.event("emergency-started", "warning")
    return answer(
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "until", "valueInstant": instant(until)},
                {"name": "told", "valueReference": {"reference": f"Communication/{notice['id']}"}},
            ],
        }
    )


def _allowed(grant: Grant | None) -> str:
    """The practitioner who may; FhirError("forbidden")."""
    if grant is None:
        raise FhirError("not-supported", "Access control is off: there is no glass to break")
    by_user = any(scope.level == "user" for scope in grant.scopes)
    if grant.role != "practitioner" or not grant.user or not by_user:
        raise FhirError("forbidden", "For practitioners who are signed in with user/ scopes")
    return grant.user


def _reason(request: Request) -> str:
    parts = read_parameters(request).get("parameter", [])
    given = [part.get("valueString") for part in parts if part.get("name") == "reason"]
    if len(parts) != 1 or len(given) != 1 or not isinstance(given[0], str):
        raise FhirError("invalid", "One parameter is needed: reason, a string", expression="Parameters")
    reason = without_numbers(" ".join(given[0].split()))
    if not _SHORTEST <= len(reason) <= _LONGEST:
        raise FhirError("invalid", f"A reason has {_SHORTEST} to {_LONGEST} characters")
    return reason


async def _recipients(service: Service, request: Request, patient: Resource) -> list[Resource]:
    """Who is told, each once: care teams, the organisation, and the privacy officer of the settings."""
    criteria = f"patient=Patient/{request.id}&status=active"
    teams = parse_criteria("CareTeam", criteria, base=request.base, now=service.clock())
    found = await service.whole.search(replace(teams, count=20))
    references = [f"CareTeam/{team.id}" for team in found.versions]
    references.append((patient.get("managingOrganization") or {}).get("reference") or "")
    references.append(service.policy.privacy_officer)
    return [{"reference": reference} for reference in dict.fromkeys(references) if reference]


def _told(
    service: Service,
    patient: str,
    user: str,
    reason: str,
    moments: tuple[int, int],
    recipients: Sequence[Resource],
) -> tuple[Resource, Resource]:
    """The Communication, and the Task to look into it."""
    now, until = map(instant, moments)
    text = (
        f"Nødrettstilgang: {user} åpnet journalen og kan se den til {until}. Begrunnelse: {reason}\n"
        f"Emergency access: {user} opened the record and may see it until {until}. Reason: {reason}"
    )
    notice: Resource = {
        "resourceType": "Communication",
        "id": service.new_id(),
        "status": "completed",
        "category": [{"coding": [{"system": _COMMUNICATION, "code": "alert"}]}],
        "priority": "stat",
        "subject": {"reference": f"Patient/{patient}"},
        "topic": _CODE,
        "about": [{"reference": user}],
        "sent": now,
        **({"recipient": list(recipients)} if recipients else {}),
        "sender": _ENGINE,
        "reasonCode": [_CODE],
        "payload": [{"contentString": text}],
    }
    task: Resource = {
        "resourceType": "Task",
        "id": service.new_id(),
        "status": "requested",
        "intent": "order",
        "priority": "urgent",
        "code": _CODE,
        "description": "Gå gjennom en nødrettstilgang / Look into an emergency access",
        "focus": {"reference": f"Communication/{notice['id']}"},
        "for": notice["subject"],
        "authoredOn": now,
        "requester": _ENGINE,
    }
    if service.policy.privacy_officer:
        task["owner"] = {"reference": service.policy.privacy_officer}
    return notice, task
