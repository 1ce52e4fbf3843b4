"""Structural validation, rule by rule: https://hl7.org/fhir/R4/validation.html, https://hl7.org/fhir/R4/json.html."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from profiles.structure import validate

NAMES = sorted(file.stem for file in (Path(__file__).parent / "samples").glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_valid_resources_have_no_problems(name, sample):
    assert validate(sample(name)) == []


# sample, place, value (... = removed), code, expression
BAD = [
    # unknown elements
    ("observation", "valeu", 1, "structure", "Observation.valeu"),
    ("observation", "code.coding.0.kode", "x", "structure", "Observation.code.coding[0].kode"),
    ("observation", "valueAttachment", {"url": "x"}, "structure", "Observation.valueAttachment"),
    ("observation", "valuequantity", {"value": 1}, "structure", "Observation.valuequantity"),
    ("observation", "value", {"value": 1}, "structure", "Observation.value"),
    ("observation", "fhir_comments", ["x"], "structure", "Observation"),
    ("observation", "_code", {"id": "x"}, "structure", "Observation._code"),
    ("observation", "code.resourceType", "CodeableConcept", "structure", "Observation.code.resourceType"),
    (
        "medication_request",
        "dosageInstruction.0.doseAndRate.0.doseQuantity.comparator",  # SimpleQuantity
        "<",
        "structure",
        "MedicationRequest.dosageInstruction[0].doseAndRate[0].dose.ofType(Quantity).comparator",
    ),
    # two types of a choice at once
    ("observation", "valueString", "x", "structure", "Observation.value"),
    ("patient", "deceasedDateTime", "2026", "structure", "Patient.deceased"),
    # cardinality
    ("observation", "status", ..., "required", "Observation.status"),
    ("observation", "code", ..., "required", "Observation.code"),
    ("medication_request", "medicationReference", ..., "required", "MedicationRequest.medication"),
    ("patient", "link.0.type", ..., "required", "Patient.link[0].type"),
    ("patient", "communication.0.language", ..., "required", "Patient.communication[0].language"),
    ("patient", "extension.0.url", ..., "required", "Patient.extension[0].url"),
    ("observation", "code", [{"text": "x"}], "structure", "Observation.code"),
    ("observation", "status", ["final"], "structure", "Observation.status"),
    ("observation", "valueQuantity", [{"value": 1}], "structure", "Observation.value.ofType(Quantity)"),
    ("observation", "category", {"text": "x"}, "structure", "Observation.category"),
    ("patient", "name.0.given", "Kari", "structure", "Patient.name[0].given"),
    # the wrong JSON type
    ("observation", "code", "8867-4", "structure", "Observation.code"),
    ("observation", "code.coding.0", ["x"], "structure", "Observation.code.coding[0]"),
    ("observation", "status", {"value": "final"}, "structure", "Observation.status"),
    ("observation", "status", True, "invalid", "Observation.status"),
    ("observation", "valueQuantity.value", "91.50", "invalid", "Observation.value.ofType(Quantity).value"),
    ("observation", "valueQuantity.value", True, "invalid", "Observation.value.ofType(Quantity).value"),
    ("patient", "active", "true", "invalid", "Patient.active"),
    ("patient", "active", 1, "invalid", "Patient.active"),
    ("patient", "multipleBirthInteger", "2", "invalid", "Patient.multipleBirth.ofType(integer)"),
    ("patient", "multipleBirthInteger", Decimal("2.0"), "invalid", "Patient.multipleBirth.ofType(integer)"),
    ("patient", "name.0.given.0", 7, "invalid", "Patient.name[0].given[0]"),
    ("patient", "name.0", "Kari", "structure", "Patient.name[0]"),
    # required codes
    ("observation", "status", "done", "code-invalid", "Observation.status"),
    (
        "observation",
        "valueQuantity.comparator",
        "~",
        "code-invalid",
        "Observation.value.ofType(Quantity).comparator",
    ),
    ("patient", "gender", "Female", "code-invalid", "Patient.gender"),
    (
        "care_plan",
        "activity.0.detail.scheduledTiming.repeat.dayOfWeek.1",
        "tuesday",
        "code-invalid",
        "CarePlan.activity[0].detail.scheduled.ofType(Timing).repeat.dayOfWeek[1]",
    ),
    (
        "care_plan",
        "activity.0.detail.scheduledTiming.repeat.periodUnit",
        "day",
        "code-invalid",
        "CarePlan.activity[0].detail.scheduled.ofType(Timing).repeat.periodUnit",
    ),
    ("condition", "clinicalStatus.coding.0.code", "cured", "code-invalid", "Condition.clinicalStatus"),
    ("condition", "clinicalStatus.coding.0.system", "http://x", "code-invalid", "Condition.clinicalStatus"),
    ("condition", "clinicalStatus", {"text": "active"}, "code-invalid", "Condition.clinicalStatus"),
    # references
    ("observation", "subject.reference", "Practitioner/1", "structure", "Observation.subject"),
    ("observation", "subject.reference", "https://x.no/fhir/Encounter/1", "structure", "Observation.subject"),
    ("observation", "subject.reference", "Goal/1/_history/2", "structure", "Observation.subject"),
    ("observation", "subject.reference", "Goal?identifier=1", "structure", "Observation.subject"),
    ("observation", "subject.type", "Goal", "structure", "Observation.subject.type"),
    ("observation", "performer.0.reference", "Device/1", "structure", "Observation.performer[0]"),
    (
        "medication_request",
        "medicationReference.reference",
        "Patient/1",
        "structure",
        "MedicationRequest.medication.ofType(Reference)",
    ),
    # nothing is empty
    ("observation", "code", {}, "invalid", "Observation.code"),
    ("observation", "category", [], "invalid", "Observation.category"),
    ("observation", "category.0", {}, "invalid", "Observation.category[0]"),
    ("observation", "code.text", "", "invalid", "Observation.code.text"),
    ("observation", "status", "", "invalid", "Observation.status"),
    ("observation", "code.text", None, "invalid", "Observation.code.text"),
    ("observation", "code", None, "invalid", "Observation.code"),
    ("observation", "valueQuantity", None, "invalid", "Observation.valueQuantity"),
    ("observation", "category.0", None, "structure", "Observation.category[0]"),
    ("patient", "name.0.given.0", None, "invalid", "Patient.name[0].given[0]"),
    # extended primitives
    ("patient", "_birthDate", {}, "invalid", "Patient.birthDate"),
    ("patient", "_birthDate", None, "structure", "Patient.birthDate"),
    ("patient", "_birthDate", "x", "structure", "Patient.birthDate"),
    ("patient", "_birthDate", [{"id": "x"}], "structure", "Patient.birthDate"),
    ("patient", "_birthDate", {"value": "1948"}, "structure", "Patient.birthDate.value"),
    ("patient", "_birthDate.extension.0.url", ..., "required", "Patient.birthDate.extension[0].url"),
    ("patient", "_deceasedBoolean", 3, "structure", "Patient.deceased.ofType(boolean)"),
    # extensions
    ("patient", "extension.0.valueString", "x", "structure", "Patient.extension[0].value"),
    ("patient", "extension.0.valueAddress", ..., "invalid", "Patient.extension[0]"),
    ("patient", "extension.1.valueString", "x", "invalid", "Patient.extension[1]"),
    ("patient", "extension.0.url", "not a url", "invalid", "Patient.extension[0].url"),
    (
        "patient",
        "extension.1.extension.1.valueDecimal",
        "x",
        "invalid",
        "Patient.extension[1].extension[1].value.ofType(decimal)",
    ),
    # resources in resources
    ("care_plan", "contained.0.id", ..., "required", "CarePlan.contained[0].id"),
    (
        "care_plan",
        "contained.0.contained",
        [{"resourceType": "Basic", "id": "x", "code": {"text": "x"}}],
        "structure",
        "CarePlan.contained[0].contained",
    ),
    ("care_plan", "contained.0.resourceType", "Goall", "structure", "CarePlan.contained[0]"),
    (
        "care_plan",
        "contained.0.lifecycleStatus",
        "on",
        "code-invalid",
        "CarePlan.contained[0].lifecycleStatus",
    ),
    ("care_plan", "contained.0", "#g1", "structure", "CarePlan.contained[0]"),
    ("bundle", "entry.0.resource.active", "x", "invalid", "Bundle.entry[0].resource.active"),
    ("bundle", "entry.0.resource.resourceType", ..., "structure", "Bundle.entry[0].resource"),
    ("bundle", "entry.0.resource", [], "structure", "Bundle.entry[0].resource"),
    ("bundle", "entry.1.resource.data", "aGV", "invalid", "Bundle.entry[1].resource.data"),
    ("bundle", "entry.0.request.method", "post", "code-invalid", "Bundle.entry[0].request.method"),
    # ids
    ("patient", "id", "a_b", "invalid", "Patient.id"),
    ("patient", "id", "x" * 65, "invalid", "Patient.id"),
    ("patient", "id", "p1\n", "invalid", "Patient.id"),
    ("patient", "id", 7, "invalid", "Patient.id"),
    # narrative
    ("observation", "text.div", "plain", "invalid", "Observation.text.div"),
    ("observation", "text.div", "<p>x</p>", "invalid", "Observation.text.div"),
    ("observation", "text.status", ..., "required", "Observation.text.status"),
    # what one level deeper shares the definition of another element
    (
        "questionnaire_response",
        "item.0.answer.0.item.0.linkId",
        ...,
        "required",
        "QuestionnaireResponse.item[0].answer[0].item[0].linkId",
    ),
]


@pytest.mark.parametrize(("name", "place", "value", "code", "expression"), BAD)
def test_a_problem_is_found_where_it_is(name, place, value, code, expression, sample, changed):
    problems = validate(changed(sample(name), place, value))
    assert [(p.severity, p.code, p.expression) for p in problems] == [("error", code, expression)]
    assert problems[0].diagnostics


@pytest.mark.parametrize(
    ("given", "extensions", "expressions"),
    [
        (["Kari"], [{"id": "a"}, None], ["given"]),  # not equally long
        (["Kari", "Oda"], [None], ["given"]),
        (["Kari"], {"id": "a"}, ["given"]),
        (["Kari"], [], ["given"]),
        (["Kari"], ["a"], ["given[0]"]),
        (["Kari"], [{}], ["given[0]"]),
        ([None], [None], ["given[0]"]),
        ([None, "Oda"], None, ["given[0]", "given"]),
        (..., [None, {"id": "a"}], ["given[0]"]),
        (["Kari"], [None], []),
        (["Kari", None], [None, {"id": "a"}], []),
        (["Kari", "Oda"], [{"id": "a"}, {"extension": [{"url": "http://x", "valueCode": "y"}]}], []),
        (..., [{"id": "a"}], []),
    ],
)
def test_values_and_extensions_of_a_list_of_primitives_go_in_pairs(given, extensions, expressions):
    name = {"family": "Prøve", "_given": extensions}
    if given is not ...:
        name["given"] = given
    problems = validate({"resourceType": "Patient", "name": [name]})
    assert [p.expression for p in problems] == [f"Patient.name[0].{e}" for e in expressions]


GOOD = [
    ("patient", "birthDate", ...),  # its extension still is there
    ("patient", "name.0.given", ...),
    ("patient", "deceasedBoolean", True),
    ("condition", "clinicalStatus", {"extension": [{"url": "http://x", "valueCode": "unknown"}]}),
    ("condition", "clinicalStatus.coding.0.display", "Aktiv"),
    ("observation", "subject.reference", "urn:uuid:187e0c12-8dd2-47e2-99b2-bf273c878281"),
    ("observation", "subject.reference", "https://x.no/any/thing/else"),
    ("observation", "subject", {"display": "somebody"}),
    ("observation", "focus", [{"reference": "Basic/anything"}]),
    ("observation", "valueQuantity.value", 91),
    ("observation", "valueQuantity.value", Decimal("1e-300")),
    ("observation", "code.text", " spaces around\tand\r\nlines "),
    ("observation", "code.text", "😀 ÆØÅ \u00a0 \u2028"),
    ("observation", "code.coding.0.code", "two words"),
    ("observation", "text.div", "<div xmlns='http://www.w3.org/1999/xhtml'><b>x</b><br/></div>"),
    ("patient", "telecom.0.value", "x" * 1048576),
]


@pytest.mark.parametrize(("name", "place", "value"), GOOD)
def test_what_r4_allows_is_allowed(name, place, value, sample, changed):
    resource = changed(sample(name), place, value)
    if place == "name.0.given":
        resource["name"][0]["_given"] = [{"id": "a"}]
    assert validate(resource) == []


@pytest.mark.parametrize("resource", [None, [], "Patient", 7, True, {}, {"resourceType": None}])
def test_what_is_no_resource_is_one_problem(resource):
    (problem,) = validate(resource)
    assert (problem.code, problem.expression) == ("structure", "Resource")


@pytest.mark.parametrize(
    "type_", ["Foo", "patient", "Resource", "DomainResource", "HumanName", 7, ["Patient"], {}]
)
def test_an_unknown_resource_type_is_a_problem(type_):
    (problem,) = validate({"resourceType": type_, "id": "x"})
    assert (problem.code, problem.expression) == ("structure", "Resource")


def test_every_problem_is_reported_at_once(sample):
    resource = sample("observation")
    del resource["status"]
    resource["valueQuantity"]["value"] = "91"
    resource["effectiveDateTime"] = "yesterday"
    resource["extra"] = 1
    assert {p.expression for p in validate(resource)} == {
        "Observation.status",
        "Observation.value.ofType(Quantity).value",
        "Observation.effective.ofType(dateTime)",
        "Observation.extra",
    }


def test_at_most_a_hundred_problems_and_a_note():
    problems = validate({"resourceType": "Patient", "name": [{"x": 1}] * 100_000})
    assert len(problems) == 101
    assert problems[-1].severity == "information"


@pytest.mark.parametrize(
    ("resource", "secret"),
    [
        ({"resourceType": "Patient", "id": "Kari Nordmann"}, "Kari"),
        ({"resourceType": "Patient", "birthDate": "12.03.1948"}, "1948"),
        ({"resourceType": "Patient", "gender": "Kari Nordmann"}, "Kari"),
        ({"resourceType": "Patient", "gender": "12034812345"}, "12034812345"),
        ({"resourceType": "Patient", "Kari Nordmann": 1}, "Kari"),
        ({"resourceType": "Kari Nordmann"}, "Kari"),
        ({"resourceType": "Patient", "generalPractitioner": [{"reference": "Patient/kari"}]}, "kari"),
    ],
)
def test_diagnostics_never_repeat_what_may_say_who_somebody_is(resource, secret):
    (problem,) = validate(resource)
    assert secret not in problem.diagnostics + problem.expression


def test_diagnostics_help_to_mend_it(sample, changed):
    def diagnostics(place, value):
        return validate(changed(sample("observation"), place, value))[0].diagnostics

    assert "'done'" in diagnostics("status", "done")
    assert "preliminary" in diagnostics("status", "done")
    assert "did you mean component?" in diagnostics("componnent", [])
    assert "valueQuantity" in diagnostics("valueFloat", 1)
    assert "Patient" in diagnostics("subject.reference", "Goal/1")


def test_nesting_is_bounded():
    extension = {"url": "http://x", "valueBoolean": True}
    for _ in range(5000):
        extension = {"url": "http://x", "extension": [extension]}
    (problem,) = validate({"resourceType": "Patient", "extension": [extension]})
    assert problem.code == "too-long"


def test_bundles_in_bundles_are_bounded():
    bundle = {"resourceType": "Bundle", "type": "collection"}
    for _ in range(2000):
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": bundle}]}
    (problem,) = validate(bundle)
    assert problem.code == "too-long"
