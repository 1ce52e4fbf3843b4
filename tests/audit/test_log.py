"""An entry for every access: in the transaction of a write, before the answer to a read."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fhir_server.audit.event import Event, Item

KARI = {"resourceType": "Patient", "id": "kari", "name": [{"family": "Nordmann"}]}
OLA = {"resourceType": "Patient", "id": "ola"}


def reading(patient: str = "kari", value: float = 70) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "subject": {"reference": f"Patient/{patient}"},
        "code": {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]},
        "effectiveDateTime": "2026-11-21T08:00:00Z",
        "valueQuantity": {"value": value, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
    }


def test_a_write_is_logged_with_what_was_written_and_whose_it_is(fhir: Any) -> None:
    (event,) = fhir.new(lambda: fhir.post("/Observation", reading()))
    assert (event.kind, event.what, event.action, event.status) == ("rest", "create", "C", 201)
    assert event.items == (Item("C", "Observation", "n1", 1, "kari"),)
    (event,) = fhir.new(lambda: fhir.put("/Patient/kari", KARI))
    assert (event.what, event.items) == ("update", (Item("C", "Patient", "kari", 1, "kari"),))
    (event,) = fhir.new(lambda: fhir.put("/Patient/kari", KARI))
    assert (event.action, event.status, event.items[0]) == ("U", 200, Item("U", "Patient", "kari", 2, "kari"))
    (event,) = fhir.new(lambda: fhir.delete("/Observation/n1"))
    assert (event.action, event.items) == ("D", (Item("D", "Observation", "n1", 2, "kari"),))


def test_what_goes_from_one_patient_to_another_concerns_both(fhir: Any) -> None:
    fhir.put("/Observation/o", reading() | {"id": "o"})
    (event,) = fhir.new(lambda: fhir.put("/Observation/o", reading("ola") | {"id": "o"}))
    assert {item.patient for item in event.items} == {"kari", "ola"}


def test_a_write_that_is_refused_is_logged_as_refused(fhir: Any) -> None:
    (event,) = fhir.new(lambda: fhir.put("/Patient/kari", KARI, if_match='W/"7"'))
    assert (event.what, event.status, event.items) == ("update", 412, (Item("U", "Patient", "kari"),))
    (event,) = fhir.new(lambda: fhir.post("/Observation", b"{"))
    assert (event.what, event.status, event.items) == ("create", 400, ())


def test_a_read_is_logged_with_the_version_that_was_shown(fhir: Any) -> None:
    fhir.put("/Observation/o", reading() | {"id": "o"})
    (event,) = fhir.new(lambda: fhir.get("/Observation/o"))
    assert (event.action, event.items) == ("R", (Item("R", "Observation", "o", 1, "kari"),))
    (event,) = fhir.new(lambda: fhir.get("/Observation/o/_history/1"))
    assert (event.what, event.items) == ("vread", (Item("R", "Observation", "o", 1, "kari"),))
    (event,) = fhir.new(lambda: fhir.get("/Observation/none"))
    assert (event.status, event.items) == (404, (Item("R", "Observation", "none"),))
    (event,) = fhir.new(lambda: fhir.request("HEAD", "/Observation/o"))
    assert event.items[0].version == 1


def test_a_search_is_logged_with_whose_data_it_showed(fhir: Any) -> None:
    for patient in ("kari", "kari", "ola"):
        fhir.post("/Observation", reading(patient))
    (event,) = fhir.new(lambda: fhir.get("/Observation?code=29463-7"))
    assert (event.what, event.action, event.query) == ("search-type", "E", "Observation?code=29463-7")
    assert sorted(event.patients) == ["kari", "ola"]
    (event,) = fhir.new(lambda: fhir.get("/Observation?patient=kari"))
    assert event.patients == ("kari",)
    (event,) = fhir.new(lambda: fhir.get("/Observation?patient=nobody"))
    assert event.patients == ("nobody",)  # that somebody looked for it concerns the patient too
    (event,) = fhir.new(lambda: fhir.get("/Observation/_history"))
    assert sorted(event.patients) == ["kari", "ola"]


def test_a_search_by_post_is_logged_as_one_by_get(fhir: Any) -> None:
    fhir.post("/Observation", reading())
    form = {"content_type": "application/x-www-form-urlencoded"}
    (event,) = fhir.new(lambda: fhir.request("POST", "/Observation/_search", b"patient=kari", **form))
    assert (event.query, event.patients) == ("Observation/_search?patient=kari", ("kari",))


def test_includes_and_compartments_count(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    fhir.post("/Observation", reading())
    (event,) = fhir.new(lambda: fhir.get("/Patient?_id=kari&_revinclude=Observation:patient"))
    assert event.patients == ("kari",)
    (event,) = fhir.new(lambda: fhir.get("/Patient/kari/Observation"))
    assert (event.what, event.patients) == ("search-compartment", ("kari",))
    (event,) = fhir.new(lambda: fhir.get("/Patient/kari/$everything"))
    assert (event.action, event.items, event.patients) == ("E", (Item("R", "Patient", "kari"),), ("kari",))


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("name=Nordmann", "Patient?name=***"),
        ("identifier=urn:oid:2.16.578.1.12.4.1.4.1|01017012345", "Patient?identifier=***"),
        ("birthdate=1970-01-01&gender=female", "Patient?birthdate=***&gender=female"),
        ("_id=01017012345", "Patient?_id=***"),
        ("general-practitioner.name=x", "Patient?general-practitioner.name=***"),
        ("_filter=name eq kari", "Patient?_filter=***"),
        ("what-is-this=kari", "Patient?what-is-this=***"),
        ("_has:Observation:patient:code=29463-7", "Patient?_has:Observation:patient:code=29463-7"),
        ("link:identifier=4", "Patient?link:identifier=***"),
        ("_content=kari", "Patient?_content=***"),
        ("01017012345=1", "Patient?***=***"),
    ],
)
def test_what_was_asked_is_kept_without_who_somebody_is(sqlite_fhir: Any, asked: str, kept: str) -> None:
    (event,) = sqlite_fhir.new(lambda: sqlite_fhir.get(f"/Patient?{asked}"))
    assert event.query == kept


def test_nothing_clinical_is_in_the_log(fhir: Any) -> None:
    note = reading() | {"note": [{"text": "secret words"}]}
    fhir.put("/Patient/kari", KARI)
    fhir.post("/Observation", note)
    fhir.get("/Observation?patient=kari")
    fhir.post("/Observation/$validate", note)
    said = b"".join(record for _, record in fhir.records())
    assert b"secret" not in said and b"Nordmann" not in said and b"29463-7" not in said


def bundle(kind: str, *entries: tuple[str, str, Any]) -> dict[str, Any]:
    return {
        "resourceType": "Bundle",
        "type": kind,
        "entry": [
            {"request": {"method": method, "url": url}} | ({"resource": body} if body else {})
            for method, url, body in entries
        ],
    }


def test_a_transaction_is_one_entry_in_its_own_commit_and_one_for_each_read(fhir: Any) -> None:
    fhir.put("/Patient/ola", OLA)
    sent = bundle(
        "transaction",
        ("PUT", "Patient/kari", KARI),
        ("POST", "Observation", reading()),
        ("GET", "Patient/ola", None),
    )
    written, read = fhir.new(lambda: fhir.post("", sent))
    assert (written.what, written.action, written.status) == ("transaction", "E", 200)
    assert [(item.action, item.type, item.patient) for item in written.items] == [
        ("C", "Observation", "kari"),
        ("C", "Patient", "kari"),
    ]
    assert (read.what, read.items) == ("read", (Item("R", "Patient", "ola", 1, "ola"),))
    assert written.request == read.request


def test_each_entry_of_a_batch_is_logged_as_if_it_came_alone(fhir: Any) -> None:
    sent = bundle(
        "batch", ("PUT", "Patient/kari", KARI), ("GET", "Patient/none", None), ("GET", "Patient?name=x", None)
    )
    events = fhir.new(lambda: fhir.post("", sent))
    assert sorted((event.what, event.status) for event in events) == [
        ("batch", 200),
        ("read", 404),
        ("search-type", 200),
        ("update", 201),
    ]
    assert len({event.request for event in events}) == 1


def test_a_transaction_that_is_refused_wrote_nothing_and_says_so(fhir: Any) -> None:
    sent = bundle("transaction", ("PUT", "Patient/kari", KARI), ("GET", "Patient/none", None))
    (event,) = fhir.new(lambda: fhir.post("", sent))
    assert (event.what, event.status, event.items) == ("transaction", 404, ())


def test_a_large_transaction_is_logged_in_several_entries(sqlite_fhir: Any) -> None:
    many = [("PUT", f"Device/d{n}", {"resourceType": "Device", "id": f"d{n}"}) for n in range(1001)]
    events = sqlite_fhir.new(lambda: sqlite_fhir.post("", bundle("transaction", *many)))
    assert [len(event.items) for event in events] == [1000, 1]


def test_what_is_answered_later_is_logged_when_it_is_carried_out(sqlite_fhir: Any) -> None:
    fhir = sqlite_fhir
    fhir.post("/Observation", reading())

    def ask() -> None:
        status = fhir.get("/Observation?patient=kari", prefer="respond-async").headers["content-location"]
        while fhir.get(status).status_code == 202:
            pass

    events = [event for event in fhir.new(ask) if event.what == "search-type"]
    assert sorted(event.status for event in events) == [200, 202]
    assert next(event for event in events if event.status == 200).patients == ("kari",)


def test_the_capabilities_are_no_access(fhir: Any) -> None:
    assert fhir.new(lambda: fhir.get("/metadata")) == []


def test_what_is_no_fhir_is_logged_without_its_path(fhir: Any) -> None:
    (event,) = fhir.new(lambda: fhir.get("/Nonsense/01017012345"))
    assert (event.what, event.status, event.query) == ("unknown", 404, "")


def test_a_number_of_a_person_in_the_place_of_an_id_is_not_kept(sqlite_fhir: Any) -> None:
    for path in (
        "/Patient/01017012345",
        "/Patient/01017012345/Observation",
        "/Observation?patient=01017012345",
    ):
        sqlite_fhir.get(path)
    assert all(b"01017012345" not in record for _, record in sqlite_fhir.records())


def test_a_read_is_not_answered_when_it_cannot_be_logged(sqlite_fhir: Any, monkeypatch: Any) -> None:
    from fhir_server.errors import FhirError

    fhir = sqlite_fhir
    fhir.put("/Patient/kari", KARI)
    real = fhir.store.transact

    async def full(work: Any) -> Any:
        raise FhirError("unavailable", "The disk is full")

    monkeypatch.setattr(fhir.store, "transact", full)
    answer = fhir.get("/Patient/kari")
    assert answer.status_code == 503 and "Nordmann" not in answer.text
    monkeypatch.setattr(fhir.store, "transact", real)
    assert fhir.get("/Patient/kari").status_code == 200


def test_reads_that_come_together_are_all_logged(fhir: Any) -> None:
    fhir.put("/Patient/kari", KARI)
    events = fhir.new(lambda: fhir.together(*[("GET", "/Patient/kari", None)] * 40))
    assert [event.what for event in events] == ["read"] * 40


def test_a_write_that_fails_at_the_end_leaves_no_entry_of_itself(fhir: Any) -> None:
    """All or nothing: the first create fails in the transaction, after its entry could have been put."""
    fhir.put("/Patient/kari", KARI)
    requests = [("PUT", "/Patient/kari", KARI, {"if_match": 'W/"1"'})] * 5
    events = fhir.new(lambda: fhir.together(*requests))
    assert sorted(event.status for event in events) == [200, 412, 412, 412, 412]
    assert sum(bool(item.version) for event in events for item in event.items) == 1


def test_the_log_is_what_it_says_whoever_asks(fhir: Any) -> None:
    """The request id that a client gave is in its entry."""
    (event,) = fhir.new(lambda: fhir.get("/Patient/x", x_request_id="abc-1"))
    assert event.request == "abc-1"
    assert json.loads(fhir.records()[-1][1][32:])[0][0] == 1


@pytest.mark.parametrize(
    ("under_way", "patience", "commits"), [(3, 60.0, [3]), (1, 60.0, [1, 2]), (9, 0.0, [3])]
)
def test_what_comes_together_shares_a_commit(
    monkeypatch: Any, under_way: int, patience: float, commits: list[int]
) -> None:
    """An entry waits for the requests under way: until all of them wait, or (9 that never come) a moment."""
    from fhir_server.audit import journal

    class Counting:
        sizes: list[int] = []

        async def transact(self, work: Any) -> None:
            self.sizes.append(len(work.keywords["contents"]))
            await asyncio.sleep(0)

    async def run(store: Any) -> None:
        noted = journal.Journal(store, lambda: None, None)  # type: ignore[arg-type, return-value]
        noted.open = under_way
        event = Event(1, "rest", "read", "R", 200)
        first = asyncio.create_task(noted.note(event))
        if under_way == 1:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await asyncio.gather(first, noted.note(event), noted.note(event))

    monkeypatch.setattr(journal, "_EACH", patience)
    monkeypatch.setattr(journal, "_LONGEST", patience)
    store = Counting()
    store.sizes = []
    asyncio.run(run(store))
    assert store.sizes == commits


def test_a_store_that_fails_for_a_while_fails_no_later_read(sqlite_fhir: Any, monkeypatch: Any) -> None:
    fhir = sqlite_fhir
    fhir.put("/Patient/kari", KARI)

    async def broken(work: Any) -> Any:
        raise RuntimeError("nobody foresaw this")

    with monkeypatch.context() as patched:
        patched.setattr(fhir.store, "transact", broken)
        assert [a.status_code for a in fhir.together(*[("GET", "/Patient/kari", None)] * 3)] == [503] * 3
    assert fhir.get("/Patient/kari").status_code == 200
    assert [event.what for event in fhir.log()] == ["update", "read"]
