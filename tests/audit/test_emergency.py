"""Breaking the glass: for practitioners, with a reason, for a while, and loudly."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from fhir_server.access.emergency import begin, emergencies
from profiles.structure import validate
from tests.access.asking import backend, nurse, patient

OPERATION = "/Patient/kari/$break-the-glass"
KARI = {
    "resourceType": "Patient",
    "id": "kari",
    "managingOrganization": {"reference": "Organization/hospital"},
}
TEAM = {
    "resourceType": "CareTeam",
    "id": "team",
    "status": "active",
    "subject": {"reference": "Patient/kari"},
    "participant": [{"member": {"reference": "Practitioner/2"}}],
}


def because(reason: Any = "Unconscious in the street") -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueString": reason}]}


def with_kari(fhir: Any) -> Any:
    fhir.put("/Patient/kari", KARI)
    fhir.put("/Patient/ola", {"resourceType": "Patient", "id": "ola"})
    fhir.put("/CareTeam/team", TEAM)
    fhir.grant = nurse("1")
    assert fhir.get("/Patient/kari").status_code == 404
    return fhir


def test_the_practitioner_sees_the_patient_and_no_other_until_it_ends(fhir: Any, clock: Any) -> None:
    with_kari(fhir)
    answer = fhir.post(OPERATION, because())
    assert answer.status_code == 200 and validate(answer.json()) == []
    until = answer.json()["parameter"][0]["valueInstant"]
    assert until.startswith("2026-11-21T10:00:00")
    assert fhir.get("/Patient/kari").status_code == 200
    assert fhir.get("/Patient/ola").status_code == 404
    fhir.grant = nurse("2x")
    assert fhir.get("/Patient/kari").status_code == 404
    fhir.grant = nurse("1")
    clock.now += timedelta(minutes=61)
    assert fhir.get("/Patient/kari").status_code == 404


def test_it_lasts_as_long_as_is_set(fhir_with: Any, clock: Any) -> None:
    fhir = with_kari(fhir_with(emergency_minutes=5))
    fhir.post(OPERATION, because())
    clock.now += timedelta(minutes=4)
    assert fhir.get("/Patient/kari").status_code == 200
    clock.now += timedelta(minutes=2)
    assert fhir.get("/Patient/kari").status_code == 404


def test_it_is_in_the_log_and_so_is_all_that_is_looked_at_meanwhile(fhir: Any) -> None:
    with_kari(fhir)
    (event,) = fhir.new(lambda: fhir.post(OPERATION, because()))
    assert (event.kind, event.what, event.who.purpose) == ("emergency", "emergency-started", "BTG")
    assert (event.who.user, event.reason) == ("Practitioner/1", "Unconscious in the street")
    (event,) = fhir.new(lambda: fhir.get("/Patient/kari"))
    assert event.who.purpose == "BTG"
    (event,) = fhir.new(lambda: fhir.get("/Patient?_id=kari"))
    assert event.who.purpose == "BTG"
    (event,) = fhir.new(lambda: fhir.get("/Patient/ola"))
    assert event.who.purpose == "TREAT"
    fhir.grant = patient("kari", "patient/AuditEvent.rs")
    found = fhir.get("/AuditEvent?subtype=110127").json()["entry"]
    assert len(found) == 1 and "Practitioner/1" in str(found[0])


def test_others_are_told_loudly(fhir_with: Any) -> None:
    fhir = with_kari(fhir_with(privacy_officer="PractitionerRole/officer"))
    fhir.post(OPERATION, because())
    fhir.grant = None
    (told,) = [entry["resource"] for entry in fhir.get("/Communication").json()["entry"]]
    assert [each["reference"] for each in told["recipient"]] == [
        "CareTeam/team",
        "Organization/hospital",
        "PractitionerRole/officer",
    ]
    assert told["priority"] == "stat" and "Unconscious" in told["payload"][0]["contentString"]
    (task,) = [entry["resource"] for entry in fhir.get("/Task?patient=kari").json()["entry"]]
    assert task["owner"] == {"reference": "PractitionerRole/officer"}
    assert task["focus"] == {"reference": f"Communication/{told['id']}"}
    assert validate(told) == validate(task) == []
    fhir.grant = patient("kari")
    assert fhir.get(f"/Communication/{told['id']}").status_code == 200


@pytest.mark.parametrize(
    ("grant", "status"),
    [
        (patient("kari"), 403),
        (backend(), 403),
        (nurse("1", "patient/*.cruds", patient="kari"), 403),
        (None, 400),
    ],
    ids=["a patient", "a service", "an app of one patient", "access control off"],
)
def test_it_is_for_practitioners_who_are_signed_in(sqlite_fhir: Any, grant: Any, status: int) -> None:
    fhir = sqlite_fhir
    with_kari(fhir)
    fhir.grant = grant
    assert fhir.post(OPERATION, because()).status_code == status
    fhir.grant = nurse("1")
    assert fhir.get("/Patient/kari").status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        because("short"),
        because("x" * 501),
        {"resourceType": "Parameters"},
        {"resourceType": "Parameters", "parameter": [{"name": "reason", "valueCode": "emergency-now"}]},
        {"resourceType": "Parameters", "parameter": because()["parameter"] * 2},
    ],
    ids=["short", "long", "none", "no string", "two"],
)
def test_it_takes_a_reason(sqlite_fhir: Any, body: Any) -> None:
    with_kari(sqlite_fhir)
    assert sqlite_fhir.post(OPERATION, body).status_code == 400
    assert sqlite_fhir.get("/Patient/kari").status_code == 404


def test_a_patient_who_is_not_there_is_404_and_a_get_is_not_possible(sqlite_fhir: Any) -> None:
    fhir = with_kari(sqlite_fhir)
    assert fhir.post("/Patient/nobody/$break-the-glass", because()).status_code == 404
    assert fhir.get(OPERATION).status_code == 405
    in_bundle = {"request": {"method": "POST", "url": OPERATION[1:]}, "resource": because()}
    answer = fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": [in_bundle]})
    assert answer.status_code in (404, 405)
    assert fhir.get("/Patient/kari").status_code == 404


def test_a_number_in_the_reason_is_not_kept(sqlite_fhir: Any) -> None:
    with_kari(sqlite_fhir)
    (event,) = sqlite_fhir.new(lambda: sqlite_fhir.post(OPERATION, because("She says 01017012345 is hers")))
    assert event.reason == "She says *** is hers"


def test_the_emergencies_of_one_user_are_no_others(fhir: Any) -> None:
    """Practitioner/1 is the beginning of Practitioner/10."""

    def work(tx: Any) -> None:
        begin(tx, "Practitioner/1", "kari", "x", 2000)
        begin(tx, "Practitioner/10", "ola", "x", 2000)
        begin(tx, "Practitioner/1", "per", "x", 1000)

    fhir.run(fhir.store.transact(work))
    assert fhir.run(emergencies(fhir.store, "Practitioner/1", 1000)) == ("kari",)
    assert fhir.run(emergencies(fhir.store, "Practitioner/10", 1000)) == ("ola",)
    assert fhir.run(emergencies(fhir.store, "Practitioner/1", 2000)) == ()
