"""$cql and Library/$evaluate."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.resource_json import decode, encode
from tests.alerts.cql_build import HEAD, URL, library, value_set
from tests.rules.build import SPO2, observation

NULL = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    ]
}
EMPTY = {
    "extension": [{"url": "http://hl7.org/fhir/StructureDefinition/cqf-isEmptyList", "valueBoolean": True}]
}


def parameters(**given: Any) -> dict[str, Any]:
    """A Parameters resource: text, booleans, resources; a list is repeated, a dict is a value[x] as it is."""
    found = []
    for name, values in given.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict) and "resourceType" in value:
                found.append({"name": name, "resource": value})
            elif isinstance(value, dict):
                found.append({"name": name, **value})
            else:
                found.append(
                    {"name": name, "valueBoolean" if isinstance(value, bool) else "valueString": value}
                )
    return {"resourceType": "Parameters", **({"parameter": found} if found else {})}


def ask(fhir: Any, path: str, status: int = 200, **given: Any) -> Any:
    answer = fhir.post(f"/{path}", encode(parameters(**given)))
    assert answer.status_code == status, answer.text
    return decode(answer.content)


def values(body: Any) -> list[Any]:
    """Of each parameter what it says besides its name and its type."""
    return [{k: v for k, v in p.items() if k not in ("name", "extension")} for p in body["parameter"]]


def cql(fhir: Any, expression: str, **given: Any) -> list[Any]:
    return values(ask(fhir, "$cql", expression=expression, **given))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("1 + 1", {"valueInteger": 2}),
        ("1.50", {"valueDecimal": 1.50}),
        ("1 = 1", {"valueBoolean": True}),
        ("'a' + 'b'", {"valueString": "ab"}),
        ("12345678901L", {"valueString": "12345678901"}),
        ("@2026-11", {"valueDate": "2026-11"}),
        ("@2026-11-21T08:00:00.000+01:00", {"valueDateTime": "2026-11-21T08:00:00.000+01:00"}),
        ("@2026-11-21T08", {"valueDateTime": "2026-11-21T08:00:00+01:00"}),
        ("@2026-11-21T", {"valueDateTime": "2026-11-21"}),
        ("@T08:30", {"valueTime": "08:30:00"}),
        (
            "5.0 'mg'",
            {
                "valueQuantity": {
                    "value": 5.0,
                    "unit": "mg",
                    "system": "http://unitsofmeasure.org",
                    "code": "mg",
                }
            },
        ),
        (
            "3 days",
            {
                "valueQuantity": {
                    "value": 3,
                    "unit": "days",
                    "system": "http://unitsofmeasure.org",
                    "code": "d",
                }
            },
        ),
        ("Code { code: 'a', system: 'http://s' }", {"valueCoding": {"system": "http://s", "code": "a"}}),
        (
            "Concept { codes: { Code { code: 'a', system: 'http://s' } }, display: 'A' }",
            {"valueCodeableConcept": {"coding": [{"system": "http://s", "code": "a"}], "text": "A"}},
        ),
        (
            "Interval[@2026-01-01, @2026-02-01)",
            {"valuePeriod": {"start": "2026-01-01", "end": "2026-01-31"}},
        ),
        ("Interval[1, 5)", {"valueRange": {"low": {"value": 1}, "high": {"value": 4}}}),
        ("Interval[@T08:00, @T09:00)", {"valueString": "Interval[08:00, 09:00)"}),
        ("null", {"_valueBoolean": NULL}),
        ("{}", {"_valueBoolean": EMPTY}),
        (
            "Tuple { a: 1, b: { 'x', 'y' } }",
            {
                "part": [
                    {"name": "a", "valueInteger": 1},
                    {"name": "b", "valueString": "x"},
                    {"name": "b", "valueString": "y"},
                ]
            },
        ),
    ],
)
def test_a_value_is_mapped_as_the_guide_says(fhir, expression, expected):
    (found,) = cql(fhir, expression)
    assert strip(found) == expected


def strip(part: Any) -> Any:
    """Without the extensions that say the type of a part."""
    if isinstance(part, dict) and "part" in part:
        return {"part": [{k: v for k, v in p.items() if k != "extension"} for p in part["part"]]}
    return part


def test_a_list_is_repeated_and_one_in_a_list_has_parts(fhir):
    assert cql(fhir, "{ 1, null, 3 }") == [{"valueInteger": 1}, {"_valueBoolean": NULL}, {"valueInteger": 3}]
    nested = cql(fhir, "{ { 1, 2 }, { 3 } }")
    assert nested[0] == {
        "part": [{"name": "element", "valueInteger": 1}, {"name": "element", "valueInteger": 2}]
    }


def test_the_type_is_said_and_by_get_too(fhir):
    body = decode(fhir.get("/$cql?expression=1%20%2B%201").content)
    said = {"url": "http://hl7.org/fhir/StructureDefinition/cqf-cqlType", "valueString": "System.Integer"}
    assert body["parameter"] == [{"name": "return", "extension": [said], "valueInteger": 2}]


def test_parameters_are_declared_with_their_types(fhir):
    given = parameters(
        Limit={
            "valueQuantity": {"value": 90, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
        },
        n=[{"valueInteger": 1}, {"valueInteger": 2}],
        when={"valuePeriod": {"start": "2026-01-01T00:00:00Z", "end": "2026-02-01T00:00:00Z"}},
        pair={"part": [{"name": "a", "valueString": "x"}]},
    )
    expression = "Limit > 89 '%' and Sum(n) = 3 and pair.a = 'x' and @2026-01-02T00:00:00.000Z in \"when\""
    assert cql(fhir, expression, parameters=given) == [{"valueBoolean": True}]


def test_data_of_the_subject_are_those_on_the_server_and_those_given(fhir):
    fhir.put("/Patient/p", {"resourceType": "Patient", "id": "p", "gender": "female"})
    fhir.put("/Patient/q", {"resourceType": "Patient", "id": "q"})
    for patient, value in (("p", 88), ("p", 95), ("q", 70)):
        fhir.post(
            "/Observation",
            encode(observation(SPO2, value, f"2026-11-{value - 68:02}T08:00:00Z", patient=patient)),
        )
    assert cql(fhir, "Count([Observation])", subject="Patient/p") == [{"valueInteger": 2}]
    assert cql(fhir, "Patient.gender", subject=f"{fhir.base}/Patient/p") == [{"valueCode": "female"}]
    values = cql(fhir, "[Observation] O return all O.value", subject="Patient/q")
    assert [part["valueQuantity"]["value"] for part in values] == [70], "a choice says what it holds"
    more = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": observation(SPO2, 80, "2026-11-21")}],
    }
    assert cql(fhir, "Count([Observation])", subject="Patient/p", data=more) == [{"valueInteger": 3}]
    assert cql(fhir, "Count([Observation])", subject="Patient/p", data=more, useServerData=False) == [
        {"valueInteger": 1}
    ]
    (found,) = cql(
        fhir, "First([Observation] O sort by (effective as FHIR.dateTime).value)", subject="Patient/q"
    )
    assert found["resource"]["subject"] == {"reference": "Patient/q"}


def test_libraries_and_value_sets_of_the_server_can_be_used(fhir):
    fhir.put("/ValueSet/copd", value_set("1"))
    limit = "parameter \"Limit\" System.Quantity default 90 '%'\n"
    text = (
        HEAD.replace("context Patient\n", f"{limit}context Patient\n") + 'define "Low": "Latest" < "Limit"\n'
    )
    text += "\ndefine \"Coded\": Code { code: '1', system: 'http://snomed.info/sct' } in \"COPD\"\n"
    assert fhir.put("/Library/oxygen", encode(library(text))).status_code == 201
    fhir.put("/Patient/p", {"resourceType": "Patient", "id": "p"})
    fhir.post("/Observation", encode(observation(SPO2, 88, "2026-11-20T08:00:00Z")))
    named = {
        "part": [
            {"name": "url", "valueCanonical": f"{URL}/Library/oxygen"},
            {"name": "name", "valueString": "O"},
        ]
    }
    assert cql(fhir, "O.Low and O.Coded", library=named, subject="Patient/p") == [{"valueBoolean": True}]
    body = ask(fhir, "Library/oxygen/$evaluate", subject="Patient/p", expression=["Low", "Coded"])
    assert [(p["name"], p["valueBoolean"]) for p in body["parameter"]] == [("Low", True), ("Coded", True)]
    limit = parameters(
        Limit={"valueQuantity": {"value": 80, "code": "%", "system": "http://unitsofmeasure.org"}}
    )
    body = ask(
        fhir,
        "Library/$evaluate",
        url=f"{URL}/Library/oxygen|1.0.0",
        subject="Patient/p",
        expression="Low",
        parameters=limit,
    )
    assert body["parameter"][0]["valueBoolean"] is False
    everything = ask(fhir, "Library/oxygen/$evaluate", subject="Patient/p")["parameter"]
    assert [p["name"] for p in everything] == ["Readings", "Latest", "Low", "Coded"]
    by_get = fhir.get(f"/Library/$evaluate?url={URL}/Library/oxygen&subject=Patient/p&expression=Low")
    assert by_get.json()["parameter"][0]["valueBoolean"] is True


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("path", "given", "status", "said"),
    [
        ("$cql", {}, 400, "expression"),
        ("$cql", {"expression": "1 +"}, 422, "1:4: syntax"),
        ("$cql", {"expression": "1 +\n  foo"}, 422, "2:3: semantic: there is no foo"),
        ("$cql", {"expression": "singleton from { 1, 2 }"}, 422, "return: "),
        ("$cql", {"expression": "1", "subject": "Practitioner/p"}, 400, "Patient/ID"),
        ("$cql", {"expression": "1", "subject": "Patient/nobody"}, 404, "no such patient"),
        ("$cql", {"expression": "1", "dataEndpoint": "x"}, 400, "no parameter dataEndpoint"),
        ("$cql", {"expression": ["1", "2"]}, 400, "once"),
        ("$cql", {"expression": "1", "useServerData": "perhaps"}, 400, "true or false"),
        ("$cql", {"expression": "1", "library": "x"}, 400, "url"),
        (
            "$cql",
            {"expression": "X", "parameters": parameters(X={"valueAddress": {"city": "Oslo"}})},
            400,
            "parameter X",
        ),
        ("Library/$evaluate", {}, 400, "url names"),
        ("Library/$evaluate", {"url": "http://nowhere"}, 404, "no such Library"),
        ("Library/nothing/$evaluate", {}, 404, "no such Library"),
        ("Library/oxygen/$evaluate", {"expression": "Nothing"}, 400, "defines no Nothing"),
    ],
)
def test_what_cannot_be_answered_is_refused_and_why(fhir, path, given, status, said):
    fhir.put("/Library/oxygen", encode(library(HEAD)))
    outcome = ask(fhir, path, status, **given)
    assert said in json.dumps(outcome)


def test_an_evaluation_that_would_run_away_is_stopped(fhir):
    expression = "Count(from (expand { Interval[1, 3000] }) X, (expand { Interval[1, 3000] }) Y return all 1)"
    outcome = ask(fhir, "$cql", 422, expression=expression)
    assert "more than 2000000 steps" in outcome["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"resourceType":"Patient"}', b'{"resourceType":"Parameters","parameter":[{}]}']
)
def test_a_body_that_is_no_parameters_is_refused(fhir, body):
    assert fhir.post("/$cql", body).status_code in (400, 422)


def test_data_of_several_patients_need_a_subject(fhir):
    people = [{"resource": {"resourceType": "Patient", "id": id}} for id in "pq"]
    data = {"resourceType": "Bundle", "type": "collection", "entry": people}
    assert "several patients" in str(ask(fhir, "$cql", 400, expression="1", data=data))
    assert cql(fhir, "Patient.id", subject="Patient/q", data=data) == [{"valueId": "q"}]


def test_the_operations_are_in_the_capability_statement(fhir):
    rest = fhir.get("/metadata").json()["rest"][0]
    assert {"cql", "fhirpath"} <= {o["name"] for o in rest["operation"]}
    of_library = next(r for r in rest["resource"] if r["type"] == "Library")
    assert "evaluate" in {o["name"] for o in of_library["operation"]}


def test_an_operation_can_be_part_of_a_batch(fhir):
    entries = [
        {"request": {"method": "GET", "url": "$cql?expression=1"}},
        {"request": {"method": "POST", "url": "$cql"}, "resource": parameters(expression="2")},
    ]
    for kind in ("batch", "transaction"):
        answer = fhir.post("/", {"resourceType": "Bundle", "type": kind, "entry": entries}).json()
        assert [e["resource"]["parameter"][0]["valueInteger"] for e in answer["entry"]] == [1, 2]
