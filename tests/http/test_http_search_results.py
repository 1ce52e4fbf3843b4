"""What a search returns, and where it can be made: https://hl7.org/fhir/R4/search.html#return"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from fhir_server.search import includes


def reading(n, patient="p1", **more):
    return {
        "resourceType": "Observation",
        "id": f"o{n}",
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7" if n % 2 else "8310-5"}]},
        "subject": {"reference": f"Patient/{patient}"},
        **more,
    }


RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Organization", "id": "a", "name": "A", "partOf": {"reference": "Organization/b"}},
    {"resourceType": "Organization", "id": "b", "name": "B", "partOf": {"reference": "Organization/c"}},
    {"resourceType": "Organization", "id": "c", "name": "C", "partOf": {"reference": "Organization/a"}},
    {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Doc"}]},
    {"resourceType": "Patient", "id": "p1", "birthDate": "1950-02-03", "name": [{"family": "Berg"}],
     "managingOrganization": {"reference": "Organization/a"}, "generalPractitioner": [{"reference": "Practitioner/d"}]},
    {"resourceType": "Patient", "id": "p2", "birthDate": "1940-02-03", "name": [{"family": "Aas"}]},
    {"resourceType": "Patient", "id": "p3", "name": [{"family": "Dal"}]},
    {"resourceType": "Patient", "id": "p4", "birthDate": "1960-02-03"},
    *(reading(n, "p1" if n < 4 else "p2", effectiveDateTime=f"2026-01-0{n + 1}") for n in range(6)),
    reading(6, "p3"),
    reading(7, "p4", performer=[{"reference": "Patient/p1"}], hasMember=[{"reference": "Observation/o6"}]),
    {"resourceType": "Encounter", "id": "e1", "status": "finished", "class": {"code": "HH"},
     "subject": {"reference": "Patient/p1"}},
    {"resourceType": "Condition", "id": "c1", "subject": {"reference": "Patient/p1"},
     "encounter": {"reference": "Encounter/e1"}, "code": {"text": "x"}},
    {"resourceType": "Provenance", "id": "v1", "target": [{"reference": "Condition/c1"}], "recorded": "2026-01-01T00:00:00Z",
     "agent": [{"who": {"reference": "Practitioner/d"}}]},
]  # fmt: skip


@pytest.fixture
def filled(fhir):
    for each in RESOURCES:
        answer = fhir.put(f"/{each['resourceType']}/{each['id']}", each)
        assert answer.status_code == 201, answer.text
    return fhir


def search(fhir, query, **headers):
    answer = fhir.get(query, **{"prefer": "handling=strict", **headers})
    assert answer.status_code == 200, (query, answer.text)
    return answer.json()


def links(bundle):
    return {link["relation"]: link["url"] for link in bundle["link"]}


def found(bundle, mode="match"):
    entries = bundle.get("entry", ())
    return [
        f"{e['resource']['resourceType']}/{e['resource']['id']}"
        for e in entries
        if e["search"]["mode"] == mode
    ]


def observations(*numbers):
    return [f"Observation/o{n}" for n in numbers]


# Pages


def test_there_is_a_way_forth_and_back_in_one_snapshot(filled):
    pages, bundle = [], search(filled, "/Observation?_count=3&_sort=-date")
    while True:
        pages.append(bundle)
        filled.put(
            f"/Observation/new{len(pages)}",
            {**reading(9, effectiveDateTime="2026-02-01"), "id": f"new{len(pages)}"},
        )
        if "next" not in links(bundle):
            break
        bundle = filled.get(links(bundle)["next"]).json()
    assert [found(page) for page in pages] == [
        observations(5, 4, 3),
        observations(2, 1, 0),
        observations(7, 6),
    ]
    assert [set(links(page)) for page in pages] == [
        {"self", "next"},
        {"self", "first", "previous", "next"},
        {"self", "first", "previous"},
    ]
    assert all(page["total"] == 8 for page in pages)
    for page, before in zip(pages[1:], pages, strict=False):
        again = filled.get(links(page)["previous"]).json()
        assert (found(again), again["total"]) == (found(before), 8)
    assert found(filled.get(links(pages[2])["first"]).json()) == found(pages[0])
    assert all(link.startswith(f"{filled.base}/Observation?") for link in links(pages[1]).values())


def test_the_links_of_a_search_in_a_form_do_not_show_it(filled):
    form = {"content_type": "application/x-www-form-urlencoded"}
    bundle = filled.post("/Observation/_search?_count=2", b"subject=Patient/p1&_sort=-date", **form).json()
    assert found(bundle) == observations(3, 2)
    assert "subject=Patient/p1" in links(bundle)["self"], "what was applied is said"
    following = links(bundle)["next"]
    assert "Patient" not in following and "subject" not in following and "_sort" not in following
    after = filled.get(following).json()
    assert found(after) == observations(1, 0)
    assert found(filled.get(links(after)["previous"]).json()) == observations(3, 2)
    assert filled.get(following[:-20] + "A" * 20).status_code in (400, 410)
    name = following.partition("_search=")[0]
    assert filled.get(f"{name}_search={'A' * 40}&_cursor=x").status_code in (400, 410)


def test_a_link_to_a_page_ends_after_a_day(filled, clock):
    following = links(search(filled, "/Observation?_count=3"))["next"]
    assert filled.get(following).status_code == 200
    clock.now += timedelta(days=1, minutes=1)
    answer = filled.get(following)
    assert (answer.status_code, answer.json()["issue"][0]["code"]) == (410, "expired")


def test_counts(filled):
    assert search(filled, "/Observation?_count=0") == search(
        filled, "/Observation?_count=0&_total=accurate"
    ) | {"link": [{"relation": "self", "url": f"{filled.base}/Observation?_count=0"}]}
    assert len(found(search(filled, "/Observation?_count=99999999999999999999"))) == 8
    for bad in ("-1", "a", "1.5", ""):
        answer = filled.get(f"/Observation?_count={bad}", prefer="handling=strict")
        assert answer.status_code == 400, bad
    assert "total" not in search(filled, "/Observation?_count=2&_total=none")
    assert search(filled, "/Observation?_count=2&_total=estimate")["total"] == 8


# Order


@pytest.mark.parametrize(
    ("sort", "expected"),
    [
        ("birthdate", ["p2", "p1", "p4", "p3"]),
        ("-birthdate", ["p4", "p1", "p2", "p3"]),
        ("family", ["p2", "p1", "p3", "p4"]),
        ("-family", ["p3", "p1", "p2", "p4"]),
        ("organization,-birthdate", ["p1", "p4", "p2", "p3"]),
        ("-_id", ["p4", "p3", "p2", "p1"]),
        ("_lastUpdated", ["p1", "p2", "p3", "p4"]),
    ],
)
def test_what_has_no_value_comes_last_whichever_way(filled, sort, expected):
    bundle, ids = search(filled, f"/Patient?_sort={sort}&_count=1"), []
    while True:
        ids += [entry["resource"]["id"] for entry in bundle["entry"]]
        if "next" not in links(bundle):
            break
        bundle = filled.get(links(bundle)["next"]).json()
    assert ids == expected


# Includes


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("Patient?_id=p1&_include=Patient:organization", {"Organization/a"}),
        ("Patient?_id=p1&_include=Patient:*", {"Organization/a", "Practitioner/d"}),
        ("Patient?_id=p1&_include=*", {"Organization/a", "Practitioner/d"}),
        ("Patient?_id=p1&_include=Patient:general-practitioner:Practitioner", {"Practitioner/d"}),
        ("Patient?_id=p1&_include=Patient:general-practitioner:Organization", set()),
        (
            "Patient?_id=p1&_include=Patient:organization&_include:iterate=Organization:partof",
            {"Organization/a", "Organization/b", "Organization/c"},
        ),
        ("Organization?_id=a&_include:iterate=Organization:partof", {"Organization/b", "Organization/c"}),
        ("Organization?_id=a&_include=Organization:partof", {"Organization/b"}),
        ("Patient?_id=p1&_revinclude=Condition:patient", {"Condition/c1"}),
        ("Patient?_id=p1&_revinclude=Condition:patient&_revinclude:iterate=Provenance:target",
         {"Condition/c1", "Provenance/v1"}),
        ("Patient?_id=p1&_revinclude=Condition:*", {"Condition/c1"}),
        ("Patient?_id=p4&_revinclude=Observation:subject&_include:iterate=Observation:has-member&_include:iterate=Observation:performer",
         {"Observation/o7", "Observation/o6", "Patient/p1"}),
        ("Condition?_revinclude=Provenance:target:Patient", set()),
        ("Encounter?_id=e1&_revinclude=*", {"Condition/c1"}),
    ],
)  # fmt: skip
def test_includes(filled, query, expected):
    bundle = search(filled, f"/{query}")
    assert set(found(bundle, "include")) == expected
    assert len(found(bundle, "include")) == len(expected), "each once"
    assert bundle["total"] == 1


FORM = "http://example.org/Questionnaire/symptoms"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("QuestionnaireResponse?_id=old&_include=QuestionnaireResponse:questionnaire", {"Questionnaire/form-9"}),
        ("QuestionnaireResponse?_id=any&_include=QuestionnaireResponse:questionnaire", {"Questionnaire/form-10"}),
        ("QuestionnaireResponse?_id=other&_include=QuestionnaireResponse:questionnaire", set()),
        ("QuestionnaireResponse?_id=any&_include=*", {"Questionnaire/form-10"}),
        ("Questionnaire?_id=form-9&_revinclude=QuestionnaireResponse:questionnaire",
         {"QuestionnaireResponse/old", "QuestionnaireResponse/any"}),
        ("Questionnaire?_id=form-10&_revinclude=QuestionnaireResponse:questionnaire", {"QuestionnaireResponse/any"}),
    ],
)  # fmt: skip
def test_includes_by_canonical_url(fhir, query, expected):
    for version in ("9", "10"):
        form = {"resourceType": "Questionnaire", "id": f"form-{version}", "status": "active", "url": FORM}
        assert fhir.put(f"/Questionnaire/form-{version}", {**form, "version": version}).status_code == 201
    for id, canonical in {"old": f"{FORM}|9", "any": FORM, "other": f"{FORM}|8"}.items():
        answers = {"resourceType": "QuestionnaireResponse", "id": id, "status": "completed"}
        body = {**answers, "questionnaire": canonical}
        assert fhir.put(f"/QuestionnaireResponse/{id}", body).status_code == 201
    bundle = search(fhir, f"/{query}")
    assert set(found(bundle, "include")) == expected


def test_too_many_includes_are_cut_and_it_is_said(filled, monkeypatch):
    monkeypatch.setattr(includes, "MAX_INCLUDED", 2)
    bundle = search(filled, "/Patient?_id=p1&_revinclude=Observation:patient")
    assert len(found(bundle, "include")) == 2
    assert bundle["entry"][-1]["search"]["mode"] == "outcome"


def test_what_is_included_is_of_the_pages_snapshot(filled):
    bundle = search(
        filled, "/Observation?_count=1&_sort=-date&subject:Patient.family=aas&_include=Observation:subject"
    )
    filled.put("/Patient/p2", {"resourceType": "Patient", "id": "p2", "name": [{"family": "Married"}]})
    after = filled.get(links(bundle)["next"]).json()
    assert found(after) == observations(4)
    assert after["entry"][1]["resource"]["name"] == [{"family": "Aas"}]


# Several types


def test_a_search_too_long_for_a_link_has_one_page(filled):
    form = {"content_type": "application/x-www-form-urlencoded"}
    many = ",".join(hashlib.sha512(str(number).encode()).hexdigest() for number in range(450))
    body = f"subject=Patient/p1&_tag:not={many}".encode()
    assert filled.post("/Observation/_search?_count=1000", body, **form).json()["total"] == 4
    answer = filled.post("/Observation/_search?_count=2", body, **form)
    assert answer.status_code == 422
    assert answer.json()["issue"][0]["code"] == "too-costly"


def test_a_search_of_several_types_is_in_one_order(filled):
    bundle = search(filled, "/?_type=Patient,Organization&_sort=-_lastUpdated&_count=3")
    assert bundle["total"] == 7
    assert found(bundle) == ["Patient/p4", "Patient/p3", "Patient/p2"]
    bundle = filled.get(links(bundle)["next"]).json()
    assert found(bundle) == ["Patient/p1", "Organization/c", "Organization/b"]
    bundle = filled.get(links(bundle)["next"]).json()
    assert found(bundle) == ["Organization/a"]
    assert urlsplit(links(bundle)["self"]).path == urlsplit(filled.base).path


def test_a_search_of_all_types(filled):
    assert set(found(search(filled, "/?_id=a,p1,c1"))) == {"Organization/a", "Patient/p1", "Condition/c1"}
    form = {"content_type": "application/x-www-form-urlencoded"}
    answer = filled.post("/_search", b"_id=e1&_type=Encounter,Patient", **form)
    assert found(answer.json()) == ["Encounter/e1"]
    assert search(filled, "/?_summary=count&_type=Observation,Encounter")["total"] == 9
    for bad in ("name=x", "_type=Patient,Unknown", "_sort=birthdate"):
        assert filled.get(f"/?{bad}", prefer="handling=strict").status_code == 400, bad
    assert filled.get("/?name=x&_id=a").json()["entry"][-1]["search"]["mode"] == "outcome"


# Compartments


def test_compartments(filled):
    assert set(found(search(filled, "/Patient/p1/Observation"))) == {*observations(0, 1, 2, 3, 7)}
    assert found(search(filled, "/Patient/p1/Observation?code=29463-7&_sort=date&_count=1")) == observations(
        1
    )
    everything = set(found(search(filled, "/Patient/p1/*")))
    assert everything == {"Patient/p1", "Encounter/e1", "Condition/c1", *observations(0, 1, 2, 3, 7)}
    assert found(search(filled, "/Encounter/e1/Condition")) == ["Condition/c1"]
    assert found(search(filled, "/Practitioner/d/Patient")) == ["Patient/p1"]
    assert found(search(filled, "/Device/x/Observation")) == []
    assert found(search(filled, "/RelatedPerson/x/*?_type=Observation")) == []
    form = {"content_type": "application/x-www-form-urlencoded"}
    answer = filled.post("/Patient/p2/Observation/_search", b"_sort=-date&_count=1", **form).json()
    assert found(answer) == observations(5)
    assert found(filled.get(links(answer)["next"]).json()) == observations(4)
    assert filled.get("/Patient/p1/Organization").status_code == 404
    assert filled.get("/Organization/a/Patient").status_code == 404
    assert filled.get("/Patient/p1/Unknown").status_code == 404


def test_a_page_of_a_compartment_is_followed(filled):
    bundle, ids = search(filled, "/Patient/p1/*?_count=2&_sort=_lastUpdated"), []
    while True:
        ids += found(bundle)
        if "next" not in links(bundle):
            break
        bundle = filled.get(links(bundle)["next"]).json()
    assert ids == ["Patient/p1", *observations(0, 1, 2, 3, 7), "Encounter/e1", "Condition/c1"]


def test_searches_in_a_bundle(filled):
    entries = [
        {"request": {"method": "GET", "url": url}}
        for url in ("Patient/p1/Condition", "?_id=e1&_type=Encounter")
    ]
    answer = filled.post("", {"resourceType": "Bundle", "type": "batch", "entry": entries}).json()
    assert [found(entry["resource"]) for entry in answer["entry"]] == [["Condition/c1"], ["Encounter/e1"]]


def test_explanations_are_for_administrators(filled):
    assert filled.get("/Observation?_explain=true", prefer="handling=strict").status_code == 400
    assert "_explain" not in links(filled.get("/Observation?_explain=true").json())["self"]
