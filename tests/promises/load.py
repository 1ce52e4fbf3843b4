"""Clients that write as a follow-up service does, and remember what the server acknowledged."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from fhir_server.resource_json import encode
from tests.alerts.conftest import ADVICE, activity
from tests.promises.serving import Client, Gone
from tests.rules.build import PULSE, SPO2, WEIGHT, care_plan, concept, observation, target

Resource = dict[str, Any]

KEY_SYSTEM = "urn:example:sent"
TRANSACTION_SYSTEM = "urn:example:transaction"
START = datetime(2026, 11, 1, tzinfo=UTC)
# What is normal, and what is outside, written as devices write it; SPO2 has no red, WEIGHT no yellow.
VALUES = {
    SPO2: {"green": ("95", "96.50", "93.0"), "yellow": ("89", "88.5", "89.90")},
    PULSE: {"green": ("70", "81"), "yellow": ("115", "120.0"), "red": ("135", "140.5")},
    WEIGHT: {"green": ("80.10", "79.9"), "red": ("106", "107.00")},
}
TARGETS = (
    target(SPO2, low=90, autoResolve=2),
    target(PULSE, high=110, autoResolve=1),
    target(PULSE, high=130, zone="red"),
    target(WEIGHT, high=100, zone="red"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One write; `key` is what it is identified by, `safe` whether it may be sent twice."""

    method: str
    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    key: str = ""
    safe: bool = False


@dataclass(slots=True)
class Journal:
    """What clients were told. `acknowledged`: "Type/id/_history/n" -> the content that came back;
    `transactions`: key -> such a location and the content sent, for each part; `unanswered`: requests whose
    fate is unknown."""

    acknowledged: dict[str, Resource] = field(default_factory=dict)
    transactions: dict[str, list[tuple[str, Resource]]] = field(default_factory=dict)
    unanswered: list[Request] = field(default_factory=list)
    refused: int = 0  # 503
    outdated: int = 0  # 412: somebody else was first

    def add(self, other: Journal) -> None:
        self.acknowledged |= other.acknowledged
        self.transactions |= other.transactions
        self.unanswered += other.unanswered
        self.refused += other.refused
        self.outdated += other.outdated

    def __len__(self) -> int:
        return len(self.acknowledged) + 3 * len(self.transactions)


def admit(client: Client, patients: Sequence[str]) -> None:
    """Patients with a plan each, in one transaction."""
    entries = []
    for patient in patients:
        advice = [activity(zone, text) for zone, text in ADVICE.items()]
        team = [{"reference": "CareTeam/team"}]
        plan = care_plan(*TARGETS, id=f"plan-{patient}", patient=patient, activity=advice, careTeam=team)
        for resource in ({"resourceType": "Patient", "id": patient}, plan):
            request = {"method": "PUT", "url": f"{resource['resourceType']}/{resource['id']}"}
            entries.append({"resource": resource, "request": request})
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    status, _, answer = client.send("POST", "/fhir", encode(bundle))
    assert status == 200, answer


def send(client: Client, request: Request, journal: Journal) -> Resource | None:
    """The resource or Bundle that came back, None where it was refused for now or came too late."""
    try:
        status, headers, body = client.send(request.method, request.path, request.body, **request.headers)
    except Gone:
        journal.unanswered.append(request)
        raise
    if status == 503:  # not acknowledged, and not certain not to have been done: the outcome may be unknown
        journal.refused += 1
        return None
    if status == 412:
        journal.outdated += 1
        return None
    assert status in (200, 201), (request, status, body)
    if body["resourceType"] == "Bundle":
        locations = [entry["response"]["location"].rpartition("/fhir/")[2] for entry in body["entry"]]
        parts = [entry["resource"] for entry in json.loads(request.body, parse_float=str)["entry"]]
        journal.transactions[request.key] = list(zip(locations, parts, strict=True))
        kinds = {entry["response"]["status"][:3] for entry in body["entry"]}
        assert len(kinds) == 1, ("part of the transaction was there already", kinds)
    else:
        version = body["meta"]["versionId"]
        journal.acknowledged[f"{body['resourceType']}/{body['id']}/_history/{version}"] = body
        assert headers["etag"] == f'W/"{version}"'
    return body


class Service:
    """Concurrent clients on one server, each in a thread, until told to stop or the server is gone."""

    def __init__(self, port: int, patients: Sequence[str], seed: str, *, clients: int = 12) -> None:
        self._port, self._patients = port, patients
        self._seconds = count(1)  # every reading has a time of its own, so that none is a copy of another
        self._stop = threading.Event()
        self._journals = [Journal() for _ in range(clients)]
        self._failures: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(n, f"{seed}-{n}"), daemon=True) for n in range(clients)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, *, stop: bool) -> Journal:
        """What the clients were told; `stop` where the server does not go away by itself."""
        if stop:
            self._stop.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a client still waits for its answer"
        if self._failures:
            raise self._failures[0]
        whole = Journal()
        for journal in self._journals:
            whole.add(journal)
        return whole

    def wait(self, true: Callable[[Service], bool], seconds: float = 30) -> None:
        """Until this is true of the clients."""
        deadline = time.monotonic() + seconds
        while not true(self):
            assert time.monotonic() < deadline, f"{self.acknowledged} acknowledged, {self.refused} refused"
            time.sleep(0.02)

    @property
    def refused(self) -> int:
        return sum(journal.refused for journal in self._journals)

    @property
    def acknowledged(self) -> int:
        return sum(map(len, self._journals))

    def _run(self, number: int, seed: str) -> None:
        client, chance, journal = Client(self._port), random.Random(seed), self._journals[number]
        try:
            for act in self._acts(client, chance, seed, journal):
                refused = journal.refused
                act()
                if self._stop.is_set():
                    return
                if journal.refused > refused:
                    time.sleep(0.05)
        except Gone:
            pass
        except BaseException as failure:
            self._failures.append(failure)
        finally:
            client.close()

    def _acts(
        self, client: Client, chance: random.Random, seed: str, journal: Journal
    ) -> Iterator[Callable[[], Any]]:
        mine: list[Resource] = []
        for n in count():
            key = f"{seed}-{n}"
            kind = chance.choices(("reading", "once", "transaction", "amend", "nurse"), (50, 15, 20, 10, 8))[
                0
            ]
            if kind == "transaction":
                request = self._transaction(chance, key)
            elif kind == "amend" and mine:
                request = _amended(chance, mine.pop(chance.randrange(len(mine))))
            elif kind == "nurse":
                patient = chance.choice(self._patients)
                yield lambda patient=patient: _attend(client, patient, journal)
                continue
            else:
                once = {"If_None_Exist": f"identifier={KEY_SYSTEM}|{key}"} if kind == "once" else {}
                body = encode(self._reading(chance, key))
                request = Request("POST", "/fhir/Observation", body, once, key, safe=bool(once))

            def act(request: Request = request) -> None:
                made = send(client, request, journal)
                if made and made["resourceType"] == "Observation":
                    mine.append(made)

            yield act

    def _reading(self, chance: random.Random, key: str) -> Resource:
        code = chance.choice((SPO2, PULSE, WEIGHT))
        zone, unit = _zone(chance, code), "kg" if code == SPO2 and chance.random() < 0.05 else None
        taken = START + timedelta(seconds=next(self._seconds))
        value = chance.choice(VALUES[code][zone])
        identifier = [{"system": KEY_SYSTEM, "value": key}]
        patient = chance.choice(self._patients)
        return observation(code, value, taken, patient=patient, unit=unit, identifier=identifier)

    def _transaction(self, chance: random.Random, key: str) -> Request:
        """A reading, a Condition that it is evidence of, and a ServiceRequest because of both."""
        reading = self._reading(chance, key)
        whole = {"system": TRANSACTION_SYSTEM, "value": key}
        reading["identifier"].append(whole)
        condition = {
            "resourceType": "Condition",
            "identifier": [whole],
            "subject": reading["subject"],
            "evidence": [{"detail": [{"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"}]}],
        }
        order = {
            "resourceType": "ServiceRequest",
            "identifier": [whole],
            "status": "active",
            "intent": "order",
            "code": concept("x", "urn:example"),
            "subject": reading["subject"],
            "reasonReference": [
                {"reference": "urn:uuid:00000000-0000-4000-8000-000000000001"},
                {"reference": "urn:uuid:00000000-0000-4000-8000-000000000002"},
            ],
        }
        once = chance.random() < 0.5
        entries = []
        for n, resource in enumerate((reading, condition, order)):
            request = {"method": "POST", "url": resource["resourceType"]}
            if once:
                request["ifNoneExist"] = f"identifier={TRANSACTION_SYSTEM}|{key}"
            full_url = f"urn:uuid:00000000-0000-4000-8000-{n + 1:012}"
            entries.append({"fullUrl": full_url, "resource": resource, "request": request})
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        return Request("POST", "/fhir", encode(bundle), key=key, safe=once)


def _zone(chance: random.Random, code: str) -> str:
    zones = list(VALUES[code])
    return chance.choices(zones, [3] + [1] * (len(zones) - 1))[0]


def _amended(chance: random.Random, known: Resource) -> Request:
    """A correction of one's own reading, of the version one knows."""
    code = known["code"]["coding"][0]["code"]
    corrected = observation(
        code, chance.choice(VALUES[code][_zone(chance, code)]), known["effectiveDateTime"]
    )
    kept = {name: known[name] for name in ("id", "identifier", "subject")}
    body = encode({**corrected, **kept, "status": "amended"})
    return Request(
        "PUT", f"/fhir/Observation/{known['id']}", body, {"If_Match": f'W/"{known["meta"]["versionId"]}"'}
    )


def _attend(client: Client, patient: str, journal: Journal) -> None:
    """A nurse completes the first open Task of a patient, which ends its Flag."""
    status, _, found = client.send("GET", f"/fhir/Task?patient={patient}&status=requested&_count=1")
    if status == 503:
        journal.refused += 1
        return
    assert status == 200, found
    for entry in found.get("entry", ()):
        task = entry["resource"]
        body = encode({**task, "status": "completed"})
        match = {"If_Match": f'W/"{task["meta"]["versionId"]}"'}
        send(client, Request("PUT", f"/fhir/Task/{task['id']}", body, match), journal)


def send_again(client: Client, unanswered: Sequence[Request]) -> Journal:
    """What a careful client does with its unanswered requests: those that are safe to repeat go out again."""
    journal = Journal()
    for request in unanswered:
        if request.safe:
            send(client, request, journal)
    return journal
