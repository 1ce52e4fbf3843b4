"""The whole road: query strings to bundles on the embedded store, against the plain evaluation of conftest."""

import asyncio
import random
from decimal import Decimal

import pytest

from fhir_server.resource_json import decode, encode
from fhir_server.search.extract import extract
from fhir_server.search.run import run
from fhir_server.store.base import Version
from fhir_server.store.sqlite import SqliteStore

BASE = "https://varde.example/fhir"
LOINC = "http://loinc.org"
START = 1_767_225_600_000_000


def observations():
    choose = random.Random(2).choice
    effective = [
        {"effectiveDateTime": "2026-03"},
        {"effectiveDateTime": "2026-03-04T10:00:00+01:00"},
        {"effectiveDateTime": "2026-03-04"},
        {"effectivePeriod": {"start": "2026-02-01"}},
        {"effectivePeriod": {"end": "2026-03-04T12:00:00Z"}},
        {},
    ]
    subjects = [
        {"reference": "Patient/1"},
        {"reference": "Patient/2"},
        {"reference": "Group/1"},
        {"reference": f"{BASE}/Patient/1"},
        {"reference": "https://other.example/fhir/Patient/1"},
        {"identifier": {"system": "urn:s", "value": "1"}},
        {"reference": "Patient/1/_history/2"},
        {"reference": "#c"},
    ]
    codes = [
        {"coding": [{"system": LOINC, "code": "29463-7"}]},
        {"coding": [{"code": "29463-7"}, {"system": LOINC, "code": "8310-5"}]},
        {"text": "free"},
    ]
    for number in range(60):
        yield {
            "resourceType": "Observation",
            "id": f"o{number}",
            "status": choose(["final", "amended"]),
            "code": choose(codes),
            "subject": choose(subjects),
            **choose(effective),
            "performer": choose([[], [{"reference": "Patient/1"}], [{"reference": "Practitioner/1"}]]),
            **choose(
                [
                    {
                        "valueQuantity": {
                            "value": choose([Decimal("91.50"), 91, Decimal("1e2")]),
                            "code": "kg",
                        }
                    },
                    {"valueQuantity": {"value": 5, "comparator": ">", "unit": "kg"}},
                    {"valueString": choose(["Åse", "Øvre del", "O'Brien"])},
                    {"valueCodeableConcept": {"coding": [{"system": "s", "code": "c"}], "text": "Ase"}},
                ]
            ),
            "derivedFrom": choose([[], [{"reference": "Observation/o1"}]]),
        }


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    """(loop, store, {id: (resource, updated)}) with everything in the store."""
    loop = asyncio.new_event_loop()
    store = SqliteStore(f"sqlite:///{tmp_path_factory.mktemp('search')}/s.db")
    resources = {}

    def fill(tx):
        for number, resource in enumerate(observations()):
            updated = START + number * 1_000_000
            version = Version("Observation", resource["id"], 1, updated, "PUT", encode(resource))
            tx.put(version, extract("Observation", resource, BASE))
            resources[resource["id"]] = (resource, updated)

    loop.run_until_complete(store.open())
    loop.run_until_complete(store.transact(fill))
    yield loop, store, resources
    loop.run_until_complete(store.close())
    loop.close()


QUERIES = [
    "", "status=final", "status:not=final", "code=29463-7", f"code={LOINC}|29463-7", "code=|29463-7",
    f"code={LOINC}|", f"code={LOINC}|29463-7,{LOINC}|8310-5", "code:missing=false", "code:not=29463-7,8310-5",
    "patient=1", "subject=Patient/1", "subject=1", "subject:Patient=2", f"subject={BASE}/Patient/1",
    "subject=https://other.example/fhir/Patient/1", "subject:identifier=urn:s|1", "patient:missing=true",
    "subject=Patient/1/_history/2", "patient=1,2", "performer=Patient/1", "subject=Group/1&performer=Patient/1",
    "patient=1&code=29463-7&date=ge2026-03-01", "patient=1&_lastUpdated=lt2026-01-01T00:00:30Z",
    *(f"date={prefix}{value}" for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
      for value in ("2026-03-04", "2026", "2026-03-04T09:00:00Z")),
    "date=ge2026-03-04&date=lt2026-03-05", "date=2025,2026", "date:missing=true",
    *(f"value-quantity={prefix}{value}" for prefix in ("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap")
      for value in ("91.5", "91", "1e2", "5||kg", "91.50||kg")),
    "value-string=ase", "value-string:exact=Åse", "value-string:contains=re", "value-string=øvre", "value-string=o'br",
    "value-concept=s|c", "_id=o1,o2,o77", "_id:missing=true", "_lastUpdated=ge2026-01-01T00:00:10Z",
    "_lastUpdated=2026-01-01T00:00:10Z", "_lastUpdated=ne2026-01-01T00:00:10Z", "derived-from=o1",
    "value-quantity=gt1&status=final&code=29463-7&patient=1", "status=nothing", "status=final,amended&subject=2",
]  # fmt: skip


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("sort", ["", "_sort=-date", "_sort=code,-_id"])
def test_the_store_finds_what_the_plain_evaluation_finds(shelf, finds, asked, query, sort):
    loop, store, resources = shelf
    expected = {id for id, (resource, updated) in resources.items() if finds(query, resource, updated)}
    found, text = [], "&".join(part for part in (query, sort, "_count=25") if part)
    while text:
        bundle = decode(loop.run_until_complete(run(store, asked("Observation", text), key=b"")))
        assert bundle["total"] == len(expected)
        found += [entry["resource"]["id"] for entry in bundle.get("entry", ())]
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        text = links.get("next", "").partition("?")[2]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_the_newest_first_are_the_newest_first(shelf, asked):
    loop, store, resources = shelf
    bundle = decode(
        loop.run_until_complete(run(store, asked("Observation", "_sort=-date&_count=100"), key=b""))
    )
    moments = [
        extract("Observation", resources[entry["resource"]["id"]][0]).moment for entry in bundle["entry"]
    ]
    known = [moment for moment in moments if moment is not None]
    assert known == sorted(known, reverse=True)
    assert moments[: len(known)] == known, "those without a date come last"
