"""What the micro-benchmarks work on: one heart failure patient's plan, and readings as they arrive."""

from __future__ import annotations

from datetime import UTC, date, datetime

import msgspec
import pytest

from fhir_server.demo.people import people
from fhir_server.demo.readings import device_kinds, readings
from fhir_server.demo.service import patient_bundle

END = datetime(2026, 3, 31, 21, 0, tzinfo=UTC)
ENCODE = msgspec.json.Encoder(decimal_format="number").encode


@pytest.fixture(scope="session")
def person():
    return people(2, 7)[1]


@pytest.fixture(scope="session")
def observations(person):
    """Thirty days of Observations with ids, oldest first."""
    names = ("patient", *device_kinds(person))
    links = {name: f"{'Patient' if name == 'patient' else 'Device'}/{n}" for n, name in enumerate(names)}
    found = [reading.resource for reading in readings(person, 30, END, links)]
    return [{**resource, "id": str(n)} for n, resource in enumerate(found)]


@pytest.fixture(scope="session")
def weight(observations):
    """The newest weight."""
    return next(o for o in reversed(observations) if o["code"]["text"] == "Vekt")


@pytest.fixture(scope="session")
def pressure(observations):
    """The newest blood pressure, a panel of two components."""
    return next(o for o in reversed(observations) if "component" in o)


@pytest.fixture(scope="session")
def body(pressure):
    """A blood pressure as it comes over the wire."""
    return ENCODE({name: value for name, value in pressure.items() if name != "id"})


@pytest.fixture(scope="session")
def plan_resources(person):
    """The CarePlan and, by reference, its Goals."""
    bundle = patient_bundle(person, date(2026, 2, 1))
    found = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    plan = next(resource for resource in found.values() if resource["resourceType"] == "CarePlan")
    return {**plan, "id": "1"}, found
