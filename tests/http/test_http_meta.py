"""https://hl7.org/fhir/R4/resource-operation-meta.html"""

from __future__ import annotations

from typing import Any

import pytest

RED = {"system": "urn:t", "code": "red"}
BLUE = {"system": "urn:t", "code": "blue", "display": "Blue"}
SECRET = {"system": "urn:s", "code": "R"}
PROFILE = "http://example.org/profile"


def put(fhir: Any, id: str, type: str = "Patient", **meta: Any) -> Any:
    more = {"code": {"text": "x"}} if type == "Basic" else {}
    return fhir.put(
        f"/{type}/{id}",
        {"resourceType": type, "id": id, "meta": meta, **more}
        if meta
        else {"resourceType": type, "id": id, **more},
    )


def given(**meta: Any) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}


def labels(answer: Any) -> Any:
    """What is returned, without version and time."""
    assert answer.status_code == 200, answer.text
    assert answer.json()["resourceType"] == "Parameters"
    (parameter,) = answer.json().get("parameter") or [{"name": "return", "valueMeta": {}}]
    assert parameter["name"] == "return"
    return {k: v for k, v in parameter["valueMeta"].items() if k not in ("versionId", "lastUpdated")}


def test_the_labels_of_a_resource(fhir: Any) -> None:
    put(fhir, "p", tag=[RED], profile=[PROFILE])
    expected = {"tag": [RED], "profile": [PROFILE]}
    for path in ("/Patient/p/$meta", "/Patient/p/_history/1/$meta"):
        assert labels(fhir.get(path)) == expected
    assert labels(fhir.request("POST", "/Patient/p/$meta", {"resourceType": "Parameters"})) == expected
    answer = fhir.get("/Patient/p/$meta").json()["parameter"][0]["valueMeta"]
    assert answer["versionId"] == "1"


def test_the_labels_of_a_type_and_of_all(fhir: Any) -> None:
    assert "parameter" not in fhir.get("/Patient/$meta").json()
    put(fhir, "p", tag=[RED])
    put(fhir, "q", tag=[RED, BLUE], security=[SECRET])
    put(fhir, "b", "Basic", profile=[PROFILE])
    put(fhir, "plain")
    put(fhir, "gone", tag=[{"code": "gone"}])
    fhir.delete("/Patient/gone")
    assert labels(fhir.get("/Patient/$meta")) == {"tag": [RED, BLUE], "security": [SECRET]}
    assert labels(fhir.get("/Basic/$meta")) == {"profile": [PROFILE]}
    assert labels(fhir.get("/$meta")) == {"tag": [RED, BLUE], "security": [SECRET], "profile": [PROFILE]}


def test_labels_are_added_and_deleted(fhir: Any) -> None:
    put(fhir, "p", tag=[RED], source="urn:source")
    added = fhir.post(
        "/Patient/p/$meta-add", given(tag=[RED | {"display": "again"}, BLUE], profile=[PROFILE])
    )
    assert labels(added) == {"source": "urn:source", "tag": [RED, BLUE], "profile": [PROFILE]}
    assert added.headers["etag"] == 'W/"2"'
    assert fhir.get("/Patient?_tag=urn:t|blue").json()["total"] == 1
    deleted = fhir.post("/Patient/p/$meta-delete", given(tag=[RED, {"system": "urn:t", "code": "blue"}]))
    assert labels(deleted) == {"source": "urn:source", "profile": [PROFILE]}
    assert fhir.get("/Patient?_tag=urn:t|blue").json()["total"] == 0
    assert labels(fhir.post("/Patient/p/$meta-delete", given(tag=[RED]))) == {
        "source": "urn:source",
        "profile": [PROFILE],
    }
    assert fhir.get("/Patient/p").json()["meta"]["versionId"] == "4"


def test_labels_at_the_same_time_lose_nothing(fhir: Any) -> None:
    put(fhir, "p")
    answers = fhir.together(
        *[("POST", "/Patient/p/$meta-add", given(tag=[{"code": f"t{n}"}])) for n in range(5)]
    )
    done = [answer for answer in answers if answer.status_code == 200]
    assert len(fhir.get("/Patient/p").json()["meta"]["tag"]) == len(done) >= 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/Patient/nobody/$meta", None, 404),
        ("GET", "/Patient/p/_history/7/$meta", None, 404),
        ("GET", "/Patient/p/$meta?nonsense=1", None, 400),
        ("GET", "/Patient/p/$meta-add", None, 405),
        ("GET", "/Nothing/$meta", None, 404),
        ("POST", "/Patient/$meta-add", given(tag=[RED]), 404),
        ("POST", "/Patient/nobody/$meta-add", given(tag=[RED]), 404),
        ("POST", "/Patient/p/$meta-add", {"resourceType": "Parameters"}, 400),
        ("POST", "/Patient/p/$meta-add", {"resourceType": "Patient"}, 400),
        ("POST", "/Patient/p/$meta-add", given(tag=[{"code": 7}]), 422),
        ("POST", "/Patient/p/$meta-add", {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueString": "x"}]}, 400),
        ("PUT", "/Patient/p/$meta", given(), 405),
    ],
)  # fmt: skip
def test_bad_input(fhir: Any, method: str, path: str, body: Any, status: int) -> None:
    put(fhir, "p")
    assert fhir.request(method, path, body).status_code == status
    assert fhir.get("/Patient/p").headers["etag"] == 'W/"1"'


def test_if_match_is_enforced_and_what_was_deleted_is_gone(fhir: Any) -> None:
    put(fhir, "p")
    assert fhir.post("/Patient/p/$meta-add", given(tag=[RED]), if_match='W/"2"').status_code == 412
    fhir.delete("/Patient/p")
    assert fhir.post("/Patient/p/$meta-add", given(tag=[RED])).status_code == 410
    assert fhir.get("/Patient/p/$meta").status_code == 410


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_in_a_bundle(fhir: Any, kind: str) -> None:
    put(fhir, "p", tag=[RED])
    entries = [
        {"request": {"method": "POST", "url": "Patient/p/$meta-add"}, "resource": given(tag=[BLUE])},
        {"request": {"method": "GET", "url": "Patient/p/$meta"}},
    ]
    answer = fhir.post("", {"resourceType": "Bundle", "type": kind, "entry": entries}).json()
    assert [entry["response"]["status"] for entry in answer["entry"]] == ["200 OK", "200 OK"]
    for entry in answer["entry"]:
        assert entry["resource"]["parameter"][0]["valueMeta"]["tag"] == [RED, BLUE]
    assert len(fhir.get("/Patient/p").json()["meta"]["tag"]) == 2


def test_the_capability_statement_tells(fhir: Any) -> None:
    rest = fhir.get("/metadata").json()["rest"][0]
    patient = next(resource for resource in rest["resource"] if resource["type"] == "Patient")
    assert {"meta", "meta-add", "meta-delete"} <= {operation["name"] for operation in patient["operation"]}
    assert "meta" in {operation["name"] for operation in rest["operation"]}
