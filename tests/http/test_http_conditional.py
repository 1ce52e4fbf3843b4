"""Conditional create, update and delete, https://hl7.org/fhir/R4/http.html#cond-update"""

from __future__ import annotations

import pytest

SYSTEM = "http://example.org/mrn"


def known_as(value: str, **more):
    return {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": value}], **more}


def criteria(value: str) -> str:
    return f"identifier={SYSTEM}|{value}"


def how_many(fhir, value: str) -> int:
    return fhir.get(f"/Patient?{criteria(value)}&_summary=count").json()["total"]


def test_conditional_create_creates_once(fhir):
    first = fhir.post("/Patient", known_as("a"), if_none_exist=criteria("a"))
    assert first.status_code == 201
    again = fhir.post("/Patient", known_as("a"), if_none_exist="?" + criteria("a"))
    assert again.status_code == 200
    assert again.headers["location"] == first.headers["location"]
    assert again.json() == first.json()
    assert how_many(fhir, "a") == 1


def test_conditional_create_with_several_matches_is_412(fhir):
    fhir.post("/Patient", known_as("a"))
    fhir.post("/Patient", known_as("a"))
    assert fhir.post("/Patient", known_as("a"), if_none_exist=criteria("a")).status_code == 412
    assert how_many(fhir, "a") == 2


def test_of_concurrent_conditional_creates_one_wins(fhir):
    request = ("POST", "/Patient", known_as("a"), {"if-none-exist": criteria("a")})
    answers = fhir.together(*[request] * 16)
    assert sorted(answer.status_code for answer in answers) == [200] * 15 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert how_many(fhir, "a") == 1


@pytest.mark.parametrize(
    "header",
    ["", "?", "nonsense=1", "identifier=", "_count=1", "_sort=name", "identifier:nonsense=a", "%FF=1"],
)
def test_criteria_that_select_nothing_certain_are_refused(fhir, header):
    fhir.post("/Patient", known_as("a"))
    assert fhir.post("/Patient", known_as("a"), if_none_exist=header).status_code == 400
    assert fhir.put(f"/Patient?{header}", known_as("a")).status_code == 400
    assert fhir.delete(f"/Patient?{header}").status_code == 400
    assert how_many(fhir, "a") == 1


def test_conditional_update_creates_where_nothing_matches(fhir):
    made = fhir.put(f"/Patient?{criteria('a')}", known_as("a"))
    assert made.status_code == 201
    assert made.headers["location"].endswith("/_history/1")
    assert fhir.get(f"/Patient/{made.json()['id']}").json() == made.json()


def test_conditional_update_creates_with_the_id_in_the_body(fhir):
    made = fhir.put(f"/Patient?{criteria('a')}", known_as("a", id="mine"))
    assert made.status_code == 201
    assert made.json()["id"] == "mine"


def test_conditional_update_does_not_take_over_an_id_that_is_somebody_elses(fhir):
    fhir.put("/Patient/mine", known_as("b", id="mine"))
    assert fhir.put(f"/Patient?{criteria('a')}", known_as("a", id="mine")).status_code == 409
    assert fhir.get("/Patient/mine").json()["identifier"][0]["value"] == "b"


def test_conditional_update_revives_a_deleted_id(fhir):
    fhir.put("/Patient/mine", known_as("a", id="mine"))
    fhir.delete("/Patient/mine")
    made = fhir.put(f"/Patient?{criteria('a')}", known_as("a", id="mine"))
    assert (made.status_code, made.headers["etag"]) == (201, 'W/"3"')


def test_conditional_update_updates_the_one_match(fhir):
    first = fhir.put(f"/Patient?{criteria('a')}", known_as("a"))
    id_ = first.json()["id"]
    second = fhir.put(f"/Patient?{criteria('a')}", known_as("a", active=True))
    assert second.status_code == 200
    assert (second.json()["id"], second.json()["meta"]["versionId"]) == (id_, "2")
    third = fhir.put(f"/Patient?{criteria('a')}", known_as("a", id=id_))
    assert third.headers["etag"] == 'W/"3"'
    assert how_many(fhir, "a") == 1


def test_conditional_update_refuses_another_id_than_the_match_has(fhir):
    fhir.put(f"/Patient?{criteria('a')}", known_as("a"))
    assert fhir.put(f"/Patient?{criteria('a')}", known_as("a", id="other")).status_code == 400
    assert fhir.get("/Patient/other").status_code == 404


def test_conditional_update_with_several_matches_is_412(fhir):
    fhir.post("/Patient", known_as("a"))
    fhir.post("/Patient", known_as("a"))
    assert fhir.put(f"/Patient?{criteria('a')}", known_as("a")).status_code == 412


def test_conditional_update_with_if_match(fhir):
    fhir.put(f"/Patient?{criteria('a')}", known_as("a"))
    assert fhir.put(f"/Patient?{criteria('a')}", known_as("a"), if_match='W/"5"').status_code == 412
    assert fhir.put(f"/Patient?{criteria('a')}", known_as("a"), if_match='W/"1"').status_code == 200


def test_an_updated_resource_is_found_by_what_it_says_now(fhir):
    made = fhir.put(f"/Patient?{criteria('a')}", known_as("a"))
    fhir.put(f"/Patient?{criteria('a')}", known_as("b"))
    assert how_many(fhir, "a") == 0
    assert fhir.get(f"/Patient?{criteria('b')}").json()["entry"][0]["resource"]["id"] == made.json()["id"]


def test_of_concurrent_conditional_updates_one_creates(fhir):
    answers = fhir.together(*[("PUT", f"/Patient?{criteria('a')}", known_as("a"))] * 10)
    assert sorted(answer.status_code for answer in answers) == [200] * 9 + [201]
    assert how_many(fhir, "a") == 1


def test_conditional_delete_deletes_the_one_match(fhir):
    made = fhir.post("/Patient", known_as("a"))
    assert fhir.delete(f"/Patient?{criteria('a')}").status_code == 204
    assert fhir.get(f"/Patient/{made.json()['id']}").status_code == 410
    assert fhir.delete(f"/Patient?{criteria('a')}").status_code == 204


def test_conditional_delete_refuses_several_matches(fhir):
    fhir.post("/Patient", known_as("a"))
    fhir.post("/Patient", known_as("a"))
    assert fhir.delete(f"/Patient?{criteria('a')}").status_code == 412
    assert how_many(fhir, "a") == 2


def test_update_and_delete_of_a_whole_type_are_refused(fhir):
    fhir.post("/Patient", known_as("a"))
    assert fhir.put("/Patient", known_as("a")).status_code == 400
    assert fhir.delete("/Patient").status_code == 400
    assert fhir.delete("/Patient?_pretty=true").status_code == 400
    assert how_many(fhir, "a") == 1
