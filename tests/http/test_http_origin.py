"""Behind a reverse proxy and in a browser: under which URL, and for pages of which origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from fhir_server.app import create_app, open_store
from fhir_server.origin import Origin, networks
from fhir_server.settings import Settings
from tests.http.conftest import Fhir

TRUSTED = networks(["10.0.0.0/8", " 127.0.0.1", "::1", ""])
PAGE = "https://app.example.org"


@pytest.mark.parametrize(
    ("client", "headers", "base"),
    [
        ("10.1.2.3", {"forwarded": "for=1.2.3.4;proto=https;host=fhir.no"}, "https://fhir.no/fhir"),
        ("10.1.2.3", {"forwarded": 'Proto="https"; Host="fhir.no:8443", host=b'}, "https://fhir.no:8443/fhir"),
        ("::1", {"x-forwarded-proto": "https", "x-forwarded-host": "fhir.no"}, "https://fhir.no/fhir"),
        ("10.0.0.1", {"x-forwarded-proto": "https, http", "x-forwarded-host": "a.no, b"}, "https://a.no/fhir"),
        ("10.0.0.1", {"x-forwarded-host": "a.no", "x-forwarded-port": "8443", "x-forwarded-proto": "https"},
         "https://a.no:8443/fhir"),
        ("10.0.0.1", {"x-forwarded-port": "443", "x-forwarded-proto": "https"}, "https://inner/fhir"),
        ("10.0.0.1", {"x-forwarded-prefix": "/varde/"}, "http://inner/varde/fhir"),
        ("10.0.0.1", {"x-forwarded-prefix": "/a\"><b"}, "http://inner/fhir"),
        ("10.0.0.1", {"x-forwarded-proto": "javascript", "x-forwarded-host": "evil/x?"}, "http://inner/fhir"),
        ("10.0.0.1", {}, "http://inner/fhir"),
        ("11.1.2.3", {"forwarded": "proto=https;host=evil.no"}, "http://inner/fhir"),
        ("11.1.2.3", {"x-forwarded-host": "evil.no"}, "http://inner/fhir"),
        ("testclient", {"x-forwarded-host": "evil.no"}, "http://inner/fhir"),
        (None, {"x-forwarded-host": "evil.no"}, "http://inner/fhir"),
    ],
)  # fmt: skip
def test_the_base_is_what_a_trusted_proxy_says(
    client: str | None, headers: dict[str, str], base: str
) -> None:
    assert Origin(None, TRUSTED).base("http", "server:80", client, {"host": "inner", **headers}) == base
    assert (
        Origin("https://fixed.no/fhir/", TRUSTED).base("http", "s", client, headers)
        == "https://fixed.no/fhir"
    )


def test_a_trusted_proxy_must_be_an_address() -> None:
    with pytest.raises(ValueError, match="proxy"):
        networks(["proxy.example.org"])


@pytest.fixture
def open_to_pages(sqlite_url: str) -> Iterator[Fhir]:
    store = open_store(sqlite_url)
    app = create_app(Settings(auth=False, cors_origins=PAGE, trusted_proxies="127.0.0.1"), store)
    client = Fhir(app, store)
    yield client
    client.close()


def test_a_page_of_an_allowed_origin_may_call(open_to_pages: Any) -> None:
    made = open_to_pages.post("/Patient", {"resourceType": "Patient"}, origin=PAGE)
    assert made.headers["access-control-allow-origin"] == PAGE
    assert {"ETag", "Location"} <= set(made.headers["access-control-expose-headers"].split(", "))
    asked = {
        "access_control_request_method": "PATCH",
        "access_control_request_headers": "if-match, authorization",
    }
    flight = open_to_pages._runner.run(
        open_to_pages._http.options(
            "/fhir/Patient/1", headers={"origin": PAGE} | {k.replace("_", "-"): v for k, v in asked.items()}
        )
    )
    assert flight.status_code == 200
    assert "PATCH" in flight.headers["access-control-allow-methods"]


def test_a_page_of_another_origin_is_told_nothing(open_to_pages: Any, fhir: Any) -> None:
    answer = open_to_pages.get("/metadata", origin="https://evil.example")
    assert "access-control-allow-origin" not in answer.headers
    assert "access-control-allow-origin" not in fhir.get("/metadata", origin=PAGE).headers


def test_the_public_base_is_in_locations_and_links(open_to_pages: Any) -> None:
    forwarded = {"x_forwarded_proto": "https", "x_forwarded_host": "fhir.example.no"}
    made = open_to_pages.post("/Patient", {"resourceType": "Patient"}, **forwarded)
    assert made.headers["location"].startswith("https://fhir.example.no/fhir/Patient/")
    found = open_to_pages.get("/Patient", **forwarded).json()
    assert found["link"][0]["url"] == "https://fhir.example.no/fhir/Patient"
    assert found["entry"][0]["fullUrl"].startswith("https://fhir.example.no/fhir/Patient/")


def test_a_setting_that_makes_no_sense_is_told_at_once() -> None:
    with pytest.raises((ValidationError, ValueError)):
        create_app(Settings(auth=False, trusted_proxies="not an address"))
