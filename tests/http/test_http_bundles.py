"""batch and transaction, https://hl7.org/fhir/R4/http.html#transaction"""

from __future__ import annotations

import pytest

SYSTEM = "http://example.org/mrn"


def bundle(kind, *entries):
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def entry(method, url, resource=None, full_url=None, **request):
    made = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url:
        made["fullUrl"] = full_url
    return made


def patient(**more):
    return {"resourceType": "Patient", **more}


def known_as(value, **more):
    return patient(identifier=[{"system": SYSTEM, "value": value}], **more)


def reading(subject, **more):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": subject},
        **more,
    }


def statuses(answer):
    assert answer.status_code == 200, answer.text
    return [entry["response"]["status"].split(" ")[0] for entry in answer.json().get("entry", [])]


def count(fhir, search):
    return fhir.get(f"/{search}{'&' if '?' in search else '?'}_summary=count").json()["total"]


URN = "urn:uuid:61ebe359-bfdc-4613-8bf2-c5e300945f0a"
URN2 = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"


# transaction


def test_a_transaction_carries_out_every_interaction(fhir):
    fhir.put("/Patient/old", patient(id="old"))
    fhir.put("/Patient/gone", patient(id="gone"))
    answer = fhir.post(
        "/",
        bundle(
            "transaction",
            entry("GET", "Patient/old"),
            entry("PUT", "Patient/old", patient(id="old", active=True)),
            entry("PUT", "Patient/new", patient(id="new")),
            entry("POST", "Patient", patient()),
            entry("DELETE", "Patient/gone"),
            entry("GET", "Patient?_summary=count"),
        ),
    )
    assert statuses(answer) == ["200", "200", "201", "201", "204", "200"]
    assert answer.json()["type"] == "transaction-response"
    entries = answer.json()["entry"]
    assert entries[0]["resource"]["active"] is True  # reads come after the writes
    assert entries[1]["response"]["etag"] == 'W/"2"'
    assert entries[2]["response"]["location"] == "Patient/new/_history/1"
    assert entries[3]["response"]["lastModified"].startswith("2026-11-21T")
    assert entries[5]["resource"]["total"] == 3
    assert "resource" not in entries[1]
    assert fhir.get(entries[3]["response"]["location"].join(["/", ""])).status_code == 200


def test_urn_uuid_references_are_rewritten_wherever_they_are(fhir):
    observation = reading(
        URN,
        performer=[{"reference": URN, "display": URN}],
        note=[{"text": URN, "authorReference": {"reference": URN}}],
        extension=[
            {"url": "http://example.org/a", "valueUri": URN},
            {"url": "http://example.org/b", "valueString": URN},
            {"url": "http://example.org/c", "valueReference": {"reference": URN}},
        ],
        identifier=[{"system": "urn:ietf:rfc:3986", "value": URN}],
        contained=[{"resourceType": "Specimen", "id": "s", "subject": {"reference": URN}}],
        specimen={"reference": "#s"},
        text={
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}">{URN}</a></div>',
        },
        component=[{"code": {"text": "x"}, "_valueString": {"extension": [{"url": "http://e.org/d", "valueUuid": URN}]}}],
    )  # fmt: skip
    # The reading comes first: the order in the Bundle does not matter.
    answer = fhir.post(
        "/",
        bundle(
            "transaction", entry("POST", "Observation", observation), entry("POST", "Patient", patient(), URN)
        ),
    )
    places = [e["response"]["location"].rpartition("/_history")[0] for e in answer.json()["entry"]]
    stored, target = fhir.get(f"/{places[0]}").json(), places[1]
    assert stored["subject"]["reference"] == target
    assert stored["performer"] == [{"reference": target, "display": URN}]
    assert stored["note"] == [{"text": URN, "authorReference": {"reference": target}}]
    assert [list(e.values())[1] for e in stored["extension"]] == [target, URN, {"reference": target}]
    assert stored["identifier"][0]["value"] == URN
    assert stored["contained"][0]["subject"]["reference"] == target
    assert stored["text"]["div"].endswith(f'<a href="{target}">{URN}</a></div>')
    assert stored["component"][0]["_valueString"]["extension"][0]["valueUuid"] == target
    assert fhir.get(f"/Observation?subject={target}").json()["total"] == 1


def test_references_by_other_full_urls_are_rewritten(fhir):
    answer = fhir.post(
        "/",
        bundle(
            "transaction",
            entry("POST", "Patient", patient(), "http://example.org/fhir/Patient/7"),
            entry("POST", "Observation", reading("http://example.org/fhir/Patient/7")),
            entry("POST", "Observation", reading("Patient/7"), "http://example.org/fhir/Observation/1"),
            entry("POST", "Observation", reading("Patient/7")),
        ),
    )
    first, *others = (e["response"]["location"].split("/_history")[0] for e in answer.json()["entry"])
    assert [fhir.get(f"/{o}").json()["subject"]["reference"] for o in others] == [first, first, "Patient/7"]


def test_entries_may_refer_to_each_other_in_a_circle(fhir):
    answer = fhir.post(
        "/",
        bundle(
            "transaction",
            entry("POST", "Patient", patient(link=[{"other": {"reference": URN2}, "type": "seealso"}]), URN),
            entry("POST", "Patient", patient(link=[{"other": {"reference": URN}, "type": "seealso"}]), URN2),
        ),
    )
    first, second = (e["response"]["location"].split("/_history")[0] for e in answer.json()["entry"])
    assert fhir.get(f"/{first}").json()["link"][0]["other"]["reference"] == second
    assert fhir.get(f"/{second}").json()["link"][0]["other"]["reference"] == first


def test_references_to_a_conditional_create_lead_to_what_there_was(fhir):
    there = fhir.post("/Patient", known_as("a")).json()["id"]
    answer = fhir.post(
        "/",
        bundle(
            "transaction",
            entry("POST", "Patient", known_as("a"), URN, ifNoneExist=f"identifier={SYSTEM}|a"),
            entry("POST", "Patient", known_as("b"), URN2, ifNoneExist=f"identifier={SYSTEM}|b"),
            entry("POST", "Observation", reading(URN)),
            entry("POST", "Observation", reading(URN2)),
        ),
    )
    assert statuses(answer) == ["200", "201", "201", "201"]
    new = answer.json()["entry"][1]["response"]["location"].split("/")[1]
    assert count(fhir, f"Observation?subject=Patient/{there}") == 1
    assert count(fhir, f"Observation?subject=Patient/{new}") == 1


def test_the_same_conditional_create_twice_in_a_transaction_creates_once(fhir):
    one = entry("POST", "Patient", known_as("a"), URN, ifNoneExist=f"identifier={SYSTEM}|a")
    two = entry("POST", "Patient", known_as("a"), URN2, ifNoneExist=f"identifier={SYSTEM}|a")
    answer = fhir.post("/", bundle("transaction", one, two, entry("POST", "Observation", reading(URN2))))
    assert statuses(answer) == ["201", "200", "201"]
    assert count(fhir, "Patient") == 1
    made = answer.json()["entry"][0]["response"]["location"].split("/_history")[0]
    assert count(fhir, f"Observation?subject={made}") == 1


def test_conditional_references_are_resolved(fhir):
    there = fhir.post("/Patient", known_as("a")).json()["id"]
    answer = fhir.post(
        "/",
        bundle(
            "transaction",
            entry("POST", "Observation", reading(f"Patient?identifier={SYSTEM}|a")),
            entry("POST", "Observation", reading(f"Patient?identifier={SYSTEM}|b")),
            entry("POST", "Patient", known_as("b")),
        ),
    )
    assert statuses(answer) == ["201"] * 3
    made = answer.json()["entry"][2]["response"]["location"].split("/")[1]
    for index, id_ in ((0, there), (1, made)):
        path = answer.json()["entry"][index]["response"]["location"].split("/_history")[0]
        assert fhir.get(f"/{path}").json()["subject"]["reference"] == f"Patient/{id_}"


@pytest.mark.parametrize("known", [0, 2])
def test_a_conditional_reference_to_none_or_several_refuses_the_transaction(fhir, known):
    for _ in range(known):
        fhir.post("/Patient", known_as("a"))
    answer = fhir.post(
        "/",
        bundle(
            "transaction",
            entry("POST", "Patient", patient(active=True)),
            entry("POST", "Observation", reading(f"Patient?identifier={SYSTEM}|a")),
        ),
    )
    assert answer.status_code == 412
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1]"]
    assert count(fhir, "Patient") == known


def test_a_urn_that_no_entry_has_refuses_the_transaction(fhir):
    answer = fhir.post("/", bundle("transaction", entry("POST", "Observation", reading(URN))))
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0]"]


def test_a_full_url_twice_refuses_the_transaction(fhir):
    one = entry("POST", "Patient", patient(), URN)
    answer = fhir.post("/", bundle("transaction", one, one))
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[0].fullUrl"]


@pytest.mark.parametrize("reference", ["Nothing?a=b", "Patient?nonsense=1", "Patient?identifier="])
def test_a_conditional_reference_that_is_no_search_refuses_the_transaction(fhir, reference):
    answer = fhir.post("/", bundle("transaction", entry("POST", "Observation", reading(reference))))
    assert answer.status_code in (400, 404, 422)
    assert answer.json()["issue"][0]["expression"][0].startswith("Bundle.entry[0]")


def test_conditions_of_a_transaction(fhir):
    fhir.put("/Patient/p", known_as("a", id="p"))
    good = bundle(
        "transaction",
        entry("PUT", "Patient/p", known_as("a", id="p"), ifMatch='W/"1"'),
        entry("PUT", "Patient/q", patient(id="q"), ifNoneMatch="*"),
    )
    assert statuses(fhir.post("/", good)) == ["200", "201"]
    refused = fhir.post("/", good)
    assert refused.status_code == 412
    assert refused.json()["issue"][0]["expression"] == ["Bundle.entry[0]"]
    conditional = bundle(
        "transaction",
        entry("PUT", f"Patient?identifier={SYSTEM}|a", known_as("a", active=True)),
        entry("DELETE", f"Patient?identifier={SYSTEM}|nobody"),
    )
    assert statuses(fhir.post("/", conditional)) == ["200", "204"]
    assert fhir.get("/Patient/p").headers["etag"] == 'W/"3"'


@pytest.mark.parametrize(
    "bad, status",
    [
        (entry("POST", "Patient", {"resourceType": "Patient", "nonsense": 1}), 422),
        (entry("POST", "Patient", {"resourceType": "Observation"}), 400),
        (entry("POST", "Patient", {}), 400),
        (entry("POST", "Patient"), 400),
        (entry("PUT", "Patient/x", patient(id="y")), 400),
        (entry("PUT", "Patient/x", patient()), 400),
        (entry("PUT", "Patient/x", patient(id="x"), ifMatch='W/"1"'), 412),
        (entry("PUT", "Patient/x", patient(id="x"), ifMatch="nonsense"), 400),
        (entry("POST", "Patient", patient(), ifNoneExist="nonsense=1"), 400),
        (entry("POST", "Nothing", patient()), 404),
        (entry("DELETE", "Patient"), 400),
        (entry("GET", "Patient/nobody"), 404),
        (entry("HEAD", "Patient/nobody"), 404),
        (entry("GET", "Patient/nobody/_history"), 404),
        (entry("GET", "Patient/nobody/_history/1"), 404),
        (entry("GET", "Patient/good/_history/2"), 404),
        (entry("GET", "Patient/good/_history/x"), 404),
        (entry("GET", "Patient/good", ifNoneMatch='W/"'), 400),
        (entry("GET", "Patient?birthdate=nonsense"), 400),
        (entry("PATCH", "Patient/x"), 400),
        (entry("POST", "Patient/_search"), 405),
        (entry("POST", "/", bundle("batch")), 405),
        (entry("BREW", "Patient"), 422),
        ({"resource": patient()}, 400),
        ({"request": {"method": "POST"}, "resource": patient()}, 422),
        ({"request": {"method": "POST", "url": 5}, "resource": patient()}, 422),
        ({"request": "POST", "resource": patient()}, 422),
        ("nonsense", 422),
        (None, 422),
        ({}, 400),
        (entry("POST", "Patient", patient(), full_url=7), 422),
    ],
)  # fmt: skip
def test_one_bad_entry_refuses_the_whole_transaction_and_is_named(fhir, bad, status):
    answer = fhir.post("/", bundle("transaction", entry("PUT", "Patient/good", patient(id="good")), bad))
    assert answer.status_code == status, answer.text
    assert answer.json()["issue"][0]["expression"][0].startswith("Bundle.entry[1]")
    assert fhir.get("/Patient/good").status_code == 404


def test_every_bad_entry_of_a_transaction_is_told(fhir):
    bad = {"resourceType": "Patient", "nonsense": 1, "gender": "no"}
    answer = fhir.post(
        "/", bundle("transaction", *[entry("POST", "Patient", bad), entry("POST", "Patient", patient())] * 2)
    )
    assert answer.status_code == 422
    assert {issue["expression"][0] for issue in answer.json()["issue"]} == {
        f"Bundle.entry[{index}].resource.{name}" for index in (0, 2) for name in ("nonsense", "gender")
    }


@pytest.mark.parametrize(
    "first, second",
    [
        (entry("PUT", "Patient/p", patient(id="p")), entry("PUT", "Patient/p", patient(id="p"))),
        (entry("PUT", "Patient/p", patient(id="p")), entry("DELETE", "Patient/p")),
        (
            entry("PUT", "Patient/p", patient(id="p")),
            entry("PUT", f"Patient?identifier={SYSTEM}|a", known_as("a")),
        ),
    ],
)
def test_two_entries_for_one_resource_are_refused(fhir, first, second):
    fhir.put("/Patient/p", known_as("a", id="p"))
    answer = fhir.post("/", bundle("transaction", first, second))
    assert answer.status_code == 400
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1]"]
    assert fhir.get("/Patient/p").headers["etag"] == 'W/"1"'


def test_concurrent_transactions_with_the_same_conditional_create_create_once(fhir):
    request = bundle(
        "transaction",
        entry("POST", "Patient", known_as("a"), URN, ifNoneExist=f"identifier={SYSTEM}|a"),
        entry("POST", "Observation", reading(URN)),
    )
    answers = fhir.together(*[("POST", "/", request)] * 8)
    assert sorted(statuses(answer)[0] for answer in answers) == ["200"] * 7 + ["201"]
    found = fhir.get("/Patient").json()
    assert found["total"] == 1
    assert count(fhir, f"Observation?subject=Patient/{found['entry'][0]['resource']['id']}") == 8


def test_transaction_answers_with_resources_if_preferred(fhir):
    request = bundle("transaction", entry("POST", "Patient", patient()))
    shown = fhir.post("/", request, prefer="return=representation").json()["entry"][0]
    assert shown["resource"]["meta"]["versionId"] == "1"
    assert shown["fullUrl"] == f"{fhir.base}/Patient/{shown['resource']['id']}"
    assert (
        "outcome" in fhir.post("/", request, prefer="return=OperationOutcome").json()["entry"][0]["response"]
    )


def test_an_empty_transaction_is_answered(fhir):
    assert fhir.post("/", {"resourceType": "Bundle", "type": "transaction"}).json() == {
        "resourceType": "Bundle",
        "type": "transaction-response",
    }


def test_a_large_transaction(fhir):
    patients = [entry("POST", "Patient", patient(), f"urn:uuid:0-0-0-0-{n}") for n in range(100)]
    readings = [entry("POST", "Observation", reading(f"urn:uuid:0-0-0-0-{n % 100}")) for n in range(900)]
    answer = fhir.post("/", bundle("transaction", *readings, *patients))
    assert statuses(answer) == ["201"] * 1000
    last = answer.json()["entry"][-1]["response"]["location"].split("/_history")[0]
    assert count(fhir, f"Observation?subject={last}") == 9


# batch


def test_a_batch_answers_each_entry_by_itself_and_in_order(fhir):
    fhir.put("/Patient/p", patient(id="p"))
    answer = fhir.post(
        "/",
        bundle(
            "batch",
            entry("GET", "Patient/p"),
            entry("POST", "Patient", {"resourceType": "Patient", "nonsense": 1}),
            entry("PUT", "Patient/p", patient(id="p", active=True)),
            entry("DELETE", "Patient/nobody"),
            entry("GET", "Patient/nobody"),
            "nonsense",
            entry("GET", "Nothing/1"),
            entry("GET", "Patient/p/_history"),
            entry("GET", "metadata"),
            entry("POST", "Patient", patient(), ifNoneExist="nonsense=1"),
            entry("POST", "Patient", patient()),
            entry("GET", "Patient/p", ifNoneMatch='W/"2"'),
            entry("HEAD", "Patient/p"),
        ),
    )
    assert statuses(answer) == [
        "200", "422", "200", "204", "404", "422", "404", "200", "200", "400", "201", "304", "200",
    ]  # fmt: skip
    entries = answer.json()["entry"]
    assert answer.json()["type"] == "batch-response"
    assert entries[0]["resource"]["active"] is True
    assert entries[0]["fullUrl"] == f"{fhir.base}/Patient/p"
    outcome = entries[1]["response"]["outcome"]
    assert outcome["issue"][0]["expression"] == ["Bundle.entry[1].resource.nonsense"]
    assert entries[7]["resource"]["type"] == "history"
    assert entries[10]["response"]["location"].startswith("Patient/")
    assert "resource" not in entries[12]


def test_entries_of_a_batch_cannot_refer_to_each_other(fhir):
    answer = fhir.post(
        "/",
        bundle("batch", entry("POST", "Patient", patient(), URN), entry("POST", "Observation", reading(URN))),
    )
    assert statuses(answer) == ["201", "400"]


def test_a_large_batch(fhir):
    entries = [entry("POST", "Patient", patient() if n % 10 else {}) for n in range(500)]
    found = statuses(fhir.post("/", bundle("batch", *entries)))
    assert (found.count("201"), found.count("400"), found[10], found[11]) == (450, 50, "400", "201")
    assert count(fhir, "Patient") == 450


def test_entries_may_name_the_base(fhir):
    fhir.put("/Patient/p", patient(id="p"))
    answer = fhir.post(
        "/", bundle("batch", entry("GET", f"{fhir.base}/Patient/p"), entry("GET", "/Patient/p"))
    )
    assert statuses(answer) == ["200", "200"]


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle"},
        {"resourceType": "Bundle", "type": 5},
        {"resourceType": "Bundle", "type": "batch", "entry": {}},
        {"resourceType": "Bundle", "type": "batch", "entry": "x"},
        {},
    ],
)
def test_the_base_takes_batches_and_transactions_only(fhir, body):
    assert fhir.post("/", body).status_code == 400


def test_a_bundle_can_be_stored_as_what_it_is(fhir):
    made = fhir.post(
        "/Bundle", {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": patient()}]}
    )
    assert made.status_code == 201
    assert count(fhir, "Patient") == 0


def test_a_urn_uuid_in_capitals_means_the_same(fhir):
    upper = "urn:uuid:" + URN[9:].upper()
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "subject": {"reference": URN},
        "content": [{"attachment": {"url": "URN:UUID:" + URN[9:].upper()}}],
    }
    sent = bundle(
        "transaction",
        entry("POST", "Patient", patient(), upper),
        entry("POST", "DocumentReference", document),
    )
    answer = fhir.post("/", sent, prefer="return=representation").json()
    made = answer["entry"][0]["resource"]["id"]
    stored = answer["entry"][1]["resource"]
    assert stored["subject"]["reference"] == f"Patient/{made}"
    assert stored["content"][0]["attachment"]["url"] == f"Patient/{made}"
    twice = bundle(
        "transaction", entry("POST", "Patient", patient(), upper), entry("POST", "Patient", patient(), URN)
    )
    assert fhir.post("/", twice).status_code == 400


@pytest.mark.parametrize("kind", ["batch", "transaction"])
def test_a_conditional_read_in_a_bundle(fhir, kind):
    made = fhir.put("/Patient/p", patient(id="p")).json()["meta"]["lastUpdated"]
    sent = bundle(
        kind,
        entry("GET", "Patient/p", ifModifiedSince=made),
        entry("GET", "Patient/p", ifModifiedSince="2020-01-01T00:00:00Z"),
        entry("GET", "Patient/p", ifNoneMatch='W/"1"'),
    )
    assert statuses(fhir.post("/", sent)) == ["304", "200", "304"]


def test_a_uuid_is_replaced_wherever_it_is_a_link(fhir):
    text = f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{URN}">{URN}</a></div>'
    questionnaire = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "text": {"status": "generated", "div": text},
        "questionnaire": URN,
        "extension": [
            {"url": "http://example.org/x", "valueUri": URN},
            {"url": "http://example.org/y", "valueString": URN},
        ],
        "basedOn": [{"reference": "#b"}],
        "identifier": {"system": "urn:ietf:rfc:3986", "value": URN},
        "contained": [
            {"resourceType": "Basic", "id": "b", "code": {"text": "x"}, "subject": {"reference": URN}}
        ],
    }
    form = {"resourceType": "Questionnaire", "status": "active"}
    sent = bundle(
        "transaction",
        entry("POST", "Questionnaire", form, URN),
        entry("POST", "QuestionnaireResponse", questionnaire),
    )
    answer = fhir.post("/", sent, prefer="return=representation").json()
    link = f"Questionnaire/{answer['entry'][0]['resource']['id']}"
    stored = answer["entry"][1]["resource"]
    assert stored["questionnaire"] == link
    assert stored["extension"][0]["valueUri"] == link
    assert stored["extension"][1]["valueString"] == URN
    assert stored["identifier"]["value"] == URN
    assert stored["contained"][0]["subject"]["reference"] == link
    assert stored["text"]["div"] == text.replace(f'"{URN}"', f'"{link}"')


def many(*entries, number=60):
    """A transaction that is large enough for its criteria to be looked up ahead."""
    filling = [entry("POST", "Basic", {"resourceType": "Basic", "code": {"text": "x"}})] * number
    return bundle("transaction", *entries, *filling)


def test_a_large_transaction_resolves_its_conditions_and_links(fhir):
    fhir.put("/Patient/known", known_as("known", id="known"))
    practitioner = {"resourceType": "Practitioner", "identifier": [{"value": "d1"}]}
    sent = many(
        entry("POST", "Patient", known_as("known"), URN, ifNoneExist=f"identifier={SYSTEM}|known"),
        entry("POST", "Practitioner", practitioner, ifNoneExist="identifier=d1"),
        entry(
            "POST",
            "Observation",
            {**reading(URN), "performer": [{"reference": "Practitioner?identifier=d1"}]},
        ),
        entry("POST", "Observation", reading(f"Patient?identifier={SYSTEM}|known")),
        entry(
            "PUT",
            f"Patient?identifier={SYSTEM}|new",
            known_as("new"),
            "urn:uuid:6b4f0f6c-59d4-4a53-8f4a-0000000000ff",
        ),
        entry("POST", "Observation", reading("urn:uuid:6b4f0f6c-59d4-4a53-8f4a-0000000000ff")),
    )
    for known_before in (False, True):
        answer = fhir.post("/", sent, prefer="return=representation")
        assert answer.status_code == 200, answer.text
        entries = answer.json()["entry"]
        doctor, first, second, new, third = (each["resource"] for each in entries[1:6])
        assert first["subject"]["reference"] == second["subject"]["reference"] == "Patient/known"
        assert first["performer"][0]["reference"] == f"Practitioner/{doctor['id']}"
        assert third["subject"]["reference"] == f"Patient/{new['id']}"
        assert entries[1]["response"]["status"][:3] == ("200" if known_before else "201")
        found = fhir.get(f"/Observation?subject=Patient/{new['id']}").json()
        assert third["id"] in [each["resource"]["id"] for each in found["entry"]]


def test_what_was_looked_up_ahead_is_held_to_what_is_there_then(fhir, monkeypatch):
    from fhir_server import write

    looked = write.look_ahead

    async def look_and_lose(service, changes):
        found = await looked(service, changes)
        return dict.fromkeys(found)

    monkeypatch.setattr(write, "look_ahead", look_and_lose)
    fhir.put("/Patient/known", known_as("known", id="known"))
    sent = many(
        entry("POST", "Patient", known_as("known"), URN, ifNoneExist=f"identifier={SYSTEM}|known"),
        entry("POST", "Observation", reading(URN)),
        entry("POST", "Observation", reading(f"Patient?identifier={SYSTEM}|known")),
    )
    entries = fhir.post("/", sent, prefer="return=representation").json()["entry"]
    assert [each["resource"]["subject"]["reference"] for each in entries[1:3]] == ["Patient/known"] * 2
    assert fhir.get("/Observation?subject=Patient/known").json()["total"] == 2
    nobody = many(entry("POST", "Observation", reading(f"Patient?identifier={SYSTEM}|nobody")))
    assert fhir.post("/", nobody).status_code == 412
