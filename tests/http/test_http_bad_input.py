"""Bad input: nothing lost, nothing leaked, never a 500."""

from __future__ import annotations

import pytest

PATIENT = {"resourceType": "Patient", "active": True}


@pytest.fixture
def store_url(sqlite_url):
    """What is tested here happens before any store: one will do."""
    return sqlite_url


MALFORMED = {
    "empty": b"",
    "not JSON": b"hello",
    "XML": b'<Patient xmlns="http://hl7.org/fhir"/>',
    "truncated": b'{"resourceType":"Patient","name":[{"fam',
    "trailing": b'{"resourceType":"Patient"} x',
    "two resources": b'{"resourceType":"Patient"}{"resourceType":"Patient"}',
    "an array": b'[{"resourceType":"Patient"}]',
    "null": b"null",
    "a number": b"1",
    "deeply nested arrays": b'{"resourceType":"Patient","name":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deeply nested objects": b'{"resourceType":"Patient","x":' * 20_000 + b"1" + b"}" * 20_000,
    "duplicate keys": b'{"resourceType":"Patient","active":true,"active":false}',
    "duplicate keys below": b'{"resourceType":"Patient","name":[{"family":"a","family":"b"}]}',
    "NaN": b'{"resourceType":"Patient","multipleBirthInteger":NaN}',
    "Infinity": b'{"resourceType":"Patient","multipleBirthInteger":Infinity}',
    "a huge exponent": b'{"resourceType":"Patient","multipleBirthInteger":1e999999999}',
    "an endless integer": b'{"resourceType":"Patient","multipleBirthInteger":' + b"9" * 10_000 + b"}",
    "a lone surrogate": b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
    "latin-1": '{"resourceType":"Patient","name":[{"family":"Bjørn"}]}'.encode("latin-1"),
    "utf-16": '{"resourceType":"Patient"}'.encode("utf-16"),
    "no resourceType": b'{"active":true}',
    "resourceType of another": b'{"resourceType":"Observation"}',
    "resourceType unknown": b'{"resourceType":"Pasient"}',
    "resourceType a number": b'{"resourceType":5}',
    "resourceType null": b'{"resourceType":null}',
    "resourceType a list": b'{"resourceType":["Patient"]}',
    "resourceType an object": b'{"resourceType":{}}',
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_no_resource_of_the_type_is_400(fhir, body):
    assert fhir.post("/Patient", body).status_code == 400
    assert fhir.put("/Patient/p", body).status_code == 400
    assert fhir.post("/", body).status_code == 400
    assert fhir.get("/Patient?_summary=count").json()["total"] == 0


INVALID = {
    "unknown element": ({"nonsense": 1}, "Patient.nonsense"),
    "unknown element below": ({"name": [{"familie": "x"}]}, "Patient.name[0].familie"),
    "wrong type": ({"active": "yes"}, "Patient.active"),
    "object for a list": ({"name": {"family": "x"}}, "Patient.name"),
    "list for one": ({"gender": ["male"]}, "Patient.gender"),
    "bad date": ({"birthDate": "1974-13-45"}, "Patient.birthDate"),
    "bad code": ({"gender": "unsure"}, "Patient.gender"),
    "two choices": ({"deceasedBoolean": True, "deceasedDateTime": "2020"}, "Patient"),
    "empty string": ({"name": [{"family": ""}]}, "Patient.name[0].family"),
    "empty list": ({"name": []}, "Patient.name"),
    "empty object": ({"name": [{}]}, "Patient.name[0]"),
    "null": ({"gender": None}, "Patient.gender"),
    "wrong target": ({"managingOrganization": {"reference": "Patient/1"}}, "Patient.managingOrganization"),
    "contained": (
        {"contained": [{"resourceType": "Patient", "nonsense": 1}]},
        "Patient.contained[0].nonsense",
    ),
    "contained without type": ({"contained": [{"id": "a"}]}, "Patient.contained[0]"),
    "contained null": ({"contained": [None]}, "Patient.contained[0]"),
    "huge integer": ({"multipleBirthInteger": 2**31}, "Patient.multipleBirth"),
    "decimal for integer": ({"multipleBirthInteger": 1.5}, "Patient.multipleBirth"),
    "meta a string": ({"meta": "x"}, "Patient.meta"),
    "meta a list": ({"meta": [{}]}, "Patient.meta"),
    "text a string": ({"text": "hello"}, "Patient.text"),
    "id a number": ({"id": 5}, "Patient.id"),
    "id with blanks": ({"id": "a b"}, "Patient.id"),
    "a NUL": ({"name": [{"family": "a\u0000b"}]}, "Patient.name[0].family"),
}


@pytest.mark.parametrize("more, place", INVALID.values(), ids=INVALID.keys())
def test_what_breaks_the_definitions_is_422_and_names_the_element(fhir, more, place):
    answer = fhir.post("/Patient", {**PATIENT, **more})
    assert answer.status_code == 422, answer.text
    places = [expression for issue in answer.json()["issue"] for expression in issue["expression"]]
    assert any(found.startswith(place) for found in places), places
    assert fhir.get("/Patient?_summary=count").json()["total"] == 0


def test_all_problems_are_told_at_once(fhir):
    answer = fhir.post("/Patient", {**PATIENT, "a": 1, "b": 2, "gender": "no"})
    assert {issue["expression"][0] for issue in answer.json()["issue"]} == {
        "Patient.a", "Patient.b", "Patient.gender",
    }  # fmt: skip


def test_values_are_not_repeated_in_errors(fhir):
    secret = "13097248022"
    for body in (
        {**PATIENT, "birthDate": secret},
        {**PATIENT, "gender": secret},
        {**PATIENT, "id": secret + "!"},
        {**PATIENT, "identifier": [{"value": 13097248022}]},
        {"resourceType": "Patient", secret: 1},
    ):
        assert secret not in fhir.post("/Patient", body).text


def test_a_body_of_ten_megabytes_is_taken(fhir):
    data = "QUJD" * (10 * 2**20 // 4)
    made = fhir.post("/Binary", {"resourceType": "Binary", "contentType": "text/plain", "data": data})
    assert made.status_code == 201
    read = fhir.get(f"/Binary/{made.json()['id']}", accept="application/fhir+json")
    assert read.json()["data"] == data


def test_a_body_above_the_limit_is_413(fhir):
    assert fhir.post("/Patient", b" " * (32 * 2**20 + 1)).status_code == 413
    assert fhir.post("/Patient", b"{}", content_length="999999999999").status_code == 413
    assert fhir.post("/Patient", b"{}", content_length="9" * 5000).status_code == 413
    assert fhir.post("/Patient", PATIENT, content_length="nonsense").status_code == 201


def test_many_parameters_are_refused(fhir):
    assert fhir.get("/Patient?" + "&".join(["name=a"] * 5000)).status_code == 400


@pytest.mark.parametrize(
    "header",
    [
        "if_none_match",
        "if_modified_since",
        "if_match",
        "if_none_exist",
        "prefer",
        "accept",
        "x_request_id",
        "content_type",
    ],
)
@pytest.mark.parametrize(
    "value", ["", "*", '"', "W/", "\x80\xff", "a" * 5000, "=;,=", "return=", ",,,;;;", "0" * 40]
)
def test_hostile_headers(fhir, header, value):
    fhir.put("/Patient/p", {**PATIENT, "id": "p"})
    headers = {header: value.encode("latin-1").decode("latin-1")}
    assert fhir.get("/Patient/p", **headers).status_code in (200, 304, 400, 406)
    assert fhir.put("/Patient/p", {**PATIENT, "id": "p"}, **headers).status_code in (
        200,
        201,
        400,
        406,
        412,
        415,
    )
    assert fhir.post("/Patient", PATIENT, **headers).status_code in (200, 201, 400, 406, 412, 415)


# Readings that a careless sender may send: all are stored.

READING = {"resourceType": "Observation", "status": "final", "code": {"text": "weight"}}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"subject": {"reference": "Patient/nobody"}},
        {"subject": {"identifier": {"value": "x"}}},
        {"subject": {"reference": "http://elsewhere.example.org/fhir/Patient/1"}},
        {"subject": {"reference": "Group/1"}},
        {"subject": {"display": "somebody"}},
        {"effectiveDateTime": "2099-01-01"},
        {"effectiveDateTime": "0001-01-01"},
        {"effectiveTiming": {"event": ["2026-01-01"]}},
        {"component": [{"code": {"text": "x"}, "valueQuantity": {"value": 1}}]},
        {"dataAbsentReason": {"text": "asleep"}},
        {"valueQuantity": {"value": 1, "code": "nonsense", "system": "http://unitsofmeasure.org"}},
        {"valueQuantity": {"unit": "kg"}},
    ],
)
def test_a_careless_reading_is_stored(fhir, more):
    made = fhir.post("/Observation", {**READING, **more})
    assert made.status_code == 201, made.text
    stored = fhir.get(f"/Observation/{made.json()['id']}").json()
    assert {key: stored[key] for key in more} == more
