"""Promise 1 at the store: killed at full speed, it has all that was acknowledged, and no half of any work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.search.query import Match, Query, Test

pytestmark = pytest.mark.kill
PARTS = ("Observation", "Flag", "Communication")

WRITER = """
import asyncio, os, sys
from fhir_server.search.query import Values
from fhir_server.store.base import Version

if sys.argv[1].startswith("sqlite:"):
    from fhir_server.store.sqlite import SqliteStore as Store
else:
    from fhir_server.store.mongo import MongoStore as Store

PARTS = ("Observation", "Flag", "Communication")

async def main():
    url, round = sys.argv[1:]
    store = Store(url)
    await store.open()
    numbers = iter(range(10**9))

    def work(name):
        def run(tx):
            for type in PARTS:
                values = Values({"token": (("identifier", "s", name), ("status", "s", "final"))}, "p1")
                tx.put(Version(type, name, 1, 1, "POST", b'{"x":"' + b"y" * 300 + b'"}'), values)
                if type == "Observation" and name.endswith("7"):
                    tx.heads("p1", ("Flag",))
        return run

    async def caller():
        for n in numbers:
            name = f"r{round}-{n}"
            await store.transact(work(name))
            os.write(1, name.encode() + b"\\n")

    await store.transact(work(f"r{round}-first"))
    os.write(1, b"ready\\n")
    await asyncio.gather(*(caller() for _ in range(16)))

asyncio.run(main())
"""


def acknowledged(url: str, round: int, seconds: float, on_kill: Callable[[], None]) -> set[str]:
    """What a writer says is stored before it is killed."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, url, str(round)], stdout=subprocess.PIPE)
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"ready\n"
    said = writer.stdout.readline()  # at full speed from here on
    time.sleep(seconds)
    on_kill()
    os.kill(writer.pid, signal.SIGKILL)
    said += writer.stdout.read()
    writer.wait()
    return {line.decode() for line in said.split(b"\n")[:-1]}


def check(desk: Any, names: set[str], since: int = 0) -> int:
    """Compare with what is stored after `since`; returns the last seq."""
    changes = desk.run(desk.store.changes(since, limit=10**6))
    assert [version.seq for version in changes] == list(range(since + 1, since + len(changes) + 1))
    stored = {type: {v.id for v in changes if v.type == type} for type in PARTS}
    assert stored["Observation"] == stored["Flag"] == stored["Communication"]
    missing = names - stored["Observation"]
    assert not missing, f"{len(missing)} of {len(names)} acknowledged are lost"
    assert names, "nothing was acknowledged"
    for name in sorted(names)[:: len(names) // 5 + 1]:
        found = desk.search(Query("Flag", Match("token", "identifier", (Test("code", "=", name),))))
        assert [version.id for version in found.versions] == [name]
    return int(changes[-1].seq)


def test_sqlite_survives_sigkill(sqlite_desk: Any, sqlite_url: str) -> None:
    last = 0
    for round in range(12):
        names = acknowledged(sqlite_url, round, 0.1 + 0.03 * round, lambda: None)
        last = check(sqlite_desk, names, last)


def test_sqlite_survives_the_death_of_one_process_of_two(sqlite_desk: Any, sqlite_url: str) -> None:
    """The one that lives writes on, at once."""
    other = subprocess.Popen([sys.executable, "-c", WRITER, sqlite_url, "100"], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"ready\n"
    names: set[str] = set()
    for round in range(4):
        names |= acknowledged(sqlite_url, round, 0.2, lambda: None)
        assert other.stdout.readline()
    os.kill(other.pid, signal.SIGKILL)
    said = other.stdout.read()
    other.wait()
    check(sqlite_desk, names | {line.decode() for line in said.split(b"\n")[:-1]})


def test_mongodb_survives_sigkill_of_its_client(mongod: Any, desk_of: Callable[[str], Any]) -> None:
    url = f"{mongod.url}/varde"
    desk = desk_of(url)
    last = 0
    for round in range(10):
        # a writer that follows one killed inside its transaction waits until it takes that one for dead
        last = check(desk, acknowledged(url, round, 0.3, lambda: None), last)


def test_mongodb_survives_its_own_sigkill(mongod: Any, desk_of: Callable[[str], Any]) -> None:
    url = f"{mongod.url}/varde?serverSelectionTimeoutMS=10000"
    desk = desk_of(url)
    last = 0
    for round in range(5):
        names = acknowledged(url, round, 0.3, lambda: mongod.stop(kill=True))
        mongod.start()
        last = check(desk, names, last)
