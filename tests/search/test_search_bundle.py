"""https://hl7.org/fhir/R4/bundle.html#searchset: searches carried out over a store of a few resources."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest
from fhir.resources.R4B.bundle import Bundle

from fhir_server.errors import FhirError
from fhir_server.resource_json import decode, encode
from fhir_server.search import includes
from fhir_server.search import run as running
from fhir_server.search.parse import parse
from fhir_server.search.query import Match
from fhir_server.search.run import run
from fhir_server.search.shape import shape
from fhir_server.store.base import Found, Version

BASE = "https://varde.example/fhir"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = b"k" * 32


def observation(number, **more):
    return {
        "resourceType": "Observation",
        "id": f"o{number}",
        "meta": {"versionId": "1"},
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/p1"},
        "valueQuantity": {"value": Decimal("91.50")},
        **more,
    }


class Shelf:
    """A store that finds everything of a type, in order, and remembers what it was asked."""

    def __init__(self, *resources):
        self.versions = [
            Version(resource["resourceType"], resource["id"], 1, 0, "PUT", encode(resource))
            for resource in resources
        ]
        self.counted = []
        self.searched = []

    async def search(self, query):
        self.searched.append(query)
        found = [version for version in self.versions if version.type == query.type]
        if isinstance(query.where, Match) and query.where.param == "_id":
            found = [version for version in found if version.id in query.where.tests[0].value]
        start = query.after[0] if query.after else 0
        more = len(found) > start + query.count
        page = tuple(found[start : start + query.count])
        places = tuple((start + number,) for number, _ in enumerate(page, 1))
        return Found(page, (start + query.count,) if more else None, query.snapshot or 7, places)

    async def count(self, query, at_most=None):
        self.counted.append((query, at_most))
        found = sum(version.type == query.type for version in self.versions)
        return found if at_most is None else min(found, at_most)

    async def read(self, type, id):
        found = [version for version in self.versions if (version.type, version.id) == (type, id)]
        return found[0] if found else None

    async def vread(self, type, id, version):
        found = await self.read(type, id)
        return replace(found, version=version) if found else None


@pytest.fixture
def bundle_of():
    """bundle_of(store, "a=b") -> the Bundle, once as an independent model has found it valid."""

    def of(store, text, type="Observation"):
        search = parse(type, parse_qsl(text, keep_blank_values=True), base=BASE, now=NOW, key=KEY)
        body = asyncio.run(run(store, search, key=KEY))
        Bundle.model_validate_json(body)
        return decode(body)

    return of


def links(bundle):
    return {link["relation"]: link["url"] for link in bundle["link"]}


def query_of(url):
    return urlsplit(url).query


def test_a_page_has_matches_as_they_are_stored(bundle_of):
    stored = observation(1, extension=[{"url": "http://example.org/x", "valueDecimal": Decimal("1.10")}])
    bundle = bundle_of(Shelf(stored), "status=final")
    assert bundle == {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": 1,
        "link": [{"relation": "self", "url": f"{BASE}/Observation?status=final"}],
        "entry": [
            {"fullUrl": f"{BASE}/Observation/o1", "resource": stored, "search": {"mode": "match"}},
        ],
    }


def test_the_bytes_of_a_body_are_not_touched():
    body = b'{"resourceType":"Observation","id":"o1","status":"final","valueQuantity":{"value":9.10e1}}'
    shelf = Shelf()
    shelf.versions = [Version("Observation", "o1", 1, 0, "PUT", body)]
    search = parse("Observation", [], base=BASE, now=NOW)
    assert body in asyncio.run(run(shelf, search, key=KEY))


def test_nothing_found_has_no_entries(bundle_of):
    bundle = bundle_of(Shelf(), "")
    assert bundle["total"] == 0
    assert "entry" not in bundle
    assert links(bundle) == {"self": f"{BASE}/Observation"}


def test_following_next_gives_each_match_once_in_one_snapshot(bundle_of):
    shelf = Shelf(*map(observation, range(5)))
    text, seen = "_count=2&status=final", []
    for _ in range(3):
        bundle = bundle_of(shelf, text)
        assert bundle["total"] == 5
        seen += [entry["resource"]["id"] for entry in bundle["entry"]]
        assert query_of(links(bundle)["self"]) == "status=final&_count=2"
        text = query_of(links(bundle).get("next", ""))
    assert seen == ["o0", "o1", "o2", "o3", "o4"]
    assert text == ""
    assert [query.snapshot for query in shelf.searched] == [None, 7, 7]
    assert len(shelf.counted) == 1


def test_a_cursor_is_good_for_its_search_only(bundle_of):
    next_url = links(bundle_of(Shelf(*map(observation, range(3))), "_count=1&status=final"))["next"]
    cursor = dict(parse_qsl(query_of(next_url)))["_cursor"]
    bundle_of(Shelf(*map(observation, range(3))), f"status=final&_count=2&_cursor={cursor}")
    for other in ("status=amended&_count=1", "status=final&_count=1&_sort=date"):
        with pytest.raises(FhirError) as caught:
            bundle_of(Shelf(), f"{other}&_cursor={cursor}")
        assert caught.value.status == 410


def test_totals(bundle_of, monkeypatch):
    shelf = Shelf(*map(observation, range(5)))
    assert "total" not in bundle_of(shelf, "_count=2&_total=none")
    assert bundle_of(shelf, "_count=2&_total=accurate")["total"] == 5
    assert shelf.counted[-1][1] is None
    assert bundle_of(shelf, "_count=2&_total=estimate")["total"] == 5
    monkeypatch.setattr(running, "COUNTED", 4)
    assert "total" not in bundle_of(shelf, "_count=2")
    assert bundle_of(shelf, "_count=2&_total=accurate")["total"] == 5
    assert bundle_of(shelf, "")["total"] == 5


@pytest.mark.parametrize("text", ["_summary=count", "_count=0"])
def test_only_a_count(bundle_of, text):
    shelf = Shelf(*map(observation, range(5)))
    bundle = bundle_of(shelf, text)
    assert bundle["total"] == 5
    assert "entry" not in bundle
    assert shelf.searched == []


def test_issues_come_as_an_outcome_and_are_not_in_the_self_link(bundle_of):
    bundle = bundle_of(Shelf(observation(1)), "unknown=1&status=final")
    assert bundle["total"] == 1
    assert [entry["search"]["mode"] for entry in bundle["entry"]] == ["match", "outcome"]
    outcome = bundle["entry"][-1]["resource"]
    assert (outcome["resourceType"], outcome["issue"][0]["severity"]) == ("OperationOutcome", "warning")
    assert query_of(links(bundle)["self"]) == "status=final"


def test_links_are_percent_encoded_and_mean_the_same(bundle_of):
    text = "code=http://loinc.org|a%26b%2Cc%23d%20e%2Bf,%C3%A5"
    bundle = bundle_of(Shelf(), text)
    url = links(bundle)["self"]
    assert url.isascii() and " " not in url and "#" not in url
    assert parse_qsl(query_of(url)) == parse_qsl(text)


DIV = '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"family": "x"}],
    "text": {"status": "empty", "div": DIV},
}


def test_includes_come_once_each_and_only_those_that_are_there(bundle_of):
    performers = [{"reference": "Patient/p1"}, {"reference": "Practitioner/gone"}, {"reference": "#c"}]
    shelf = Shelf(observation(1, performer=performers), observation(2), PATIENT)
    bundle = bundle_of(shelf, "_include=Observation:subject&_include=Observation:performer")
    modes = [(entry["fullUrl"], entry["search"]["mode"]) for entry in bundle["entry"]]
    assert modes == [
        (f"{BASE}/Observation/o1", "match"),
        (f"{BASE}/Observation/o2", "match"),
        (f"{BASE}/Patient/p1", "include"),
    ]
    assert bundle["total"] == 2
    assert len(bundle_of(shelf, "_include=Observation:subject:Group")["entry"]) == 2
    assert len(bundle_of(shelf, "_include=*")["entry"]) == 3
    assert len(bundle_of(shelf, "_include=Observation:device")["entry"]) == 2


def test_a_match_is_not_included_again(bundle_of):
    shelf = Shelf(observation(1), observation(2, hasMember=[{"reference": "Observation/o1"}]))
    assert len(bundle_of(shelf, "_include=Observation:has-member")["entry"]) == 2


def test_a_reference_to_a_version_includes_that_version(bundle_of):
    shelf = Shelf(observation(1, subject={"reference": "Patient/p1/_history/3"}), PATIENT)
    bundle = bundle_of(shelf, "_include=Observation:subject")
    assert bundle["entry"][1]["search"]["mode"] == "include"


def test_too_many_includes_are_cut_and_it_is_said(bundle_of, monkeypatch):
    monkeypatch.setattr(includes, "MAX_INCLUDED", 1)
    performers = [{"reference": "Patient/p1"}, {"reference": "Patient/p2"}]
    shelf = Shelf(observation(1, performer=performers), PATIENT, PATIENT | {"id": "p2"})
    bundle = bundle_of(shelf, "_include=Observation:performer")
    assert [entry["search"]["mode"] for entry in bundle["entry"]] == ["match", "include", "outcome"]


# Shapes

FULL = {
    "resourceType": "Patient",
    "id": "p1",
    "meta": {"versionId": "3", "tag": [{"code": "mine"}]},
    "text": {"status": "generated", "div": "<div/>"},
    "extension": [{"url": "http://example.org/x"}],
    "active": True,
    "_active": {"id": "a"},
    "maritalStatus": {"text": "x"},
    "deceasedBoolean": False,
    "contact": [{"gender": "female"}],
    "link": [{"other": {"reference": "Patient/2"}, "type": "seealso"}],
}
TAGS = {
    "versionId": "3",
    "tag": [
        {"code": "mine"},
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue", "code": "SUBSETTED"},
    ],
}


@pytest.mark.parametrize(
    ("summary", "elements", "kept"),
    [
        ("true", (), {"active", "_active", "deceasedBoolean", "link"}),
        ("text", (), {"text"}),
        ("data", (), set(FULL) - {"text"}),
        (None, ("active", "deceased"), {"active", "_active", "deceasedBoolean"}),
    ],
)
def test_shapes(summary, elements, kept):
    before = json.dumps(FULL)
    part = shape(FULL, summary, elements)
    assert set(part) == kept | {"resourceType", "id", "meta"}
    assert part["meta"] == TAGS
    assert next(iter(part)) == "resourceType"
    assert json.dumps(FULL) == before


def test_mandatory_elements_always_stay():
    part = shape(observation(1), None, ("subject",))
    assert set(part) == {"resourceType", "id", "meta", "status", "code", "subject"}


def test_a_summary_of_backbone_elements_has_their_summary_elements():
    panel = observation(
        1, component=[{"code": {"text": "x"}, "interpretation": [{"text": "H"}], "valueString": "y"}]
    )
    component = shape(panel, "true")["component"]
    assert component == [{"code": {"text": "x"}, "valueString": "y"}]


def test_shapes_are_of_the_matches_and_a_summary_of_what_they_include(bundle_of):
    shelf = Shelf(observation(1), PATIENT)
    parts = bundle_of(shelf, "_elements=status&_include=Observation:subject")["entry"]
    assert "subject" not in parts[0]["resource"] and parts[1]["resource"] == PATIENT
    assert parts[0]["resource"]["meta"]["tag"][0]["code"] == "SUBSETTED"
    parts = bundle_of(shelf, "_summary=data&_include=Observation:subject")["entry"]
    assert parts[0]["resource"]["valueQuantity"]["value"].as_tuple().exponent == -2
    assert "text" not in parts[1]["resource"]
