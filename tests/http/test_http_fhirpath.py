"""$fhirpath."""

from __future__ import annotations

import pytest

from tests.alerts.cql_build import value_set
from tests.http.test_http_cql import ask

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "name": [{"given": ["Kari", "Anne"], "family": "Hansen"}, {"given": ["Mor"]}],
    "birthDate": "1950-01-02",
    "contact": [{"name": {"family": "Berg"}}],
}


def items(fhir, expression, **given):
    """The items of each result, as (type, value)."""
    given.setdefault("resource", PATIENT)
    body = ask(fhir, "$fhirpath", expression=expression, **given)
    assert body["parameter"][0]["name"] == "parameters"
    return [
        [(part["name"], next(v for k, v in part.items() if k != "name")) for part in result.get("part", ())]
        for result in body["parameter"][1:]
    ]


def test_items_come_with_their_types(fhir):
    assert items(fhir, "name.given") == [[("string", "Kari"), ("string", "Anne"), ("string", "Mor")]]
    assert items(fhir, "birthDate") == [[("date", "1950-01-02")]]
    assert items(fhir, "name.first()") == [[("HumanName", PATIENT["name"][0])]]
    assert items(fhir, "1 + 1 | true") == [[("integer", 2), ("boolean", True)]]
    assert items(fhir, "{}") == [[]]
    ((kind, extension),) = items(fhir, "contact")[0]
    assert (kind, extension[0]["valueString"]) == ("Patient.contact", '{"name":{"family":"Berg"}}')


def test_in_a_context_and_with_variables(fhir):
    assert items(fhir, "given.count()", context="name") == [[("integer", 2)], [("integer", 1)]]
    given = {"part": [{"name": "wanted", "valueString": "Mor"}]}
    assert items(fhir, "name.given contains %wanted", variables=given) == [[("boolean", True)]]


def test_trace_is_told(fhir):
    body = ask(fhir, "$fhirpath", expression="name.family.trace('here')", resource=PATIENT)
    assert body["parameter"][1]["part"][-1] == {
        "name": "trace",
        "valueString": "here",
        "part": [{"name": "string", "valueString": "Hansen"}],
    }


def test_the_clock_references_and_value_sets_are_the_servers(fhir):
    fhir.put("/Patient/p", PATIENT)
    fhir.put("/ValueSet/copd", value_set("1"))
    assert items(fhir, "today()") == [[("date", "2026-11-21")]]
    ill = {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/p"},
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "1"}]},
    }
    assert items(fhir, "subject.resolve().birthDate", resource=ill) == [[("date", "1950-01-02")]]
    assert items(fhir, "code.memberOf('http://example.org/ValueSet/copd')", resource=ill) == [
        [("boolean", True)]
    ]
    assert items(fhir, "name.family", resource="Patient/p") == [[("string", "Hansen")]]
    by_get = fhir.get("/$fhirpath?expression=name.family&resource=Patient/p").json()
    assert by_get["parameter"][1]["part"] == [{"name": "string", "valueString": "Hansen"}]


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ({"resource": PATIENT}, 400, "expression"),
        ({"expression": "name"}, 400, "resource"),
        ({"expression": "name.", "resource": PATIENT}, 422, "syntax"),
        ({"expression": "nmae", "resource": PATIENT, "validate": True}, 422, "nmae"),
        ({"expression": "name.single()", "resource": PATIENT}, 422, ""),
        ({"expression": "name", "resource": "Patient/none"}, 404, "no such resource"),
        ({"expression": "name", "resource": PATIENT, "terminologyserver": "x"}, 400, "terminologyserver"),
    ],
)
def test_what_cannot_be_answered_is_refused(fhir, given, status, said):
    assert said in str(ask(fhir, "$fhirpath", status, **given))
