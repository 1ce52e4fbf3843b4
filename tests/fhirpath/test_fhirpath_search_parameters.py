"""Every expression that R4's search parameters are published with."""

import json
import os
import re
from pathlib import Path

import fhirpathpy
import pytest
from fhirpathpy.models import models

from rules import fhirpath

SUITES = Path(os.environ.get("VARDE_SUITES", Path(__file__).parents[3] / "shared" / "suites"))
RESOURCES = [
    *sorted((Path(__file__).parents[1] / "profiles" / "samples").glob("*.json")),
    *sorted((SUITES / "fhirpath-r4" / "input").glob("*.json")),  # absent without the suites
]
HL7 = "http://hl7.org/fhir/SearchParameter/"
# url -> why it cannot be compiled. One that starts to compile must leave this list.
EXCEPTIONS = {
    HL7
    + "questionnaireresponse-extensions-QuestionnaireResponse-item-subject": "hasExtension() is not FHIRPath",
}


def test_every_published_expression_compiles(model, published):
    assert len(published) > 1400
    failed = {}
    for type, parameter in published:
        try:
            fhirpath.compile(parameter.expression, type, strict=True, published=True)
        except fhirpath.CompileError as error:
            failed[parameter.url] = str(error)
    assert failed.keys() == EXCEPTIONS.keys(), failed


def test_every_published_expression_can_give_something(model, published):
    """A branch list that is empty would be a parameter that never finds anything."""
    empty = [
        (type, parameter.url)
        for type, parameter in published
        if parameter.url not in EXCEPTIONS and not fhirpath.branches(parameter.expression, type)
    ]
    assert empty == []


@pytest.mark.parametrize("file", RESOURCES, ids=lambda file: file.stem)
def test_the_same_items_as_fhirpathpy(model, file):
    """An independent implementation, for all parameters of the resource's type."""
    resource = json.loads(file.read_text())
    compared = 0
    for text in expressions(model, resource["resourceType"]):
        ours = with_value(text, resource)
        try:
            theirs = fhirpathpy.evaluate(resource, for_the_oracle(text, resource), [], models["r4"])
        except Exception as error:
            # published with a repeating element on the left; R4's own servers take every item
            assert "Expected singleton on left side of 'as'" in str(error)
            continue
        assert comparable(ours) == comparable(theirs), text
        compared += 1
    assert compared > 5


@pytest.mark.parametrize("file", RESOURCES, ids=lambda file: file.stem)
def test_branches_together_give_what_the_whole_expression_gives(model, file):
    resource = json.loads(file.read_text())
    type = resource["resourceType"]
    for text in expressions(model, type):
        together = []
        for branch in fhirpath.branches(text, type):
            if branch.root is None:
                together += branch.load()(resource)
            elif branch.root in resource:
                together += branch.load()(resource[branch.root])
        whole = with_value(text, resource)
        assert {json.dumps(item) for item in together} == {json.dumps(item) for item in whole}


def with_value(text, resource):
    """The items but those that have only extensions, which are not searched for."""
    found = fhirpath.compile(text, resource["resourceType"], published=True).typed(resource)
    values = [item.value if isinstance(item, fhirpath.Element) else item for item in found]
    return [value for value in values if value is not None]


def expressions(model, type):
    return [
        parameter.expression
        for parameter in model.search_parameters(type)
        if parameter.expression and parameter.type != "composite" and parameter.url not in EXCEPTIONS
    ]


def for_the_oracle(text, resource):
    """It reads nothing either, so that what a reference resolves to is written out as what it looks like;
    and it knows no base types."""
    text = re.sub(r"\b(Domain)?Resource\.", f"{resource['resourceType']}.", text)
    return re.sub(r"resolve\(\) is (\w+)", r"reference.matches('(.*/)?\1/[^/]+(/_history/.+)?$')", text)


def comparable(item):
    """What the two show differently is taken out: numbers are text there, nulls and _names come and go."""
    match item:
        case list():
            return [comparable(child) for child in item if child is not None]
        case dict():
            return {key: comparable(child) for key, child in item.items() if key[0] != "_"}
        case bool():
            return item
    try:
        return float(item)
    except ValueError:
        return item
