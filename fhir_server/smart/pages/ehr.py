"""Where an EHR with a user interface of its own announces a launch, and gets the token for it.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch

SMART leaves open how an EHR and its authorization server agree on a launch. Here: a POST of JSON with the
access token of a backend service that is registered as an EHR (`varde client register --ehr`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from fhir_server.access import seen_by
from fhir_server.access.grant import Grant
from fhir_server.errors import FhirError
from fhir_server.instants import microseconds
from fhir_server.smart import clients, launch
from fhir_server.smart.context import Context
from fhir_server.smart.launch import Launch, LaunchProblem
from fhir_server.smart.terms import Places

if TYPE_CHECKING:
    from fhir_server.exchange import Service

_KNOWN = ("client_id", "context", "subject")
_SUBJECT = re.compile(r"[\x21-\x7e]{1,255}")


async def announce(service: Service, grant: Grant, places: Places, body: bytes) -> dict[str, Any]:
    """What an EHR is told: the launch token, its lifetime in seconds, and the URL that opens the application.

    `body` has the client_id of the application, the context (names of SMART's token response), and maybe the
    `subject` of the user: then nobody else can use the launch. LaunchProblem for what is wrong with it;
    FhirError("forbidden") for a client that is no EHR.
    """
    ehr = await clients.find(service.whole, grant.client)
    if ehr is None or not ehr.launches or grant.role != "system":
        raise FhirError("forbidden", "This client is not registered as an EHR that launches applications")
    said = _read(body)
    client = await clients.find(service.whole, said["client_id"])
    if client is None or client.launch_url is None:
        raise LaunchProblem("client_id must be that of an application with a launch URL")
    context = launch.read_context(said.get("context", {}))
    await _check(seen_by(service, grant), context)
    begun, now = Launch(client.id, context, said.get("subject", ""), ehr.id), microseconds(service.clock())
    token = await service.whole.transact(lambda tx: launch.begin(tx, begun, now))
    url = launch.url(client.launch_url, places.fhir, token)
    return {"launch": token, "expires_in": launch.LASTS // 1_000_000, "url": url}


def _read(body: bytes) -> dict[str, Any]:
    try:
        said = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise LaunchProblem("The body must be JSON") from None
    if not isinstance(said, dict) or not set(said) <= set(_KNOWN):
        raise LaunchProblem(f"The body must be an object with {', '.join(_KNOWN)}")
    if not isinstance(said.get("client_id"), str):
        raise LaunchProblem("client_id must be that of an application with a launch URL")
    subject = said.get("subject", "")
    if not isinstance(subject, str) or (subject and not _SUBJECT.fullmatch(subject)):
        raise LaunchProblem("subject must be the subject of a user")
    return said


async def _check(service: Service, context: Context) -> None:
    """An EHR launches only for what it may see itself."""
    for type_, id_ in (("Patient", context.patient), ("Encounter", context.encounter)):
        if id_ is None:
            continue
        version = await service.store.read(type_, id_)
        if version is None or version.body is None:
            raise LaunchProblem(f"There is no such {type_}, or the EHR has no access")
