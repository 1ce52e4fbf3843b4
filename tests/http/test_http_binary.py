"""https://hl7.org/fhir/R4/binary.html#rest: content that is no FHIR, as it is."""

from __future__ import annotations

import base64
from typing import Any

import pytest

FHIR = "application/fhir+json"
PNG = b"\x89PNG\r\n\x1a\n\x00\xff"


def put(fhir: Any, content: bytes = PNG, content_type: str = "image/png", **headers: str) -> Any:
    return fhir.put("/Binary/b", content, content_type=content_type, **headers)


def test_content_comes_back_as_it_was_sent(fhir: Any) -> None:
    made = put(fhir)
    assert made.status_code == 201
    assert made.json() == made.json() | {"contentType": "image/png", "data": base64.b64encode(PNG).decode()}
    for headers in ({}, {"accept": "*/*"}, {"accept": "image/*"}, {"accept": "text/html, image/png;q=0.5"}):
        read = fhir.get("/Binary/b", **headers)
        assert read.content == PNG
        assert read.headers["content-type"] == "image/png"
        assert read.headers["etag"] == 'W/"1"'
        assert read.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in read.headers["content-security-policy"]
    assert fhir.get("/Binary/b/_history/1").content == PNG
    head = fhir.request("HEAD", "/Binary/b")
    assert (head.headers["content-type"], head.headers["content-length"]) == ("image/png", str(len(PNG)))


def test_it_comes_as_fhir_when_that_is_asked_for(fhir: Any) -> None:
    put(fhir)
    for headers in ({"accept": FHIR}, {"accept": "application/json"}, {"accept": f"image/png;q=0.1, {FHIR}"}):
        assert fhir.get("/Binary/b", **headers).json()["contentType"] == "image/png"
    assert fhir.get("/Binary/b?_format=json").json()["resourceType"] == "Binary"
    assert fhir.get("/Binary/b", accept="application/fhir+xml").text.startswith("<?xml")
    assert fhir.get("/Binary/b/_history", accept="*/*").json()["type"] == "history"


def test_a_post_makes_one_and_says_who_may_see_it(fhir: Any) -> None:
    made = fhir.post(
        "/Binary", b"hello", content_type="text/plain; charset=utf-8", x_security_context="Patient/p"
    ).json()
    assert made["securityContext"] == {"reference": "Patient/p"}
    read = fhir.get(f"/Binary/{made['id']}")
    assert (read.text, read.headers["content-type"]) == ("hello", "text/plain; charset=utf-8")


def test_content_of_another_type_than_the_client_takes_is_406(fhir: Any) -> None:
    put(fhir)
    assert fhir.get("/Binary/b", accept="image/jpeg").status_code == 406
    assert fhir.get("/Binary/nobody", accept="image/png").status_code == 404


def test_conditions_hold(fhir: Any) -> None:
    put(fhir)
    assert fhir.get("/Binary/b", if_none_match='W/"1"').status_code == 304
    assert put(fhir, if_match='W/"2"').status_code == 412
    assert put(fhir, b"", "text/plain", if_match='W/"1"').status_code == 200
    assert fhir.get("/Binary/b").json()["contentType"] == "text/plain"
    fhir.delete("/Binary/b")
    assert fhir.get("/Binary/b").status_code == 410


@pytest.mark.parametrize("content_type", ["nonsense", "a/b\x7f", "text/"])
def test_a_content_type_that_is_none_is_refused(fhir: Any, content_type: str) -> None:
    assert put(fhir, b"x", content_type).status_code == 415


def test_fhir_stays_fhir(fhir: Any) -> None:
    sent = {"resourceType": "Binary", "id": "b", "contentType": "text/plain", "data": "aGVp"}
    assert fhir.put("/Binary/b", sent).status_code == 201
    assert fhir.get("/Binary/b").text == "hei"
    assert fhir.put("/Binary/b", {"resourceType": "Patient", "id": "b"}).status_code == 400
    assert fhir.post("/Patient", b"x", content_type="text/plain").status_code == 415
