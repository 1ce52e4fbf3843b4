"""How long the embedded store takes to make readings durable, and to find a patient's newest."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from fhir_server.resource_json import encode
from fhir_server.search.extract import extract
from fhir_server.search.query import And, Match, Query, Sort, Test
from fhir_server.store.base import Version
from fhir_server.store.sqlite import SqliteStore

TOGETHER = 32  # writers that share a commit


@pytest.fixture
def loop():
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def store(loop, tmp_path):
    opened = SqliteStore(f"sqlite:///{tmp_path}/bench.db")
    loop.run(opened.open())
    yield opened
    loop.run(opened.close())


@pytest.fixture
def put(store, pressure):
    """Stores the reading once more, under an id of its own."""
    values, body, ids = extract("Observation", pressure), encode(pressure), itertools.count()

    async def one():
        version = Version("Observation", f"o{next(ids)}", 1, 1_770_000_000_000_000, "POST", body)
        await store.transact(lambda tx: tx.put(version, values))

    return one


def test_commit_one_reading(benchmark, loop, put):
    benchmark(lambda: loop.run(put()))


def test_commit_32_readings_that_wait_together(benchmark, loop, put):
    async def together():
        await asyncio.gather(*(put() for _ in range(TOGETHER)))

    benchmark(lambda: loop.run(together()))


def test_find_a_patients_newest_20_of_a_code_among_2000(benchmark, loop, store, put, pressure):
    async def fill():
        await asyncio.gather(*(put() for _ in range(2000)))

    loop.run(fill())
    coding = pressure["code"]["coding"][0]
    patient = pressure["subject"]["reference"].split("/")[1]
    code = Match("token", "code", (Test("system", "=", coding["system"]), Test("code", "=", coding["code"])))
    subject = Match("reference", "subject", (Test("type", "=", "Patient"), Test("id", "=", patient)))
    newest = Sort("date", "date", "low", descending=True)
    query = Query("Observation", And((subject, code)), (newest,), 20, patient)
    assert len(benchmark(lambda: loop.run(store.search(query))).versions) == 20
