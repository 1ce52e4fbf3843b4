"""Codes, units, identifiers and narratives by themselves, as $validate judges them."""

from __future__ import annotations

import pytest

from tests.profiles.judging import errors, judged

COLOURS = {
    "resourceType": "CodeSystem",
    "url": "http://example.org/colours",
    "status": "active",
    "content": "complete",
    "language": "en",
    "concept": [
        {"code": "r", "display": "Red", "designation": [{"language": "nb", "value": "Rød"}]},
        {"code": "g", "display": "Green"},
    ],
}
FRAGMENT = COLOURS | {"content": "fragment"}


def basic(**facts):
    return {"resourceType": "Basic", "code": {"text": "x"}, **facts}


def coded(**coding):
    return basic(code={"coding": [{"system": "http://example.org/colours", **coding}]})


CODE, DISPLAY, SYSTEM = (f"Basic.code.coding[0].{name}" for name in ("code", "display", "system"))


def test_a_code_of_its_system_by_its_name():
    assert errors(coded(code="r", display="red"), COLOURS) == []
    assert errors(coded(code="r"), COLOURS) == []


def test_a_code_that_the_system_does_not_have():
    assert errors(coded(code="x"), COLOURS) == [("code-invalid", CODE)]


def test_a_fragment_says_nothing_against_a_code_but_knows_its_names():
    assert errors(coded(code="x"), FRAGMENT) == []
    assert errors(coded(code="r", display="Green"), FRAGMENT) == [("invalid", DISPLAY)]


def test_a_display_that_is_not_the_concepts():
    (found,) = [p for p in judged(coded(code="r", display="Green"), COLOURS) if p.severity == "error"]
    assert (found.code, found.expression) == ("invalid", DISPLAY)
    assert "'Red' or 'Rød'" in found.diagnostics


@pytest.mark.parametrize(("language", "display"), [("nb", "Rød"), ("da", "Red"), ("en-GB", "Red")])
def test_a_display_in_the_resources_language_or_the_systems_own(language, display):
    resource = coded(code="r", display=display) | {"language": language}
    assert errors(resource, COLOURS) == []


def test_a_display_in_another_language_than_the_resources():
    assert errors(coded(code="r", display="Rød") | {"language": "en"}, COLOURS) == [("invalid", DISPLAY)]


def test_what_is_not_known_is_no_error():
    assert errors(coded(code="x", display="Violet")) == []


@pytest.mark.parametrize("system", ["Location", "#c1", "colours/1"])
def test_a_system_is_absolute(system):
    assert errors(coded(code="r", system=system)) == [("invalid", SYSTEM)]


def test_a_value_set_is_no_system():
    coding = {"system": "http://hl7.org/fhir/ValueSet/measure-type", "code": "structure"}
    assert errors(basic(code={"coding": [coding]})) == [("invalid", SYSTEM)]


@pytest.mark.parametrize(
    ("system", "good", "bad"),
    [("http://snomed.info/sct", "431314004", "431314005"), ("http://loinc.org", "8867-4", "8867-5")],
)
def test_check_digits(system, good, bad):
    assert errors(coded(system=system, code=good)) == []
    assert errors(coded(system=system, code=bad)) == [("code-invalid", CODE)]


def test_an_identifiers_system_is_absolute():
    good, bad = ({"system": s, "value": "1"} for s in ("urn:oid:2.16.578.1.12.4.1.4.1", "fnr"))
    assert errors(basic(identifier=[good, bad])) == [("invalid", "Basic.identifier[1].system")]


def quantity(**facts):
    reading = {"resourceType": "Observation", "status": "final", "code": {"text": "x"}}
    return reading | {"valueQuantity": {"value": 1, **facts}}


def test_a_units_system_is_absolute_and_ucum_is_ucum():
    at = "Observation.value.ofType(Quantity)"
    assert errors(quantity(system="http://unitsofmeasure.org", code="kg")) == []
    assert errors(quantity(system="http://unitsofmeasure.org", code="kilos")) == [("code-invalid", at)]
    assert errors(quantity(system="ucum", code="kg")) == [("invalid", f"{at}.system")]


def narrative(content):
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{content}</div>'
    return basic(text={"status": "generated", "div": div})


def test_xhtml_has_the_entities_of_xml_only():
    assert errors(narrative("&lt; &amp; &#160; &#xA0; &quot;")) == []
    assert errors(narrative("a&nbsp;b")) == [("invalid", "Basic.text.div")]


WHY = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
ABSENT = {"extension": [WHY]}


def test_an_extension_is_no_code_of_a_required_value_set():
    patient = {"resourceType": "Patient"}
    assert errors(patient | {"gender": "female", "_gender": ABSENT}) == []
    assert errors(patient | {"_gender": ABSENT}) == [("code-invalid", "Patient.gender")]
    assert errors(patient | {"_birthDate": ABSENT}) == []


def test_nor_in_a_list():
    allergy = {"resourceType": "AllergyIntolerance", "patient": {"reference": "Patient/1"}}
    given = allergy | {"category": ["food", "biologic"], "_category": [None, ABSENT]}
    missing = allergy | {"category": ["food", None], "_category": [None, ABSENT]}
    place = ("code-invalid", "AllergyIntolerance.category[1]")
    assert place not in errors(given)
    assert place in errors(missing)
    assert ("code-invalid", "AllergyIntolerance.category[0]") in errors(allergy | {"_category": [ABSENT]})


def test_a_canonical_is_absolute_or_a_fragment():
    response = {"resourceType": "QuestionnaireResponse", "status": "completed"}
    at = [("invalid", "QuestionnaireResponse.questionnaire")]
    assert errors(response | {"questionnaire": "http://example.org/q"}) == []
    assert errors(response | {"questionnaire": "Questionnaire/1"}) == at


def vaccine(code, **facts):
    coding = {"system": "http://hl7.org/fhir/sid/cvx", "code": code, **facts}
    plain = {"resourceType": "Immunization", "status": "completed", "patient": {"reference": "Patient/1"}}
    return plain | {"occurrenceDateTime": "2026-11-22", "vaccineCode": {"coding": [coding]}}


def test_vaccines_are_known_by_their_cvx_codes_and_names():
    at = "Immunization.vaccineCode.coding[0]"
    assert errors(vaccine("03", display="MMR")) == []
    assert errors(vaccine("207")) == []
    assert errors(vaccine("209")) == [("code-invalid", f"{at}.code")]
    assert errors(vaccine("03", display="BCG")) == [("invalid", f"{at}.display")]


def test_a_stored_code_system_may_be_newer():
    newer = {
        "resourceType": "CodeSystem",
        "url": "http://hl7.org/fhir/sid/cvx",
        "version": "20270101",
        "status": "active",
        "content": "complete",
        "concept": [{"code": "209", "display": "New"}],
    }
    assert errors(vaccine("209", display="New"), newer) == []
