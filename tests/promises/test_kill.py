"""Promises 1 and 6 with SIGKILL under load: every acknowledged write and its alerts survive, no half one does.

https://hl7.org/fhir/R4/http.html#transaction. A round: clients write, something is killed at a random moment,
it is started again on the same store, careful clients repeat what went unanswered, and the whole history is
held against what was acknowledged (audit.py). The next round goes on with the same server.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.promises.audit import Put, audit, details_of, history_of
from tests.promises.conftest import unused_port
from tests.promises.load import Journal, Service, admit, send_again
from tests.promises.serving import Client, Server, serving

pytestmark = pytest.mark.kill

PATIENTS = 3


@dataclass(slots=True)
class Trial:
    """A server under load, round after round."""

    server: Server
    seed: str
    journal: Journal = field(default_factory=Journal)
    unanswered: int = 0
    rounds: int = 0

    def load(self) -> Service:
        """New patients, and clients at work on them."""
        self.rounds += 1
        patients = [f"r{self.rounds}p{n}" for n in range(PATIENTS)]
        client = Client(self.server.port)
        admit(client, patients)
        client.close()
        service = Service(self.server.port, patients, f"{self.seed}-{self.rounds}")
        service.start()
        return service

    def check(self, told: Journal) -> list[Put]:
        """Repeat what is safe to repeat, and hold everything there is against everything acknowledged."""
        self.unanswered += len(told.unanswered)
        client = Client(self.server.port)
        told.add(send_again(client, told.unanswered))
        self.journal.add(told)
        history = history_of(client)
        findings = audit(history, self.journal)
        assert not findings, f"round {self.rounds}, of {len(self.journal)} acknowledged: {findings}"
        self._search(client, history)
        client.close()
        return history

    def _search(self, client: Client, history: list[Put]) -> None:
        """A search finds what the history says is there: its index survived as well."""
        for patient in (f"r{self.rounds}p{n}" for n in range(PATIENTS)):
            for query in ("Observation?", "Flag?status=active&"):
                type, _, status = query.partition("?")
                pages = client.pages(f"/fhir/{query}patient={patient}&_count=1000")
                found = [entry["resource"] for page in pages for entry in page.get("entry", ())]
                current = {put.id: put.resource for put in history if put.type == type and put.resource}
                wanted = [
                    resource
                    for resource in current.values()
                    if resource["subject"]["reference"] == f"Patient/{patient}"
                    and (not status or resource["status"] == "active")
                ]
                assert sorted(found, key=_id) == sorted(wanted, key=_id), (self.rounds, query)


def _id(resource: dict[str, Any]) -> str:
    return str(resource["id"])


def killed_under_load(trial: Trial, chance: random.Random) -> list[Put]:
    """One round in which the whole server is killed and started again."""
    service = trial.load()
    moment = time.monotonic() + chance.uniform(0.3, 1.0)
    service.wait(lambda service: service.acknowledged > 60 and time.monotonic() > moment)
    trial.server.kill()
    told = service.finish(stop=False)
    trial.server.start()
    return trial.check(told)


def assert_was_a_trial(trial: Trial, history: list[Put]) -> None:
    """What the rounds are to try has happened in them."""
    flags = {put.id: put.resource for put in history if put.type == "Flag" and put.resource}
    assert trial.unanswered > trial.rounds, "the server was hardly at work when it was killed"
    assert {"active", "inactive"} <= {flag["status"] for flag in flags.values()}
    assert max(len(details_of(flag)) for flag in flags.values()) > 3
    assert trial.journal.transactions


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_server_on_sqlite_has_lost_and_doubled_nothing(
    tmp_path: Path, sqlite_url: str, free_port: int, workers: int
) -> None:
    chance = random.Random(workers)
    with serving(sqlite_url, free_port, tmp_path / "log", workers=workers) as server:
        trial = Trial(server, f"sqlite{workers}")
        for _ in range(5):
            history = killed_under_load(trial, chance)
    assert_was_a_trial(trial, history)


@pytest.mark.parametrize("part", [1, 2])
def test_a_killed_server_on_mongodb_has_lost_and_doubled_nothing(
    tmp_path: Path, mongod: Any, free_port: int, part: int
) -> None:
    chance = random.Random(part)
    with serving(f"{mongod.url}/killed", free_port, tmp_path / "log") as server:
        trial = Trial(server, f"mongodb{part}")
        for _ in range(5):
            history = killed_under_load(trial, chance)
    assert_was_a_trial(trial, history)


def test_what_a_killed_server_held_keeps_no_other_from_writing(
    tmp_path: Path, mongod: Any, free_port: int
) -> None:
    url, patient = f"{mongod.url}/killed", {"resourceType": "Patient", "id": "p"}
    with (
        serving(url, free_port, tmp_path / "log") as first,
        serving(url, unused_port(), tmp_path / "log2") as second,
    ):
        trial = Trial(first, "held")
        for n in range(2):  # it may be killed between two transactions
            service = trial.load()
            service.wait(lambda service: service.acknowledged > 20)
            first.kill()
            service.finish(stop=False)
            status, _, _ = Client(second.port, timeout=10).send("PUT", "/fhir/Patient/p", patient)
            assert status == (200 if n else 201)
            first.start()


@pytest.mark.skipif(not Path("/proc").exists(), reason="says which processes are workers")
def test_a_killed_worker_takes_nothing_with_it_and_the_others_go_on(
    tmp_path: Path, sqlite_url: str, free_port: int
) -> None:
    chance = random.Random(3)
    with serving(sqlite_url, free_port, tmp_path / "log", workers=2) as server:
        trial = Trial(server, "worker")
        while trial.rounds < 2 or (not trial.unanswered and trial.rounds < 8):  # it may have been idle
            service = trial.load()
            time.sleep(chance.uniform(0.3, 0.8))
            os.kill(chance.choice(server.workers()), signal.SIGKILL)
            time.sleep(0.3)
            trial.check(service.finish(stop=True))
        assert trial.unanswered and server.alive()


def test_a_killed_mongodb_is_503_until_it_is_back_and_nothing_is_lost(
    tmp_path: Path, mongod: Any, free_port: int
) -> None:
    chance = random.Random(4)
    url = f"{mongod.url}/killed?serverSelectionTimeoutMS=500"
    with serving(url, free_port, tmp_path / "log") as server:
        trial = Trial(server, "mongod")
        for _ in range(3):
            service = trial.load()
            time.sleep(chance.uniform(0.3, 0.8))
            mongod.stop(kill=True)
            service.wait(lambda service: service.refused > 0)
            assert not server.ready()
            mongod.start()
            goal = service.acknowledged + 20
            service.wait(lambda service, goal=goal: service.acknowledged > goal)
            told = service.finish(stop=True)
            assert not told.unanswered, "a request got no answer at all"
            trial.check(told)
        assert server.alive()
