"""No search that a grant confines scans, on either store; one of a patient walks that patient's index."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest

from fhir_server.access.confined import Rules
from fhir_server.access.grant import Grant
from fhir_server.search.parse import parse
from fhir_server.search.query import Query
from fhir_server.store import joins, paths, sql
from tests.access.asking import Server, backend, nurse, patient
from tests.access.resources import of, reading, ref, team

SCAN = re.compile(r"SCAN (?!p\b|x\b|\(|CONSTANT ROW|\d+ CONSTANT)|AUTOMATIC")
NOW = 1_795_000_000_000_000
GRANTS: list[Grant] = [
    patient("a"),
    patient("a", "patient/*.rs?_lastUpdated=gt2020-01-01"),
    nurse("n1", organizations=("h",), emergencies=("b",)),
    nurse("n1", "patient/*.rs", patient="a"),
    Grant("app", patient("a").scopes, "related", "r", "RelatedPerson/r", "a"),
    backend(),
]
SEARCHES = {
    "Observation": [
        "",
        "code=pulse",
        "patient=a&code=pulse&_sort=-date",
        "_sort=-date",
        "patient.gender=female",
        "_id=oa",
        "date=gt2020-01-01",
    ],
    "Patient": ["", "gender=female", "_has:Observation:patient:code=pulse"],
    "Task": ["", "status=requested"],
    "Device": [""],
    "Practitioner": ["", "_has:Observation:performer:code=pulse"],
}


def query_of(type: str, text: str) -> Query:
    pairs = [tuple(pair.split("=", 1)) for pair in text.split("&")] if text else []
    return parse(type, pairs, base="http://varde.test/fhir", now=datetime(2026, 11, 21, tzinfo=UTC)).query


@pytest.fixture
def filled(server: Server) -> Server:
    server.put(of("Organization", "h", name="h"))
    for one in ("a", "b", "c"):
        server.put(of("Patient", one, gender="female"))
        server.put(team(f"t{one}", one, "Practitioner/n1"))
        server.put(reading(f"o{one}", one, performer=[ref("Practitioner/n1")]))
    return server


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
def test_no_confined_search_scans(filled: Server, monkeypatch: pytest.MonkeyPatch, many: bool) -> None:
    if many:
        monkeypatch.setattr(paths, "PROBE", 1)
        monkeypatch.setattr(sql, "PROBE", 1)
        monkeypatch.setattr(joins, "FEW", 1)
    mongodb = filled.store.name == "mongodb"
    for number, grant in enumerate(GRANTS):
        rules = Rules(grant, NOW, denials=number % 2 == 0)
        asked = [(type, text) for type, texts in SEARCHES.items() for text in texts]
        for type, text in asked[number :: 6 if mongodb else 2]:  # the stand-in takes its time
            lines = filled.run(filled.store.explain(rules.confined(query_of(type, text))))
            if mongodb:
                assert not any("COLLSCAN" in line for line in lines), (lines, grant, type, text)
            else:
                assert not any(map(SCAN.search, lines)), (lines, grant, type, text)


def plan(sqlite: Server, grant: Grant, type: str, text: str) -> list[str]:
    rules = Rules(grant, NOW, denials=False)
    lines: list[str] = sqlite.run(sqlite.store.explain(rules.confined(query_of(type, text))))
    return lines


def test_a_patients_app_walks_its_patients_index(sqlite: Server) -> None:
    for type in ("Goal", "Task", "Flag"):
        lines = plan(sqlite, patient("a"), type, "")
        assert any("version_patient" in line for line in lines), lines


def test_what_refers_to_a_patient_is_walked_rather_than_everything(
    sqlite: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Observations of which the patient is the performer are in the compartment, and another's."""
    monkeypatch.setattr(paths, "PROBE", 1)
    monkeypatch.setattr(sql, "PROBE", 1)
    for one in ("a", "b"):
        for number in range(3):
            sqlite.put(reading(f"o{one}{number}", one, performer=[ref(f"Patient/{one}")]))
    lines = plan(sqlite, patient("a"), "Observation", "_sort=-date")
    assert not any("version_moment" in line for line in lines), lines
    assert any("reference_id" in line for line in lines), lines
    assert sqlite.found(patient("a"), "/Observation?_sort=-date&_count=2") == [
        "Observation/oa2",
        "Observation/oa1",
    ]


def test_a_practitioners_search_of_one_patient_looks_at_that_patient_only(sqlite: Server) -> None:
    rules = Rules(nurse("n1"), NOW, denials=False)
    told = str(rules.confined(query_of("Observation", "patient=Patient/a&code=pulse")).where)
    assert "Test(column='id', op='=', value='a'),)), " in told
