"""What the specification leaves to whoever runs the server, https://hl7.org/fhir/R4/http.html."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server import app
from fhir_server.app import create_app, open_store
from fhir_server.settings import Settings
from tests.http.conftest import Fhir


@pytest.fixture
def strict(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fhir]:
    monkeypatch.setattr(app, "_DELETES", 5)
    store = open_store(store_url)
    client = Fhir(
        create_app(Settings(auth=False, conditional_delete="multiple", versioned_updates=True), store), store
    )
    yield client
    client.close()


def known_as(value: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": "urn:s", "value": value}], **more}


def how_many(fhir: Any) -> int:
    return int(fhir.get("/Patient?_total=accurate").json()["total"])


def test_a_conditional_delete_may_delete_several(strict: Any) -> None:
    made = [strict.post("/Patient", known_as(value)).json()["id"] for value in "aaab"]
    assert strict.delete("/Patient?identifier=urn:s|a").status_code == 204
    assert [strict.get(f"/Patient/{id}").status_code for id in made] == [410, 410, 410, 200]
    assert strict.delete("/Patient?identifier=urn:s|a").status_code == 204


def test_but_not_more_than_the_limit(strict: Any) -> None:
    for _ in range(6):
        strict.post("/Patient", known_as("a"))
    assert strict.delete("/Patient?identifier=urn:s|a").status_code == 412
    assert how_many(strict) == 6


def test_several_in_a_transaction_and_a_conflict_with_another_entry(strict: Any) -> None:
    strict.put("/Patient/p", known_as("a", id="p"))
    strict.post("/Patient", known_as("a"))
    delete = {"request": {"method": "DELETE", "url": "Patient?identifier=urn:s|a"}}
    put = {
        "request": {"method": "PUT", "url": "Patient/p", "ifMatch": 'W/"1"'},
        "resource": known_as("b", id="p"),
    }
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [put, delete]}
    assert strict.post("", bundle).status_code == 400
    assert how_many(strict) == 2
    bundle["entry"].pop(0)
    assert strict.post("", bundle).status_code == 200
    assert how_many(strict) == 0


def test_updates_and_patches_must_say_which_version(strict: Any) -> None:
    patient = known_as("a", id="p")
    assert strict.put("/Patient/p", patient).status_code == 201
    refused = strict.put("/Patient/p", patient)
    assert refused.status_code == 412
    assert "If-Match" in refused.json()["issue"][0]["diagnostics"]
    assert strict.put("/Patient?identifier=urn:s|a", known_as("a")).status_code == 412
    body = b'[{"op":"add","path":"/active","value":true}]'
    kind = {"content_type": "application/json-patch+json"}
    assert strict.request("PATCH", "/Patient/p", body, **kind).status_code == 412
    assert strict.put("/Patient/p", patient, if_match='W/"1"').status_code == 200
    assert strict.request("PATCH", "/Patient/p", body, if_match='W/"2"', **kind).status_code == 200
    strict.delete("/Patient/p")
    assert strict.put("/Patient/p", patient).status_code == 201


def test_the_capability_statement_tells(strict: Any, fhir: Any) -> None:
    told = strict.get("/metadata").json()["rest"][0]["resource"][0]
    assert (told["conditionalDelete"], told["versioning"]) == ("multiple", "versioned-update")
    usual = fhir.get("/metadata").json()["rest"][0]["resource"][0]
    assert (usual["conditionalDelete"], usual["versioning"]) == ("single", "versioned")
