"""StructureDefinitions as $validate judges them: whether their differential makes sense on its base."""

from __future__ import annotations

import pytest

from tests.profiles.judging import errors, judged, warnings

BASE = "http://hl7.org/fhir/StructureDefinition/"
URL = "http://example.org/StructureDefinition/p"


def profile(*elements, base=BASE + "Patient"):
    return {
        "resourceType": "StructureDefinition",
        "url": URL,
        "name": "P",
        "status": "draft",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": base,
        "derivation": "constraint",
        "differential": {"element": [{"id": e["path"], **e} for e in elements]},
    }


def test_one_that_makes_sense():
    assert errors(profile({"path": "Patient"}, {"path": "Patient.birthDate", "min": 1})) == []


@pytest.mark.parametrize(
    "element",
    [
        {"path": "Patient.dateOfBirth", "min": 1},
        {"path": "Patient.birthDate", "max": "2"},
        {"path": "Patient.deceasedBla"},
        {"path": "Patient.gender", "type": [{"code": "string"}]},
    ],
)
def test_what_the_base_does_not_allow_is_told_at_the_element(element):
    found = errors(profile({"path": "Patient"}, element))
    assert found == [("processing", "StructureDefinition.differential.element[1]")]


def test_a_path_has_no_signs_in_its_names():
    found = errors(profile({"path": "Patient...name"}))
    assert ("invariant", "StructureDefinition.differential.element[0]") in found
    assert errors(profile({"path": "Patient.name.given"}, {"path": "Patient.deceased[x]"})) == []


@pytest.mark.parametrize("base", ["http://example.org/StructureDefinition/other", URL])
def test_without_a_base_to_look_at_nothing_is_judged(base):
    bad = profile({"path": "Patient.dateOfBirth", "min": 1}, base=base)
    assert errors(bad) == []
    assert ("not-found", "StructureDefinition.baseDefinition") in warnings(bad)


def test_the_base_may_be_another_profile():
    other = profile({"path": "Patient.birthDate", "max": "0"}) | {"url": URL + "0"}
    derived = profile({"path": "Patient.birthDate", "min": 1}, base=URL + "0")
    assert errors(derived, other) == [("processing", "StructureDefinition.differential.element[0]")]


def test_a_broken_structure_is_told_and_no_more():
    broken = profile({"path": "Patient.birthDate", "min": "1"})
    assert errors(broken) == [("invalid", "StructureDefinition.differential.element[0].min")]


PARAMETERS = "http://example.org/StructureDefinition/parameters"


def of_parameters(*urls):
    """A profile of Parameters whose resources must be as one of these say."""
    at = "Parameters.parameter.resource"
    element = {"id": at, "path": at, "type": [{"code": "Patient", "profile": list(urls)}]}
    plain = profile() | {"url": PARAMETERS, "type": "Parameters", "baseDefinition": BASE + "Parameters"}
    return plain | {"differential": {"element": [element]}}


@pytest.mark.parametrize("urls", [(URL,), (URL, URL + "0")])
def test_a_profile_without_sense_that_another_one_mentions_is_no_fault_of_the_resource(urls):
    senseless = profile({"path": "Patient.dateOfBirth", "min": 1})
    patient = {"resourceType": "Patient", "meta": {"profile": [URL]}}
    assert ("exception", "Patient") in errors(patient, senseless)
    named = {
        "resourceType": "Parameters",
        "parameter": [{"name": "p", "resource": {"resourceType": "Patient"}}],
    }
    other = profile({"path": "Patient.birthDate", "min": 1}) | {"url": URL + "0"}
    known = senseless, other, of_parameters(*urls)
    found = judged(named, *known, profiles=[PARAMETERS])
    assert [(p.severity, p.expression) for p in found if p.code == "exception"] == [
        ("warning", "Parameters.parameter[0].resource")
    ]
    assert [p for p in found if p.severity == "error"] == []
