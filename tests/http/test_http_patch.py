"""https://hl7.org/fhir/R4/http.html#patch"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from fhir_server import resource_xml

JSON_PATCH, XML_PATCH = "application/json-patch+json", "application/xml-patch+xml"
PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "identifier": [{"system": "urn:s", "value": "1"}],
    "name": [{"family": "Berg"}],
    "active": True,
}
GOODBYE = [{"op": "replace", "path": "/active", "value": False}]


@pytest.fixture
def patient(fhir: Any) -> Any:
    fhir.put("/Patient/p", PATIENT)
    return fhir


def patch(fhir: Any, path: str, body: Any, content_type: str = JSON_PATCH, **headers: str) -> Any:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fhir.request("PATCH", path, sent, content_type=content_type, **headers)


def test_a_patch_makes_a_version(patient: Any) -> None:
    answer = patch(patient, "/Patient/p", GOODBYE)
    assert answer.status_code == 200
    assert answer.json()["active"] is False
    assert answer.headers["etag"] == 'W/"2"'
    assert patient.get("/Patient/p").json() == answer.json()
    assert patient.get("/Patient?active=false").json()["total"] == 1
    newest = patient.get("/Patient/p/_history").json()["entry"][0]
    assert newest["request"] == {"method": "PATCH", "url": "Patient/p"}
    assert newest["response"]["status"] == "200 OK"


def test_an_xml_patch(patient: Any) -> None:
    body = b'<diff xmlns="http://hl7.org/fhir"><replace sel="/Patient/active/@value">false</replace></diff>'
    assert patch(patient, "/Patient/p", body, XML_PATCH).json()["active"] is False


def fhirpath(path: str, **value: Any) -> dict[str, Any]:
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": path},
        {"name": "value", **value},
    ]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}


def test_a_fhirpath_patch_in_json_and_in_xml(patient: Any) -> None:
    document = fhirpath("Patient.active", valueBoolean=False)
    assert patch(patient, "/Patient/p", document, "application/fhir+json").json()["active"] is False
    again = fhirpath("Patient.name.where(family = 'Berg').family", valueString="Li")
    answer = patch(patient, "/Patient/p", resource_xml.encode(again), "application/fhir+xml")
    assert answer.json()["name"] == [{"family": "Li"}]


def test_a_fhirpath_patch_in_a_bundle(patient: Any) -> None:
    sent = bundle("transaction", ("PATCH", "Patient/p", fhirpath("Patient.active", valueBoolean=False)))
    assert patient.post("", sent).json()["entry"][0]["response"]["status"] == "200 OK"
    assert patient.get("/Patient/p").json()["active"] is False
    wrong = bundle("transaction", ("PATCH", "Patient/p", fhirpath("Patient.gender", valueCode="male")))
    answer = patient.post("", wrong)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.parameter[0]"]


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (fhirpath("Patient.gender", valueCode="male"), 422),
        (fhirpath("Patient.active", valueString="yes"), 422),
        (fhirpath("Patient.id", valueId="q"), 422),
        (fhirpath("Patient.active["), 400),
        ({"resourceType": "Parameters", "parameter": [{"nonsense": 1}]}, 422),
        ({"resourceType": "Parameters", "parameter": [{"name": "operation", "valueString": "x"}]}, 400),
    ],
)
def test_a_fhirpath_patch_that_does_not_fit(patient: Any, document: Any, status: int) -> None:
    assert patch(patient, "/Patient/p", document, "application/fhir+json").status_code == status
    assert patient.get("/Patient/p").headers["etag"] == 'W/"1"'


def test_prefer_is_heeded(patient: Any) -> None:
    assert patch(patient, "/Patient/p", GOODBYE, prefer="return=minimal").content == b""
    told = patch(patient, "/Patient/p", GOODBYE, prefer="return=OperationOutcome").json()
    assert told["issue"][0]["diagnostics"] == "Updated, version 3"


def test_decimals_keep_their_text(fhir: Any) -> None:
    reading = {"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}}
    fhir.put("/Observation/o", reading)
    body = b'[{"op":"add","path":"/valueQuantity","value":{"value":91.50,"unit":"kg"}}]'
    assert b'"value":91.50' in patch(fhir, "/Observation/o", body).content
    assert (
        b'"value":91.50'
        in patch(fhir, "/Observation/o", [{"op": "replace", "path": "/status", "value": "amended"}]).content
    )


@pytest.mark.parametrize(
    ("operations", "status", "expression"),
    [
        ([{"op": "replace", "path": "/birthDate", "value": "1950"}], 422, None),
        ([{"op": "test", "path": "/active", "value": False}], 422, None),
        ([{"op": "replace", "path": "/active", "value": "yes"}], 422, "Patient.active"),
        ([{"op": "add", "path": "/nonsense", "value": 1}], 422, "Patient.nonsense"),
        ([{"op": "replace", "path": "/id", "value": "q"}], 422, "Patient.id"),
        ([{"op": "remove", "path": "/id"}], 422, "Patient.id"),
        ([{"op": "replace", "path": "/resourceType", "value": "Person"}], 422, "Patient"),
        ([{"op": "replace", "path": "", "value": 1}], 422, None),
        ({"op": "remove", "path": "/active"}, 400, None),
        ([{"op": "erase", "path": "/active"}], 400, None),
    ],
)
def test_a_patch_that_does_not_fit_changes_nothing(
    patient: Any, operations: Any, status: int, expression: Any
) -> None:
    answer = patch(patient, "/Patient/p", operations)
    assert answer.status_code == status
    issue = answer.json()["issue"][0]
    assert issue.get("expression", [None])[0] == expression
    assert issue["diagnostics"]
    assert patient.get("/Patient/p").headers["etag"] == 'W/"1"'


@pytest.mark.parametrize(
    "content_type", ["application/merge-patch+json", "text/plain", "application/fhir+json; fhirVersion=5.0"]
)
def test_other_patches_are_415(patient: Any, content_type: str) -> None:
    assert patch(patient, "/Patient/p", GOODBYE, content_type).status_code == 415


def test_a_resource_of_another_type_is_no_patch(patient: Any) -> None:
    assert patch(patient, "/Patient/p", PATIENT, "application/fhir+json").status_code == 400


def test_what_is_not_there_is_not_patched(patient: Any) -> None:
    assert patch(patient, "/Patient/nobody", GOODBYE).status_code == 404
    patient.delete("/Patient/p")
    assert patch(patient, "/Patient/p", GOODBYE).status_code == 410
    assert patch(patient, "/Patient", GOODBYE).status_code == 400


def test_if_match_is_enforced(patient: Any) -> None:
    assert patch(patient, "/Patient/p", GOODBYE, if_match='W/"2"').status_code == 412
    assert patch(patient, "/Patient/p", [{"op": "remove", "path": "/x"}], if_match='W/"2"').status_code == 412
    assert patch(patient, "/Patient/p", GOODBYE, if_match='W/"1"').status_code == 200


def test_a_conditional_patch(patient: Any) -> None:
    assert patch(patient, "/Patient?identifier=urn:s|1", GOODBYE).json()["active"] is False
    assert patch(patient, "/Patient?identifier=urn:s|2", GOODBYE).status_code == 404
    patient.put("/Patient/q", {**PATIENT, "id": "q"})
    several = patch(patient, "/Patient?identifier=urn:s|1", GOODBYE)
    assert several.status_code == 412
    assert several.json()["issue"][0]["code"] == "multiple-matches"
    assert patch(patient, "/Patient?nonsense=1", GOODBYE).status_code == 400


def test_patches_at_the_same_time_lose_nothing(patient: Any) -> None:
    patient.put("/Patient/p", {**PATIENT, "multipleBirthInteger": 0})
    requests = [
        ("PATCH", "/Patient/p", json.dumps([{"op": "add", "path": "/name/-", "value": {"family": f"N{n}"}}]).encode(),
         {"content-type": JSON_PATCH})
        for n in range(8)
    ]  # fmt: skip
    answers = patient.together(*requests)
    assert {answer.status_code for answer in answers} <= {200, 409}
    done = sum(answer.status_code == 200 for answer in answers)
    assert done >= 2
    assert len(patient.get("/Patient/p").json()["name"]) == 1 + done


def binary(body: Any, content_type: str = JSON_PATCH) -> dict[str, Any]:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    return {"resourceType": "Binary", "contentType": content_type, "data": base64.b64encode(sent).decode()}


def bundle(kind: str, *entries: tuple[str, str, Any]) -> dict[str, Any]:
    made = [
        {"request": {"method": method, "url": url}} | ({"resource": resource} if resource else {})
        for method, url, resource in entries
    ]
    return {"resourceType": "Bundle", "type": kind, "entry": made}


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_patches_in_bundles(patient: Any, kind: str) -> None:
    xml = b'<diff xmlns="http://hl7.org/fhir"><remove sel="/Patient/name"/></diff>'
    patient.put("/Patient/q", {**PATIENT, "id": "q", "identifier": [{"value": "2"}]})
    sent = bundle(
        kind,
        ("PATCH", "Patient/p", binary(GOODBYE)),
        ("PATCH", "Patient?identifier=2", binary(xml, XML_PATCH)),
        ("POST", "Patient", {"resourceType": "Patient"}),
    )
    answer = patient.post("", sent).json()
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["200 OK", "200 OK", "201 Created"]
    assert patient.get("/Patient/p").json()["active"] is False
    assert "name" not in patient.get("/Patient/q").json()


def test_a_transaction_with_a_patch_that_fails_changes_nothing(patient: Any) -> None:
    wrong = [{"op": "replace", "path": "/active", "value": 7}]
    sent = bundle(
        "transaction", ("POST", "Patient", {"resourceType": "Patient"}), ("PATCH", "Patient/p", binary(wrong))
    )
    answer = patient.post("", sent)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource.active"]
    assert patient.get("/Patient").json()["total"] == 1
    missing = patient.post("", bundle("transaction", ("PATCH", "Patient/x", binary(GOODBYE))))
    assert missing.status_code == 404
    assert missing.json()["issue"][0]["expression"] == ["Bundle.entry[0]"]


@pytest.mark.parametrize(
    "resource",
    [
        {"resourceType": "Binary", "contentType": JSON_PATCH},
        {"resourceType": "Binary", "contentType": JSON_PATCH, "data": "***"},
        {"resourceType": "Binary", "contentType": "text/plain", "data": "AAAA"},
        {"resourceType": "Binary", "data": "AAAA"},
        {"resourceType": "Binary", "contentType": JSON_PATCH, "data": "AAAA"},
        {"resourceType": "Patient"},
        [],
        None,
    ],
)
def test_an_entry_that_carries_no_patch_is_refused(patient: Any, resource: Any) -> None:
    assert patient.post("", bundle("transaction", ("PATCH", "Patient/p", resource))).status_code == 400
    alone = patient.post("", bundle("batch", ("PATCH", "Patient/p", resource))).json()["entry"][0]
    assert alone["response"]["status"] == "400 Bad Request"


def test_a_patch_may_refer_to_another_entry(patient: Any) -> None:
    urn = "urn:uuid:6b4f0f6c-59d4-4a53-8f4a-000000000001"
    doctor = [{"op": "add", "path": "/generalPractitioner", "value": [{"reference": urn}]}]
    sent = bundle(
        "transaction",
        ("POST", "Practitioner", {"resourceType": "Practitioner"}),
        ("PATCH", "Patient/p", binary(doctor)),
    )
    sent["entry"][0]["fullUrl"] = urn
    made = patient.post("", sent).json()["entry"][0]["response"]["location"].partition("/_history")[0]
    assert patient.get("/Patient/p").json()["generalPractitioner"] == [{"reference": made}]
    sent["entry"].pop(0)
    assert patient.post("", sent).status_code == 400


def test_the_capability_statement_tells(fhir: Any) -> None:
    statement = fhir.get("/metadata").json()
    assert {JSON_PATCH, XML_PATCH} <= set(statement["patchFormat"])
    assert {"code": "patch"} in statement["rest"][0]["resource"][0]["interaction"]
