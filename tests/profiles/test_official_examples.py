"""HL7's own R4 examples may be written to Varde, save those that break R4 themselves."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from profiles.structure import validate
from tests.corpus.examples import ABSENT, examples

pytestmark = pytest.mark.skipif(not examples(), reason=ABSENT)

EVERY = 20  # all 5,306 take half a minute of a processor: this one and that is enough for a change
# What they break: rules by their keys (txt-1: a narrative without any content; bdl-7: one fullUrl twice; sdf-4: a
# type that is not abstract and has no base), else the code of the finding (required: elements that are missing;
# structure: targets that the element may not have; invalid: an id of over 64 characters).
BROKEN: dict[str, list[str]] = {
    "ActivityDefinition-blood-tubes-supply": ["txt-1"],
    "ActivityDefinition-heart-valve-replacement": ["txt-1"],
    "Bundle-dataelements": ["bdl-7"],
    "DeviceMetric-example": ["structure"],
    "DeviceUseStatement-example": ["structure"],
    "EventDefinition-example": ["txt-1"],
    "ImplementationGuide-fhir": ["required"],
    "MedicationRequest-medrx0301": ["structure"],
    "Observation-clinical-gender": ["structure"],
    "Questionnaire-qs1": ["required"],
    "Questionnaire-zika-virus-exposure-assessment": ["txt-1"],
    "SearchParameter-codesystem-extensions-CodeSystem-author": ["required"],
    "SearchParameter-codesystem-extensions-CodeSystem-effective": ["required"],
    "SearchParameter-codesystem-extensions-CodeSystem-end": ["required"],
    "SearchParameter-codesystem-extensions-CodeSystem-keyword": ["required"],
    "SearchParameter-codesystem-extensions-CodeSystem-workflow": ["required"],
    "SearchParameter-questionnaireresponse-extensions-QuestionnaireResponse-item-subject": ["invalid"],
    "SearchParameter-valueset-extensions-ValueSet-author": ["required"],
    "SearchParameter-valueset-extensions-ValueSet-effective": ["required"],
    "SearchParameter-valueset-extensions-ValueSet-end": ["required"],
    "SearchParameter-valueset-extensions-ValueSet-keyword": ["required"],
    "SearchParameter-valueset-extensions-ValueSet-workflow": ["required"],
    "StructureDefinition-Definition": ["sdf-4"],
    "StructureDefinition-Event": ["sdf-4"],
    "StructureDefinition-FiveWs": ["sdf-4"],
    "StructureDefinition-Request": ["sdf-4"],
    "ig-r4": ["required"],
}


def refused(path):
    resource = json.loads(path.read_text("utf-8"), parse_float=Decimal)
    return {p.rule or p.code for p in validate(resource)}


def all_refused():
    """BROKEN made anew: what to run after a change."""
    return {path.stem: found for path in examples() if (found := refused(path))}


def test_every_twentieth_example_is_valid():
    found = {path.stem for path in examples()[::EVERY] if path.stem not in BROKEN and refused(path)}
    assert found == set()


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - {"Bundle-dataelements"}))  # which is large
def test_what_breaks_r4_is_refused_for_it(name):
    (path,) = [path for path in examples() if path.stem == name]
    assert sorted(refused(path)) == BROKEN[name]
