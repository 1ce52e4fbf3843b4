"""https://hl7.org/fhir/R4/async.html"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from fhir_server import resource_xml
from fhir_server.interactions import later

ASYNC = "respond-async"


def poll(fhir: Any, started: Any) -> Any:
    """The first answer of the status URL that is not 202."""
    assert started.status_code == 202
    assert started.content == b""
    assert started.headers["preference-applied"] == ASYNC
    for _ in range(20_000):
        answer = fhir.get(started.headers["content-location"])
        if answer.status_code != 202:
            return answer
        assert answer.headers["retry-after"] == "1"
    raise AssertionError("never done")


def result(fhir: Any, started: Any) -> Any:
    manifest = poll(fhir, started).json()
    (output,) = manifest["output"]
    assert output["type"] == "Bundle"
    assert manifest["error"] == []
    return fhir.get(output["url"])


@pytest.mark.parametrize(
    "path", ["/Patient?active=true", "/Patient/_history", "/_history", "/Patient/p/_history"]
)
def test_the_answer_later_is_that_of_now(fhir: Any, path: str) -> None:
    fhir.put("/Patient/p", {"resourceType": "Patient", "id": "p", "active": True})
    started = fhir.get(path, prefer=ASYNC)
    assert result(fhir, started).json() == fhir.get(path).json()
    manifest = poll(fhir, started)
    assert manifest.json()["request"] == f"{fhir.base}{path}"
    assert manifest.headers["expires"]


def test_a_search_by_post_and_a_batch(fhir: Any) -> None:
    form = {"content_type": "application/x-www-form-urlencoded"}
    found = result(fhir, fhir.post("/Patient/_search", b"active=true", prefer=ASYNC, **form)).json()
    assert found["type"] == "searchset"
    entry = {"resource": {"resourceType": "Patient"}, "request": {"method": "POST", "url": "Patient"}}
    batch = {"resourceType": "Bundle", "type": "batch", "entry": [entry] * 3}
    done = result(fhir, fhir.post("", batch, prefer=f"{ASYNC}, return=minimal")).json()
    assert [each["response"]["status"] for each in done["entry"]] == ["201 Created"] * 3
    assert fhir.get("/Patient").json()["total"] == 3


def test_the_result_comes_in_the_format_that_is_asked_for_then(fhir: Any) -> None:
    output = poll(fhir, fhir.get("/Patient", prefer=ASYNC)).json()["output"][0]["url"]
    assert resource_xml.decode(fhir.get(output, accept="application/fhir+xml").content)["type"] == "searchset"


def test_an_error_is_told_at_the_status_url(fhir: Any) -> None:
    answer = poll(fhir, fhir.get("/Patient?nonsense=1", prefer=f"{ASYNC}; handling=strict"))
    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_result_can_be_deleted(fhir: Any) -> None:
    started = fhir.get("/Patient", prefer=ASYNC)
    url = started.headers["content-location"]
    assert fhir.delete(url).status_code == 202
    assert fhir.get(url).status_code == 404
    assert fhir.get(f"{url}/result").status_code == 404
    assert fhir.delete(url).status_code == 404


@pytest.mark.parametrize(
    "path", ["/_async/x", "/_async/..%2f..%2fetc", "/_async/" + "a" * 24, "/_async/a/b", "/_async"]
)
def test_what_is_not_under_way_is_404(fhir: Any, path: str) -> None:
    assert fhir.get(path).status_code == 404


def test_what_was_lost_with_its_server_is_told(fhir: Any, monkeypatch: Any) -> None:
    started = fhir.get("/Patient", prefer=ASYNC)
    poll(fhir, started)
    key = started.headers["content-location"].rpartition("/")[2]
    kept = json.loads(later._path(key).read_bytes())
    begun = {name: kept[name] for name in ("request", "time", "owner")} | {"pid": os.getpid()}
    later._write(later._path(key), json.dumps(begun).encode())
    assert fhir.get(f"/_async/{key}").status_code == 202
    assert fhir.get(f"/_async/{key}/result").status_code == 404
    monkeypatch.setattr(later, "_is_alive", lambda pid: False)
    request = ("GET", f"http://varde.test/fhir/_async/{key}")
    answer = fhir._runner.run(fhir._http.request(*request))
    assert answer.status_code == 500
    assert "ask again" in answer.json()["issue"][0]["diagnostics"]


def test_there_is_an_end_to_what_is_under_way(fhir: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(later, "MOST", 0)
    assert fhir.get("/Patient", prefer=ASYNC).status_code == 503


def test_reads_and_writes_are_answered_at_once(fhir: Any) -> None:
    assert fhir.post("/Patient", {"resourceType": "Patient"}, prefer=ASYNC).status_code == 201
    assert fhir.get("/metadata", prefer=ASYNC).status_code == 200


def test_a_bundle_cannot_ask_for_it(fhir: Any) -> None:
    entry = {"request": {"method": "GET", "url": "_async/" + "a" * 24}}
    answer = fhir.post("", {"resourceType": "Bundle", "type": "batch", "entry": [entry]}).json()
    assert answer["entry"][0]["response"]["status"].startswith("405")
