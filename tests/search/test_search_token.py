"""https://hl7.org/fhir/R4/search.html#token"""

import pytest

LOINC = "http://loinc.org"
OBSERVATION = {
    "resourceType": "Observation",
    "status": "final",
    "code": {"coding": [{"system": LOINC, "code": "29463-7"}, {"code": "local"}], "text": "Vekt"},
    "category": [{"text": "only text"}],
    "method": {"coding": [{"system": "http://example.org/only-system"}]},
}
PATIENT = {
    "resourceType": "Patient",
    "active": True,
    "gender": "female",
    "identifier": [
        {"system": "urn:oid:2.16.578.1.12.4.1.4.1", "value": "13116900216"},
        {"value": "a|b,c$d\\e"},
    ],
    "telecom": [
        {"system": "phone", "value": "+47 123"},
        {"system": "email", "value": "Kari@example.org"},
        {"system": "sms"},
    ],
}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("code=29463-7", True),
        ("code=29463-8", False),
        (f"code={LOINC}|29463-7", True),
        ("code=http://other.org|29463-7", False),
        (f"code={LOINC}|local", False),
        ("code=|local", True),
        ("code=|29463-7", False),
        (f"code={LOINC}|", True),
        ("code=http://other.org|", False),
        ("method=http://example.org/only-system|", True),
        ("code=x,29463-7", True),
        (f"code={LOINC}|x,{LOINC}|29463-7,y", True),
        ("code=29463-7&code=local", True),
        ("code=29463-7&code=x", False),
        ("code:not=29463-7", False),
        ("code:not=x", True),
        ("code:not=x,29463-7", False),
        ("device:missing=true", True),
        ("value-concept:not=x", True),
        ("code:missing=false", True),
        ("code:missing=true", False),
        ("category:missing=true", False),
        ("category=only text", False),
        ("data-absent-reason:missing=true", True),
        ("code=29463-7 ", False),
        ("code=LOCAL", False),
    ],
)
def test_codings(finds, query, found):
    assert finds(query, OBSERVATION) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("status=final", True),
        ("status=http://hl7.org/fhir/observation-status|final", True),
        ("status=http://example.org/another|final", False),
        ("status=|final", True),
        ("status=FINAL", False),
        ("status:not=amended,corrected", True),
    ],
)
def test_a_code_has_the_system_that_its_binding_implies(finds, query, found):
    assert finds(query, OBSERVATION) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("identifier=13116900216", True),
        ("identifier=urn:oid:2.16.578.1.12.4.1.4.1|13116900216", True),
        ("identifier=urn:oid:2.16.578.1.12.4.1.4.2|13116900216", False),
        ("identifier=|13116900216", False),
        ("identifier=a\\|b\\,c\\$d\\\\e", True),
        ("identifier=|a\\|b\\,c\\$d\\\\e", True),
        ("phone=%2B47 123", True),
        ("phone=Kari@example.org", False),
        ("email=Kari@example.org", True),
        ("telecom=Kari@example.org", True),
        ("active=true", True),
        ("active=false", False),
        ("active=http://hl7.org/fhir/special-values|true", True),
        ("gender=female", True),
        ("gender:not=male", True),
        ("deceased=false", True),
        ("deceased=true", False),
    ],
)
def test_identifiers_contacts_booleans_and_codes(finds, query, found):
    assert finds(query, PATIENT) == found


def test_elements_of_type_string_match_without_case(finds):
    questionnaire = {"resourceType": "Questionnaire", "version": "V1-Beta"}
    assert finds("version=v1-BETA", questionnaire)
    assert not finds("version=v1", questionnaire)


@pytest.mark.parametrize("value", ["|", "a|b|c", "a,,b", "a\\", "a\\b", ","])
def test_values_that_no_token_has(asked, bad_value, value):
    bad_value("Observation", f"code={value}")


def test_alternatives_of_one_system_are_one_probe_of_an_index(asked):
    where = asked("Observation", f"code={LOINC}|1,{LOINC}|2").query.where
    assert [(test.column, test.op, test.value) for test in where.tests] == [
        ("system", "=", LOINC),
        ("code", "in", ("1", "2")),
    ]
