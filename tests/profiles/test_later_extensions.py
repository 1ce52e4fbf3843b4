"""Extensions that HL7 defined after R4: known by name, so that they are neither mistakes nor misplaced."""

from __future__ import annotations

import pytest

from profiles.definitions import load
from tests.profiles.judging import errors

HL7 = "http://hl7.org/fhir/StructureDefinition/"


def basic(name, modifies=False):
    element = "modifierExtension" if modifies else "extension"
    return {
        "resourceType": "Basic",
        "code": {"text": "x"},
        element: [{"url": HL7 + name, "valueString": "x"}],
    }


def test_they_are_known_and_what_they_hold_is_not():
    assert errors(basic("organization-brand")) == []
    assert errors(basic("consent-provision-limit", modifies=True)) == []


@pytest.mark.parametrize(
    ("name", "modifies"), [("organization-brand", True), ("consent-provision-limit", False)]
)
def test_those_that_change_meaning_stand_apart(name, modifies):
    place = "modifierExtension" if modifies else "extension"
    assert errors(basic(name, modifies)) == [("structure", f"Basic.{place}[0]")]


def test_what_hl7_never_defined_is_a_mistake():
    assert errors(basic("organization-brandy")) == [("structure", "Basic.extension[0]")]


def test_none_of_them_is_r4s_own():
    assert not load().later_extensions.keys() & load().profiles.keys()
