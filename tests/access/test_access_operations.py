"""Operations, pages, results that come later, and what is for administrators."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.access.grant import Grant
from tests.access.asking import Server, backend, nurse, patient, scopes
from tests.access.resources import of, reading, ref, team

ADMIN = Grant("console", scopes("user/*.cruds"), "administrator", "x", "Practitioner/x")


@pytest.fixture
def ward(sqlite: Server) -> Server:
    for id in ("a", "b"):
        sqlite.put(of("Patient", id, gender="female"))
        for number in range(3):
            sqlite.put(reading(f"o{id}{number}", id, effectiveDateTime=f"2026-11-0{number + 1}"))
    sqlite.put(team("t", "a", "Practitioner/n1"))
    sqlite.put(team("u", "b", "Practitioner/n2"))
    return sqlite


def next_of(answer: Any) -> str:
    return next(link["url"] for link in answer.json()["link"] if link["relation"] == "next")


def test_a_cursor_is_good_for_the_grant_that_it_was_made_for(ward):
    url = next_of(ward.get(nurse("n1"), "/Observation?_count=1"))
    assert ward.get(nurse("n1"), url).status_code == 200
    assert ward.get(nurse("n1", organizations=("h",)), url).status_code == 410
    assert ward.get(nurse("n2"), url).status_code == 410
    assert ward.get(patient("a"), url).status_code == 410
    renewed = Grant(**{**{name: getattr(nurse("n1"), name) for name in Grant.__slots__}, "token": "another"})
    assert ward.get(renewed, url).status_code == 200, "the next access token of the same sign-in"


def test_a_label_holds_on_the_pages_that_follow(ward):
    """A page is of a snapshot; what is withheld now is not shown from then."""
    url = next_of(ward.get(nurse("n1"), "/Observation?_count=1"))
    label = {"security": [{"system": "https://varde.dev/fhir/CodeSystem/access", "code": "sperret"}]}
    ward.put(reading("oa1", "a", meta=label))
    assert ward.found(nurse("n1"), url) == []
    assert ward.found(nurse("n1"), next_of(ward.get(nurse("n1"), url))) == ["Observation/oa2"]


def test_pages_of_several_types_go_on_behind_what_has_been_hidden(ward):
    """The readings of a page are all hidden meanwhile; those behind them are not lost."""
    for number in range(3, 8):
        ward.put(reading(f"oa{number}", "a"))
    first = ward.get(nurse("n1"), "/?_type=Observation,CareTeam&_count=2")
    for number in (2, 3):
        label = {"security": [{"system": "https://varde.dev/fhir/CodeSystem/access", "code": "sperret"}]}
        ward.put(reading(f"oa{number}", "a", meta=label))
    told, answer = [], first
    for _ in range(6):
        told += [entry["resource"]["id"] for entry in answer.json().get("entry", ())]
        if not any(link["relation"] == "next" for link in answer.json()["link"]):
            break
        answer = ward.get(nurse("n1"), next_of(answer))
    assert told == ["oa0", "oa1", "t", "oa4", "oa5", "oa6", "oa7"]


def test_the_end_of_care_holds_on_the_pages_that_follow(ward):
    url = next_of(ward.get(nurse("n1"), "/Observation?_count=1"))
    ward.put(team("t", "a", "Practitioner/n3"))
    assert ward.found(nurse("n1"), url) == []


def test_results_are_for_those_who_asked(ward):
    for grant in (nurse("n1"), patient("a")):
        started = ward.get(grant, "/Observation", prefer="respond-async")
        url = started.headers["content-location"]
        for other in (nurse("n2"), patient("b"), backend(), None):
            assert ward.get(other, url).status_code == 404
            assert ward.get(other, f"{url}/result").status_code == 404
            assert ward.ask(other, "DELETE", url).status_code == 404
        while ward.get(grant, url).status_code == 202:
            pass
        body = ward.get(grant, f"{url}/result").json()
        assert [entry["resource"]["id"] for entry in body["entry"]] == ["oa0", "oa1", "oa2"]


def test_what_is_of_the_whole_server_is_for_its_administrators(ward):
    for grant in (nurse("n1"), patient("a"), backend("system/Observation.rs")):
        assert ward.get(grant, "/_history").status_code == 403
        assert ward.get(grant, "/$meta").status_code == 403
        assert ward.ask(grant, "POST", "/$reindex").status_code == 403
    assert ward.get(backend(), "/_history").status_code == 200
    assert ward.ask(ADMIN, "POST", "/$reindex").status_code == 200


def test_everything_of_a_patient_is_what_is_visible_of_it(ward):
    assert ward.found(nurse("n1"), "/Patient/a/$everything?_count=50") == [
        "Patient/a", "Observation/oa0", "Observation/oa1", "Observation/oa2", "CareTeam/t",
    ]  # fmt: skip
    assert ward.get(nurse("n1"), "/Patient/b/$everything").status_code == 404
    only_teams = nurse("n1", "user/Patient.r", "user/CareTeam.s")
    assert ward.found(only_teams, "/Patient/a/$everything") == ["CareTeam/t"]


def parameters(**values: str) -> dict[str, Any]:
    parts = [{"name": name, "valueString": value} for name, value in values.items()]
    return {"resourceType": "Parameters", "parameter": parts}


def test_expressions_are_of_what_is_visible(ward):
    asked = parameters(expression="Patient.gender", resource="Patient/b")
    assert ward.ask(nurse("n2"), "POST", "/$fhirpath", asked).status_code == 200
    assert ward.ask(nurse("n1"), "POST", "/$fhirpath", asked).status_code == 404
    asked = parameters(expression="Observation.subject.resolve().gender", resource="Observation/oa0")
    ward.put(reading("oa0", "a", focus=[ref("Patient/b")]))
    focus = parameters(expression="Observation.focus.resolve().gender", resource="Observation/oa0")
    assert "female" in ward.ask(nurse("n1"), "POST", "/$fhirpath", asked).text
    assert "female" not in ward.ask(nurse("n1"), "POST", "/$fhirpath", focus).text
    count = parameters(expression="Count([Observation])", subject="Patient/a")
    assert ward.ask(nurse("n1"), "POST", "/$cql", count).json()["parameter"][0]["valueInteger"] == 3
    assert ward.ask(nurse("n2"), "POST", "/$cql", count).status_code == 404


def test_value_sets_mean_the_same_to_everybody(ward):
    include = [{"system": "http://loinc.org", "concept": [{"code": "pulse"}]}]
    ward.put(of("ValueSet", "v", url="urn:v", status="active", compose={"include": include}))
    only = patient("a", "patient/Observation.rs")
    assert len(ward.found(only, "/Observation?code:in=urn:v")) == 3
    assert ward.get(only, "/ValueSet/v").status_code == 403
    assert ward.get(only, "/ValueSet/$expand?url=urn:v").status_code == 200


def test_each_entry_of_a_batch_is_held_by_itself(ward):
    urls = ["Observation/oa0", "Observation/ob0", "Condition/x", "Observation?_summary=count", "_history"]
    entries = [{"request": {"method": "GET", "url": url}} for url in urls]
    bundle = {"resourceType": "Bundle", "type": "batch", "entry": entries}
    only = patient("a", "patient/Observation.rs")
    told = ward.ask(only, "POST", "", bundle).json()["entry"]
    assert [entry["response"]["status"][:3] for entry in told] == ["200", "404", "403", "200", "403"]
    assert told[3]["resource"]["total"] == 3


def test_the_plan_of_a_search_is_for_administrators(ward):
    strict = {"prefer": "handling=strict"}
    assert ward.get(nurse("n1"), "/Observation?_explain=true", **strict).status_code == 400


def test_validation_does_not_look_at_what_is_hidden(ward):
    """A profile that looks through a reference must not tell of the patient at its other end."""
    profile = of(
        "StructureDefinition",
        "p",
        url="urn:p",
        name="P",
        status="active",
        kind="resource",
        abstract=False,
        type="Observation",
        baseDefinition="http://hl7.org/fhir/StructureDefinition/Observation",
        derivation="constraint",
        differential={
            "element": [
                {
                    "id": "Observation",
                    "path": "Observation",
                    "constraint": [
                        {
                            "key": "x-1",
                            "severity": "error",
                            "human": "not of a woman",
                            "expression": "subject.resolve().where(gender = 'female').empty()",
                        }
                    ],
                }
            ]
        },
    )
    ward.put(profile)
    asked = reading("x", "b", meta={"profile": ["urn:p"]})
    assert "x-1" in ward.ask(nurse("n2"), "POST", "/Observation/$validate", asked).text
    assert "x-1" not in ward.ask(nurse("n1"), "POST", "/Observation/$validate", asked).text
