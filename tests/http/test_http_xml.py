"""XML in and out, https://hl7.org/fhir/R4/http.html#mime-type: the same content as JSON, either way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fhir_server import resource_xml
from tests.xml.test_resource_xml import BOMB

NS = 'xmlns="http://hl7.org/fhir"'
XML = "application/fhir+xml"
READING = f"""<?xml version="1.0"?><Observation {NS}><id value="o1"/>
  <text><status value="generated"/><div xmlns="http://www.w3.org/1999/xhtml">91.50&#160;kg</div></text>
  <status value="final"/><code><coding><system value="http://loinc.org"/><code value="29463-7"/></coding></code>
  <effectiveDateTime value="2026-11-21T10:00:00.000+01:00"/>
  <valueQuantity><value value="91.50"/><unit value="kg"/></valueQuantity></Observation>""".encode()


def content_type(answer: Any) -> str:
    return str(answer.headers["content-type"])


def test_what_comes_as_xml_is_read_as_json_and_the_other_way_round(fhir: Any) -> None:
    made = fhir.put("/Observation/o1", READING, content_type=XML)
    assert made.status_code == 201
    assert b'"value":91.50' in made.content
    assert made.json()["text"]["div"].endswith("91.50&#160;kg</div>")
    for format_ in (XML, "application/xml", "text/xml"):
        read = fhir.get("/Observation/o1", accept=format_)
        assert content_type(read) == "application/fhir+xml; charset=utf-8"
        assert resource_xml.decode(read.content) == made.json() | resource_xml.decode(read.content)
    assert b'<value value="91.50"/>' in read.content
    again = fhir.put("/Observation/o1", read.content, content_type=XML).json()
    assert {**again, "meta": None} == {**made.json(), "meta": None}


def test_the_format_of_the_answer_is_not_that_of_the_request(fhir: Any) -> None:
    patient = f"<Patient {NS}><active value='true'/></Patient>".encode()
    assert content_type(fhir.post("/Patient", patient, content_type=XML)).startswith("application/fhir+json")
    assert content_type(fhir.post("/Patient", patient, content_type=XML, accept=XML)).startswith(XML)
    assert content_type(fhir.post("/Patient", {"resourceType": "Patient"}, accept=XML)).startswith(XML)
    assert content_type(fhir.get("/Patient/nobody?_format=xml")).startswith(XML)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/fhir+xml, application/fhir+json;q=0.5", "xml"),
        ("application/fhir+xml;q=0.5, application/fhir+json;q=0.6", "json"),
        ("application/fhir+json;q=0.4, text/xml;q=0.5, */*;q=0.1", "xml"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "xml"),
        ("application/fhir+xml, application/fhir+json", "xml"),
        ("application/fhir+json, application/fhir+xml", "json"),
        ("application/fhir+json;q=0, */*", "xml"),
        ("*/*", "json"),
        ("application/fhir+xml; fhirVersion=5.0, application/fhir+json;q=0.1", "json"),
    ],
)
def test_the_format_is_what_the_client_likes_best(fhir: Any, accept: str, expected: str) -> None:
    assert content_type(fhir.get("/Patient", accept=accept)) == f"application/fhir+{expected}; charset=utf-8"


@pytest.mark.parametrize(
    "path",
    ["/Observation?code=29463-7", "/Observation/o1/_history", "/_history", "/metadata", "/Observation/o1/_history/1",
     "/Observation/o1?_summary=true", "/Observation?_summary=text", "/Observation?_elements=status"],
)  # fmt: skip
@pytest.mark.parametrize("pretty", ["", "_pretty=true&"])
def test_every_answer_says_in_xml_what_it_says_in_json(fhir: Any, path: str, pretty: str) -> None:
    fhir.put("/Observation/o1", READING, content_type=XML)
    query = path + ("&" if "?" in path else "?") + pretty
    xml = fhir.get(f"{query}_format=xml")
    assert content_type(xml).startswith(XML)
    tree = resource_xml.decode(xml.content)
    expected = fhir.get(f"{query}_format=json").json()
    assert _without_links(tree) == _without_links(expected)
    assert (b"\n  <" in xml.content) == bool(pretty)


def _without_links(tree: Any) -> Any:
    """Links repeat the format, and Decimals are not floats."""
    if isinstance(tree, dict):
        return {key: _without_links(value) for key, value in tree.items() if key != "link"}
    if isinstance(tree, list):
        return [_without_links(item) for item in tree]
    return tree if isinstance(tree, str | bool) or tree is None else float(tree)


def test_a_transaction_in_xml(fhir: Any) -> None:
    bundle = f"""<Bundle {NS}><type value="transaction"/>
      <entry><fullUrl value="urn:uuid:6b4f0f6c-59d4-4a53-8f4a-000000000001"/>
        <resource><Patient><name><family value="Berg"/></name></Patient></resource>
        <request><method value="POST"/><url value="Patient"/></request></entry>
      <entry><resource><Observation><status value="final"/><code><text value="x"/></code>
        <subject><reference value="urn:uuid:6b4f0f6c-59d4-4a53-8f4a-000000000001"/></subject></Observation></resource>
        <request><method value="POST"/><url value="Observation"/></request></entry></Bundle>"""
    answer = fhir.post("", bundle.encode(), content_type=XML, accept=XML, prefer="return=representation")
    tree = resource_xml.decode(answer.content)
    assert [entry["response"]["status"] for entry in tree["entry"]] == ["201 Created", "201 Created"]
    patient, reading = (entry["resource"] for entry in tree["entry"])
    assert reading["subject"]["reference"] == f"Patient/{patient['id']}"


@pytest.mark.parametrize(
    ("body", "status", "expression"),
    [
        (b"<Patient", 400, None),
        (BOMB.encode(), 400, None),
        (b'{"resourceType":"Patient"}', 400, None),
        (f"<Basic {NS}/>".encode(), 400, ["Patient"]),
        (f"<Patient {NS}><active value='perhaps'/></Patient>".encode(), 422, ["Patient.active"]),
        (f"<Patient {NS}><gender value='none'/></Patient>".encode(), 422, ["Patient.gender"]),
        (f"<Patient {NS}><nothing value='1'/></Patient>".encode(), 422, ["Patient.nothing"]),
        (f"<Patient {NS}><birthDate value='1950-02-30'/></Patient>".encode(), 422, ["Patient.birthDate"]),
    ],
)
def test_bad_xml_is_refused_as_bad_json_is(fhir: Any, body: bytes, status: int, expression: Any) -> None:
    for accept in (XML, "application/fhir+json"):
        answer = fhir.post("/Patient", body, content_type=XML, accept=accept)
        assert answer.status_code == status
        assert content_type(answer).startswith(accept)
        outcome = resource_xml.decode(answer.content) if accept == XML else answer.json()
        assert outcome["issue"][0].get("expression") == expression


def test_a_large_body_leaves_the_loop_to_others(fhir: Any) -> None:
    name = "<name><family value='Berg'/><given value='Kari'/></name>"
    large = f"<Patient {NS}>{name * 20_000}</Patient>".encode()

    async def both() -> list[str]:
        done = []

        async def send(label: str, *request: Any) -> None:
            answer = await fhir._request(*request)
            assert answer.status_code in (200, 201)
            done.append(label)

        first = asyncio.create_task(
            send("large", "POST", "/Patient", large, {"content-type": XML, "accept": XML})
        )
        await asyncio.sleep(0.01)
        await asyncio.gather(first, send("small", "GET", "/Patient?_count=0", None, {}))
        return done

    assert fhir._runner.run(both()) == ["small", "large"]
