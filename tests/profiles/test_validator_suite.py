"""HL7's validator cases for R4: what refuses a write is found, and no valid resource is refused."""

from __future__ import annotations

import json
import os
import re
from decimal import Decimal
from pathlib import Path

import pytest

from profiles.structure import validate

SUITE = Path(os.environ.get("VARDE_SUITES", "../shared/suites")) / "validator-r4"
pytestmark = pytest.mark.skipif(
    not SUITE.is_dir(), reason=f"the HL7 validator cases are not in {SUITE} (set VARDE_SUITES)"
)

# What the reference validator reports of these is structural, as we say it: (code, expression).
STRUCTURAL = {
    "ai3.json": [("structure", "Patient.unknownElement")],
    "ai4.json": [("invalid", "Patient.birthDate")],
    "ai7.json": [
        ("required", "StructureDefinition.name"),
        ("required", "StructureDefinition.status"),
        ("required", "StructureDefinition.abstract"),
    ],
    "q-enablewhen-me-wrong.json": [("invariant", "Questionnaire.item[2]")],
    "ext-ccuk.json": [("invariant", "StructureDefinition.differential")],
    "opdef-params.json": [("invariant", "OperationDefinition.parameter[1]")],
    "risk-assessment-probability-range.json": [("invariant", "RiskAssessment.prediction[0]")],
    "bundle-ea-testcase.json": [
        ("required", "Bundle.entry[1].resource.contained[0].entry[0].resource.status"),
        ("required", "Bundle.entry[1].resource.contained[0].entry[0].resource.mode"),
    ],
    "bundle-sig-2.json": [("invalid", "Bundle.meta")],
    "cs-meta-profile.json": [("structure", "CodeSystem.meta.profile")],
    "empty-array.json": [("invalid", "DocumentReference.category[0].coding")],
    "hakan-se.json": [
        ("invalid", "MedicationRequest.authoredOn"),
        ("required", "MedicationRequest.medication"),
    ],
    "mr-covid-m.json": [("required", "Measure.group[0].population[0].criteria.language")],
    "obs-quantity.json": [("required", "Observation.code")],
    "obs-unit-profile.json": [("required", "StructureDefinition.name")],
    "Observation-ex-pain.json": [
        ("required", "Observation.code"),
        ("structure", "Observation.value.ofType(integer).value"),
    ],
    "parameters-attachment.json": [("invalid", "Parameters.parameter[0].value.ofType(Attachment).data")],
    "patient-id-bad-3.json": [("invalid", "Patient.id")],
    "resource-invalid-eid-2.json": [("invalid", "Location.position.id")],
    "resource-invalid-id-1.json": [("invalid", "Location.id")],
    "resource-invalid-id-2.json": [("invalid", "Location.id")],
    "resource-invalid-id-3.json": [("invalid", "Location.contained[0].id")],
}


def cases():
    """(file, resource, whether the reference validator has errors) of each case that is JSON."""
    for case in json.loads((SUITE / "cases.json").read_text("utf-8")):
        if case["file"].endswith(".json"):
            try:
                text = (SUITE / "files" / case["file"]).read_text("utf-8")
                yield case["file"], json.loads(text, parse_float=Decimal), bool(case["base"]["errors"])
            except ValueError:
                continue  # malformed on purpose: the decoder's business


def test_no_case_without_errors_is_refused():
    judged = [(file, validate(resource)) for file, resource, has_errors in cases() if not has_errors]
    assert len(judged) > 50
    assert [(file, problems) for file, problems in judged if problems] == []


def test_the_structural_errors_are_found_and_no_others():
    found = {
        file: [(p.code, p.expression) for p in problems]
        for file, resource, has_errors in cases()
        if has_errors and (problems := validate(resource))
    }
    assert found == STRUCTURAL


# What is wrong with HL7's own files: ids over 64 characters, and extensions' parameters without a base.
CORE_EXCEPTIONS = re.compile(r"(codesystem|valueset)-extensions-|questionnaireresponse-extensions-")


@pytest.mark.skipif(
    not Path(os.environ.get("VARDE_R4_PACKAGE", "-")).is_dir(),
    reason="VARDE_R4_PACKAGE does not name the unpacked hl7.fhir.r4.core package",
)
def test_the_resources_of_the_core_package_are_valid():
    refused = []
    for file in sorted(Path(os.environ["VARDE_R4_PACKAGE"]).glob("[A-Z]*-*.json")):
        resource = json.loads(file.read_text("utf-8"), parse_float=Decimal)
        if validate(resource) and not CORE_EXCEPTIONS.search(file.name):
            refused.append(file.name)
    assert refused == []
