"""Bindings that hold besides an element's own: R5's additional bindings, by their extension in R4."""

from __future__ import annotations

import pytest

from tests.profiles.judging import judged

HL7 = "http://hl7.org/fhir"
URL, REDS = "http://example.org/StructureDefinition/p", "http://example.org/ValueSet/reds"
OF_R5 = f"{HL7}/5.0/StructureDefinition/extension-ElementDefinition.binding.additional"
OF_TOOLS = f"{HL7}/tools/StructureDefinition/additional-binding"
VALUE_SET = {
    "resourceType": "ValueSet",
    "url": REDS,
    "status": "active",
    "compose": {"include": [{"system": "http://example.org/colours", "concept": [{"code": "red"}]}]},
}


def additional(purpose, url=OF_R5, **more):
    parts = [{"url": "purpose", "valueCode": purpose}, {"url": "valueSet", "valueCanonical": REDS}]
    return {"url": url, "extension": parts + [{"url": k, **v} for k, v in more.items()]}


def profile(*extensions, url=URL, base=f"{HL7}/StructureDefinition/Basic", strength="example"):
    binding = {"strength": strength, "valueSet": f"{HL7}/ValueSet/basic-resource-type"}
    element = {"id": "Basic.code", "path": "Basic.code", "binding": binding | {"extension": list(extensions)}}
    plain = {"resourceType": "StructureDefinition", "url": url, "type": "Basic", "kind": "resource"}
    return plain | {
        "derivation": "constraint",
        "baseDefinition": base,
        "differential": {"element": [element]},
    }


def severities(code, *known):
    coding = {"system": "http://example.org/colours", "code": code}
    found = judged({"resourceType": "Basic", "code": {"coding": [coding]}}, VALUE_SET, *known, profiles=[URL])
    return {p.severity for p in found if p.code == "code-invalid" and REDS in p.diagnostics}


@pytest.mark.parametrize(
    ("extension", "severity"),
    [
        (additional("required"), {"error"}),
        (additional("maximum"), {"error"}),
        (additional("required", OF_TOOLS), {"error"}),
        (additional("extensible"), {"warning"}),
        (additional("preferred"), {"information"}),
        (additional("ui"), set()),
        (additional("required", any={"valueBoolean": True}), set()),
        (additional("required", usage={"valueUsageContext": {}}), set()),
        (additional("required", "http://example.org/other"), set()),
    ],
)
def test_a_code_beside_an_additional_binding(extension, severity):
    assert severities("red", profile(extension)) == set()
    assert severities("blue", profile(extension)) == severity


def test_those_of_the_base_stay():
    base = profile(additional("required"), url=URL + "0")
    assert severities("blue", base, profile(base=URL + "0")) == {"error"}
    assert severities("red", base, profile(base=URL + "0")) == set()
