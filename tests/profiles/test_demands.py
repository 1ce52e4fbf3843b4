"""What a place may ask of resources beyond R4; and ids of elements, which everybody has once."""

from __future__ import annotations

import pytest

from profiles.demands import DEMANDS
from tests.profiles.judging import Known


def found(resource, *demands):
    problems = Known().judge(resource, demands=demands)
    return [(p.code, p.expression) for p in problems if p.severity == "error"]


def warned(resource, *demands):
    return [p.expression for p in Known().judge(resource, demands=demands) if p.severity == "warning"]


def document(url):
    attachment = {"contentType": "text/plain", "url": url}
    return {"resourceType": "DocumentReference", "status": "current", "content": [{"attachment": attachment}]}


URL = [("invalid", "DocumentReference.content[0].attachment.url")]


@pytest.mark.parametrize(
    "url",
    ["http://example.org", "https://fhir.example.com/x", "http://a@example.net:8080/", "http://x.example/y"],
)
def test_urls_of_examples(url):
    assert found(document(url)) == []
    assert found(document(url), "real-urls") == URL


@pytest.mark.parametrize(
    "url", ["http://helsenett.no/example.org", "http://notexample.org/", "urn:oid:1.2.3"]
)
def test_urls_that_are_none_of_examples(url):
    assert found(document(url), "real-urls") == []


def test_a_url_as_one_type_of_several():
    extension = {"url": "https://helsenett.no/x", "valueUri": "http://example.org/x"}
    expected = [("invalid", "Basic.extension[0].value.ofType(uri)")]
    assert (
        found({"resourceType": "Basic", "code": {"text": "x"}, "extension": [extension]}, "real-urls")
        == expected
    )


def note(text):
    return {"resourceType": "Communication", "status": "completed", "note": [{"text": text}]}


AT = "Communication.note[0].text"


@pytest.mark.parametrize("text", ["<b>bold</b>", "a <br/> b", "</p>", "<resource type>", "<!DOCTYPE x>"])
def test_what_looks_like_html_in_markdown(text):
    assert found(note(text)) == []
    assert AT in warned(note(text))
    assert found(note(text), "no-html") == [("invalid", AT)]


@pytest.mark.parametrize(
    "text",
    ["4 < 5", "a<3", "<https://helsenett.no>", "<kari@helsenett.no>", "`<b>`", "```\n<b>\n```", "&lt;b>"],
)
def test_what_does_not(text):
    assert AT not in warned(note(text))
    assert found(note(text), "no-html") == []


def code_system(url, **facts):
    plain = {"resourceType": "CodeSystem", "url": url, "status": "active", "content": "not-present"}
    return plain | facts


def test_experimental_definitions():
    experimental = code_system("http://helsenett.no/cs", experimental=True)
    assert found(experimental) == []
    assert found(experimental, "no-experimental") == [("business-rule", "CodeSystem")]
    assert found(experimental | {"experimental": False}, "no-experimental") == []


def test_what_hl7_publishes_names_its_owner():
    owner = {"url": "http://hl7.org/fhir/StructureDefinition/structuredefinition-wg", "valueCode": "fhir"}
    own = code_system("http://hl7.org/fhir/x")
    assert found(own) == []
    assert found(own, "hl7-publication") == [("business-rule", "CodeSystem")]
    assert ("business-rule", "CodeSystem") not in found(own | {"extension": [owner]}, "hl7-publication")
    assert found(code_system("http://helsenett.no/cs"), "hl7-publication") == []


def patient(id_="1"):
    return {"resourceType": "Patient", "id": id_}


def coverage(reference):
    payor = [{"display": "x"}]
    return {
        "resourceType": "Coverage",
        "status": "active",
        "beneficiary": {"reference": reference},
        "payor": payor,
    }


def test_references_lead_somewhere():
    assert found(coverage("Patient/1")) == []
    assert found(coverage("Patient/1"), "references") == [("not-found", "Coverage.beneficiary")]


def test_to_what_is_contained_or_in_the_same_parameters():
    contained = coverage("#p") | {"contained": [patient("p")]}
    assert found(contained, "references") == []
    inner = {"name": "y", "part": [{"name": "z", "resource": patient()}]}
    for reference, expected in (("Patient/1", []), ("Patient/2", ["beneficiary"])):
        parts = [inner, {"name": "c", "resource": coverage(reference)}]
        at = [("not-found", f"Parameters.parameter[1].resource.{name}") for name in expected]
        assert found({"resourceType": "Parameters", "parameter": parts}, "references") == at


def test_what_is_no_literal_reference_is_not_followed():
    endpoint = {
        "resourceType": "Organization",
        "name": "x",
        "endpoint": [{"reference": "http://fhir.helsenett.no"}],
    }
    assert found(endpoint, "references") == []


def test_every_demand_says_what_it_asks():
    assert all(DEMANDS.values())


# Ids of elements


def test_an_id_is_of_one_element():
    name = {"family": "Berg", "_family": {"id": "a"}}
    person = {"resourceType": "Patient", "name": [name, {"id": "b", "text": "x"}], "telecom": [{"id": "b"}]}
    person["telecom"][0] |= {"system": "phone", "value": "1"}
    assert found(person) == [("business-rule", "Patient.telecom[0]")]
    assert found(person | {"name": [name]}) == []


def test_other_resources_have_ids_of_their_own():
    inner = {"resourceType": "Basic", "id": "x", "code": {"id": "a", "text": "x"}}
    entry = {"id": "a", "fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": inner}
    assert found({"resourceType": "Bundle", "type": "collection", "entry": [entry]}) == []


def test_the_views_of_a_profile_share_theirs():
    elements = {"element": [{"id": "Patient", "path": "Patient"}]}
    profile = {"resourceType": "StructureDefinition", "snapshot": elements, "differential": elements}
    assert [place for _, place in found(profile) if "element" in place] == []
