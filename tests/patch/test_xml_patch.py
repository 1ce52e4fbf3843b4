"""XML Patch, https://www.rfc-editor.org/rfc/rfc5261, of resources."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.errors import FhirError
from fhir_server.patch import xml_patch
from fhir_server.resource_json import decode

DIV = '<div xmlns="http://www.w3.org/1999/xhtml">a&#160;<b>b</b></div>'
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p",
    "text": {"status": "generated", "div": DIV},
    "identifier": [{"system": "urn:a", "value": "1"}, {"system": "urn:b", "value": "2"}],
    "name": [{"family": "Berg", "given": ["Kari", "Anne"]}, {"family": "Li"}],
    "gender": "female",
}


def patched(operations: str, tree: Any = PATIENT) -> Any:
    return xml_patch.read(
        f'<diff xmlns="http://hl7.org/fhir" xmlns:x="http://hl7.org/fhir">{operations}</diff>'.encode()
    )(tree)


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        ('<replace sel="/Patient/gender/@value">male</replace>', {"gender": "male"}),
        ('<replace sel="f:Patient/f:gender/@value">male</replace>', {"gender": "male"}),
        ('<replace sel="x:Patient/x:gender"><gender value="male"/></replace>', {"gender": "male"}),
        ('<remove sel="/Patient/name[2]"/>', {"name": PATIENT["name"][:1]}),
        ('<remove sel="/Patient/name[last()]"/>', {"name": PATIENT["name"][:1]}),
        ('<remove sel="/Patient/identifier[system/@value=\'urn:b\']"/>', {"identifier": PATIENT["identifier"][:1]}),
        ('<remove sel="/Patient/identifier[system/@value=\'urn:b\' and value/@value=\'2\']"/>', {"identifier": PATIENT["identifier"][:1]}),
        ('<remove sel="/Patient/identifier[system/@value=\'urn:b\'][1]"/>', {"identifier": PATIENT["identifier"][:1]}),
        ('<add sel="/Patient"><birthDate value="1950-01-02"/></add>', {"birthDate": "1950-01-02"}),
        ('<add sel="/Patient/gender" pos="after"><birthDate value="1950"/></add>', {"birthDate": "1950"}),
        ('<add sel="/Patient/gender" pos="before">\n  <name><family value="Ås"/></name>\n</add>',
         {"name": [*PATIENT["name"], {"family": "Ås"}]}),
        ('<add sel="/Patient/name[2]" pos="prepend"><use value="usual"/></add>',
         {"name": [PATIENT["name"][0], {"use": "usual", "family": "Li"}]}),
        ('<add sel="/Patient/name[2]" type="@id">n2</add>', {"name": [PATIENT["name"][0], {"id": "n2", "family": "Li"}]}),
        ('<replace sel="/Patient/text/h:div" xmlns:h="http://www.w3.org/1999/xhtml">'
         '<div xmlns="http://www.w3.org/1999/xhtml">new</div></replace>',
         {"text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">new</div>'}}),
        ('<remove sel="/Patient/text"/>', {"text": None}),
    ],
)  # fmt: skip
def test_what_the_operations_do(operation: str, change: dict[str, Any]) -> None:
    expected = {key: value for key, value in {**PATIENT, **change}.items() if value is not None}
    assert patched(operation) == expected


def test_numbers_and_narratives_keep_their_text() -> None:
    tree = decode(b'{"resourceType":"Observation","valueQuantity":{"value":91.50}}')
    new = patched('<replace sel="/Observation/valueQuantity/value/@value">91.00</replace>', tree)
    assert str(new["valueQuantity"]["value"]) == "91.00"
    assert patched('<remove sel="/Patient/gender"/>')["text"]["div"] == DIV


@pytest.mark.parametrize(
    "operation",
    [
        '<remove sel="/Patient/birthDate"/>',
        '<remove sel="/Patient/name"/>',
        '<remove sel="/Patient/name[3]"/>',
        '<remove sel="/Patient"/>',
        '<remove sel="/Patient/gender/@code"/>',
        '<remove sel="/Person/name[1]"/>',
        '<remove sel="/Patient/text/div"/>',
        '<replace sel="/Patient/gender">male</replace>',
        '<add sel="/Patient/gender/@value">male</add>',
        '<add sel="/Patient/gender" type="@value">male</add>',
        '<add sel="/Patient" pos="after"><Patient/></add>',
        '<add sel="/Patient"><nonsense value="1"/></add>',
        '<add sel="/Patient"><id value="q"/></add>',
        '<add sel="/Patient" type="@value">x</add>',
    ],
)
def test_what_does_not_fit_is_unprocessable(operation: str) -> None:
    with pytest.raises(FhirError) as caught:
        patched(operation)
    assert caught.value.category == "unprocessable"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"<diff/>", b"<diff", b'<diff><move sel="/Patient"/></diff>', b"<diff><remove/></diff>",
        b'<diff><remove sel=""/></diff>', b'<diff><remove sel="//name"/></diff>', b'<diff><remove sel="/Patient/name[0]"/></diff>',
        b'<diff><remove sel="/Patient/../x"/></diff>', b'<diff><remove sel="/Patient/name["/></diff>',
        b'<diff><remove sel="/q:Patient"/></diff>', b'<diff><remove sel="count(/Patient)"/></diff>',
        b'<diff><remove sel="/Patient/name[position()=1]"/></diff>', b'<diff><add sel="/Patient" pos="inside"/></diff>',
        b'<diff><add sel="/Patient" type="value">1</add></diff>', b'<diff><remove sel="/Patient' + b"/a" * 200 + b'"/></diff>',
        b'<!DOCTYPE d [<!ENTITY a "b">]><diff><remove sel="/Patient"/></diff>', b"<diff>" * 500,
    ],
)  # fmt: skip
def test_what_is_no_xml_patch_is_malformed(body: bytes) -> None:
    with pytest.raises(FhirError) as caught:
        xml_patch.read(body)
    assert caught.value.category == "malformed"
