"""What nobody who signed in may do within their grant: let themselves in, or take an alert away from others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fhir_server.access.grant import Grant
from tests.access.asking import Server, backend, nurse, patient, scopes
from tests.access.resources import V, of, reading, ref, team

URN = "urn:uuid:00000000-0000-4000-8000-00000000000"
NURSE = nurse("n1")  # on the care team of a, and of nobody else
ENGINE = ref("Device/varde-engine")
SECRET = [{"system": V, "code": "V"}]


def identified(value: str) -> dict[str, Any]:
    return {"identifier": [{"system": "urn:x", "value": value}]}


def flag(id: str, who: str, **more: Any) -> dict[str, Any]:
    return of("Flag", id, status="active", code={"text": "x"}, subject=ref(f"Patient/{who}"), **more)


def denial(who: str, **more: Any) -> dict[str, Any]:
    scope = {"scope": {"text": "x"}, "category": [{"text": "x"}], "policyRule": {"text": "x"}}
    return of(
        "Consent",
        "x",
        status="active",
        patient=ref(f"Patient/{who}"),
        **scope,
        provision={"type": "deny"} | more,
    )


@pytest.fixture
def ward(server: Server) -> Server:
    for id in ("a", "b"):
        server.put(of("Patient", id, **identified(f"id-{id}")))
        server.put(reading(f"o{id}", id))
        server.put(flag(f"f{id}", id, author=ENGINE))
    server.put(of("Practitioner", "n1"))
    server.put(team("t", "a", "Practitioner/n1"))
    server.put(team("u", "b", "Practitioner/n2"))
    return server


def create(ward: Server, grant: Grant, *resources: dict[str, Any]) -> int:
    """The status of one, or of a transaction of several, which call each other URN0, URN1, ..."""
    bare = [{name: value for name, value in each.items() if name != "id"} for each in resources]
    if len(bare) == 1:
        return ward.ask(grant, "POST", f"/{bare[0]['resourceType']}", bare[0]).status_code
    entries = [
        {"fullUrl": f"{URN}{n}", "resource": each, "request": {"method": "POST", "url": each["resourceType"]}}
        for n, each in enumerate(bare)
    ]
    return ward.ask(
        grant, "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    ).status_code


def test_nobody_lets_themselves_in_by_a_transaction_with_a_new_patient(ward: Server) -> None:
    own = of("Patient", "x", generalPractitioner=[ref("Practitioner/n1")])
    assert create(ward, NURSE, own, team("z", "b", "Practitioner/n1", f"{URN}0")) == 403
    assert create(ward, NURSE, own) == 403
    assert ward.get(NURSE, "/Observation/ob").status_code == 404


@pytest.mark.parametrize(
    "resource",
    [
        reading("x", "a", performer=[ref("Patient/b")]),
        of("Account", "x", status="active", subject=[ref("Patient/a"), ref("Patient/b")]),
        of(
            "Appointment",
            "x",
            status="proposed",
            participant=[{"actor": ref(f"Patient/{who}"), "status": "accepted"} for who in ("a", "b")],
        ),
        of("Person", "x", link=[{"target": ref(f"Patient/{who}")} for who in ("a", "b")]),
    ],
    ids=lambda resource: resource["resourceType"],
)
def test_nothing_of_one_patient_comes_into_the_record_of_another(
    ward: Server, resource: dict[str, Any]
) -> None:
    assert create(ward, NURSE, resource) == 403
    assert ward.found(patient("b"), f"/{resource['resourceType']}") in ([], ["Observation/ob"])


def test_a_patient_writes_to_no_other_patient(ward: Server) -> None:
    message = of("Communication", "x", status="completed", sender=ref("Patient/a"))
    payload = {"payload": [{"contentString": "Stop your medicine"}]}
    assert create(ward, patient("a"), message | payload | {"recipient": [ref("Patient/b")]}) == 403
    assert create(ward, patient("a"), message | payload | {"recipient": [ref("Practitioner/n1")]}) == 201


def test_who_a_patient_is_and_who_cares_for_them_is_for_administrators(ward: Server) -> None:
    """Two patients with one identifier would keep the alerts of both from being raised."""
    stored = ward.get(backend(), "/Patient/a").json()
    for change in (
        {"identifier": [*stored["identifier"], {"system": "urn:x", "value": "id-b"}]},
        {"generalPractitioner": [ref("Practitioner/n9")]},
        {"active": False},
        {"link": [{"other": ref("Patient/b"), "type": "seealso"}]},
    ):
        assert ward.ask(NURSE, "PUT", "/Patient/a", {**stored, **change}).status_code == 403
    assert ward.ask(NURSE, "PUT", "/Patient/a", {**stored, "birthDate": "1950-01-01"}).status_code == 200
    assert ward.ask(NURSE, "DELETE", "/Patient/a").status_code == 403


def test_that_a_number_is_on_record_is_not_to_be_read_off_a_refusal(ward: Server) -> None:
    answers = [
        create(ward, NURSE, body)
        for value in ("id-b", "nobody")
        for body in (
            of(
                "Task",
                "x",
                status="requested",
                intent="order",
                **{"for": {"identifier": identified(value)["identifier"][0]}},
            ),
            of(
                "Flag",
                "x",
                status="active",
                code={"text": "x"},
                subject={"identifier": identified(value)["identifier"][0]},
            ),
            reading("x", "", subject={"identifier": identified(value)["identifier"][0]}),
        )
    ]
    assert answers == [403] * 6


def test_a_denial_is_kept_by_administrators_and_services(ward: Server) -> None:
    """Who is held back would end it, and who is not could hide the alerts of others."""
    data = [{"meaning": "instance", "reference": ref("Flag/fb")}]
    assert create(ward, NURSE, denial("a", data=data)) == 403
    nested = {"type": "permit", "provision": [{"type": "deny"}]}
    assert create(ward, NURSE, denial("a") | {"provision": nested}) == 403
    assert create(ward, NURSE, denial("a", type="permit")) == 201
    ward.put({**denial("a", **{"class": [{"code": "Observation"}]}), "id": "held"})
    stored = ward.get(backend(), "/Consent/held").json()
    assert ward.ask(NURSE, "PUT", "/Consent/held", {**stored, "status": "inactive"}).status_code in (403, 404)
    assert ward.ask(NURSE, "DELETE", "/Consent/held").status_code in (204, 403)
    assert ward.get(backend(), "/Consent/held").json()["status"] == "active"
    assert ward.found(NURSE, "/Observation") == []


def test_alerts_are_neither_deleted_nor_hidden_by_those_who_work_with_them(ward: Server) -> None:
    unresolved = of(
        "Flag", "f", status="active", code={"text": "x"}, subject=ref("Location/x"), author=ENGINE
    )
    ward.put(unresolved)
    for id in ("fa", "f"):
        stored = ward.get(NURSE, f"/Flag/{id}").json()
        assert ward.ask(NURSE, "DELETE", f"/Flag/{id}").status_code == 403
        hidden = {**stored, "meta": {"security": SECRET}}
        assert ward.ask(NURSE, "PUT", f"/Flag/{id}", hidden).status_code == 403
        assert ward.ask(NURSE, "PUT", f"/Flag/{id}", {**stored, "status": "inactive"}).status_code == 200
    assert create(ward, NURSE, flag("x", "a")) == 201


def test_what_breaking_the_glass_opens_is_not_made_to_last(ward: Server) -> None:
    inside = replace(NURSE, emergencies=("b",))
    assert ward.get(inside, "/Observation/ob").status_code == 200
    assert create(ward, inside, reading("x", "b")) == 201
    ours = team("u", "b", "Practitioner/n2", "Practitioner/n1")
    assert ward.ask(inside, "PUT", "/CareTeam/u", ours).status_code == 403
    assert create(ward, inside, team("x", "b", "Practitioner/n1")) == 403
    assert ward.ask(inside, "DELETE", "/Observation/ob").status_code == 403
    assert ward.get(NURSE, "/Observation/ob").status_code == 404


def test_the_engines_device_is_nobodys_to_change_by_whatever_finds_it(ward: Server) -> None:
    for grant in (NURSE, backend()):
        assert ward.ask(grant, "DELETE", "/Device?_id=varde-engine").status_code == 403
        body = of("Device", "varde-engine", lotNumber="y")
        assert ward.ask(grant, "PUT", "/Device?_id=varde-engine", body).status_code == 403
    ward.put(of("Device", "stock"))
    assert ward.ask(NURSE, "DELETE", "/Device/stock").status_code == 403


def test_who_is_held_back_from_a_patient_writes_nothing_of_theirs(ward: Server) -> None:
    ward.put({**denial("a"), "id": "all"})
    assert create(ward, NURSE, reading("x", "a")) == 403
    assert create(ward, nurse("n1", "user/Observation.c"), reading("x", "a")) == 403


def test_a_scope_to_create_is_enough_where_the_patient_may_be_seen(ward: Server) -> None:
    assert create(ward, nurse("n1", "user/Observation.c"), reading("x", "a")) == 201
    assert create(ward, Grant("app", scopes("patient/Observation.c"), "patient", "a", "Patient/a", "a"),
                  reading("x", "a")) == 201  # fmt: skip
