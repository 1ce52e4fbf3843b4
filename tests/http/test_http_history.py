"""history, https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

from datetime import timedelta

import pytest


def put(fhir, id_, **more):
    return fhir.put(f"/Patient/{id_}", {"resourceType": "Patient", "id": id_, **more})


def test_history_tells_every_version_newest_first(fhir):
    put(fhir, "p")
    put(fhir, "p", active=True)
    fhir.delete("/Patient/p")
    book = fhir.get("/Patient/p/_history").json()
    assert (book["type"], book["total"]) == ("history", 3)
    assert [entry["request"]["method"] for entry in book["entry"]] == ["DELETE", "PUT", "PUT"]
    assert [entry["response"]["status"] for entry in book["entry"]] == [
        "204 No Content",
        "200 OK",
        "201 Created",
    ]
    assert [entry["response"]["etag"] for entry in book["entry"]] == ['W/"3"', 'W/"2"', 'W/"1"']
    assert {entry["fullUrl"] for entry in book["entry"]} == {f"{fhir.base}/Patient/p"}
    assert {entry["request"]["url"] for entry in book["entry"]} == {"Patient/p"}
    assert "resource" not in book["entry"][0]
    assert book["entry"][1]["resource"]["active"] is True
    assert book["link"] == [{"relation": "self", "url": f"{fhir.base}/Patient/p/_history"}]


def test_a_create_is_a_post_to_its_type(fhir):
    made = fhir.post("/Patient", {"resourceType": "Patient"}).json()
    request = fhir.get(f"/Patient/{made['id']}/_history").json()["entry"][0]["request"]
    assert request == {"method": "POST", "url": "Patient"}


def test_history_of_what_never_was_is_404(fhir):
    assert fhir.get("/Patient/nobody/_history").status_code == 404


def test_history_of_a_type_and_of_everything(fhir):
    put(fhir, "p")
    put(fhir, "q")
    fhir.post("/Basic", {"resourceType": "Basic", "code": {"text": "x"}})
    assert fhir.get("/Patient/_history").json()["total"] == 2
    everything = fhir.get("/_history").json()
    assert everything["total"] == 4  # with the engine's own Device
    types = [entry["resource"]["resourceType"] for entry in everything["entry"]]
    assert types == ["Basic", "Patient", "Patient", "Device"]
    empty = fhir.get("/Goal/_history").json()
    assert empty["total"] == 0
    assert "entry" not in empty


def test_history_pages_by_next_links(fhir):
    for number in range(7):
        put(fhir, "p", active=bool(number % 2))
    url, seen = "/Patient/p/_history?_count=3", []
    while url:
        book = fhir.get(url).json()
        assert book["total"] == 7
        assert len(book["entry"]) <= 3
        seen += [entry["resource"]["meta"]["versionId"] for entry in book["entry"]]
        url = next((link["url"] for link in book["link"] if link["relation"] == "next"), None)
        put(fhir, "q")
    assert seen == ["7", "6", "5", "4", "3", "2", "1"]


def test_history_since(fhir, clock):
    put(fhir, "p")
    clock.now += timedelta(days=1)
    second = put(fhir, "p").json()["meta"]["lastUpdated"]
    for since in (second, "2026-11-22", "2026-11-22T00:00:00Z", "2026-11-22T01:00:00+01:00"):
        book = fhir.get("/Patient/p/_history", x_request_id="x").json()
        assert book["total"] == 2
        book = fhir.get(f"/Patient/p/_history?_since={since}").json()
        assert [entry["resource"]["meta"]["versionId"] for entry in book["entry"]] == ["2"], since
    assert fhir.get("/Patient/p/_history?_since=2027").json().get("entry") is None
    assert len(fhir.get("/Patient/p/_history?_since=2026").json()["entry"]) == 2


@pytest.mark.parametrize(
    "query",
    ["_count=x", "_count=-1", "_since=yesterday", "_since=2026-13-01", "_since=0000", "_before=x", "_count=" + "9" * 30,
     "_since=2026-02-30T10:00:00Z", "_count=", "_since=9999-12-31T23:59:59-14:00"],
)  # fmt: skip
def test_bad_parameters_are_400_or_harmless(fhir, query):
    put(fhir, "p")
    assert fhir.get(f"/Patient/p/_history?{query}").status_code in (200, 400)


def test_count_zero_gives_the_total_alone(fhir):
    put(fhir, "p")
    book = fhir.get("/Patient/p/_history?_count=0").json()
    assert (book["total"], "entry" in book) == (1, False)


def versions(book):
    return [entry["response"]["etag"][3:-1] for entry in book.get("entry", [])]


def test_a_resource_that_came_back_was_created_again(fhir):
    put(fhir, "p")
    fhir.delete("/Patient/p")
    put(fhir, "p")
    put(fhir, "p")
    expected = ["200 OK", "201 Created", "204 No Content", "201 Created"]
    for path in ("/Patient/p/_history", "/Patient/_history", "/_history"):
        book = fhir.get(path).json()
        assert [entry["response"]["status"] for entry in book["entry"]][:4] == expected
    page = fhir.get("/Patient/p/_history?_count=2").json()
    assert [entry["response"]["status"] for entry in page["entry"]] == expected[:2]


@pytest.mark.parametrize("path", ["/Patient/p/_history", "/Patient/_history", "/_history"])
def test_history_at_a_time_has_what_was_current_then(fhir, clock, path):
    clock.now += timedelta(days=1)
    for _ in range(3):
        put(fhir, "p")
        clock.now += timedelta(days=1)
    fhir.delete("/Patient/p")
    noon = "T12:00:00Z"

    def at(moment):
        book = fhir.get(f"{path}?_at={moment}").json()
        assert book["link"][0]["url"].endswith(f"{path}?_at={moment.replace(':', '%3A')}")
        return [v["response"]["etag"][3:-1] for v in book.get("entry", []) if v["fullUrl"].endswith("/p")]

    assert at("2026-11-21" + noon) == []
    assert at("2026-11-22" + noon) == ["1"]
    assert at("2026-11-23" + noon) == ["2"]
    assert at("2026-11-23") == ["2", "1"]
    assert at("2026-11") == ["4", "3", "2", "1"]
    assert at("2026-11-27") == []


def test_history_oldest_first(fhir):
    for _ in range(5):
        put(fhir, "p")
    url, seen = "/Patient/p/_history?_sort=_lastUpdated&_count=2", []
    while url:
        book = fhir.get(url).json()
        assert book["total"] == 5
        seen += versions(book)
        url = next((link["url"] for link in book["link"] if link["relation"] == "next"), None)
    assert seen == ["1", "2", "3", "4", "5"]
    assert versions(fhir.get("/Patient/p/_history?_sort=-_lastUpdated").json()) == seen[::-1]
    assert fhir.get("/Patient/p/_history?_sort=name").status_code == 400


def test_history_shows_the_part_that_is_asked_for(fhir):
    put(fhir, "p", name=[{"family": "Berg"}], maritalStatus={"text": "x"})
    short = fhir.get("/Patient/p/_history?_elements=name").json()["entry"][0]["resource"]
    assert "name" in short and "maritalStatus" not in short
    assert short["meta"]["tag"][0]["code"] == "SUBSETTED"
    summary = fhir.get("/_history?_summary=true").json()["entry"][0]["resource"]
    assert "name" in summary and "maritalStatus" not in summary
    counted = fhir.get("/Patient/_history?_summary=count").json()
    assert (counted["total"], "entry" in counted) == (1, False)
    assert fhir.get("/Patient/_history?_summary=much").status_code == 400


@pytest.mark.parametrize(
    "query", ["_at=yesterday", "_at=2026-13", "_sort=", "_beyond=x", "_since=2026&_since=2027"]
)
def test_more_bad_parameters_are_400(fhir, query):
    put(fhir, "p")
    assert fhir.get(f"/Patient/p/_history?{query}").status_code == 400


def test_a_deleted_version_is_410_and_the_others_can_be_read(fhir):
    put(fhir, "p")
    fhir.delete("/Patient/p")
    assert fhir.get("/Patient/p/_history/2").status_code == 410
    assert fhir.get("/Patient/p/_history/1").status_code == 200
    assert fhir.get("/Patient/p/_history/3").status_code == 404


def test_history_of_what_a_list_refers_to(fhir):
    for _ in range(3):
        put(fhir, "p")
    put(fhir, "q")
    put(fhir, "r")
    references = [
        "Patient/p/_history/2",
        f"{fhir.base}/Patient/q",
        "Patient/nobody",
        "http://elsewhere.test/Patient/r",
    ]
    entries = [{"item": {"reference": reference}} for reference in references] + [{"item": {"display": "x"}}]
    fhir.put(
        "/List/l",
        {"resourceType": "List", "id": "l", "status": "current", "mode": "working", "entry": entries},
    )
    for path in ("/_history", "/Patient/_history"):
        book = fhir.get(f"{path}?_list=l").json()
        told = [(each["resource"]["id"], each["resource"]["meta"]["versionId"]) for each in book["entry"]]
        assert (told, book["total"]) == ([("q", "1"), ("p", "2")], 2)
    assert fhir.get("/Patient/p/_history?_list=l").json()["total"] == 1
    assert fhir.get("/Basic/_history?_list=l").json()["total"] == 0
    url, seen = "/_history?_list=l&_count=1&_sort=_lastUpdated", []
    while url:
        book = fhir.get(url).json()
        seen += [each["resource"]["id"] for each in book["entry"]]
        url = next((link["url"] for link in book["link"] if link["relation"] == "next"), None)
    assert seen == ["p", "q"]
    assert fhir.get("/_history?_list=nothing").status_code == 400
