"""The cases of FHIR/fhir-test-cases for JSON Patch, XML Patch and FHIRPath Patch; all of them pass."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from fhir_server import resource_xml
from fhir_server.errors import FhirError
from fhir_server.patch import fhirpath_patch, json_patch, xml_patch
from tests.patch.suite import ABSENT, json_cases, xml_cases

# A patch of nothing is 404 before it is applied: tests/http/test_http_patch.py.
ELSEWHERE = {"Missing target document"}


def test_the_suite_is_there() -> None:
    cases = json_cases()
    if not cases:
        pytest.skip(ABSENT)
    assert len(cases) > 15
    assert len(xml_cases("xml-patch-tests.xml")) > 20


@pytest.mark.parametrize("case", json_cases(), ids=lambda case: case["comment"])
def test_json_patch(case: dict[str, Any]) -> None:
    patch = json_patch.read(json.dumps(case["patch"]).encode())
    if "error" in case:
        with pytest.raises(FhirError) as caught:
            patch(case["doc"])
        assert caught.value.category == "unprocessable"
    else:
        assert patch(case["doc"]) == case["expected"]


@pytest.mark.parametrize("case", xml_cases("xml-patch-tests.xml"), ids=lambda case: str(case.get("name")))
def test_xml_patch(case: ET.Element) -> None:
    documents = list(_one(case, "target"))
    patched = case.find("patched")
    if case.get("name") in ELSEWHERE:
        assert not documents
    elif patched is None:
        with pytest.raises(FhirError) as caught:
            xml_patch.apply(xml_patch.read_operations(_patch(case)), documents[0])
        assert caught.value.category in ("malformed", "unprocessable")
    else:
        result = xml_patch.apply(xml_patch.read_operations(_patch(case)), documents[0])
        assert _content(result) == _content(patched[0])


@pytest.mark.parametrize("case", xml_cases("fhir-patch-tests.xml"), ids=lambda case: str(case.get("name")))
def test_fhirpath_patch(case: ET.Element) -> None:
    before = resource_xml.decode(ET.tostring(_one(case, "input")[0]))
    parameters = resource_xml.decode(ET.tostring(_one(case, "diff")[0]))
    if case.find("error") is not None:
        with pytest.raises(FhirError) as caught:
            fhirpath_patch.read(parameters)(before)
        assert caught.value.category == "unprocessable"
        return
    expected = resource_xml.decode(ET.tostring(_one(case, "output")[0]))
    patched = fhirpath_patch.read(parameters)(before)
    assert _without_white_space(patched) == _without_white_space(expected)


def _without_white_space(resource: dict[str, Any]) -> Any:
    """A narrative in the suite is written as text in the patch and as elements in the output."""
    if "text" in resource:
        div = ET.tostring(ET.fromstring(resource["text"]["div"])).decode()
        resource = {**resource, "text": {**resource["text"], "div": "".join(div.split())}}
    return resource


def _one(case: ET.Element, name: str) -> ET.Element:
    found = case.find(name)
    assert found is not None
    return found


def _patch(case: ET.Element) -> bytes:
    return ET.tostring(_one(case, "{http://hl7.org/fhir}patch"))


def _content(element: ET.Element) -> Any:
    """Names, attributes and text without the white space around it."""
    if not isinstance(element.tag, str):
        return "comment", element.text
    children = [_content(child) for child in element]
    texts = [
        text.strip() for text in (element.text, *(child.tail for child in element)) if text and text.strip()
    ]
    return element.tag, dict(element.attrib), texts, children
