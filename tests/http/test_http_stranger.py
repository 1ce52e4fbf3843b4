"""What clients in use send and a test suite for servers asks, https://hl7.org/fhir/R4/http.html."""

from __future__ import annotations

from typing import Any

import pytest

FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(("tag", "status"), [("1", 304), ("2", 200), ("01a1-b.c", 200), ("1 2", 400)])
def test_a_read_takes_a_bare_version_id_as_its_entity_tag(fhir: Any, tag: str, status: int) -> None:
    fhir.put("/Patient/p", {"resourceType": "Patient", "id": "p"})
    assert fhir.get("/Patient/p", if_none_match=tag).status_code == status


def test_a_write_does_not_guess_what_a_bare_version_id_means(fhir: Any) -> None:
    fhir.put("/Patient/p", {"resourceType": "Patient", "id": "p"})
    assert fhir.put("/Patient/p", {"resourceType": "Patient", "id": "p"}, if_match="1").status_code == 400


@pytest.mark.parametrize(
    ("form", "accept", "format_"),
    [
        (b"_format=json", "application/fhir+xml", "json"),
        (b"_format=application/fhir%2Bjson", "application/fhir+xml", "json"),
        (b"_format=xml", "application/fhir+json", "xml"),
        (b"name=x", "application/fhir+xml", "xml"),
    ],
)
def test_the_form_of_a_search_may_say_the_format(fhir: Any, form: bytes, accept: str, format_: str) -> None:
    answer = fhir.post("/Patient/_search", form, content_type=FORM, accept=accept)
    assert answer.headers["content-type"] == f"application/fhir+{format_}; charset=utf-8"
    assert fhir.post("/Patient/_search", b"_format=ttl", content_type=FORM).status_code == 406


def test_the_form_of_a_search_may_ask_for_indentation(fhir: Any) -> None:
    answer = fhir.post("/Patient/_search", b"_pretty=true&name=x", content_type=FORM)
    assert answer.text.startswith("{\n")
    assert answer.json()["link"][0]["url"] == f"{fhir.base}/Patient?name=x&_pretty=true"


def test_the_form_outranks_the_url_of_a_search_in_what_it_says(fhir: Any) -> None:
    answer = fhir.post("/Patient/_search?_format=xml", b"_format=json", content_type=FORM)
    assert answer.status_code == 200
