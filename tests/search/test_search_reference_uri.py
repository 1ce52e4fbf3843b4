"""https://hl7.org/fhir/R4/search.html#reference, https://hl7.org/fhir/R4/search.html#uri"""

import pytest

BASE = "https://varde.example/fhir"


def observation(**subject):
    return {"resourceType": "Observation", "subject": subject}


PATIENT_1 = observation(reference="Patient/1")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("subject=Patient/1", True),
        ("subject=1", True),
        ("subject=Group/1", False),
        ("subject=Patient/2", False),
        ("subject=2,Patient/1", True),
        ("subject:Patient=1", True),
        ("subject:Patient=Patient/1", True),
        ("subject:Group=1", False),
        (f"subject={BASE}/Patient/1", True),
        ("subject=https://other.example/fhir/Patient/1", False),
        ("patient=1", True),
        ("patient=Patient/1", True),
        ("patient=Group/1", False),
        ("subject=Patient/1/_history/1", False),
        ("subject:identifier=1", False),
        ("subject:missing=false", True),
        ("performer:missing=true", True),
        ("performer=Patient/1", False),
    ],
)
def test_a_local_reference(finds, query, found):
    assert finds(query, PATIENT_1) == found


@pytest.mark.parametrize(
    "query", ["subject=Patient/1", "subject=1", f"subject={BASE}/Patient/1", "patient=1"]
)
def test_an_absolute_reference_to_this_server_is_a_local_one(finds, query):
    assert finds(query, observation(reference=f"{BASE}/Patient/1"))


def test_a_reference_to_another_server(finds):
    elsewhere = observation(reference="https://other.example/fhir/Patient/1")
    assert finds("subject=https://other.example/fhir/Patient/1", elsewhere)
    assert finds("patient=https://other.example/fhir/Patient/1", elsewhere)
    assert not finds("subject=Patient/1", elsewhere)
    assert not finds("subject=1", elsewhere)


def test_a_reference_to_a_version_is_found_with_it_and_without(finds):
    of_version = observation(reference="Patient/1/_history/2")
    assert finds("subject=Patient/1", of_version)
    assert finds("patient=1", of_version)
    assert finds("subject=Patient/1/_history/2", of_version)
    assert finds(f"subject={BASE}/Patient/1/_history/2", of_version)
    assert not finds("subject=Patient/1/_history/3", of_version)


def test_a_logical_reference_is_found_by_its_identifier(finds):
    logical = observation(type="Patient", identifier={"system": "urn:oid:1.2", "value": "123"})
    assert finds("subject:identifier=urn:oid:1.2|123", logical)
    assert finds("subject:identifier=123", logical)
    assert finds("subject:identifier=urn:oid:1.2|", logical)
    assert not finds("subject:identifier=|123", logical)
    assert finds("patient:identifier=urn:oid:1.2|123", logical)
    assert not finds("subject=123", logical)
    assert finds("subject:missing=false", logical)


def test_a_reference_may_have_both(finds):
    both = observation(reference="Patient/1", identifier={"value": "123"})
    assert finds("subject:identifier=123", both)
    assert finds("subject=Patient/1", both)


def test_contained_resources_and_bare_displays_are_no_targets_but_are_not_missing(finds, rows):
    for subject in ({"reference": "#p"}, {"display": "somebody"}):
        assert rows(observation(**subject))["reference"] == (("subject", "", "", "", "", ""),)
        assert finds("subject:missing=false", observation(**subject))


def test_a_urn_is_a_url(finds):
    urn = "urn:uuid:53fefa32-fcbb-4ff8-8a92-55ee120877b7"
    assert finds(f"subject={urn}", observation(reference=urn))


def test_canonicals_are_found_with_and_without_their_version(finds):
    response = {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": "https://x.example/Questionnaire/cat|2",
    }
    assert finds("questionnaire=https://x.example/Questionnaire/cat", response)
    assert finds("questionnaire=https://x.example/Questionnaire/cat|2", response)
    assert not finds("questionnaire=https://x.example/Questionnaire/cat|1", response)
    assert not finds("questionnaire=https://x.example/Questionnaire/ca", response)


def test_a_resource_inside_another_is_a_target(finds):
    message = {
        "resourceType": "Bundle",
        "entry": [{"resource": {"resourceType": "MessageHeader", "id": "m"}}],
    }
    assert finds("message=MessageHeader/m", message)


@pytest.mark.parametrize(
    "value", ["#p", "Patient/", "Patient/1/2", "a b", "Patient/1?x=y", "a\\", "/1", "1|2"]
)
def test_values_that_are_no_reference(bad_value, value):
    bad_value("Observation", f"subject={value}")


def test_the_modifier_and_the_value_must_agree(bad_value):
    bad_value("Observation", "subject:Group=Patient/1")


# uri

URL = "https://acme.example/fhir/ValueSet/123"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"url={URL}", True),
        (f"url={URL.upper()}", False),
        ("url=https://acme.example/fhir", False),
        ("url:below=https://acme.example/fhir/", True),
        ("url:below=https://acme.example/fhir/Code", False),
        (f"url:below={URL}", True),
        (f"url:above={URL}/_history/5", True),
        (f"url:above={URL}", True),
        ("url:above=https://acme.example/fhir/", False),
        (f"url={URL}|1.0", True),
        (f"url={URL}|2.0", False),
        ("url:missing=false", True),
    ],
)
def test_uris(finds, query, found):
    assert finds(query, {"resourceType": "ValueSet", "url": URL, "version": "1.0"}) == found


def test_oids_match_whole_and_have_no_path(finds, bad_value):
    assert finds("url=urn:oid:1.2.3.4.5", {"resourceType": "ValueSet", "url": "urn:oid:1.2.3.4.5"})
    bad_value("ValueSet", "url:below=urn:oid:1.2.3")


def test_profiles_tags_and_sources_are_found_on_every_type(finds):
    meta = {
        "profile": ["http://hl7.no/fhir/StructureDefinition/no-basis-Patient|2.0"],
        "tag": [{"system": "https://varde.example/tags", "code": "demo"}],
        "security": [{"code": "R"}],
        "source": "urn:x",
    }
    patient = {"resourceType": "Patient", "id": "1", "meta": meta}
    assert finds("_profile=http://hl7.no/fhir/StructureDefinition/no-basis-Patient", patient)
    assert finds("_profile=http://hl7.no/fhir/StructureDefinition/no-basis-Patient|2.0", patient)
    assert finds("_tag=https://varde.example/tags|demo&_security=R&_source=urn:x&_id=1", patient)
    assert finds("_id=2,1", patient)
    assert not finds("_id=2", patient)
