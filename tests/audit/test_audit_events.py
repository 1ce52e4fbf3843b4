"""AuditEvents: of every entry, by the time that somebody looks; and made by nobody but the server."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from fhir_server.audit.event import Event, Item, Who
from fhir_server.audit.resource import KINDS, resources_of
from profiles.structure import validate

KARI = {"resourceType": "Patient", "id": "kari"}
WHO = Who("app", "Practitioner/1", "s", "practitioner", "", "t1", "TREAT", ("o1",), "192.0.2.1")


def reading(patient: str) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
    }


def found(answer: Any) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [entry["resource"] for entry in answer.json().get("entry", [])]


def subtypes(events: list[dict[str, Any]]) -> list[str]:
    return [event["subtype"][0]["code"] for event in events]


def test_a_search_sees_everything_that_was_answered_before(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    fhir.get("/Patient/kari")
    fhir.get("/Observation?patient=kari")
    events = found(fhir.get("/AuditEvent?patient=kari&_sort=_id"))
    assert subtypes(events) == ["update", "read", "search-type"]
    assert [event["action"] for event in events] == ["C", "R", "E"]
    again = found(fhir.get("/AuditEvent?_sort=_id"))
    assert subtypes(again) == ["update", "read", "search-type", "search-type"]  # the search before as well
    assert again[:3] == events  # the same, whenever they are read
    assert all(validate(event) == [] for event in again)


def test_read_history_and_the_search_of_all_types_see_it_too(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    (event,) = found(fhir.get("/AuditEvent?action=C"))
    assert fhir.get(f"/AuditEvent/{event['id']}").json() == event
    assert fhir.get(f"/AuditEvent/{event['id']}/_history/1").json() == event
    assert fhir.get("/AuditEvent/_history").json()["total"] == 4
    assert len(found(fhir.get("?_type=AuditEvent,Patient"))) == 1 + 5
    assert fhir.get("/_history?_count=1").json()["entry"][0]["resource"]["resourceType"] == "AuditEvent"
    revinclude = found(fhir.get("/Patient?_id=kari&_revinclude=AuditEvent:patient"))
    assert {"Patient", "AuditEvent"} == {resource["resourceType"] for resource in revinclude}
    assert len(found(fhir.get("/Patient?_has:AuditEvent:patient:action=C"))) == 1
    assert fhir.get("/AuditEvent?_summary=count").json()["total"] == 9


def test_whoever_reads_the_log_of_one_patient_learns_of_no_other(fhir: Any) -> None:
    for patient in ("kari", "ola"):
        fhir.put(f"/Patient/{patient}", {"resourceType": "Patient", "id": patient})
        fhir.post("/Observation", reading(patient))
    fhir.get("/Observation?patient=kari,ola")
    fhir.get("/Observation?code=29463-7")
    sent = [
        {"request": {"method": "PUT", "url": f"Patient/{p}"}, "resource": KARI | {"id": p}}
        for p in ("kari", "ola")
    ]
    fhir.post("", {"resourceType": "Bundle", "type": "transaction", "entry": sent})
    events = found(fhir.get("/AuditEvent?patient=kari"))
    assert len(events) == 5
    for event in events:
        assert "ola" not in str(event)
        queries = [base64.b64decode(entity["query"]) for entity in event["entity"] if "query" in entity]
        assert all(b"ola" not in query for query in queries)


def test_they_are_the_same_from_every_worker(store_url: str, fhir: Any) -> None:
    """A second server on the same store makes them of the same entries, once."""
    from fhir_server.app import create_app, open_store
    from fhir_server.settings import Settings

    fhir.put("/Patient/kari", KARI)
    other = open_store(store_url)
    app = create_app(Settings(auth=False, audit=True, keys="unused"), other)

    async def both() -> Any:
        import httpx

        await other.open()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://varde.test") as client:
            answer = await client.get("/fhir/AuditEvent?action=C")
        await other.close()
        return answer

    first = found(fhir.get("/AuditEvent?action=C"))
    assert found(fhir.run(both())) == first


WRITES = [
    ("POST", "/AuditEvent", {"resourceType": "AuditEvent"}),
    ("PUT", "/AuditEvent/x", {"resourceType": "AuditEvent", "id": "x"}),
    ("DELETE", "/AuditEvent/x", None),
    ("DELETE", "/AuditEvent?action=C", None),
]


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_nobody_writes_them_over_the_api(sqlite_fhir: Any, method: str, path: str, body: Any) -> None:
    if body:
        (made, *_) = resources_of(1, bytes(32), Event(0, "rest", "read", "R", 200, WHO))
        body = made | ({"id": "x"} if method == "PUT" else {})
    answer = sqlite_fhir.request(method, path, body)
    assert answer.status_code == 405
    assert "made by the server" in answer.json()["issue"][0]["diagnostics"]
    in_bundle = {"request": {"method": method, "url": path[1:]}} | ({"resource": body} if body else {})
    sent = {"resourceType": "Bundle", "type": "transaction", "entry": [in_bundle]}
    assert sqlite_fhir.post("", sent).status_code == 405


def test_the_capabilities_say_so(sqlite_fhir: Any) -> None:
    resources = sqlite_fhir.get("/metadata").json()["rest"][0]["resource"]
    (said,) = [each for each in resources if each["type"] == "AuditEvent"]
    codes = {each["code"] for each in said["interaction"]}
    assert codes == {"read", "vread", "history-instance", "history-type", "search-type"}
    assert not any(name.startswith("conditional") and name != "conditionalRead" for name in said)


EVENTS = [
    Event(1, "rest", "create", "C", 201, WHO, "r", "", (Item("C", "Observation", "o", 1, "kari"),)),
    Event(1, "rest", "search-type", "E", 200, WHO, "r", "Observation?code=x", (), ("kari", "ola"), 3),
    Event(1, "rest", "search-type", "E", 200, Who(), "r", "Observation?code=x"),
    Event(1, "rest", "read", "R", 404, Who(address="::1"), "r", "", (Item("R", "Observation", "o"),)),
    Event(1, "rest", "read", "R", 503, Who("backend", role="system"), "r", "", (Item("R", "Patient", "o"),)),
    Event(1, "rest", "unknown", "E", 401, Who(address="::1"), "r", more=70),
    Event(1, "rest", "everything", "E", 200, WHO, "r", "", (Item("R", "Patient", "kari"),), ("kari", "ola")),
    Event(1, "rest", "transaction", "E", 200, WHO, "r", "", (Item("U", "Patient", "kari", 2, "kari"),)),
    *(Event(1, kind, "login", "E", 200, WHO, "r", reason="because") for kind in KINDS),
]


@pytest.mark.parametrize("event", EVENTS, ids=range(len(EVENTS)))
def test_every_kind_of_entry_makes_valid_resources(event: Event) -> None:
    made = list(resources_of(7, bytes(32), event))
    assert made and len({resource["id"] for resource in made}) == len(made)
    for resource in made:
        assert validate(resource) == []
        assert sum(agent["requestor"] for agent in resource["agent"]) == 1
        assert resource["outcome"] == ("0" if event.status < 400 else "4" if event.status < 500 else "8")


def test_what_it_says_of_a_write() -> None:
    (made,) = resources_of(7, bytes(32), EVENTS[0])
    assert made["agent"][0]["who"] == {"reference": "Practitioner/1"}
    assert made["agent"][1]["who"]["identifier"]["value"] == "app"
    assert made["agent"][2]["who"] == {"reference": "Organization/o1"}
    assert made["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT"
    assert [entity["what"].get("reference") for entity in made["entity"][:2]] == [
        "Patient/kari",
        "Observation/o/_history/1",
    ]
    assert made["recorded"] == "1970-01-01T00:00:00.000Z"


def test_a_log_that_is_too_far_ahead_says_how_far(fhir: Any) -> None:
    from fhir_server.audit.made import Made
    from fhir_server.errors import FhirError

    for n in range(3):
        fhir.put(f"/Device/d{n}", {"resourceType": "Device", "id": f"d{n}"})
    with pytest.raises(FhirError, match="3 entries are left"):
        fhir.run(Made(fhir.store).catch_up(patience=-1))
    fhir.run(Made(fhir.store).catch_up())
    assert len(found(fhir.get("/AuditEvent"))) == 3


def test_entries_that_share_a_record_are_made_a_few_at_a_time(fhir: Any) -> None:
    """So that no other write waits for long."""
    from fhir_server.audit import chain
    from fhir_server.audit.event import pack

    shared = [pack(Event(n, "rest", "read", "R", 404, WHO, f"r{n}")) for n in range(120)]
    fhir.run(fhir.store.transact(lambda tx: chain.append(tx, shared)))
    fhir.run(fhir.store.transact(lambda tx: chain.append(tx, shared[:1])))
    fhir.get("/Patient/kari")
    assert fhir.get("/AuditEvent?_summary=count").json()["total"] == 122
    found = found_all(fhir, "/AuditEvent?_count=50&_sort=date")
    assert len({each["id"] for each in found}) == len(found) >= 122


def found_all(fhir: Any, path: str) -> list[dict[str, Any]]:
    resources = []
    while path:
        answer = fhir.get(path)
        resources += found(answer)
        path = next((link["url"] for link in answer.json()["link"] if link["relation"] == "next"), "")
    return resources
