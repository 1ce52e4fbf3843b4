"""Requests changed at random are answered, never with a 500, and what is acknowledged is there."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SEEDS = [
    {
        "resourceType": "Observation",
        "id": "o",
        "meta": {"profile": ["http://example.org/p"], "tag": [{"code": "a"}]},
        "status": "final",
        "category": [{"coding": [{"system": "http://example.org", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}], "text": "BP"},
        "subject": {"reference": "Patient/p", "identifier": {"value": "1"}},
        "effectivePeriod": {"start": "2026-11-21T08:00:00Z", "end": "2026-11-21"},
        "component": [{"code": {"text": "sys"}, "valueQuantity": {"value": 120.50, "unit": "mm[Hg]"}}],
        "_status": {"extension": [{"url": "http://example.org/e", "valueString": "x"}]},
    },
    {
        "resourceType": "CarePlan",
        "id": "c",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/p"},
        "goal": [{"reference": "#g"}],
        "contained": [
            {
                "resourceType": "Goal",
                "id": "g",
                "lifecycleStatus": "active",
                "description": {"text": "weight"},
                "subject": {"reference": "Patient/p"},
                "target": [
                    {
                        "measure": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]},
                        "detailRange": {"high": {"value": 140, "unit": "mm[Hg]"}},
                        "extension": [
                            {
                                "url": "https://varde.dev/fhir/StructureDefinition/dho-threshold",
                                "extension": [{"url": "zone", "valueCode": "red"}],
                            }
                        ],
                    }
                ],
            }
        ],
    },
    {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "http://example.org/mrn", "value": "1"}],
        "name": [{"family": "Li", "given": ["A", None], "_given": [None, {"id": "x"}]}],
        "birthDate": "1974-12-25",
        "communication": [{"language": {"coding": [{"code": "nb"}]}}],
    },
]
SEEDS.append(
    {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{number}",
                "resource": copy.deepcopy(seed),
                "request": {"method": "PUT", "url": f"{seed['resourceType']}/{seed['id']}"},
            }
            for number, seed in enumerate(SEEDS)
        ]
        + [{"request": {"method": "GET", "url": "Patient?name=x"}}],
    }
)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from(["", " ", "Patient/p", "#g", "urn:uuid:0", "Patient?name=x", "2026-02-30", "http://[", "\x00",
                     "batch", "POST", "Observation", "a" * 70, "1e5", "red", "%00", 10**30, -0.0]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=5), v, max_size=3),
    max_leaves=5,
)


def places(node, found):
    """(container, key) of everything in the tree."""
    for key in list(node) if isinstance(node, dict) else range(len(node)):
        found.append((node, key))
        if isinstance(node[key], dict | list):
            places(node[key], found)
    return found


@st.composite
def changed(draw):
    resource = copy.deepcopy(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 4))):
        all_places = places(resource, [])
        if not all_places:
            break
        node, key = draw(st.sampled_from(all_places))
        match draw(st.sampled_from(["replace", "delete", "wrap", "copy", "rename"])):
            case "replace":
                node[key] = draw(VALUES)
            case "delete":
                del node[key]
            case "wrap":
                node[key] = draw(st.sampled_from([[node[key]], {"x": node[key]}, [node[key]] * 2]))
            case "copy":
                node[key] = copy.deepcopy(draw(st.sampled_from(all_places))[0])
            case "rename" if isinstance(node, dict):
                node[draw(st.sampled_from(["id", "resourceType", "_x", "meta", "extension", "value"]))] = (
                    node.pop(key)
                )
    return resource


QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=120)


@pytest.fixture
def all_of(fhir):
    for seed in SEEDS[2::-1]:
        assert fhir.put(f"/{seed['resourceType']}/{seed['id']}", seed).status_code == 201
    return fhir


def test_changed_resources(all_of):
    @QUIET
    @given(changed())
    def send(resource):
        body = json.dumps(resource).encode()
        type_, id_ = resource.get("resourceType"), resource.get("id")
        path = f"/{type_}" if isinstance(type_, str) and type_.isalpha() else "/Patient"
        made = all_of.post("/" if type_ == "Bundle" else path, body)
        assert made.status_code in (200, 201, 400, 404, 409, 410, 412, 422)
        if made.status_code == 201:
            assert all_of.get(f"{path}/{made.json()['id']}").content == made.content
        if isinstance(id_, str) and id_.isalnum() and id_.isascii():
            assert all_of.put(f"{path}/{id_}", body).status_code in (200, 201, 400, 404, 422)

    send()


def test_changed_bytes(all_of):
    texts = [json.dumps(seed).encode() for seed in SEEDS]

    @QUIET
    @given(st.sampled_from(texts), st.data())
    def send(text, data):
        for _ in range(data.draw(st.integers(1, 3))):
            at = data.draw(st.integers(0, len(text) - 1))
            text = text[:at] + data.draw(st.binary(max_size=3)) + text[at + data.draw(st.integers(0, 20)) :]
        for path in ("/", "/Observation", "/Patient"):
            assert all_of.post(path, text or b"{").status_code in (200, 201, 400, 404, 409, 410, 412, 422)

    send()


def test_changed_requests(all_of):
    names = st.sampled_from(
        ["name", "_id", "_count", "_sort", "_include", "date", "subject", "code", "value-quantity", "_lastUpdated",
         "_since", "_total", "_summary", "_elements", "patient", "identifier", "_cursor", "_before", "_format"]
    )  # fmt: skip
    modifiers = st.sampled_from(["", "", "", ":exact", ":not", ":missing", ":in", ":Patient", ":x", ".name"])
    types = st.sampled_from(
        ["Patient", "Observation", "CarePlan", "Flag", "Basic", "Nothing", "_history", ""]
    )
    suffixes = st.sampled_from(
        ["", "/", "/p", "/o/_history", "/p/_history/1", "/_history", "/_search", "/$x", "//"]
    )

    @QUIET
    @given(
        st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH"]),
        types,
        suffixes,
        st.lists(st.tuples(names, modifiers, st.text(max_size=8) | SCALARS.map(str)), max_size=3),
        st.sampled_from(["", "handling=strict", "return=minimal"]),
    )
    def send(method, type_, suffix, pairs, prefer):
        from urllib.parse import quote

        def safe(text):
            return quote(text.encode("utf-8", "surrogatepass"))

        query = "&".join(f"{safe(name + modifier)}={safe(value)}" for name, modifier, value in pairs)
        body = SEEDS[2] if method in ("PUT", "POST", "PATCH") else None
        answer = all_of.request(method, f"/{type_}{suffix}?{query}", body, prefer=prefer)
        assert answer.status_code in (200, 201, 204, 304, 400, 404, 405, 406, 409, 410, 412, 415)

    send()
