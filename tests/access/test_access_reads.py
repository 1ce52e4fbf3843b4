"""What each kind of requester sees by reads and searches; https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html"""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.grant import Grant
from tests.access.asking import Server, backend, nurse, patient
from tests.access.resources import V, of, reading, ref, team


@pytest.fixture
def ward(server: Server) -> Server:
    """Two patients: a, whose nurse is n1, and b, whose nurse is nobody."""
    server.put(of("Organization", "h", name="Hospital"))
    server.put(of("Practitioner", "n1"))
    server.put(of("Patient", "a", gender="female"))
    server.put(of("Patient", "b", gender="male", managingOrganization=ref("Organization/h")))
    server.put(reading("oa", "a"))
    server.put(reading("ob", "b", performer=[ref("Practitioner/n1")]))
    server.put(team("t", "a", "Practitioner/n1"))
    return server


def test_a_patients_app_sees_its_patient_and_what_is_shared(ward):
    app = patient("a")
    assert ward.found(app, "/Observation") == ["Observation/oa"]
    assert ward.found(app, "/Patient") == ["Patient/a"]
    assert ward.found(app, "/Practitioner") == ["Practitioner/n1"]
    assert ward.get(app, "/Observation/oa").status_code == 200
    for path in ("/Observation/ob", "/Observation/nothing", "/Patient/b", "/Observation/ob/_history"):
        assert ward.get(app, path).status_code == 404, path


def test_what_is_hidden_is_answered_as_what_is_not_there(ward):
    hidden, absent = ward.get(patient("a"), "/Patient/b"), ward.get(patient("a"), "/Patient/c")
    assert hidden.json() == absent.json()
    assert set(hidden.headers) == set(absent.headers)


def test_a_practitioner_sees_the_patients_of_their_care_teams(ward):
    assert ward.found(nurse("n1"), "/Observation") == ["Observation/oa"]
    assert ward.found(nurse("n2"), "/Observation") == []
    ward.put(team("t", "a", "Practitioner/n1", status="inactive"))
    assert ward.found(nurse("n1"), "/Observation") == []
    assert ward.get(nurse("n1"), "/Observation/oa").status_code == 404


@pytest.mark.parametrize(
    "member",
    [
        of("PractitionerRole", "r", practitioner=ref("Practitioner/n2")),
        of("PractitionerRole", "r", active=True, practitioner=ref("Practitioner/n2")),
    ],
)
def test_a_practitioner_is_on_a_team_by_a_role(ward, member):
    ward.put(member)
    ward.put(team("t2", "b", "PractitionerRole/r"))
    assert ward.found(nurse("n2"), "/Patient") == ["Patient/b"]
    ward.put({**member, "active": False})
    assert ward.found(nurse("n2"), "/Patient") == []


def test_an_organisation_sees_those_whom_it_manages(ward):
    assert ward.found(nurse("n3", organizations=("h",)), "/Observation") == ["Observation/ob"]


def test_general_practitioners_see_their_patients(ward):
    ward.put(of("Patient", "b", generalPractitioner=[ref("Practitioner/gp")]))
    assert ward.found(nurse("gp"), "/Observation") == ["Observation/ob"]


def test_a_practitioner_in_a_patients_context_sees_that_patient_while_they_may(ward):
    in_context = nurse("n1", "patient/*.rs", patient="a")
    assert ward.found(in_context, "/Observation") == ["Observation/oa"]
    assert ward.found(nurse("n1", "patient/*.rs", patient="b"), "/Observation") == []
    ward.put(team("t", "a", "Practitioner/n9"))
    assert ward.found(in_context, "/Observation") == []


def test_what_is_not_granted_at_all_is_forbidden(ward):
    app = patient("a", "patient/Observation.rs", "patient/Patient.r")
    assert ward.get(app, "/Condition").status_code == 403
    assert ward.get(app, "/Patient").status_code == 403
    assert ward.get(app, "/Patient/a").status_code == 200
    assert ward.get(app, "/Patient/b").status_code == 404
    refused = ward.get(app, "/Condition/1")
    assert refused.status_code == 403
    assert refused.json()["issue"][0]["code"] == "forbidden"


def test_criteria_of_scopes_restrict_them(ward):
    ward.put(reading("oa2", "a", "weight"))
    app = patient("a", "patient/Observation.rs?code=http://loinc.org|weight")
    assert ward.found(app, "/Observation") == ["Observation/oa2"]
    assert ward.get(app, "/Observation/oa").status_code == 404
    assert ward.get(app, "/Observation/oa2").status_code == 200


def test_chains_and_reverse_chains_lead_over_what_is_visible_only(ward):
    app = nurse("n1")
    everybody = "/Practitioner?_has:Observation:performer:code=pulse"
    assert ward.found(None, everybody) == ["Practitioner/n1"]
    assert ward.found(app, everybody) == []
    ward.put(reading("oc", "a", subject=ref("Patient/a"), focus=[ref("Patient/b")]))
    assert ward.found(None, "/Observation?focus:Patient.gender=male") == ["Observation/oc"]
    assert ward.found(app, "/Observation?focus:Patient.gender=male") == []
    assert ward.found(app, "/Observation?patient.gender=female") == ["Observation/oa", "Observation/oc"]


def test_includes_bring_what_is_visible_only(ward):
    ward.put(reading("oc", "a", focus=[ref("Patient/b")]))
    found = ward.found(nurse("n1"), "/Observation?_include=Observation:focus&_include=Observation:patient")
    assert found == ["Observation/oa", "Observation/oc", "Patient/a"]
    shared = ward.found(patient("a"), "/Practitioner?_revinclude=Observation:performer")
    assert shared == ["Practitioner/n1"]


def test_labels_hide_from_all_but_those_who_wrote_it_and_the_patient(ward):
    label = {"security": [{"system": V, "code": "R"}]}
    ward.put(reading("oa", "a", meta=label, performer=[ref("Organization/h")]))
    assert ward.get(nurse("n1"), "/Observation/oa").status_code == 404
    assert ward.get(nurse("n1"), "/Observation/oa/_history/1").status_code == 404
    assert ward.get(backend(), "/Observation/oa").status_code == 404
    assert ward.found(backend(), "/Observation") == ["Observation/ob"]
    assert ward.get(backend(purpose="ETREAT"), "/Observation/oa").status_code == 200
    assert ward.get(nurse("n1", organizations=("h",)), "/Observation/oa").status_code == 200
    assert ward.get(nurse("n2", emergencies=("a",)), "/Observation/oa").status_code == 200
    assert ward.get(patient("a"), "/Observation/oa").status_code == 200
    ward.put(reading("oa", "a", meta={"security": [{"system": V, "code": "V"}]}))
    assert ward.get(patient("a"), "/Observation/oa").status_code == 404


def consent(patient: str, **provision: Any) -> dict[str, Any]:
    code = {"coding": [{"code": "x"}]}
    return of(
        "Consent",
        "c",
        status="active",
        scope=code,
        category=[code],
        policyRule=code,
        patient=ref(f"Patient/{patient}"),
        provision={"type": "deny", **provision},
    )


@pytest.mark.parametrize(
    ("provision", "hidden"),
    [
        ({}, True),
        ({"actor": [{"role": {"text": "x"}, "reference": ref("Practitioner/n1")}]}, True),
        ({"actor": [{"role": {"text": "x"}, "reference": ref("Practitioner/n2")}]}, False),
        ({"actor": [{"role": {"text": "x"}, "reference": ref("CareTeam/t")}]}, True),
        ({"class": [{"code": "Observation"}]}, True),
        ({"class": [{"code": "Condition"}]}, False),
        ({"data": [{"meaning": "instance", "reference": ref("Observation/oa")}]}, True),
        ({"data": [{"meaning": "instance", "reference": ref("Observation/ob")}]}, False),
        ({"purpose": [{"code": "TREAT"}]}, True),
        ({"purpose": [{"code": "HRESCH"}]}, False),
        ({"period": {"end": "2026-01-01"}}, False),
        ({"period": {"start": "2026-01-01"}}, True),
        ({"type": "permit", "provision": [{"type": "deny", "class": [{"code": "Observation"}]}]}, True),
        ({"type": "permit"}, False),
    ],
)
def test_consents_hide_what_they_deny(ward, provision, hidden):
    ward.put(consent("a", **provision))
    n1: Grant = nurse("n1")
    assert ward.found(n1, "/Observation") == ([] if hidden else ["Observation/oa"])
    assert ward.get(n1, "/Observation/oa").status_code == (404 if hidden else 200)
    assert ward.get(patient("a"), "/Observation/oa").status_code == 200
    assert ward.get(nurse("n1", emergencies=("a",)), "/Observation/oa").status_code == 200
    ward.put({**consent("a", **provision), "status": "inactive"})
    assert ward.found(n1, "/Observation") == ["Observation/oa"]
