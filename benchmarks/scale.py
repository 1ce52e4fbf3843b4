"""How searches slow down while the data grows: the same ones over few and over many Observations.

    python benchmarks/scale.py --few 10000 --many 1000000

Each patient has the same number of readings in both, so that the answers are alike; prints the median and the
99th percentile of each search, and their ratio. The budget is 2 for patient + code + date, newest 20.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import random
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from fhir_server.search.parse import parse
from fhir_server.search.run import run
from fhir_server.store.base import Store, Version
from fhir_server.store.sqlite import SqliteStore
from fhir_server.versions import content

BASE, KEY = "http://127.0.0.1/fhir", b"0" * 32
EACH = 200  # readings of a patient
BATCH = 2000
MEASURES = (("8867-4", "/min", 70), ("59408-5", "%", 94), ("29463-7", "kg", 80))
START = datetime(2026, 1, 1, 7, tzinfo=UTC)
SEARCHES = {
    "patient + code + date, newest 20": "patient=p{p}&code=http://loinc.org|59408-5&date=ge2026-02-01&_sort=-date&_count=20",
    "patient, newest 20": "patient=p{p}&_sort=-date&_count=20",
    "patient + value below": "patient=p{p}&value-quantity=lt92|http://unitsofmeasure.org|%&_count=20",
    "code + value, composite": "patient=p{p}&code-value-quantity=http://loinc.org|59408-5$lt92&_count=20",
    "value above, none matches": "value-quantity=gt900&_count=20",
    "chain to a patient's family name": "subject:Patient.family=Family{p}&_sort=-date&_count=20",
}


def resources(count: int) -> Iterator[dict]:
    """Patients with their readings, three measures in turns, a few a day."""
    chance = random.Random(1)
    for patient in range(count // EACH):
        yield {"resourceType": "Patient", "id": f"p{patient}", "name": [{"family": f"Family{patient}"}]}
        for number in range(EACH):
            code, unit, usual = MEASURES[number % 3]
            moment = START + timedelta(hours=8 * number, minutes=patient % 480)
            yield {
                "resourceType": "Observation",
                "id": f"o{patient}-{number}",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "subject": {"reference": f"Patient/p{patient}"},
                "effectiveDateTime": moment.isoformat(),
                "valueQuantity": {
                    "value": usual + chance.randrange(-5, 6),
                    "unit": unit,
                    "system": "http://unitsofmeasure.org",
                    "code": unit,
                },
            }


async def fill(store: Store, count: int) -> None:
    """Through the store's own contract: extraction and rows as for a POST, without rules and alerts."""
    batch = []
    for resource in resources(count):
        batch.append(resource)
        if len(batch) == BATCH:
            await put(store, batch)
            batch = []
    await put(store, batch)


async def put(store: Store, batch: list[dict]) -> None:
    made = [content(resource, resource["id"], 1, 1_770_000_000_000_000, BASE) for resource in batch]

    def work(tx) -> None:
        for one in made:
            type_, id_ = one.tree["resourceType"], one.tree["id"]
            tx.put(Version(type_, id_, 1, 1_770_000_000_000_000, "POST", one.body), one.values)

    await store.transact(work)


async def measure(store: Store, text: str, patients: int, rounds: int) -> tuple[float, float]:
    """p50 and p99 in microseconds, each round for another patient."""
    chance = random.Random(2)
    taken = []
    for _ in range(rounds):
        pairs = [tuple(p.split("=", 1)) for p in text.format(p=chance.randrange(patients)).split("&")]
        begun = time.perf_counter()
        search = parse("Observation", copy.copy(pairs), base=BASE, now=START, key=KEY)
        await run(store, search, key=KEY)
        taken.append(1e6 * (time.perf_counter() - begun))
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


async def main(few: int, many: int, rounds: int, folder: Path) -> None:
    figures: list[dict[str, tuple[float, float]]] = []
    for count in (few, many):
        store = SqliteStore(f"sqlite:///{folder}/{count}.db")
        await store.open()
        begun = time.perf_counter()
        await fill(store, count)
        print(f"{count:,} Observations put in {time.perf_counter() - begun:.0f} s", flush=True)
        found = {}
        for name, text in SEARCHES.items():
            await measure(store, text, count // EACH, 20)
            found[name] = await measure(store, text, count // EACH, rounds)
        figures.append(found)
        await store.close()
    print(f"\n{'search':40}{'p50 few':>10}{'p99':>9}{'p50 many':>11}{'p99':>9}{'ratio':>8}")
    for name in SEARCHES:
        (a, b), (c, d) = figures[0][name], figures[1][name]
        print(f"{name:40}{a:>8.0f}us{b:>7.0f}us{c:>9.0f}us{d:>7.0f}us{c / a:>8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--few", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--folder", type=Path, help="where the databases go (several GB for a million)")
    given = parser.parse_args()
    with TemporaryDirectory(dir=given.folder, prefix="varde-scale-") as scratch:
        asyncio.run(main(given.few, given.many, given.rounds, Path(scratch)))
