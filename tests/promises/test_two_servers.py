"""Promises 3, 4 and 5 where they are hardest: two server processes, each with its own memory, on one store.

https://hl7.org/fhir/R4/http.html#concurrency, https://hl7.org/fhir/R4/http.html#paging
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest

from fhir_server.resource_json import encode
from tests.alerts.cql_build import LOW, URL, definition, library
from tests.promises.conftest import Pair
from tests.promises.serving import Client
from tests.rules.build import SPO2, care_plan, observation, target

NUMBERS = count(1)


@pytest.fixture
def patient(pair: Pair) -> str:
    """A patient of this test's own, with no plan."""
    id = f"p{next(NUMBERS)}"
    put(pair.clients()[0], {"resourceType": "Patient", "id": id})
    return id


def put(client: Client, resource: dict[str, Any], **headers: str) -> tuple[int, Any]:
    path = f"/fhir/{resource['resourceType']}/{resource['id']}"
    status, _, body = client.send("PUT", path, encode(resource), **headers)
    return status, body


def read(client: Client, patient: str, value: Any, time: str) -> str:
    status, _, body = client.send(
        "POST", "/fhir/Observation", encode(observation(SPO2, value, time, patient=patient))
    )
    assert status == 201, body
    return str(body["id"])


def found(client: Client, query: str) -> list[dict[str, Any]]:
    status, _, bundle = client.send("GET", f"/fhir/{query}")
    assert status == 200, bundle
    return [entry["resource"] for entry in bundle.get("entry", ())]


@contextmanager
def others_writing(pair: Pair, patient: str) -> Iterator[None]:
    """Readings come in at both servers meanwhile, and some are changed and deleted."""
    stop, failures = threading.Event(), []

    def write(client: Client, name: str) -> None:
        try:
            for n in count():
                if stop.is_set():
                    return
                reading = observation(SPO2, 95, f"2026-11-20T10:{n % 60:02}:00Z", patient=patient)
                assert put(client, {**reading, "id": f"{name}-{n % 5}"})[0] in (200, 201)
                if n % 4 == 3:
                    assert client.send("DELETE", f"/fhir/Observation/{name}-{n % 5}")[0] == 204
        except BaseException as failure:
            failures.append(failure)

    threads = [
        threading.Thread(target=write, args=(client, f"{patient}-other{n}"))
        for n, client in enumerate(pair.clients())
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not failures, failures


def test_every_search_sees_every_acknowledged_write_whichever_server_answers(
    pair: Pair, patient: str
) -> None:
    clients = pair.clients()
    with others_writing(pair, patient):
        for n in range(20):
            writer, reader = clients[n % 2], clients[1 - n % 2]
            reading = observation(SPO2, 95, f"2026-11-21T08:00:{n:02}Z", patient=patient)
            key = {"system": "urn:example", "value": f"{patient}-{n}"}
            known = {**reading, "id": f"{patient}-{n}", "identifier": [key]}
            assert put(writer, known)[0] == 201
            for query in (
                f"identifier=urn:example|{patient}-{n}",
                f"patient={patient}&code={SPO2}&date=2026-11-21T08:00:{n:02}Z",
                f"_id={patient}-{n}&status=final",
            ):
                assert [each["id"] for each in found(reader, f"Observation?{query}")] == [known["id"]]
            latest = found(reader, f"Observation?patient={patient}&code={SPO2}&_sort=-date&_count=1")
            assert latest[0]["id"] == known["id"]
            assert put(writer, {**known, "status": "amended"})[0] == 200
            assert not found(reader, f"Observation?_id={patient}-{n}&status=final")
            assert found(reader, f"Observation?_id={patient}-{n}&status=amended")
            if n % 3 == 0:
                assert writer.send("DELETE", f"/fhir/Observation/{known['id']}")[0] == 204
                assert not found(reader, f"Observation?_id={known['id']}")
                assert reader.send("GET", f"/fhir/Observation/{known['id']}")[0] == 410


def test_a_plan_holds_at_both_servers_from_the_moment_it_is_acknowledged(pair: Pair, patient: str) -> None:
    clients = pair.clients()
    for n in range(8):
        writer, other = clients[n % 2], clients[1 - n % 2]
        low = 90 if n % 4 < 2 else 94  # each server judges by either, one after the other
        assert put(writer, care_plan(target(SPO2, low=low), id=f"plan-{patient}", patient=patient))[0] < 300
        id = read(other, patient, 92, f"2026-11-21T08:{n:02}:00Z")
        named = [flag for flag in found(other, f"Flag?patient={patient}") if f"Observation/{id}" in str(flag)]
        assert len(named) == (low == 94), (n, low)


def test_a_flag_that_one_server_raised_or_a_person_closed_is_so_at_the_other(
    pair: Pair, patient: str
) -> None:
    first, second = pair.clients()
    put(first, care_plan(target(SPO2, low=90, zone="red"), id=f"plan-{patient}", patient=patient))
    for n in range(4):
        read(first, patient, 85, f"2026-11-21T08:{n:02}:01Z")
        read(second, patient, 85, f"2026-11-21T08:{n:02}:02Z")
        (flag,) = found(first, f"Flag?patient={patient}&status=active")
        assert str(flag["extension"]).count("flag-detail") == 2
        assert put(second, {**flag, "status": "inactive"})[0] == 200
        assert not found(first, f"Flag?patient={patient}&status=active")
    assert len(found(second, f"Flag?patient={patient}")) == len(found(first, f"Task?patient={patient}")) == 4


def test_of_conditional_creates_at_both_servers_one_creates(pair: Pair, patient: str) -> None:
    clients = [client for _ in range(6) for client in pair.clients()]
    for n in range(4):
        reading = observation(SPO2, 95, f"2026-11-21T08:00:{n:02}Z", patient=patient)
        key = f"once-{patient}-{n}"
        body = encode({**reading, "identifier": [{"system": "urn:example", "value": key}]})

        def create(client: Client, body: bytes = body, key: str = key) -> tuple[int, str]:
            condition = f"identifier=urn:example|{key}"
            status, _, answer = client.send("POST", "/fhir/Observation", body, If_None_Exist=condition)
            return status, answer["id"]

        with ThreadPoolExecutor(len(clients)) as pool:
            answers = list(pool.map(create, clients))
        assert Counter(status for status, _ in answers) == {201: 1, 200: len(clients) - 1}
        assert len({id for _, id in answers}) == 1
        assert len(found(clients[0], f"Observation?identifier=urn:example|{key}")) == 1


def test_with_if_match_no_update_is_lost(pair: Pair, patient: str) -> None:
    counter = {"resourceType": "Basic", "id": f"counter-{patient}", "code": {"text": "0"}}
    assert put(pair.clients()[0], counter)[0] == 201
    path = f"/fhir/Basic/counter-{patient}"

    def increment(client: Client) -> int:
        refused = 0
        for _ in range(5):
            while True:
                _, headers, known = client.send("GET", path)
                more = {**known, "code": {"text": str(int(known["code"]["text"]) + 1)}}
                status, answer = put(client, more, If_Match=headers["etag"])
                if status == 200:
                    break
                assert status == 412, answer
                refused += 1
        return refused

    clients = [client for _ in range(3) for client in pair.clients()]
    with ThreadPoolExecutor(len(clients)) as pool:
        refused = sum(pool.map(increment, clients))
    _, _, last = pair.clients()[1].send("GET", path)
    assert (last["code"]["text"], last["meta"]["versionId"]) == ("30", "31")
    assert refused, "no two updates ever met: this has tried nothing"


def test_pages_are_a_snapshot_whichever_server_gives_the_next(pair: Pair, patient: str) -> None:
    clients = pair.clients()
    for n in range(40):
        reading = observation(SPO2, 90, f"2026-11-{n % 20 + 1:02}T08:00:00Z", patient=patient)
        assert put(clients[0], {**reading, "id": f"{patient}-{n:02}"})[0] == 201
    for sort in ("", "&_sort=-date", "&_sort=status,date"):
        seen: list[tuple[str, str]] = []
        path = f"/fhir/Observation?patient={patient}&_count=7{sort}"
        with others_writing(pair, patient):
            start = None
            for page in count():
                status, _, bundle = clients[page % 2].send("GET", path)
                assert status == 200, bundle
                start = bundle["total"] if start is None else start
                assert bundle["total"] == start
                seen += [
                    (each["resource"]["id"], each["resource"]["meta"]["versionId"])
                    for each in bundle["entry"]
                ]
                changed = observation(SPO2, 91, "2026-11-21T08:00:00Z", patient=patient)
                assert put(clients[0], {**changed, "id": f"{patient}-{(page * 11) % 40:02}"})[0] == 200
                links = {link["relation"]: link["url"] for link in bundle["link"]}
                if "next" not in links:
                    break
                path = "/fhir" + links["next"].partition("/fhir")[2]
        ids = [id for id, _ in seen]
        assert not {f"{patient}-{n:02}" for n in range(40)} - set(ids), sort
        assert [id for id, times in Counter(ids).items() if times > 1] == [], sort
        assert len(ids) == start, sort


def test_a_rule_in_cql_that_is_changed_at_one_server_judges_at_the_other(pair: Pair, patient: str) -> None:
    one, other = pair.clients()
    name = f"Rule{patient}"
    text = LOW.replace("library Oxygen", f"library {name}")
    put(one, library(text, name, name))
    rule = definition(id=name, library=[f"{URL}/Library/{name}"])
    assert put(one, rule)[0] == 201

    def active(client: Client) -> int:
        return len(found(client, f"Flag?patient={patient}&status=active"))

    read(other, patient, 92, "2026-11-20T10:00:00Z")
    assert active(one) == 0
    put(one, library(text.replace("90", "93"), name, name))
    read(other, patient, 92, "2026-11-20T11:00:00Z")
    assert active(one) == active(other) == 1
    put(other, {**rule, "status": "retired"})
    before = found(one, f"Flag?patient={patient}")
    read(one, patient, 80, "2026-11-20T12:00:00Z")
    assert found(one, f"Flag?patient={patient}") == before
