"""The demo's client: order, bounded concurrency, what is told of alerts, and plain words for failures."""

from __future__ import annotations

import asyncio
import json
import socket
from datetime import UTC, datetime

import httpx
import pytest

from fhir_server.demo import stream as streaming
from fhir_server.demo.people import people
from fhir_server.demo.readings import device_kinds
from fhir_server.demo.server import ServerFailed, serving
from fhir_server.demo.service import stream
from fhir_server.demo.watch import PRIORITY, Watch, zone

END = datetime(2026, 3, 31, 12, 0, tzinfo=UTC)


def flag(identity, code, status="active"):
    priority = {"url": PRIORITY, "valueCodeableConcept": {"coding": [{"code": code}]}}
    return {
        "resourceType": "Flag",
        "id": identity,
        "status": status,
        "code": {"text": "Vekt"},
        "extension": [priority],
    }


class FakeServer:
    """Answers like a server that flags every tenth reading, out of step; remembers what it was sent."""

    def __init__(self):
        self.received = []
        self.busy = 0
        self.most_busy = 0

    async def __call__(self, request):
        if request.url.path.endswith("/Observation"):
            return await self.store(request)
        patient = request.url.params["patient"]
        due = len([r for r in self.received if r["subject"]["reference"] == patient]) % 10 == 0
        entry = [{"resource": flag(patient.replace("/", "-"), "PM")}] if due else []
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": entry})

    async def store(self, request):
        resource = json.loads(request.content)
        self.received.append(resource)
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        await asyncio.sleep(0.001 * (len(self.received) % 3))
        self.busy -= 1
        return httpx.Response(201, json={**resource, "meta": {"lastUpdated": "2026-03-31T12:00:00.000Z"}})


def send(answer, days=5):
    everybody = people(4, 7)
    references = {
        p.index: {"patient": f"Patient/{p.index}"} | dict.fromkeys(device_kinds(p), "Device/1")
        for p in everybody
    }
    readings = list(stream(everybody, days, END, references))
    heard = []

    async def run():
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/fhir") as client:
            return await streaming.send_readings(
                client, readings, references, lambda outcome, news: heard.append(news)
            )

    return readings, asyncio.run(run()), heard


def test_readings_of_a_patient_arrive_in_order_and_only_so_many_at_once():
    server = FakeServer()
    readings, outcome, heard = send(server)
    assert outcome.readings == len(readings) == len(server.received) == len(heard)
    for person in people(4, 7):
        mine = [
            r["effectiveDateTime"]
            for r in server.received
            if r["subject"]["reference"] == f"Patient/{person.index}"
        ]
        assert mine == [r.resource["effectiveDateTime"] for r in readings if r.person == person]
    assert 1 < server.most_busy <= streaming.IN_FLIGHT


def test_latency_is_measured_of_every_write_and_of_those_that_raised_an_alert():
    readings, outcome, _ = send(FakeServer())
    assert len(outcome.written) == len(readings)
    assert 0 < len(outcome.alerted) < len(readings)
    assert len(outcome.alerts) == 4  # one for each patient's Flag; more of the same is not told


def test_a_refused_reading_ends_the_stream_and_says_why():
    async def refuse(request):
        return httpx.Response(422, json={"issue": [{"diagnostics": "no such element"}]})

    with pytest.raises(ExceptionGroup) as caught:
        send(refuse)
    problem = caught.value.exceptions[0]
    assert isinstance(problem, ServerFailed)
    assert "POST /fhir/Observation was answered 422" in str(problem)
    assert "no such element" in str(problem)


@pytest.mark.parametrize(("code", "expected"), [("PH", "red"), ("PM", "yellow"), ("PL", "technical")])
def test_zone_is_read_from_the_priority_of_the_flag(code, expected):
    assert zone(flag("1", code)) == expected


def test_a_flag_without_priority_is_technical():
    assert zone({"resourceType": "Flag"}) == "technical"


def test_watch_tells_new_worse_and_over_but_not_more_of_the_same():
    (person,) = people(1, 7)
    watch = Watch()
    steps = [("PM", "active"), ("PM", "active"), ("PH", "active"), ("PH", "inactive"), ("PH", "inactive")]
    told = [[alert.zone for alert in watch.news([flag("1", *step)], person, END)] for step in steps]
    assert told == [["yellow"], [], ["red"], ["resolved"], []]


def test_percentile_is_the_nearest_rank():
    values = [float(n) for n in range(100, 0, -1)]
    assert streaming.percentile(values, 0.5) == 51
    assert streaming.percentile(values, 0.99) == 100
    assert streaming.percentile([], 0.5) == 0


def test_a_port_in_use_is_said_plainly(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(ServerFailed, match=f"Port {port} of 127.0.0.1 cannot be used"),
            serving(f"sqlite:///{tmp_path}/a.db", tmp_path / "log", port=port),
        ):
            pass
