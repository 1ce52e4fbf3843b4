"""Which profile of vital signs R4 asks of an Observation."""

from __future__ import annotations

import pytest

from profiles.vital_signs import vital_signs
from tests.profiles.judging import errors, warnings

HL7 = "http://hl7.org/fhir/StructureDefinition/"
LOINC, SNOMED = "http://loinc.org", "http://snomed.info/sct"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def observation(*codes, **facts):
    codings = [{"system": system, "code": code} for system, code in codes]
    return {"resourceType": "Observation", "code": {"coding": codings}, **facts}


@pytest.mark.parametrize(
    ("code", "profile"),
    [
        ((LOINC, "8867-4"), "heartrate"),
        ((LOINC, "59408-5"), "oxygensat"),
        ((LOINC, "76534-7"), "bp"),
        ((LOINC, "8480-6"), "bp"),
        ((SNOMED, "27113001"), "bodyweight"),
    ],
)
def test_the_code_says(code, profile):
    assert vital_signs(observation(code)) == [HL7 + profile]


def test_a_more_special_code_beside_the_profiles_own_is_one_profile():
    assert vital_signs(observation((LOINC, "59408-5"), (LOINC, "2708-6"))) == [HL7 + "oxygensat"]


def test_the_category_says_that_it_is_one_of_them():
    category = [{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}]
    assert vital_signs(observation(("http://example.org", "x"), category=category)) == [HL7 + "vitalsigns"]


@pytest.mark.parametrize("code", [(LOINC, "15074-8"), ("http://example.org", "8867-4"), (LOINC, 1)])
def test_other_observations_are_none(code):
    assert vital_signs(observation(code)) == []


def test_nonsense_is_none():
    assert vital_signs({"resourceType": "Observation", "code": "x"}) == []
    assert vital_signs({"resourceType": "Patient"}) == []


def weight(code):
    quantity = {"value": 80, "unit": "x", "system": "http://unitsofmeasure.org", "code": code}
    reading = observation(
        (LOINC, "29463-7"), category=[{"coding": [{"system": CATEGORY, "code": "vital-signs"}]}]
    )
    facts = {"status": "final", "subject": {"reference": "Patient/1"}, "effectiveDateTime": "2026-11-22"}
    return reading | facts | {"valueQuantity": quantity}


def test_a_vital_sign_is_in_one_of_its_units():
    assert errors(weight("kg")) == []
    assert errors(weight("mm[Hg]")) == [("code-invalid", "Observation.value.ofType(Quantity).code")]


def test_a_component_may_be_in_another_unit_than_those_of_the_list():
    """As a flow of oxygen beside a saturation: R4 published the binding as required, R4B mended it."""
    flow = {"value": 6, "unit": "L/min", "system": "http://unitsofmeasure.org", "code": "L/min"}
    component = [{"code": {"text": "Flow"}, "valueQuantity": flow}]
    reading = weight("kg") | {"component": component}
    assert errors(reading) == []
    assert ("code-invalid", "Observation.component[0].value.ofType(Quantity)") in warnings(reading)


def test_a_moment_is_at_least_a_day_and_a_period_is_fine():
    period = {k: v for k, v in weight("kg").items() if k != "effectiveDateTime"}
    assert errors(period | {"effectivePeriod": {"start": "2026-11-22"}}) == []
    assert errors(weight("kg") | {"effectiveDateTime": "2026-11"}) == [
        ("invariant", "Observation.effective.ofType(dateTime)")
    ]
