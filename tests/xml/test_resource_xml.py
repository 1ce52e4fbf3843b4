"""XML says what JSON says, nothing more and nothing less, https://hl7.org/fhir/R4/xml.html."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
import zlib
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server import resource_xml
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode, encode
from profiles.definitions import load
from tests.corpus.examples import ABSENT, examples
from tests.xml.generate import resource

NS = 'xmlns="http://hl7.org/fhir"'
DIV = '<div xmlns="http://www.w3.org/1999/xhtml">'


def canonical(tree: Any) -> bytes:
    """JSON with sorted keys: every digit and the order of lists count, the order of keys does not."""
    return encode({"": _sorted(tree)})


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _sorted(value[key]) for key in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def differs(body: bytes) -> bool:
    """Whether a resource in JSON is another one after it was XML."""
    tree = decode(body)
    return any(
        canonical(resource_xml.decode(resource_xml.encode(tree, pretty))) != canonical(tree)
        for pretty in (False, True)
    )


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(load().resource_types), st.integers(0, 2**32))
def test_what_went_out_as_xml_comes_back_as_it_was(type_: str, seed: int) -> None:
    tree = resource(Random(seed), type_)
    assert not differs(encode(tree))
    ET.fromstring(resource_xml.encode(tree))  # another reader finds it well formed


@pytest.mark.skipif(not examples(), reason=ABSENT)
def test_the_official_examples_survive_xml() -> None:
    sample = [path for path in examples() if zlib.crc32(path.name.encode()) % 40 == 0]
    assert len(sample) > 100
    assert [path.name for path in sample if differs(path.read_bytes())] == []


def test_each_kind_of_element() -> None:
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
      <Patient {NS} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:schemaLocation="a b">
        <!-- a comment -->
        <id value="p1"/>
        <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml">a &amp; <b>b</b>&#160;</div></text>
        <contained><Organization><id value="o"/><active value="true"/></Organization></contained>
        <extension url="http://example.org/e"><valueDecimal value="1.50"/></extension>
        <name id="n1">
          <family value="Berg"><extension url="http://example.org/own"><valueString value="B"/></extension></family>
          <given value="Kari"/>
          <given><extension url="http://example.org/absent"><valueCode value="masked"/></extension></given>
          <given id="g3" value="Anne"/>
        </name>
        <birthDate><extension url="http://example.org/absent"><valueCode value="unknown"/></extension></birthDate>
        <multipleBirthInteger value="2"/>
      </Patient>"""
    masked = {"extension": [{"url": "http://example.org/absent", "valueCode": "masked"}]}
    expected = {
        "resourceType": "Patient",
        "id": "p1",
        "text": {"status": "generated", "div": f"{DIV}a &amp; <b>b</b>&#160;</div>"},
        "contained": [{"resourceType": "Organization", "id": "o", "active": True}],
        "extension": [{"url": "http://example.org/e", "valueDecimal": 1.5}],
        "name": [
            {
                "id": "n1",
                "family": "Berg",
                "_family": {"extension": [{"url": "http://example.org/own", "valueString": "B"}]},
                "given": ["Kari", None, "Anne"],
                "_given": [None, masked, {"id": "g3"}],
            }
        ],
        "_birthDate": {"extension": [{"url": "http://example.org/absent", "valueCode": "unknown"}]},
        "multipleBirthInteger": 2,
    }
    tree = resource_xml.decode(text.encode())
    assert tree == expected
    assert b'"valueDecimal":1.50' in encode(tree)
    assert resource_xml.decode(resource_xml.encode(tree)) == expected


def test_elements_stand_in_the_order_of_the_definitions() -> None:
    tree = {
        "resourceType": "Patient",
        "birthDate": "1950",
        "name": [{"given": ["A"], "use": "usual"}],
        "id": "p",
    }
    assert re.findall(r"<(\w+)", resource_xml.encode(tree).decode()) == [
        "Patient", "id", "name", "use", "given", "birthDate",
    ]  # fmt: skip


def test_pretty_is_indented_and_leaves_the_narrative_alone() -> None:
    div = f"{DIV}<p>a</p>\n <p>b</p></div>"
    tree = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    text = resource_xml.encode(tree, pretty=True).decode()
    assert f'\n  <text>\n    <status value="generated"/>\n    {div}\n  </text>\n</Patient>\n' in text


@pytest.mark.parametrize(
    ("div", "xml"),
    [
        ("<div>plain</div>", f"{DIV}plain</div>"),
        ("<div>a&nbsp;b &copy;</div>", f"{DIV}a\xa0b ©</div>"),
        ("<div><br></div>", f"{DIV}&lt;div&gt;&lt;br&gt;&lt;/div&gt;</div>"),
        ("<div>a & b</div>", f"{DIV}&lt;div&gt;a &amp; b&lt;/div&gt;</div>"),
        (
            "<div></div><script/><div></div>",
            f"{DIV}&lt;div&gt;&lt;/div&gt;&lt;script/&gt;&lt;div&gt;&lt;/div&gt;</div>",
        ),
    ],
)
def test_a_narrative_never_breaks_the_document_around_it(div: str, xml: str) -> None:
    tree = {"resourceType": "Patient", "text": {"status": "generated", "div": div}}
    text = resource_xml.encode(tree).decode()
    assert f"{xml}</text>" in text
    ET.fromstring(text)


def test_prefixes_mean_the_same() -> None:
    text = (
        '<f:Patient xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml"><f:text>'
        '<f:status value="generated"/><h:div title="&quot;"><h:p>a &lt; b</h:p><h:br/></h:div></f:text>'
        '<f:gender value="female"/></f:Patient>'
    )
    assert resource_xml.decode(text.encode()) == {
        "resourceType": "Patient",
        "text": {"status": "generated", "div": f"{DIV[:-1]} title='\"'><p>a &lt; b</p><br></br></div>"},
        "gender": "female",
    }


BOMB = (
    '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + "".join(f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9))
    + f']><Patient {NS}><id value="&j;"/></Patient>'
)
MALFORMED = {
    "empty": "",
    "json": '{"resourceType":"Patient"}',
    "cut": f"<Patient {NS}><id",
    "two roots": f"<Patient {NS}/><Patient {NS}/>",
    "mismatch": f"<Patient {NS}><id value='1'></Patient>",
    "entities": BOMB,
    "external": f'<!DOCTYPE p SYSTEM "file:///etc/passwd"><Patient {NS}/>',
    "external entity": f'<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><Patient {NS}><id value="&x;"/></Patient>',
    "unknown entity": f"<Patient {NS}><id value='&nbsp;'/></Patient>",
    "no namespace": "<Patient/>",
    "other namespace": '<Patient xmlns="urn:other"/>',
    "no resource": f"<HumanName {NS}/>",
    "prefix": "<f:Patient/>",
    "same attribute twice": f"<Patient {NS}><id value='1' value='2'/></Patient>",
    "control character": f"<Patient {NS}><id value='\x01'/></Patient>",
    "too deep": f"<Patient {NS}>" + '<extension url="u">' * 200 + "</extension>" * 200 + "</Patient>",
    "deep narrative": f"<Patient {NS}><text>{DIV}" + "<b>" * 100_000,
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_xml_of_a_resource_is_malformed(name: str) -> None:
    with pytest.raises(FhirError) as caught:
        resource_xml.decode(MALFORMED[name].encode())
    assert caught.value.category == "malformed"
    assert re.search(r"line \d+$", caught.value.issues[0].diagnostics)


@pytest.mark.parametrize(
    "body", [b"\xff\xfe<\x00a\x00/\x00", f"<Patient {NS}><id value='\xe6'/></Patient>".encode("latin-1")]
)
def test_other_encodings_than_utf_8_are_malformed(body: bytes) -> None:
    with pytest.raises(FhirError) as caught:
        resource_xml.decode(body)
    assert caught.value.category == "malformed"


def test_a_byte_order_mark_and_a_false_declaration_do_no_harm() -> None:
    text = f'<?xml version="1.0" encoding="ISO-8859-1"?><Patient {NS}><id value="æ"/></Patient>'
    assert resource_xml.decode(b"\xef\xbb\xbf" + text.encode())["id"] == "æ"


UNPROCESSABLE = [
    ("<nonsense value='1'/>", "Patient.nonsense", "nonsense is not an element of Patient"),
    ("<name><family value='a'/><Given value='b'/></name>", "Patient.name[0].Given", "Given is not an element"),
    ("<x:id xmlns:x='urn:o' value='1'/>", "Patient.id", "id is not an element of Patient, in the namespace"),
    ("<gender value='male' code='m'/>", "Patient.gender", "code is not an attribute"),
    ("<gender>male</gender>", "Patient.gender", "Text has no place"),
    ("stray", "Patient", "Text has no place in Patient"),
    ("<gender value='male'/><active value='true'/>", "Patient.active", "active is not in its place"),
    ("<gender value='male'/><gender value='male'/>", "Patient.gender", "gender occurs at most once"),
    ("<name/>", "Patient.name[0]", "name is empty"),
    ("<birthDate/>", "Patient.birthDate", "birthDate is empty"),
    ("<active value='yes'/>", "Patient.active", "must be true or false"),
    ("<multipleBirthInteger value='1.0'/>", "Patient.multipleBirthInteger", "not a valid integer"),
    ("<extension url='u'><valueDecimal value='.5'/></extension>", "Patient.extension[0].valueDecimal", "decimal"),
    ("<extension url='u'><valueDecimal value='1e999999'/></extension>", "Patient.extension[0].valueDecimal", "range"),
    ("<contained/>", "Patient.contained[0]", "empty"),
    ("<contained><Nothing/></contained>", "Patient.contained[0]", "room for one resource"),
    ("<contained><Basic/><Basic/></contained>", "Patient.contained[0]", "room for one resource"),
    ("<name><given value='a'/><given/></name>", "Patient.name[0].given[1]", "given is empty"),
    (f"<text><status value='empty'/><div {NS}/></text>", "Patient.text.div", "div is not an element"),
    (f"{DIV}</div>", "Patient.div", "div is not an element"),
]  # fmt: skip


@pytest.mark.parametrize(("inside", "expression", "words"), UNPROCESSABLE)
def test_what_fhir_has_no_room_for_is_named_with_line_and_element(
    inside: str, expression: str, words: str
) -> None:
    with pytest.raises(FhirError) as caught:
        resource_xml.decode(f"<Patient {NS}>\n{inside}</Patient>".encode())
    issue = caught.value.issues[0]
    assert caught.value.category == "unprocessable"
    assert issue.expression == expression
    assert issue.diagnostics.startswith("Line 2: ")
    assert words in issue.diagnostics


def test_there_is_an_end_to_the_issues() -> None:
    with pytest.raises(FhirError) as caught:
        resource_xml.decode(f"<Patient {NS}>{'<x/>' * 10_000}</Patient>".encode())
    assert len(caught.value.issues) == 100


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 10_000), st.text("<>&\"'/ =ax1\x00é", max_size=4))
def test_damaged_xml_is_read_or_refused(seed: int, at: int, text: str) -> None:
    body = resource_xml.encode(resource(Random(seed), "Patient")).decode()
    at %= len(body)
    try:
        resource_xml.decode((body[:at] + text + body[at + 2 :]).encode())
    except FhirError as error:
        assert error.category in ("malformed", "unprocessable")
