"""What was written comes back as written, value for value (promise 7)."""

from __future__ import annotations

import re

import pytest

TEMPLATE = """{"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "x"}, %s}"""

ELEMENTS = [
    '"valueQuantity":{"value":91.50}',
    '"valueQuantity":{"value":91.5}',
    '"valueQuantity":{"value":0.00000001}',
    '"valueQuantity":{"value":1e2}',
    '"valueQuantity":{"value":1.0E+2}',
    '"valueQuantity":{"value":-0.0}',
    '"valueQuantity":{"value":-0}',
    '"valueQuantity":{"value":100}',
    '"valueQuantity":{"value":12345678901234567890.123456789}',
    '"valueQuantity":{"value":9007199254740993}',
    '"valueInteger":2147483647',
    '"valueInteger":-2147483648',
    '"valueString":"line\\nbreak \\"quoted\\" back\\\\slash / \\t tab"',
    '"valueString":"Ærøskjøbing Čáhcesuolu 😀 e\u0301 \u200d"',
    '"valueString":"  spaces at both ends  "',
    '"valueDateTime":"2026-11-21T10:00:00.000+01:00"',
    '"valueDateTime":"2026-11-21T10:00:00.1234567Z"',
    '"valueDateTime":"2026-11-21T10:00:00-00:00"',
    '"valueDateTime":"2026"',
    '"valueDateTime":"2026-11"',
    '"valueTime":"10:00:00.10"',
    '"valueBoolean":false',
    '"_valueString":{"extension":[{"url":"http://hl7.org/fhir/StructureDefinition/data-absent-reason",'
    '"valueCode":"unknown"}]}',
    '"effectiveDateTime":"2026-11-21","_effectiveDateTime":{"id":"e1"}',
    '"extension":[{"url":"http://example.org/unknown","extension":[{"url":"b","valueDecimal":1.10},'
    '{"url":"a","valueBase64Binary":"aGVp"}]},{"url":"http://example.org/unknown","valueString":"twice"}]',
    '"modifierExtension":[{"url":"http://example.org/mod","valueBoolean":true}]',
    '"note":[{"text":"b"},{"text":"a"},{"text":"b"}]',
    '"category":[{"coding":[{"code":"z"},{"code":"a"}]},{"text":"x"}]',
    '"contained":[{"resourceType":"Patient","id":"p","name":[{"given":["A","B"],"_given":[null,{"id":"g"}]}]}]'
    ',"performer":[{"reference":"#p"}]',
    '"text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/xhtml\\"><b>&#229; &lt; 5</b></div>"}',
]


def test_every_value_comes_back_as_it_was_written(fhir):
    read = {"resourceType": "Bundle", "type": "batch"}
    read["entry"] = [{"request": {"method": "GET", "url": "Observation/o"}}]
    for version, element in enumerate(ELEMENTS, 1):
        written = fhir.put("/Observation/o", (TEMPLATE % element).encode())
        assert written.status_code in (200, 201), written.text
        shown = [
            written.content,
            fhir.get("/Observation/o").content,
            fhir.get(f"/Observation/o/_history/{version}").content,
            fhir.get("/Observation/o/_history?_count=1").content,
            fhir.get("/Observation?_id=o").content,
            fhir.post("/", read).content,
        ]
        for body in shown:
            assert element.encode() in body
        pretty = fhir.get("/Observation/o?_pretty=true").content
        assert re.sub(r"\s", "", element).encode() in re.sub(rb"\s", b"", pretty)


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_bundles_keep_values_as_well(fhir, kind):
    entry = b'{"fullUrl":"urn:uuid:1-1-1-1-1","resource":%s,"request":{"method":"PUT","url":"Observation/o"}}'
    for element in ELEMENTS:
        resource = (TEMPLATE % element).encode()
        body = b'{"resourceType":"Bundle","type":"%s","entry":[%s]}' % (kind.encode(), entry % resource)
        assert fhir.post("/", body).json()["entry"][0]["response"]["status"][:3] in ("200", "201")
        assert element.encode() in fhir.get("/Observation/o").content


def test_primitive_extensions_come_back(fhir):
    patient = (
        b'{"resourceType":"Patient","id":"p","_birthDate":{"extension":[{"url":'
        b'"http://hl7.org/fhir/StructureDefinition/patient-birthTime","valueDateTime":"1974-12-25T14:35:45-05:00"}]},'
        b'"birthDate":"1974-12-25","name":[{"given":["Kari","M."],"_given":[{"id":"a"},null]}]}'
    )
    fhir.put("/Patient/p", patient)
    stored = fhir.get("/Patient/p").content
    assert patient[len(b'{"resourceType":"Patient","id":"p",') :] in stored


def test_a_second_version_is_as_exact_as_the_first(fhir):
    for element in ELEMENTS[:5]:
        fhir.put("/Observation/o", (TEMPLATE % element).encode())
    for version, element in enumerate(ELEMENTS[:5], 1):
        assert element.encode() in fhir.get(f"/Observation/o/_history/{version}").content
