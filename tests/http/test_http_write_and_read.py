"""create, read, vread, update and delete, https://hl7.org/fhir/R4/http.html"""

from __future__ import annotations

import threading

import pytest

from fhir_server import drafts, write

PATIENT = {"resourceType": "Patient", "name": [{"family": "Nordmann", "given": ["Kari"]}], "active": True}


def with_id(id_: str, **more):
    return {**PATIENT, "id": id_, **more}


def test_create_answers_201_with_location_etag_and_last_modified(fhir):
    made = fhir.post("/Patient", PATIENT)
    assert made.status_code == 201
    resource = made.json()
    assert made.headers["location"] == f"{fhir.base}/Patient/{resource['id']}/_history/1"
    assert made.headers["etag"] == 'W/"1"'
    assert made.headers["last-modified"] == "Sat, 21 Nov 2026 09:00:00 GMT"
    assert resource["meta"]["versionId"] == "1"
    assert resource["meta"]["lastUpdated"].startswith("2026-11-21T09:00:00.0")
    assert fhir.get(f"/Patient/{resource['id']}").json() == resource


def test_create_ignores_the_id_sent_along(fhir):
    made = fhir.post("/Patient", with_id("mine"))
    assert made.status_code == 201
    assert made.json()["id"] != "mine"
    assert fhir.get("/Patient/mine").status_code == 404


def test_what_comes_back_are_the_same_bytes_for_create_read_and_vread(fhir):
    made = fhir.post("/Patient", PATIENT)
    location = made.headers["location"]
    assert fhir.get(location).content == made.content
    assert fhir.get(location.split("/_history")[0]).content == made.content


def test_read_of_what_never_was_is_404(fhir):
    assert fhir.get("/Patient/nobody").status_code == 404
    assert fhir.get("/Patient/nobody/_history/1").status_code == 404
    assert fhir.get("/Patient/not_an_id").status_code == 404


def test_vread_gives_each_version(fhir):
    fhir.put("/Patient/p", with_id("p"))
    fhir.put("/Patient/p", with_id("p", active=False))
    assert fhir.get("/Patient/p/_history/1").json()["active"] is True
    second = fhir.get("/Patient/p/_history/2")
    assert second.json()["active"] is False
    assert second.headers["etag"] == 'W/"2"'
    for version in ("0", "3", "-1", "x", "01", "1" * 40, "٣"):
        assert fhir.get(f"/Patient/p/_history/{version}").status_code == 404


def test_update_creates_with_201_then_updates_with_200(fhir):
    made = fhir.put("/Patient/p", with_id("p"))
    assert made.status_code == 201
    assert made.headers["location"] == f"{fhir.base}/Patient/p/_history/1"
    again = fhir.put("/Patient/p", with_id("p", active=False))
    assert again.status_code == 200
    assert again.headers["etag"] == 'W/"2"'
    assert again.json()["meta"]["versionId"] == "2"


def test_an_update_with_the_same_content_is_a_version_of_its_own(fhir):
    fhir.put("/Patient/p", with_id("p"))
    assert fhir.put("/Patient/p", with_id("p")).headers["etag"] == 'W/"2"'


@pytest.mark.parametrize(
    "url_id, body_id", [("p", "q"), ("p", None), ("not_an_id", "not_an_id"), ("a" * 65, "a" * 65)]
)
def test_update_needs_the_same_valid_id_in_url_and_body(fhir, url_id, body_id):
    body = with_id(body_id) if body_id else PATIENT
    refused = fhir.put(f"/Patient/{url_id}", body)
    assert refused.status_code in (400, 422)
    assert fhir.get(f"/Patient/{url_id}").status_code == 404


def test_update_with_if_match(fhir):
    fhir.put("/Patient/p", with_id("p"))
    assert fhir.put("/Patient/p", with_id("p"), if_match='W/"1"').status_code == 200
    refused = fhir.put("/Patient/p", with_id("p"), if_match='W/"1"')
    assert refused.status_code == 412
    assert fhir.put("/Patient/p", with_id("p"), if_match='W/"2"').status_code == 200
    assert fhir.put("/Patient/p", with_id("p"), if_match='"3"').status_code == 200
    assert fhir.put("/Patient/p", with_id("p"), if_match='W/"9", W/"4"').status_code == 200
    assert fhir.put("/Patient/p", with_id("p"), if_match="*").status_code == 200


@pytest.mark.parametrize("header", ["1", "W/1", 'W/"1', "", 'W/"1" or so'])
def test_a_malformed_if_match_is_400(fhir, header):
    fhir.put("/Patient/p", with_id("p"))
    assert fhir.put("/Patient/p", with_id("p"), if_match=header).status_code == 400
    assert fhir.get("/Patient/p").headers["etag"] == 'W/"1"'


def test_if_match_on_what_is_not_there_is_412(fhir):
    assert fhir.put("/Patient/p", with_id("p"), if_match='W/"1"').status_code == 412
    assert fhir.put("/Patient/p", with_id("p"), if_match="*").status_code == 412
    assert fhir.get("/Patient/p").status_code == 404


def test_if_none_match_star_only_creates(fhir):
    assert fhir.put("/Patient/p", with_id("p"), if_none_match="*").status_code == 201
    assert fhir.put("/Patient/p", with_id("p"), if_none_match="*").status_code == 412
    fhir.delete("/Patient/p")
    assert fhir.put("/Patient/p", with_id("p"), if_none_match="*").status_code == 201


def test_of_concurrent_updates_of_one_version_one_wins(fhir):
    fhir.put("/Patient/p", with_id("p"))
    request = ("PUT", "/Patient/p", with_id("p"), {"if-match": 'W/"1"'})
    statuses = sorted(answer.status_code for answer in fhir.together(*[request] * 12))
    assert statuses == [200] + [412] * 11
    assert fhir.get("/Patient/p").headers["etag"] == 'W/"2"'


def test_delete_then_410_then_revival_with_the_next_version(fhir):
    fhir.put("/Patient/p", with_id("p"))
    gone = fhir.delete("/Patient/p")
    assert gone.status_code == 204
    assert gone.headers["etag"] == 'W/"2"'
    assert fhir.get("/Patient/p").status_code == 410
    assert fhir.get("/Patient/p/_history/2").status_code == 410
    assert fhir.get("/Patient/p/_history/1").status_code == 200
    assert fhir.delete("/Patient/p").status_code == 204
    back = fhir.put("/Patient/p", with_id("p"))
    assert back.status_code == 201
    assert back.headers["etag"] == 'W/"3"'
    assert fhir.get("/Patient/p").status_code == 200


def test_delete_of_what_never_was_is_204(fhir):
    assert fhir.delete("/Patient/nobody").status_code == 204
    assert fhir.get("/Patient/nobody").status_code == 404


def test_delete_with_if_match(fhir):
    fhir.put("/Patient/p", with_id("p"))
    assert fhir.delete("/Patient/p", if_match='W/"7"').status_code == 412
    assert fhir.get("/Patient/p").status_code == 200
    assert fhir.delete("/Patient/p", if_match='W/"1"').status_code == 204


def test_conditional_read(fhir, clock):
    made = fhir.put("/Patient/p", with_id("p"))
    same = fhir.get("/Patient/p", if_none_match=made.headers["etag"])
    assert same.status_code == 304
    assert same.headers["etag"] == 'W/"1"'
    assert fhir.get("/Patient/p", if_none_match="*").status_code == 304
    assert fhir.get("/Patient/p", if_none_match='W/"2"').status_code == 200
    assert fhir.get("/Patient/p", if_modified_since=made.headers["last-modified"]).status_code == 304
    assert fhir.get("/Patient/p", if_modified_since="Fri, 20 Nov 2026 09:00:00 GMT").status_code == 200
    assert fhir.get("/Patient/p", if_modified_since="yesterday").status_code == 200
    assert (
        fhir.get(
            "/Patient/p", if_none_match='W/"2"', if_modified_since=made.headers["last-modified"]
        ).status_code
        == 200
    )


def test_a_read_can_ask_for_a_part(fhir):
    fhir.put("/Patient/p", with_id("p", maritalStatus={"text": "x"}))
    assert set(fhir.get("/Patient/p?_elements=active").json()) == {"resourceType", "id", "meta", "active"}
    summary = fhir.get("/Patient/p?_summary=true").json()
    assert "maritalStatus" not in summary
    assert summary["meta"]["tag"][0]["code"] == "SUBSETTED"
    assert fhir.get("/Patient/p?_summary=false").content == fhir.get("/Patient/p").content
    for query in ("_summary=nonsense", "_summary=count"):
        assert fhir.get(f"/Patient/p?{query}").status_code == 400


def test_head_is_a_get_without_its_body(fhir):
    fhir.put("/Patient/p", with_id("p"))
    full, head = fhir.get("/Patient/p"), fhir.request("HEAD", "/Patient/p")
    assert head.status_code == 200
    for name in ("etag", "last-modified", "content-length", "content-type"):
        assert head.headers[name] == full.headers[name]
    assert fhir.request("HEAD", "/Patient/nobody").status_code == 404


@pytest.mark.parametrize("method, path", [("POST", "/Patient"), ("PUT", "/Patient/p")])
def test_prefer_return(fhir, method, path):
    minimal = fhir.request(method, path, with_id("p"), prefer="return=minimal")
    assert minimal.status_code == 201
    assert minimal.content == b""
    assert minimal.headers["etag"] == 'W/"1"'
    assert minimal.headers["location"].endswith("/_history/1")
    outcome = fhir.request(method, path, with_id("p"), prefer="return=OperationOutcome").json()
    assert outcome["resourceType"] == "OperationOutcome"
    assert outcome["issue"][0]["severity"] == "information"
    for prefer in ("return=representation", "return=nonsense", "respond-async", ""):
        assert fhir.request(method, path, with_id("p"), prefer=prefer).json()["resourceType"] == "Patient"


def test_a_delete_can_answer_with_an_outcome(fhir):
    fhir.put("/Patient/p", with_id("p"))
    gone = fhir.delete("/Patient/p", prefer="return=OperationOutcome")
    assert gone.status_code == 200
    assert gone.json()["resourceType"] == "OperationOutcome"


def test_meta_of_the_client_is_kept_beside_ours(fhir):
    meta = {
        "versionId": "77",
        "lastUpdated": "1999-01-01T00:00:00Z",
        "source": "urn:x",
        "profile": ["http://example.org/p"],
        "tag": [{"system": "http://example.org/tags", "code": "a"}],
        "extension": [{"url": "http://example.org/e", "valueBoolean": True}],
    }
    made = fhir.post("/Patient", {**PATIENT, "meta": meta}).json()["meta"]
    assert made["versionId"] == "1"
    assert made["lastUpdated"].startswith("2026-11-21")
    assert {k: v for k, v in made.items() if k not in ("versionId", "lastUpdated")} == {
        k: v for k, v in meta.items() if k not in ("versionId", "lastUpdated")
    }


@pytest.mark.parametrize(
    "keys, expected",
    [
        (["resourceType", "active"], ["resourceType", "id", "meta", "active"]),
        (["active", "resourceType"], ["active", "resourceType", "id", "meta"]),
        (["resourceType", "active", "meta", "id"], ["resourceType", "active", "meta", "id"]),
        (["active", "id", "resourceType"], ["active", "id", "meta", "resourceType"]),
        (["meta", "active", "resourceType"], ["meta", "active", "resourceType", "id"]),
    ],
)
def test_elements_keep_their_order(fhir, keys, expected):
    whole = {"resourceType": "Patient", "active": True, "meta": {"source": "urn:x"}, "id": "p"}
    made = fhir.post("/Patient", {key: whole[key] for key in keys})
    assert list(made.json()) == expected


def test_last_modified_never_goes_back(fhir, clock):
    from datetime import timedelta

    first = fhir.put("/Patient/p", with_id("p")).json()["meta"]["lastUpdated"]
    clock.now -= timedelta(hours=1)
    assert fhir.put("/Patient/p", with_id("p")).json()["meta"]["lastUpdated"] == first


@pytest.mark.parametrize(
    "type_", ["Patient", "Binary", "Basic", "Bundle", "StructureDefinition", "Parameters"]
)
def test_every_type_has_the_same_interactions(fhir, type_):
    bodies = {
        "Binary": {"contentType": "text/plain", "data": "aGVp"},
        "Basic": {"code": {"text": "x"}},
        "Bundle": {"type": "collection"},
        "StructureDefinition": {
            "url": "http://example.org/s", "name": "S", "status": "draft", "kind": "resource",
            "abstract": False, "type": "Patient", "derivation": "constraint",
            "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
            "differential": {"element": [{"id": "Patient", "path": "Patient"}]},
        },
    }  # fmt: skip
    body = {"resourceType": type_, "id": "x", **bodies.get(type_, {})}
    assert fhir.put(f"/{type_}/x", body).status_code == 201
    assert fhir.get(f"/{type_}/x").status_code == 200
    assert fhir.get(f"/{type_}/x/_history").json()["total"] == 1
    assert fhir.delete(f"/{type_}/x").status_code == 204
    assert fhir.get(f"/{type_}/x").status_code == 410


@pytest.mark.parametrize(("many", "aside"), [(3, False), (2000, True)])
def test_what_is_much_is_searched_through_beside_the_event_loop(fhir, monkeypatch, many, aside):
    threads = []

    def noted(*arguments):
        threads.append(threading.current_thread())
        return drafts.drafts_of(*arguments)

    monkeypatch.setattr(write, "drafts_of", noted)
    concepts = [{"code": f"c{number}", "display": "Something"} for number in range(many)]
    system = {"resourceType": "CodeSystem", "status": "active", "content": "complete", "concept": concepts}
    assert fhir.post("/CodeSystem", {**system, "url": "http://example.org/many"}).status_code == 201
    assert [thread is not threading.main_thread() for thread in threads] == [aside]
