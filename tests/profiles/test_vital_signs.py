"""Which profile of vital signs R4 asks of an Observation."""

from __future__ import annotations

import pytest

from profiles.vital_signs import vital_signs

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
