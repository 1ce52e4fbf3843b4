"""Promise 1 with rules in CQL: no reading that was acknowledged is without its alert after a SIGKILL."""

from __future__ import annotations

import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from fhir_server.resource_json import encode
from tests.alerts.cql_build import action, definition, library
from tests.promises.audit import details_of
from tests.promises.serving import Client, Gone, Server, serving
from tests.rules.build import SPO2, observation

pytestmark = pytest.mark.kill
WRITERS = 4


def write(server: Server, day: int, patient: str, acknowledged: list[str]) -> None:
    """Readings of a day that are all red, until the server is gone."""
    client = Client(server.port)
    for number in count():
        reading = observation(
            SPO2, 80, f"2026-11-{day}T{number // 60:02}:{number % 60:02}:00Z", patient=patient
        )
        try:
            status, _, body = client.send("POST", "/fhir/Observation", encode(reading))
        except Gone:
            return
        assert status == 201, body
        acknowledged.append(body["id"])


def told_of(client: Client, patient: str) -> tuple[set[str], set[str]]:
    """The readings on record, and those that a Flag names."""

    def found(type: str) -> list[dict[str, Any]]:
        pages = client.pages(f"/fhir/{type}?patient={patient}&_count=500")
        return [entry["resource"] for page in pages for entry in page.get("entry", ())]

    named = {
        reference.removeprefix("Observation/") for flag in found("Flag") for reference in details_of(flag)
    }
    return {resource["id"] for resource in found("Observation")}, named


def test_a_killed_server_keeps_each_reading_with_its_alert(
    tmp_path: Path, sqlite_url: str, free_port: int
) -> None:
    with serving(sqlite_url, free_port, tmp_path / "log") as server:
        client = Client(server.port)
        patients = [f"p{n}" for n in range(WRITERS)]
        rule = definition(action("Low", title="Lavt", zone="red"))
        for resource in (*({"resourceType": "Patient", "id": p} for p in patients), library(), rule):
            path = f"/fhir/{resource['resourceType']}/{resource['id']}"
            assert client.send("PUT", path, encode(resource))[0] == 201
        for day in (20, 21):
            acknowledged: dict[str, list[str]] = {patient: [] for patient in patients}
            writers = [
                threading.Thread(target=write, args=(server, day, *one)) for one in acknowledged.items()
            ]
            for writer in writers:
                writer.start()
            while any(len(ids) < 5 for ids in acknowledged.values()):
                time.sleep(0.05)
            server.kill()
            for writer in writers:
                writer.join()
            server.start()
            client = Client(server.port)  # the connection before is to the server that is gone
            for patient, ids in acknowledged.items():
                on_record, named = told_of(client, patient)
                assert set(ids) <= on_record
                assert on_record == named
