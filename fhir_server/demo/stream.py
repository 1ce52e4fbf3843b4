"""Loads the service into a FHIR server and streams the readings, measuring what a client sees.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import httpx
import msgspec

from fhir_server.demo.people import Person
from fhir_server.demo.readings import Reading
from fhir_server.demo.server import ServerFailed
from fhir_server.demo.service import links, patient_bundle, service_bundle
from fhir_server.demo.watch import Alert, Watch

ENCODE = msgspec.json.Encoder(decimal_format="number").encode
FHIR_JSON = {"Content-Type": "application/fhir+json"}
IN_FLIGHT = 4


@dataclass(slots=True)
class Outcome:
    """What came of the stream; latencies in seconds.

    `written` is from sending a reading to its 201, `alerted` from sending it to having read, by search, the
    Flag that it raised or changed: only for readings with such a Flag.
    """

    readings: int = 0
    seconds: float = 0.0
    written: list[float] = field(default_factory=list)
    alerted: list[float] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank); 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def load(
    client: httpx.AsyncClient, everybody: Iterable[Person], start: date
) -> dict[int, dict[str, str]]:
    """Loads organisations and then each patient with plan; returns links() by person.index."""
    await _send(client, "", service_bundle())
    references = {}
    for person in everybody:
        references[person.index] = links(person, await _send(client, "", patient_bundle(person, start)))
    return references


async def send_readings(
    client: httpx.AsyncClient,
    readings: Iterable[Reading],
    references: Mapping[int, Mapping[str, str]],
    told: Callable[[Outcome, list[Alert]], None],
) -> Outcome:
    """Sends readings in the order given, up to IN_FLIGHT at once but each patient's one after the other.

    After each 201 the patient's Flags changed since then are searched for; `told` hears of each reading.
    """
    outcome, watch = Outcome(), Watch()
    places = asyncio.Semaphore(IN_FLIGHT)
    last: dict[int, asyncio.Task[None]] = {}

    async def one(reading: Reading, before: asyncio.Task[None] | None) -> None:
        try:
            if before:
                await before
            await _reading(client, reading, references[reading.person.index]["patient"], outcome, watch, told)
        finally:
            places.release()

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for reading in readings:
            await places.acquire()
            index = reading.person.index
            last[index] = group.create_task(one(reading, last.get(index)))
    outcome.seconds = time.perf_counter() - begun
    return outcome


async def _reading(
    client: httpx.AsyncClient,
    reading: Reading,
    patient: str,
    outcome: Outcome,
    watch: Watch,
    told: Callable[[Outcome, list[Alert]], None],
) -> None:
    sent = time.perf_counter()
    stored = await _send(client, "/Observation", reading.resource)
    outcome.written.append(time.perf_counter() - sent)
    found = await _search(
        client, "Flag", {"patient": patient, "_lastUpdated": f"ge{stored['meta']['lastUpdated']}"}
    )
    if found:
        outcome.alerted.append(time.perf_counter() - sent)
    news = watch.news(found, reading.person, reading.moment)
    outcome.alerts += news
    outcome.readings += 1
    told(outcome, news)


async def _send(client: httpx.AsyncClient, path: str, resource: dict[str, Any]) -> dict[str, Any]:
    return _body(await client.post(path, content=ENCODE(resource), headers=FHIR_JSON))


async def _search(client: httpx.AsyncClient, kind: str, criteria: dict[str, str]) -> list[dict[str, Any]]:
    bundle = _body(await client.get(f"/{kind}", params=criteria))
    return [entry["resource"] for entry in bundle.get("entry", ())]


def _body(answer: httpx.Response) -> dict[str, Any]:
    if answer.is_success:
        return msgspec.json.decode(answer.content, type=dict[str, Any])
    request = answer.request
    raise ServerFailed(
        f"{request.method} {request.url.path} was answered {answer.status_code}: {answer.text[:600]}"
    )
