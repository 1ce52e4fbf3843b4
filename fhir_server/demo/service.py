"""The whole synthetic service as transaction Bundles to load and readings to stream.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import heapq
import random
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from fhir_server.demo.people import Person, patient, service_resources
from fhir_server.demo.plans import care_plan, condition, goals
from fhir_server.demo.readings import Reading, device_kinds, readings


def service_bundle() -> dict[str, Any]:
    """Puts the organisations, practitioners and care teams in their places; twice does no harm."""
    return _transaction(
        {
            "resource": resource,
            "request": {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"},
        }
        for resource in service_resources()
    )


def patient_bundle(person: Person, start: date, *, with_plan: bool = True) -> dict[str, Any]:
    """Creates a patient with devices and, unless told otherwise, diagnosis, goals and care plan.

    The entries refer to each other by urn:uuid; the Patient comes first, then the devices in the order of
    device_kinds(). Every second goal is contained in the plan, the others are resources of their own.
    """
    draw = random.Random(f"{person.seed}/ids")  # noqa: S311 - ids within one Bundle
    subject = _urn(draw)
    entries = [_create(subject, patient(person))]
    entries += [_create(_urn(draw), _device(kind, subject)) for kind in device_kinds(person)]
    if with_plan:
        entries += _plan_entries(person, subject, start, draw)
    return _transaction(entries)


def links(person: Person, response: Mapping[str, Any]) -> dict[str, str]:
    """From the response to patient_bundle(): the references that readings() puts into Observations."""
    names = ("patient", *device_kinds(person))
    locations = [entry["response"]["location"] for entry in response["entry"]]
    return {name: _reference(location) for name, location in zip(names, locations, strict=False)}


def stream(
    everybody: list[Person], days: int, end: datetime, references: Mapping[int, Mapping[str, str]]
) -> Iterator[Reading]:
    """Everybody's readings in the order in which they were taken; `references` is links() by person.index."""
    each = (readings(person, days, end, references[person.index]) for person in everybody)
    return heapq.merge(*each, key=lambda reading: reading.moment)


def _plan_entries(person: Person, subject: str, start: date, draw: random.Random) -> list[dict[str, Any]]:
    diagnosis = _urn(draw)
    entries = [_create(diagnosis, condition(person, subject))]
    contained: list[dict[str, Any]] = []
    references = []
    for position, goal in enumerate(goals(person, subject, start)):
        if (person.index + position) % 2:
            contained.append({**goal, "id": f"goal-{position + 1}"})
            references.append(f"#goal-{position + 1}")
        else:
            references.append(_urn(draw))
            entries.append(_create(references[-1], goal))
    plan = care_plan(person, subject, diagnosis, references, start)
    if contained:
        plan["contained"] = contained
    return [*entries, _create(_urn(draw), plan)]


def _device(kind: str, subject: str) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "status": "active",
        "type": {"text": kind},
        "patient": {"reference": subject},
    }


def _urn(draw: random.Random) -> str:
    return f"urn:uuid:{uuid.UUID(int=draw.getrandbits(128), version=4)}"


def _create(full_url: str, resource: dict[str, Any]) -> dict[str, Any]:
    return {
        "fullUrl": full_url,
        "resource": resource,
        "request": {"method": "POST", "url": resource["resourceType"]},
    }


def _transaction(entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def _reference(location: str) -> str:
    """ "Patient/1" from "http://host/fhir/Patient/1/_history/1"."""
    return "/".join(location.split("/_history/")[0].split("/")[-2:])
