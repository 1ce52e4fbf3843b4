"""Representations, methods, paths and headers, https://hl7.org/fhir/R4/http.html#mime-type"""

from __future__ import annotations

import gzip
import json
import zlib
from urllib.parse import quote

import pytest

PATIENT = {"resourceType": "Patient", "active": True}


@pytest.fixture
def store_url(sqlite_url):
    """What is tested here happens before any store: one will do."""
    return sqlite_url


@pytest.mark.parametrize(
    "accept",
    [
        "application/fhir+json",
        "application/json",
        "text/json",
        "*/*",
        "application/*",
        "application/fhir+json; fhirVersion=4.0",
        "application/fhir+json;charset=UTF-8",
        "application/fhir+xml, application/fhir+json;q=0.5",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "",
    ],
)
def test_json_is_what_most_accept(fhir, accept):
    assert fhir.get("/metadata", accept=accept).status_code == 200


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "application/fhir+xml;q=0, application/fhir+json;q=0.0",
        "application/fhir+turtle",
        "image/png, text/plain",
        "application/fhir+json;q=0",
        "application/fhir+json; fhirVersion=5.0",
        "application/fhir+json; fhirVersion=3.0, application/fhir+xml; fhirVersion=5.0",
        "nonsense",
    ],
)
def test_who_takes_neither_r4_json_nor_xml_gets_406(fhir, accept):
    assert fhir.get("/metadata", accept=accept).status_code == 406
    assert fhir.post("/Patient", PATIENT, accept=accept).status_code == 406


@pytest.mark.parametrize(
    "format_", ["json", "application/json", "application/fhir+json", "application/fhir%2Bjson"]
)
def test_format_outranks_accept(fhir, format_):
    assert fhir.get(f"/metadata?_format={format_}", accept="application/fhir+xml").status_code == 200


@pytest.mark.parametrize("format_", ["html", "text/turtle", "ttl", "XML ", ""])
def test_another_format_is_406(fhir, format_):
    assert fhir.get(f"/metadata?_format={format_}").status_code == 406


@pytest.mark.parametrize(
    "content_type",
    [
        "application/fhir+json",
        "application/json",
        "text/json",
        "application/fhir+json; charset=utf-8",
        'application/fhir+json; charset="UTF-8"; fhirVersion=4.0',
        "",
    ],
)
def test_json_bodies_are_taken(fhir, content_type):
    assert fhir.post("/Patient", PATIENT, content_type=content_type).status_code == 201


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/fhir+json; charset=latin-1",
        "application/fhir+json; fhirVersion=5.0",
        "application/json-patch+json",
    ],
)
def test_other_bodies_are_415(fhir, content_type):
    assert fhir.post("/Patient", PATIENT, content_type=content_type).status_code == 415
    assert fhir.put("/Patient/p", {**PATIENT, "id": "p"}, content_type=content_type).status_code == 415


def test_bodies_come_in_gzip(fhir):
    body = json.dumps(PATIENT).encode()
    in_parts = gzip.compress(body[:20]) + gzip.compress(body[20:])
    for sent in (gzip.compress(body), in_parts):
        assert fhir.post("/Patient", sent, content_encoding="gzip").json()["active"] is True


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (b"\x1f\x8b", "gzip", 400),
        (gzip.compress(b"{}")[:-1], "gzip", 400),
        (b"{}", "gzip", 400),
        (zlib.compress(b"{}"), "deflate", 415),
        (b"{}", "br", 415),
        (gzip.compress(gzip.compress(b"{}")), "gzip, gzip", 415),
        (gzip.compress(b" " * 40 * 2**20), "gzip", 413),
    ],
    ids=["cut", "short", "plain", "deflate", "br", "twice", "bomb"],
)
def test_what_is_no_gzip_or_too_much_of_it_is_refused(fhir, body, encoding, status):
    assert fhir.post("/Patient", body, content_encoding=encoding).status_code == status


def test_large_answers_go_out_in_gzip_to_who_takes_it(fhir):
    def encoding(accept, path="/metadata"):
        return fhir.get(path, accept_encoding=accept).headers.get("content-encoding")

    assert encoding("gzip") == encoding("br, gzip;q=0.5") == encoding("*") == "gzip"
    assert encoding("identity") is encoding("gzip;q=0, *;q=0.5") is encoding("br") is encoding("") is None
    assert encoding("gzip", "/Patient/nobody") is None
    assert fhir.get("/metadata", accept_encoding="gzip").json()["resourceType"] == "CapabilityStatement"


def test_an_identity_encoding_is_none(fhir):
    assert fhir.post("/Patient", PATIENT, content_encoding="identity").status_code == 201


def test_pretty_is_the_same_json_on_many_lines(fhir):
    fhir.put("/Patient/p", {**PATIENT, "id": "p"})
    plain, pretty = fhir.get("/Patient/p"), fhir.get("/Patient/p?_pretty=true")
    assert b"\n" not in plain.content
    assert pretty.content.count(b"\n") > 4
    assert pretty.json() == plain.json()
    assert b"\n" in fhir.get("/Patient/nobody?_pretty=true").content
    assert b"\n" not in fhir.get("/Patient/p?_pretty=false").content


@pytest.mark.parametrize(
    "path",
    ["/Nothing", "/Nothing/1", "/patient", "/Patient/1/2/3/4/5",
     "/$convert", "/Patient/1/$validate", "/Resource", "/DomainResource", "/metadata/x",
     "/Patient/_nothing", "/" + quote("Pati\x00ent"), "/%F0%9F%98%80", "/..%2f..%2fetc%2fpasswd"],
)  # fmt: skip
def test_an_unknown_path_is_404(fhir, path):
    assert fhir.get(path).status_code == 404
    assert fhir.post(path, PATIENT).status_code == 404


def test_beside_the_base_is_404_with_an_outcome(fhir):
    answer = fhir.beside("/other")
    assert answer.status_code == 404
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize(
    "method, path, allow",
    [
        ("POST", "/Patient/1", {"GET", "HEAD", "PUT", "PATCH", "DELETE"}),
        ("PATCH", "/Patient/1/_history/1", {"GET", "HEAD"}),
        ("PATCH", "/", {"GET", "HEAD", "POST"}),
        ("DELETE", "/metadata", {"GET", "HEAD"}),
        ("GET", "/Patient/_search", {"POST"}),
        ("PUT", "/Patient/1/_history/1", {"GET", "HEAD"}),
        ("BREW", "/Patient", {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}),
    ],
)
def test_a_method_that_is_not_there_is_405_with_allow(fhir, method, path, allow):
    answer = fhir.request(method, path, PATIENT)
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == allow


def test_the_base_has_no_slash_or_one(fhir):
    bundle = {"resourceType": "Bundle", "type": "batch"}
    assert fhir.post("", bundle).status_code == 200
    assert fhir.post("/", bundle).status_code == 200
    assert fhir.post("/Patient/", PATIENT).status_code == 201


@pytest.mark.parametrize("id_", ["abc-123", "b3a1a2f4-6f0c-4a5e-9d57-0f6c1b2d3e4f", "A.b_c"])
def test_the_request_id_comes_back(fhir, id_):
    assert fhir.get("/metadata", x_request_id=id_).headers["x-request-id"] == id_
    assert fhir.get("/Patient/nobody", x_request_id=id_).headers["x-request-id"] == id_


@pytest.mark.parametrize(
    "id_", ["13097248022", "urn:13097248022", "a b", "x" * 65, "æ".encode().decode("latin-1")]
)
def test_a_request_id_that_may_say_who_somebody_is_is_replaced(fhir, id_):
    assert fhir.get("/metadata", x_request_id=id_).headers["x-request-id"] != id_


def test_the_base_url_is_what_the_client_called(fhir):
    answer = fhir.post("https://fhir.example.org:8443/fhir/Patient", PATIENT)
    assert answer.headers["location"].startswith("https://fhir.example.org:8443/fhir/Patient/")


@pytest.mark.parametrize("host", ["evil.test/path?x=", 'a"b', "a b", "user@host", ""])
def test_a_host_that_breaks_out_of_a_url_is_not_believed(fhir, host):
    location = fhir.post("/Patient", PATIENT, host=host).headers["location"]
    assert location.startswith("http://varde.test")
    assert host not in location or not host


def test_answers_are_not_for_shared_caches(fhir):
    assert fhir.get("/metadata").headers["cache-control"] == "private, no-cache"


def test_search_by_post_takes_url_and_form(fhir):
    fhir.put("/Patient/p", {**PATIENT, "id": "p", "name": [{"family": "Ås"}]})
    fhir.put("/Patient/q", {**PATIENT, "id": "q", "name": [{"family": "Li"}]})
    form = {"content_type": "application/x-www-form-urlencoded"}
    found = fhir.post("/Patient/_search?active=true", b"family=%C3%85s&_pretty=true", **form).json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["p"]
    assert found["link"][0]["url"].startswith(f"{fhir.base}/Patient?active=true&family=")
    assert fhir.post("/Patient/_search", b"", **form).json()["total"] == 2
    assert fhir.request("POST", "/Patient/_search").json()["total"] == 2
    assert fhir.post("/Patient/_search", {"family": "Li"}).status_code == 415
    assert fhir.post("/Patient/_search", b"family=%FF", **form).status_code == 400


def test_unknown_parameters_lenient_and_strict(fhir):
    lenient = fhir.get("/Patient?nonsense=1")
    assert lenient.status_code == 200
    assert "nonsense" not in lenient.json()["link"][0]["url"]
    assert lenient.json()["entry"][-1]["search"]["mode"] == "outcome"
    assert fhir.get("/Patient?nonsense=1", prefer="handling=strict").status_code == 400
    fhir.put("/Patient/p", {**PATIENT, "id": "p"})
    assert fhir.get("/Patient/p?nonsense=1").status_code == 200
    assert fhir.get("/Patient/p?nonsense=1", prefer="handling=strict").status_code == 400
    assert fhir.get("/Patient/p?_pretty=true", prefer="handling=strict").status_code == 200
    assert fhir.get("/Patient/p/_history?nonsense=1").status_code == 200
    strict = "return=minimal; handling=strict"
    assert fhir.get("/Patient/p/_history?nonsense=1", prefer=strict).status_code == 400


def test_health_and_metrics(fhir):
    fhir.post("/Patient", PATIENT)
    assert fhir.beside("/health/live").json() == {"status": "ok"}
    assert fhir.beside("/health/ready").json() == {"status": "ok"}
    metrics = fhir.beside("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    assert 'varde_requests_total{interaction="create",status="201"}' in metrics.text


def test_every_answer_is_json_in_utf_8(fhir):
    made = fhir.post("/Patient", {"resourceType": "Patient", "name": [{"family": "Ærøskjøbing 😀"}]})
    assert json.loads(made.content.decode("utf-8"))["name"][0]["family"] == "Ærøskjøbing 😀"
