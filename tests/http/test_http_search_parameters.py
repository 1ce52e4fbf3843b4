"""SearchParameters that are posted take effect, https://hl7.org/fhir/R4/searchparameter-registry.html"""

from __future__ import annotations

import json
import time
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.app import create_app, open_store
from fhir_server.interactions.operations import reindex
from fhir_server.search.extract import extract, plan_of_posted, rows_of
from fhir_server.search.posted import compiled, entry_of
from fhir_server.settings import Settings
from profiles.structure import validate

BUNDLED = "http://example.org/fhir/SearchParameter/"


def parameter(code, type, expression, *base, **more):
    return {
        "resourceType": "SearchParameter",
        "id": code,
        "url": f"{BUNDLED}{code}",
        "name": code,
        "status": "active",
        "description": "Of a test",
        "code": code,
        "base": list(base) or ["Patient"],
        "type": type,
        "expression": expression,
        **more,
    }


MARITAL = parameter("marital", "token", "Patient.maritalStatus")


def patient(id, code="M", **more):
    coding = {"coding": [{"system": "http://x", "code": code}], "text": f"is {code}"}
    return {"resourceType": "Patient", "id": id, "maritalStatus": coding, **more}


def found(fhir, path, **headers):
    bundle = fhir.get(path, **headers).json()
    assert bundle["resourceType"] == "Bundle", bundle
    entries = bundle.get("entry", ())
    return [e["resource"]["id"] for e in entries if e["search"]["mode"] == "match"]


def said(fhir, path):
    """What a search says that it left out."""
    entries = fhir.get(path).json().get("entry", ())
    outcomes = [e["resource"] for e in entries if e["search"]["mode"] == "outcome"]
    return " ".join(issue["diagnostics"] for outcome in outcomes for issue in outcome["issue"])


def ready(fhir, path="/$reindex"):
    """Ask for it, and wait until it is done."""
    answer = fhir.request("POST", path)
    assert answer.status_code in (200, 202), answer.text
    for _ in range(6000):
        if answer.status_code == 200:
            return answer.json()
        where = answer.headers["content-location"].removeprefix(fhir.base)
        time.sleep(0.01)
        answer = fhir.get(where)
    raise AssertionError("it does not end")


def put(fhir, resource, status=(200, 201)):
    answer = fhir.put(f"/{resource['resourceType']}/{resource['id']}", resource)
    assert answer.status_code in status, answer.text
    return answer


def test_without_resources_it_is_ready_at_once(fhir):
    put(fhir, MARITAL)
    put(fhir, patient("a"))
    put(fhir, patient("b", "S"))
    assert found(fhir, "/Patient?marital=http://x|M", prefer="handling=strict") == ["a"]
    assert found(fhir, "/Patient?marital:not=M") == ["b"]
    assert found(fhir, "/Patient?marital:text=is%20s") == ["b"]
    assert found(fhir, "/Patient?marital:missing=true") == []
    assert found(fhir, "/Patient?_sort=-marital") == ["b", "a"]
    assert found(fhir, "/Patient?_filter=marital%20eq%20S") == ["b"]
    [named] = [p for r in fhir.get("/metadata").json()["rest"][0]["resource"] if r["type"] == "Patient"
               for p in r["searchParam"] if p["name"] == "marital"]  # fmt: skip
    assert named["definition"] == MARITAL["url"]


def test_until_what_was_stored_is_indexed_it_is_not_used(fhir):
    for n in range(7):
        put(fhir, patient(f"p{n}", "M" if n % 2 else "S"))
    put(fhir, MARITAL)
    put(fhir, patient("new"))
    assert "$reindex" in said(fhir, "/Patient?marital=M")
    strict = fhir.get("/Patient?marital=M", prefer="handling=strict")
    assert strict.status_code == 400
    assert "not yet indexed: POST SearchParameter/marital/$reindex" in strict.text
    assert '"marital"' not in fhir.get("/metadata").text
    assert "waiting" in fhir.get("/SearchParameter/marital/$reindex").text

    answer = ready(fhir, "/SearchParameter/marital/$reindex")
    parts = {p["name"]: next(v for k, v in p.items() if k != "name") for p in answer["parameter"][0]["part"]}
    assert parts == {"reference": "SearchParameter/marital", "code": "marital", "state": "ready", "done": 8,
                     "total": 8}  # fmt: skip
    assert found(fhir, "/Patient?marital=M") == ["p1", "p3", "p5", "new"]
    assert fhir.request("POST", "/$reindex").status_code == 200  # there is nothing to do


def test_it_is_indexed_batch_by_batch_while_others_write(fhir, monkeypatch):
    monkeypatch.setattr(reindex, "BATCH", 2)
    for n in range(9):
        put(fhir, patient(f"p{n}"))
    put(fhir, MARITAL)
    answer = fhir.request("POST", "/SearchParameter/marital/$reindex")
    assert answer.status_code == 202
    assert answer.headers["content-location"] == f"{fhir.base}/SearchParameter/marital/$reindex"
    assert " of " in answer.headers["x-progress"]
    assert fhir.request("POST", "/$reindex").status_code in (200, 202)  # joins it
    put(fhir, patient("p8", "S"))
    fhir.delete("/Patient/p7")
    ready(fhir)
    assert found(fhir, "/Patient?marital=M") == [f"p{n}" for n in range(7)]
    assert found(fhir, "/Patient?marital=S") == ["p8"]


@pytest.mark.parametrize(
    ("broken", "where"),
    [
        (parameter("x", "token", "Patient.nonsense"), "expression"),
        (parameter("x", "token", "Patient.("), "expression"),
        (parameter("x", "date", "Patient.maritalStatus"), "expression"),
        (parameter("x", "date", "Patient.birthDate + 1 year"), "expression"),
        (parameter("x", "token", "%resource.id"), "expression"),
        (parameter("x", "composite", "Patient"), "type"),
        (parameter("x", "special", "Patient"), "type"),
        (parameter("gender", "token", "Patient.gender"), "base[0]"),
        (parameter("a.b", "token", "Patient.gender"), "code"),
        (parameter("x", "token", "Patient.gender", "Patient", "Observation"), "expression"),
        (parameter("x", "token", "Resource.id", "Resource"), "base[0]"),
        ({k: v for k, v in parameter("x", "token", "").items() if k != "expression"}, "expression"),
    ],
)
def test_what_cannot_take_effect_is_refused_with_the_reason(fhir, broken, where):
    entry = {"resource": broken, "request": {"method": "PUT", "url": f"SearchParameter/{broken['id']}"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    for answer in (fhir.put(f"/SearchParameter/{broken['id']}", broken), fhir.post("", bundle)):
        assert answer.status_code == 422, answer.text
        assert f".{where}" in answer.text
    put(fhir, {**broken, "status": "draft"})  # which takes no effect


def test_a_worker_that_stopped_is_told_of_and_another_begins_again(fhir, clock, monkeypatch):
    async def dies(*_):
        pass

    put(fhir, patient("a"))
    put(fhir, MARITAL)
    with monkeypatch.context() as killed:
        killed.setattr(reindex, "_run", dies)
        assert fhir.request("POST", "/SearchParameter/marital/$reindex").status_code == 202
    assert fhir.get("/$reindex").status_code == 202
    clock.now += timedelta(minutes=2)
    assert '"stopped"' in fhir.get("/$reindex").text
    assert "$reindex" in said(fhir, "/Patient?marital=M")
    ready(fhir)
    assert found(fhir, "/Patient?marital=M") == ["a"]


def test_what_goes_wrong_while_indexing_leaves_it_unused(fhir, clock, monkeypatch):
    def breaks(*_):
        raise ZeroDivisionError

    put(fhir, patient("a"))
    put(fhir, MARITAL)
    with monkeypatch.context() as broken:
        broken.setattr(reindex, "_rows", breaks)
        fhir.request("POST", "/$reindex")
        for _ in range(5):
            assert "$reindex" in said(fhir, "/Patient?marital=M")
    clock.now += timedelta(minutes=2)
    ready(fhir)
    assert found(fhir, "/Patient?marital=M") == ["a"]


def test_it_is_no_entry_of_a_bundle(fhir):
    entry = {"request": {"method": "POST", "url": "$reindex"}}
    answer = fhir.post("", {"resourceType": "Bundle", "type": "batch", "entry": [entry]}).json()
    assert answer["entry"][0]["response"]["status"].startswith("405")


def test_two_cannot_have_the_same_code_and_nobody_writes_the_servers_own_resource(fhir):
    put(fhir, MARITAL)
    put(fhir, {**MARITAL, "id": "other", "url": "http://other"}, (409,))
    put(fhir, {"resourceType": "Basic", "id": "varde-search-parameters", "code": {"text": "x"}}, (422,))
    assert fhir.delete("/Basic/varde-search-parameters").status_code == 422
    assert fhir.get("/SearchParameter/other/$reindex").status_code == 404


def test_a_changed_expression_is_indexed_anew_and_a_title_is_not(fhir):
    put(fhir, patient("a", gender="female"))
    put(fhir, MARITAL)
    ready(fhir)
    put(fhir, {**MARITAL, "description": "Better said"})
    assert found(fhir, "/Patient?marital=M") == ["a"]
    put(fhir, {**MARITAL, "expression": "Patient.gender"})
    assert "$reindex" in said(fhir, "/Patient?marital=female")
    ready(fhir)
    assert found(fhir, "/Patient?marital=female") == ["a"]
    assert found(fhir, "/Patient?marital=M") == []


def test_deleted_or_retired_it_is_out_at_once_and_comes_back_whole(fhir):
    put(fhir, MARITAL)
    put(fhir, patient("a"))
    patch = [{"op": "replace", "path": "/status", "value": "retired"}]
    json_patch = {"content-type": "application/json-patch+json"}
    answer = fhir.request("PATCH", "/SearchParameter/marital", json.dumps(patch).encode(), **json_patch)
    assert answer.status_code == 200
    assert "not a supported" in said(fhir, "/Patient?marital=M")
    put(fhir, patient("b"))  # has no such rows
    put(fhir, MARITAL)
    assert "$reindex" in said(fhir, "/Patient?marital=M")
    ready(fhir)
    assert found(fhir, "/Patient?marital=M") == ["a", "b"]
    fhir.delete("/SearchParameter/marital")
    assert "not a supported" in said(fhir, "/Patient?marital=M")


def test_a_page_of_what_it_meant_before_is_gone(fhir):
    put(fhir, MARITAL)
    for n in range(3):
        put(fhir, patient(f"p{n}", gender="male"))
    links = fhir.get("/Patient?marital=M&_count=1").json()["link"]
    [next_page] = [link["url"] for link in links if link["relation"] == "next"]
    assert found(fhir, next_page.removeprefix(fhir.base)) == ["p1"]
    put(fhir, {**MARITAL, "expression": "Patient.gender"})
    ready(fhir)
    assert fhir.get(next_page.removeprefix(fhir.base)).status_code in (400, 410)


def test_chains_lead_through_it_and_to_it(fhir):
    put(fhir, patient("a"))
    put(fhir, patient("b", "S"))
    for n, of in enumerate("ab"):
        put(fhir, {"resourceType": "Basic", "id": f"o{n}", "code": {"text": "x"},
                   "extension": [{"url": "http://e", "valueReference": {"reference": f"Patient/{of}"}}]})  # fmt: skip
    put(fhir, MARITAL)
    expression = "Basic.extension.where(url = 'http://e').value.ofType(Reference)"
    put(fhir, parameter("about", "reference", expression, "Basic", target=["Patient"]))
    ready(fhir)
    assert '"Basic:about"' in fhir.get("/metadata").text
    assert validate(fhir.get("/metadata").json()) == []
    assert validate(fhir.get("/Basic/varde-search-parameters").json()) == []
    assert found(fhir, "/Basic?about=Patient/a") == ["o0"]
    assert found(fhir, "/Basic?about.marital=S") == ["o1"]
    assert found(fhir, "/Patient?_has:Basic:about:_id=o1") == ["b"]
    included = fhir.get("/Basic?_id=o0&_include=Basic:about").json()["entry"]
    assert [e["resource"]["id"] for e in included] == ["o0", "a"]
    included = fhir.get("/Patient?_id=b&_revinclude=Basic:about").json()["entry"]
    assert [e["resource"]["id"] for e in included] == ["b", "o1"]
    assert found(fhir, "/Basic?_has:Basic:about:_id=o1") == []


def test_every_worker_knows_it_from_the_next_write_on(fhir, store_url, clock):
    store = open_store(store_url)
    other = type(fhir)(
        create_app(Settings(auth=False), store, clock, iter(f"o{n}" for n in range(100)).__next__), store
    )
    try:
        put(fhir, patient("a"))
        put(other, patient("b"))
        put(fhir, MARITAL)
        put(other, patient("c"))  # extracted before it knew
        assert "$reindex" in said(other, "/Patient?marital=M")
        ready(other)
        assert found(fhir, "/Patient?marital=M") == found(other, "/Patient?marital=M") == ["a", "b", "c"]
        fhir.delete("/SearchParameter/marital")
        assert "not a supported" in said(other, "/Patient?marital=M")
    finally:
        other.close()


def test_a_bundle_that_brings_it_along(fhir):
    resources = [MARITAL, patient("a")]
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in resources
    ]
    fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": entries})
    ready(fhir)
    assert found(fhir, "/Patient?marital=M") == ["a"]


VALUES = st.fixed_dictionaries(
    {"resourceType": st.just("Patient")},
    optional={
        "birthDate": st.sampled_from(["2020", "2020-01", "no date", 3]),
        "multipleBirthInteger": st.integers(0, 9),
        "maritalStatus": st.sampled_from([patient("a")["maritalStatus"], {}, "odd", {"text": "x"}]),
        "name": st.lists(st.fixed_dictionaries({"family": st.text(max_size=5)}), max_size=2),
        "link": st.just([{"other": {"reference": "http://varde.test/fhir/Patient/b"}}]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(VALUES)
def test_what_is_added_to_a_stored_resource_is_what_a_new_one_gets(resource):
    posted = [parameter("born", "date", "Patient.birthDate"), MARITAL,
              parameter("births", "number", "Patient.multipleBirth.ofType(integer)"),
              parameter("families", "string", "Patient.name.family"),
              parameter("linked", "reference", "Patient.link.other")]  # fmt: skip
    plans = tuple(compiled(entry_of(each, each["id"], 1))["Patient"] for each in posted)
    base = "http://varde.test/fhir"
    whole, alone = (
        extract("Patient", resource, base, plan_of_posted(plans)),
        extract("Patient", resource, base),
    )
    added = rows_of(plan_of_posted(plans), resource, base)
    for table in whole.rows.keys() | added.rows.keys() | alone.rows.keys():
        assert set(whole.rows.get(table, ())) == {*alone.rows.get(table, ()), *added.rows.get(table, ())}
    assert (whole.patient, whole.moment) == (alone.patient, alone.moment)
