"""A reading whose patient is named by an identifier alone, https://hl7.org/fhir/R4/references.html#logical."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.resource_json import decode, encode
from tests.alerts.conftest import details_of, zone_of
from tests.rules.build import SPO2, care_plan, observation, target

NUMBER = {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "n-1"}
LOW = "2026-11-21T08:00:00+01:00"


def patient(ward: Any, id: str = "p", number: Any = NUMBER) -> None:
    ward.put({"resourceType": "Patient", "id": id, "identifier": [number]})


def reading(value: Any = 85, time: str = LOW, **subject: Any) -> dict[str, Any]:
    return {**observation(SPO2, value, time), "subject": subject or {"identifier": NUMBER}}


def post(ward: Any, resource: dict[str, Any]) -> dict[str, Any]:
    answer = ward.fhir.post(f"/{resource['resourceType']}", encode(resource))
    assert answer.status_code == 201, answer.text
    return decode(answer.content)


def total(ward: Any, query: str) -> int:
    return int(ward.fhir.get(f"/{query}&_total=accurate").json()["total"])


def technical(ward: Any) -> list[dict[str, Any]]:
    flags = ward.found("Flag", status="active")
    return [flag for flag in flags if zone_of(flag) == "technical"]


def test_the_patient_is_found_and_what_was_sent_is_kept(ward: Any) -> None:
    patient(ward)
    stored = post(ward, reading(95))
    assert stored["subject"] == {"identifier": NUMBER}
    for query in ("Observation?patient=p", "Observation?subject=Patient/p", "Observation?patient=Patient/p&code=59408-5",
                  f"Observation?subject:identifier={NUMBER['system']}|{NUMBER['value']}", "Patient/p/Observation?_sort=date"):  # fmt: skip
        assert total(ward, query) == 1, query
    assert total(ward, "Observation?patient=other") == 0


def test_it_is_judged_by_the_patients_plan(ward: Any) -> None:
    patient(ward)
    ward.plan(target(SPO2, low=90))
    id = post(ward, reading())["id"]
    assert details_of(ward.flag()) == [id]
    ward.amend(id, status="entered-in-error")
    assert ward.flags() == []


def test_earlier_readings_of_the_same_kind_count(ward: Any) -> None:
    patient(ward)
    ward.plan(target(SPO2, low=90))
    first = post(ward, reading(85, "2026-11-20T08:00:00+01:00"))["id"]
    second = ward.read(SPO2, 84, "2026-11-21")
    assert details_of(ward.flag()) == [first, second]


def test_a_plan_may_name_its_patient_so_as_well(ward: Any) -> None:
    patient(ward)
    plan = care_plan(target(SPO2, low=90), id="plan", careTeam=[{"reference": "CareTeam/team"}])
    ward.put({**plan, "subject": {"identifier": NUMBER}})
    post(ward, reading())
    assert ward.zones() == ["yellow"]


@pytest.mark.parametrize("known", [0, 2])
def test_an_identifier_of_nobody_or_of_several_is_stored_and_told(ward: Any, known: int) -> None:
    ward.plan(target(SPO2, low=90))
    for number in range(known):
        patient(ward, f"p{number}")
    stored = post(ward, reading())
    (flag,) = technical(ward)
    assert flag["subject"] == {"identifier": NUMBER}
    assert details_of(flag) == [stored["id"]]
    assert ("flere" in flag["code"]["text"]) == (known == 2)
    assert total(ward, "Observation?patient=p0") == 0
    tasks = ward.found("Task", status="requested")
    assert [task["focus"]["reference"] for task in tasks] == [f"Flag/{flag['id']}"]
    ward.put({**stored, "note": [{"text": "again"}]})
    assert len(technical(ward)) == 1


def test_it_is_over_when_the_reading_is_written_again_and_its_patient_is_known(ward: Any) -> None:
    ward.plan(target(SPO2, low=90))
    stored = post(ward, reading())
    assert len(technical(ward)) == 1
    patient(ward)
    ward.put({**stored, "note": [{"text": "again"}]})
    assert technical(ward) == []
    open_tasks = ward.found("Task", status="requested")
    assert [task for task in open_tasks if task["focus"]["reference"].endswith(".unresolved")] == []
    assert details_of(ward.flag()) == [stored["id"]]
    again = post(ward, reading(84, identifier={**NUMBER, "value": "unknown"}))
    assert len(technical(ward)) == 1
    ward.fhir.delete(f"/Observation/{again['id']}")
    assert technical(ward) == []


@pytest.mark.parametrize(
    "subject",
    [
        {"display": "somebody"},
        {"identifier": {"system": "urn:x"}},
        {"type": "Group", "identifier": NUMBER},
        {"reference": "Group/g", "identifier": NUMBER},
    ],
)
def test_other_subjects_are_left_as_they_are(ward: Any, subject: dict[str, Any]) -> None:
    patient(ward)
    ward.plan(target(SPO2, low=90))
    assert post(ward, reading(85, **subject))["subject"] == subject
    assert ward.flags() == []
    assert technical(ward) == []
    assert total(ward, "Observation?patient=p") == 0


def test_a_patient_of_the_same_transaction_is_found_wherever_it_stands(ward: Any) -> None:
    entries = [
        {"resource": reading(95), "request": {"method": "POST", "url": "Observation"}},
        {
            "resource": {"resourceType": "Patient", "identifier": [NUMBER]},
            "request": {"method": "POST", "url": "Patient"},
        },
    ]
    answer = ward.fhir.post("", encode({"resourceType": "Bundle", "type": "transaction", "entry": entries}))
    assert answer.status_code == 200
    id = answer.json()["entry"][1]["response"]["location"].split("/")[1]
    assert total(ward, f"Observation?patient={id}") == 1
    assert technical(ward) == []


def test_a_deleted_patient_is_nobody(ward: Any) -> None:
    patient(ward, "q")
    ward.fhir.delete("/Patient/q")
    post(ward, reading())
    assert len(technical(ward)) == 1
