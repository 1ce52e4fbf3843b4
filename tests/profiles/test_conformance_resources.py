"""SearchParameters, CapabilityStatements, OperationDefinitions and MeasureReports as $validate judges them."""

from __future__ import annotations

import pytest

from tests.profiles.judging import errors, warnings

HL7 = "http://hl7.org/fhir/SearchParameter/"
NAME = {
    "url": "http://example.org/sp",
    "name": "Given",
    "status": "draft",
    "description": "x",
    "code": "given",
}


def parameter(expression, *base, **facts):
    plain = {"resourceType": "SearchParameter", **NAME, "base": list(base) or ["Patient"], "type": "string"}
    return plain | {"expression": expression} | facts


@pytest.mark.parametrize(
    ("expression", "base"),
    [
        ("Patient.name.given", ["Patient"]),
        ("Patient.name.given | Practitioner.name.given", ["Patient", "Practitioner"]),
        ("(Patient.deceased as dateTime)", ["Patient"]),
        ("name.given", ["Patient", "Practitioner"]),
        ("Resource.meta.tag", ["Patient"]),
        ("Observation.component.where(code.text = 'x').value.ofType(Quantity)", ["Observation"]),
    ],
)
def test_an_expression_about_its_bases(expression, base):
    assert errors(parameter(expression, *base)) == []


@pytest.mark.parametrize(
    ("expression", "base"),
    [
        ("Organization.name", ["Patient"]),
        ("Patient.name.given", ["Patient", "Practitioner"]),
        ("Patient.nickname", ["Patient"]),
        ("Patient.name.where(use = 'official'", ["Patient"]),
    ],
)
def test_an_expression_that_finds_nothing_there(expression, base):
    assert errors(parameter(expression, *base)) == [("invalid", "SearchParameter.expression")]


def test_a_derived_parameter_narrows_the_one_that_it_is_derived_from():
    origin = HL7 + "Organization-name"
    good = parameter("Organization.name", "Organization", derivedFrom=origin)
    assert errors(good) == []
    other_base = parameter("Patient.name.given", "Patient", derivedFrom=origin)
    assert errors(other_base) == [("business-rule", "SearchParameter")]
    assert errors(good | {"type": "token"}) == [("business-rule", "SearchParameter")]
    assert errors(other_base | {"derivedFrom": "http://example.org/unknown"}) == []


def test_the_original_may_be_a_stored_one():
    origin = parameter("Patient.name", "Patient", url="http://example.org/origin")
    derived = parameter("Person.name", "Person", derivedFrom="http://example.org/origin")
    assert errors(derived, origin) == [("business-rule", "SearchParameter")]


def statement(type_, definition):
    listed = {"name": "code", "definition": definition, "type": type_}
    rest = {"mode": "server", "resource": [{"type": "Observation", "searchParam": [listed]}]}
    plain = {
        "resourceType": "CapabilityStatement",
        "status": "draft",
        "date": "2026-11-22",
        "kind": "requirements",
    }
    return plain | {"fhirVersion": "4.0.1", "format": ["json"], "description": "x", "rest": [rest]}


def test_a_parameter_has_the_type_of_its_definition():
    at = "CapabilityStatement.rest[0].resource[0].searchParam[0]"
    assert errors(statement("token", HL7 + "clinical-code")) == []
    assert errors(statement("date", HL7 + "clinical-code")) == [("invalid", at)]
    assert errors(statement("date", "http://example.org/unknown")) == []


# OperationDefinition


PROFILE = "http://example.org/StructureDefinition/in"


def operation(**facts):
    listed = {"name": "subject", "use": "in", "min": 1, "max": "1", "type": "Reference"}
    target = {"targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}
    plain = {"resourceType": "OperationDefinition", "name": "X", "status": "draft", "kind": "operation"}
    plain |= {"code": "x", "system": True, "type": False, "instance": False, "inputProfile": PROFILE}
    return plain | {"parameter": [listed | target | facts]}


def profile(type_="Reference", target="Patient", name="subject", **facts):
    types = [{"code": type_, "targetProfile": [f"http://hl7.org/fhir/StructureDefinition/{target}"]}]
    at = "Parameters.parameter"
    elements = [
        {
            "id": at,
            "path": at,
            "slicing": {"discriminator": [{"type": "value", "path": "name"}], "rules": "open"},
        },
        {"id": f"{at}:s", "path": at, "sliceName": "s", "min": 1, "max": "1", **facts},
        {"id": f"{at}:s.name", "path": f"{at}.name", "fixedString": name},
        {"id": f"{at}:s.value[x]", "path": f"{at}.value[x]", "type": types},
    ]
    plain = {
        "resourceType": "StructureDefinition",
        "url": PROFILE,
        "type": "Parameters",
        "derivation": "constraint",
    }
    base = {"baseDefinition": "http://hl7.org/fhir/StructureDefinition/Parameters"}
    return plain | base | {"differential": {"element": elements}}


AT = [("business-rule", "OperationDefinition.inputProfile")]


def test_an_operation_and_its_profile_say_the_same():
    assert errors(operation(), profile()) == []


@pytest.mark.parametrize("facts", [{"min": 0}, {"max": "*"}])
def test_how_often_a_parameter_occurs(facts):
    assert errors(operation(), profile(**facts)) == AT


def test_what_type_a_parameter_has():
    assert errors(operation(type="canonical"), profile()) == AT
    assert errors(operation(), profile(target="Group")) == AT


def test_a_parameter_of_one_description_only_deserves_a_remark():
    assert errors(operation(), profile(name="other")) == []
    assert warnings(operation(), profile(name="other")).count(AT[0]) == 2


def test_without_the_profile_nothing_is_compared():
    assert errors(operation()) == []


# MeasureReport


def concept(code):
    return {"coding": [{"system": "http://example.org/codes", "code": code}]}


def measure(**group):
    plain = {"resourceType": "Measure", "url": "http://example.org/m", "status": "draft"}
    criteria = {"language": "text/plain", "expression": "x"}
    population = [{"code": concept(code), "criteria": criteria} for code in ("all", "some")]
    stratifier = [{"code": concept("age"), "criteria": criteria}]
    return plain | {
        "group": [{"code": concept("g"), "population": population, "stratifier": stratifier} | group]
    }


def report(populations=("all", "some"), stratifiers=("age",), **facts):
    plain = {"resourceType": "MeasureReport", "status": "complete", "type": "summary"}
    plain |= {"measure": "http://example.org/m", "period": {"start": "2026-01-01", "end": "2026-06-30"}}
    group = {"code": concept("g"), "population": [{"code": concept(c), "count": 1} for c in populations]}
    group["stratifier"] = [{"code": [concept(c)]} for c in stratifiers]
    return plain | {"group": [group]} | facts


GROUP = "MeasureReport.group[0]"


def test_a_report_has_what_its_measure_has():
    assert errors(report(), measure()) == []


@pytest.mark.parametrize(
    ("given", "place"),
    [
        (report(populations=("all",)), GROUP),
        (report(stratifiers=()), GROUP),
        (report(populations=("all", "some", "x")), f"{GROUP}.population[2]"),
        (report(populations=("all", "some", "all")), f"{GROUP}.population[2]"),
        (report(stratifiers=("age", "x")), f"{GROUP}.stratifier[1]"),
        (report(group=[]), "MeasureReport"),
    ],
)
def test_a_report_that_differs_from_its_measure(given, place):
    found = errors(given, measure())
    assert [at for code, at in found if code == "business-rule"] == [place]


def test_what_has_no_code_is_not_known_apart():
    two = measure(stratifier=[{"criteria": {"language": "text/plain", "expression": c}} for c in "ab"])
    given = report(stratifiers=())
    given["group"][0]["stratifier"] = [{"id": "a"}]
    places = [at for _, at in errors(given, two)]
    assert places == [f"{GROUP}.stratifier[0]", GROUP, GROUP]


def test_the_only_group_needs_no_code():
    alone = measure()
    del alone["group"][0]["code"]
    given = report()
    del given["group"][0]["code"]
    assert errors(given, alone) == []


def test_a_report_that_only_collects_data_or_whose_measure_is_not_here():
    assert errors({k: v for k, v in report(type="data-collection").items() if k != "group"}, measure()) == []
    assert errors(report()) == []
    assert ("not-found", "MeasureReport.measure") in warnings(report())
