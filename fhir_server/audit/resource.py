"""The AuditEvents that an entry of the log stands for: the same ones whenever they are made.

https://hl7.org/fhir/R4/auditevent.html, with the codes of IHE's Basic Audit Log Patterns. One for each
patient whose data was looked at, so that a patient who reads the log learns of no other; one for each
resource that a Bundle wrote, and one for the Bundle.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any

from fhir_server.audit.event import Event, Item, Who
from fhir_server.audit.query import HIDDEN
from fhir_server.instants import instant

Resource = dict[str, Any]

_TYPE = "http://terminology.hl7.org/CodeSystem/audit-event-type"
_INTERACTION = "http://hl7.org/fhir/restful-interaction"
_DICOM = "http://dicom.nema.org/resources/ontology/DCM"
_ENTITY = "http://terminology.hl7.org/CodeSystem/audit-entity-type"
_ROLE = "http://terminology.hl7.org/CodeSystem/object-role"
_SOURCE = "http://terminology.hl7.org/CodeSystem/security-source-type"
_PARTICIPATION = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType"
_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
_OWN = "https://varde.dev/fhir/CodeSystem/audit-event"
_CLIENT = "https://varde.dev/fhir/client-id"
_SUBJECT = "https://varde.dev/fhir/token-subject"
_REQUEST = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"

# What is not an interaction, by Event.kind: AuditEvent.type, and AuditEvent.subtype where DICOM has a code.
KINDS: dict[str, tuple[str, str, str]] = {
    "rest": (_TYPE, "rest", "RESTful Operation"),
    "sign-in": (_DICOM, "110114", "User Authentication"),
    "authorization": (_DICOM, "110114", "User Authentication"),
    "emergency": (_DICOM, "110113", "Security Alert"),
}
_SUBTYPES = {
    "login": (_DICOM, "110122", "Login"),
    "logout": (_DICOM, "110123", "Logout"),
    "emergency-started": (_DICOM, "110127", "Emergency Override Started"),
    "emergency-stopped": (_DICOM, "110138", "Emergency Override Stopped"),
}
_INTERACTIONS = frozenset(
    {
        "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "history-system",
        "create", "search-type", "search-system", "capabilities", "transaction", "batch",
    }
)  # fmt: skip
_TOKEN = re.compile(r"[A-Za-z0-9\-.]+")
_AS_DONE = {"C": "create", "R": "read", "U": "update", "D": "delete"}


def resources_of(number: int, digest: bytes, event: Event) -> Iterator[Resource]:
    """AuditEvents with ids made of the entry's number and hash, without meta."""
    shared = {key: value for key, value in _shared(event).items() if value}
    for place, (subtype, action, entities) in enumerate(_parts(event)):
        made: Resource = {"resourceType": "AuditEvent", "id": id_of(number, digest, place), **shared}
        made |= {"subtype": [subtype], "action": action}
        if all_entities := [*entities, *_common(event, _named(entities))]:
            made["entity"] = all_entities
        yield {key: made[key] for key in _ORDER if key in made}


def id_of(number: int, digest: bytes, place: int) -> str:
    """The id of an entry's how-manieth AuditEvent; who knows it knows the entry's hash."""
    return f"audit-{number}-{digest[:8].hex()}{f'-{place}' if place else ''}"


_ORDER = (
    "resourceType", "id", "type", "subtype", "action", "recorded", "outcome", "outcomeDesc", "purposeOfEvent",
    "agent", "source", "entity",
)  # fmt: skip


def _shared(event: Event) -> Resource:
    system, code, display = KINDS.get(event.kind, (_OWN, event.kind, ""))
    return {
        "type": _coding(system, code, display),
        "recorded": instant(event.time),
        "outcome": "0" if event.status < 400 else "4" if event.status < 500 else "8",
        "outcomeDesc": f"HTTP {event.status}" if event.status >= 400 else "",
        "purposeOfEvent": [{"coding": [_coding(_REASON, event.who.purpose)]}] if event.who.purpose else [],
        "agent": list(_agents(event.who)),
        "source": {
            "observer": {"reference": "Device/varde-engine", "display": "Varde"},
            "type": [_coding(_SOURCE, "4", "Application Server")],
        },
    }


def _agents(who: Who) -> Iterator[Resource]:
    """The person first, if there is one; then the application, and those on whose behalf."""
    network = {"network": {"address": who.address, "type": "2"}} if who.address else {}
    policy = {"policy": [f"urn:varde:token:{who.token}"]} if who.token else {}
    if who.user or who.subject:
        person: Resource = {"type": _concept(_PARTICIPATION, "IRCP", "information recipient")}
        if who.role:
            person["role"] = [_concept(_OWN, who.role)]
        person["who"] = {"reference": who.user} if who.user else _identified(_SUBJECT, who.subject)
        yield person | {"requestor": True} | policy
    application: Resource = {"type": _concept(_DICOM, "110150", "Application")}
    application["who"] = _identified(_CLIENT, who.client) if who.client else {"display": "unknown"}
    alone = not (who.user or who.subject)
    yield application | {"requestor": alone} | (policy if alone else {}) | network
    for organization in who.organizations:
        yield {
            "type": _concept(_PARTICIPATION, "PROV", "healthcare provider"),
            "who": {"reference": f"Organization/{organization}"},
            "requestor": False,
        }


def _parts(event: Event) -> Iterator[tuple[Resource, str, list[Resource]]]:
    """Subtype, action and entities of each AuditEvent."""
    subtype = _subtype(event)
    if event.what in ("batch", "transaction"):
        yield subtype, event.action, _counted(event)
        for item in event.items:
            done = _coding(_INTERACTION, _AS_DONE[item.action])
            yield done, item.action, list(_entities_of(item))
        return
    patients: Sequence[str] = event.patients
    if event.items:
        first, *others = event.items
        entities = list(_entities_of(first))
        yield subtype, event.action, entities
        for item in others:
            yield subtype, event.action, list(_entities_of(item))
        known = {item.patient for item in event.items} | {i.id for i in event.items if i.type == "Patient"}
        patients = [patient for patient in patients if patient not in known]
    elif not patients:
        yield subtype, event.action, _counted(event)
    for place, patient in enumerate(patients):
        more = _counted(event) if place == 0 and not event.items else []
        yield subtype, event.action, [_patient(patient), *more]


def _subtype(event: Event) -> Resource:
    if event.kind != "rest":
        system, code, display = _SUBTYPES.get(event.what, (_OWN, event.what, ""))
        return _coding(system, code, display)
    if event.what in _INTERACTIONS:
        return _coding(_INTERACTION, event.what)
    if event.what == "search-compartment":
        return _coding(_INTERACTION, "search-type")
    return _coding(_INTERACTION, "operation", event.what)


def _entities_of(item: Item) -> Iterator[Resource]:
    patient = item.id if item.type == "Patient" else item.patient
    if patient:
        yield _patient(patient)
    if item.type != "Patient" or item.version:
        version = f"/_history/{item.version}" if item.version else ""
        yield {
            "what": {"reference": f"{item.type}/{item.id}{version}"},
            "type": _coding(_ENTITY, "2", "System Object"),
            "role": _coding(_ROLE, "4", "Domain Resource"),
        }


def _patient(id: str) -> Resource:
    return {
        "what": {"reference": f"Patient/{id}"},
        "type": _coding(_ENTITY, "1", "Person"),
        "role": _coding(_ROLE, "1", "Patient"),
    }


def _counted(event: Event) -> list[Resource]:
    """How many patients beside those that are named, how many events beside this one, as text."""
    said = []
    if event.beyond:
        said.append(f"Data of {event.beyond} patients more")
    if event.more:
        said.append(f"{event.more} more that were alike and are not in the log by themselves")
    return [_text(text) for text in said]


def _text(text: str) -> Resource:
    return {"type": _coding(_ENTITY, "4", "Other"), "name": text}


def _named(entities: Sequence[Resource]) -> str:
    """The id of the patient among the entities, if there is one."""
    patient = next((each["what"]["reference"] for each in entities if each["type"]["code"] == "1"), "")
    return str(patient).removeprefix("Patient/")


def _common(event: Event, patient: str) -> Iterator[Resource]:
    """What was asked, why, and the request's own id. The patient learns of no other who was asked for."""
    if event.query:
        others = {each for each in event.patients if each != patient} if patient else set()
        query = _TOKEN.sub(lambda found: HIDDEN if found[0] in others else found[0], event.query)
        yield {
            "type": _coding(_ENTITY, "2", "System Object"),
            "role": _coding(_ROLE, "24", "Query"),
            "query": b64encode(query.encode()).decode(),
        }
    if event.reason:
        yield _text(event.reason)
    if event.request:
        yield {
            "what": {"identifier": {"value": event.request}},
            "type": _coding(_REQUEST, "XrequestId"),
        }


def _identified(system: str, value: str) -> Resource:
    return {"identifier": {"system": system, "value": value}}


def _concept(system: str, code: str, display: str = "") -> Resource:
    return {"coding": [_coding(system, code, display)]}


def _coding(system: str, code: str, display: str = "") -> Resource:
    return {"system": system, "code": code} | ({"display": display} if display else {})
