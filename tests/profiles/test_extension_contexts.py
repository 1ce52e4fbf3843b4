"""Where an extension may stand, and what must hold there.

https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

import pytest

from tests.profiles.test_profiles import HL7, URL, definition, errors, judge, patient

SHOE = {"url": URL + "shoe", "valueInteger": 42}


def shoe(*contexts, **more):
    elements = {"Extension.value[x]": {"type": [{"code": "integer"}]}}
    listed = [{"type": kind, "expression": expression} for kind, expression in contexts]
    return definition(elements, "Extension", "shoe", context=listed, **more)


def found(resource, extension):
    return errors(resource, definition({}, resource["resourceType"]), extension)


OFFICIAL = "Patient.name.where(use = 'official')"
PLACES = {
    "an element that the query finds": (OFFICIAL, {"name": [{"use": "official", "extension": [SHOE]}]}, None),
    "one that it does not find": (
        OFFICIAL,
        {"name": [{"use": "official"}, {"use": "usual", "extension": [SHOE]}]},
        "Patient.name[1].extension[0]",
    ),
    "one that is only equal to what it finds": (
        "Patient.contact.first().name",
        {"contact": [{"name": {"text": "A"}}, {"name": {"text": "A", "extension": [SHOE]}}]},
        "Patient.contact[1].name.extension[0]",
    ),
    "a primitive": (
        "Patient.birthDate",
        {"birthDate": "1950", "_birthDate": {"extension": [SHOE]}},
        None,
    ),
    "another primitive": (
        "Patient.birthDate",
        {"gender": "female", "_gender": {"extension": [SHOE]}},
        "Patient.gender.extension[0]",
    ),
    "one of a list of primitives": (
        "Patient.name.given.where($this = 'Kari')",
        {"name": [{"given": ["Anne", "Kari"], "_given": [None, {"extension": [SHOE]}]}]},
        None,
    ),
    "the other of the list": (
        "Patient.name.given.where($this = 'Kari')",
        {"name": [{"given": ["Anne", "Kari"], "_given": [{"extension": [SHOE]}, None]}]},
        "Patient.name[0].given[0].extension[0]",
    ),
    "the resource": ("Patient", {"extension": [SHOE]}, None),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_query_says_where(name):
    expression, elements, where = PLACES[name]
    expected = [] if where is None else [("structure", where)]
    assert found(patient(**elements), shoe(("fhirpath", expression))) == expected


def test_one_of_several_contexts_is_enough():
    extension = shoe(("fhirpath", "Patient.photo"), ("element", "Patient.contact"))
    assert found(patient(contact=[{"name": {"text": "A"}, "extension": [SHOE]}]), extension) == []
    assert found(patient(extension=[SHOE]), extension) == [("structure", "Patient.extension[0]")]


@pytest.mark.parametrize("expression", ["Patient.name.where(", "shoeSize()", "name.single()"])
def test_a_query_that_cannot_be_judged_refuses_nothing(expression):
    resource = patient(name=[{"text": "A"}, {"text": "B"}], extension=[SHOE])
    said = judge(resource, definition({}), shoe(("fhirpath", expression)))
    assert said == [("information", "not-supported", "Patient.extension[0]")]


def test_an_invariant_of_the_context_holds_of_the_element():
    extension = shoe(("element", "Patient.contact"), contextInvariant=["name.exists() and gender = 'female'"])
    assert (
        found(patient(contact=[{"name": {"text": "A"}, "gender": "female", "extension": [SHOE]}]), extension)
        == []
    )
    bad = patient(contact=[{"name": {"text": "A"}, "extension": [SHOE]}])
    assert found(bad, extension) == [("invariant", "Patient.contact[0].extension[0]")]


@pytest.mark.parametrize(
    ("item", "most", "good"),
    [
        ({"type": "string", "repeats": True}, 3, True),
        ({"type": "string"}, 1, True),
        ({"type": "string"}, 3, False),
        ({"type": "display"}, 1, False),
    ],
)
def test_an_invariant_may_ask_for_the_extension_itself(item, most, good):
    """questionnaire-maxOccurs of R4, whose %extension.valueInteger profiles/defects.py mends."""
    extension = {"url": HL7 + "questionnaire-maxOccurs", "valueInteger": most}
    questionnaire = {
        "resourceType": "Questionnaire",
        "status": "active",
        "item": [{"linkId": "1", "text": "?", **item, "extension": [extension]}],
    }
    expected = [] if good else [("invariant", "Questionnaire.item[0].extension[0]")]
    assert errors(questionnaire, definition({}, "Questionnaire")) == expected
