"""Varde's own definitions, for clients to read: https://hl7.org/fhir/R4/profiling.html#resources."""

from __future__ import annotations

import asyncio
import json

import pytest

from fhir_server.app import create_app, open_store, prepare
from fhir_server.settings import Settings
from profiles.definitions import PUBLISHED
from tests.http.conftest import Fhir

GOAL = "https://varde.dev/fhir/StructureDefinition/dho-goal"


@pytest.fixture
def served(store_url):
    """Starts a server as `varde serve` does, on the same store each time."""
    running: list[Fhir] = []

    def start():
        if running:
            running.pop().close()
        asyncio.run(prepare(Settings(auth=False, store=store_url)))
        store = open_store(store_url)
        running.append(Fhir(create_app(Settings(auth=False, store=store_url), store), store))
        return running[0]

    yield start
    running.pop().close()


def versions(fhir, path):
    return fhir.get(f"/{path}/_history?_summary=count").json()["total"]


def test_they_are_read_searched_for_and_used(served):
    fhir = served()
    files = [json.loads(file.read_text("utf-8")) for file in PUBLISHED.glob("*.json")]
    for type_ in {file["resourceType"] for file in files}:
        expected = {file["url"] for file in files if file["resourceType"] == type_}
        found = fhir.get(f"/{type_}?_count=100&_elements=url").json()["entry"]
        assert {entry["resource"]["url"] for entry in found} == expected
    (entry,) = fhir.get(f"/StructureDefinition?url={GOAL}").json()["entry"]
    stored = {k: v for k, v in entry["resource"].items() if k != "meta"}
    assert stored == json.loads((PUBLISHED / "StructureDefinition-dho-goal.json").read_text("utf-8"))
    goal = {"resourceType": "Goal", "lifecycleStatus": "active", "description": {"text": "x"}}
    asked = fhir.post(f"/Goal/$validate?profile={GOAL}", goal | {"subject": {"reference": "Group/1"}}).json()
    errors = [i["expression"] for i in asked["issue"] if i["severity"] == "error"]
    assert errors == [["Goal.subject"]]
    zone = "system=https://varde.dev/fhir/CodeSystem/dho-zone&code=red"
    assert fhir.get(f"/CodeSystem/$lookup?{zone}").json()["parameter"]
    expanded = fhir.get("/ValueSet/$expand?url=https://varde.dev/fhir/ValueSet/dho-zone").json()
    assert len(expanded["expansion"]["contains"]) == 3


def test_starting_again_writes_nothing_and_mends_what_was_changed(served):
    fhir = served()
    plan = fhir.get("/StructureDefinition/dho-plan").json()
    mine = {**plan, "id": "dho-zone", "url": "https://example.org/fhir/StructureDefinition/mine"}
    fhir.put("/StructureDefinition/dho-plan", {**plan, "title": "Another"})
    fhir.put("/StructureDefinition/dho-zone", mine)
    fhir = served()
    assert versions(fhir, "StructureDefinition/dho-goal") == 1
    assert versions(fhir, "StructureDefinition/dho-plan") == 3
    assert fhir.get("/StructureDefinition/dho-plan").json()["title"] == plan["title"]
    assert fhir.get("/StructureDefinition/dho-zone").json()["url"] == mine["url"]
