"""What the engine writes is right by R4 and by Varde's own profiles, thoroughly."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from tests.alerts.conftest import Ward
from tests.alerts.cql_build import definition, library
from tests.alerts.test_alerts import SPO2, WEIGHT, YELLOW_RED, activity, target
from tests.profiles.known import findings

PROFILES = {
    "Flag": "dho-alert",
    "Communication": "dho-alert-message",
    "Task": "dho-alert-task",
}


def red(ward: Ward) -> None:
    ward.plan(*YELLOW_RED)
    ward.read(SPO2, 85, "2026-11-21")


def yellow_then_red_then_closed(ward: Ward) -> None:
    ward.plan(*YELLOW_RED)
    ward.read(SPO2, 89, "2026-11-20")
    ward.read(SPO2, 85, "2026-11-21")
    (task,) = ward.found("Task")
    ward.put({**task, "status": "completed"})


def resolved_by_normal_readings(ward: Ward) -> None:
    ward.plan(*YELLOW_RED)
    for day, value in (("17", 89), ("18", 95), ("19", 95), ("20", 95)):
        ward.read(SPO2, value, f"2026-11-{day}")


def taken_back(ward: Ward) -> None:
    ward.plan(*YELLOW_RED)
    ward.amend(ward.read(SPO2, 85, "2026-11-21"), status="entered-in-error")


def of_every_kind(ward: Ward) -> None:
    ward.plan(
        target(WEIGHT, high=2, kind="change", window="3 d", zone="red"),
        target(WEIGHT, high=3, low=-3, kind="relative", baselineValue="80 kg"),
        target(WEIGHT, high=81, kind="persistence", n=2, m=3),
        activity=[activity("yellow", "Vei deg igjen i morgen.", en="Weigh yourself again tomorrow.")],
    )
    for day, value in (("19", 80), ("20", "81.5"), ("21", "84.5")):
        ward.read(WEIGHT, value, f"2026-11-{day}")


def not_to_be_judged(ward: Ward) -> None:
    ward.plan(*YELLOW_RED)
    ward.read(SPO2, 88, "2026-11-21", unit="mm")


def of_a_patient_who_is_not_here(ward: Ward) -> None:
    ward.read(SPO2, 88, "2026-11-21", patient="nobody")
    ward.read(SPO2, 88, "2026-11-21", subject={"identifier": {"system": "urn:oid:1.2.3", "value": "7"}})


def of_a_rule_in_cql(ward: Ward) -> None:
    ward.put(library())
    ward.put(definition())
    ward.read(SPO2, "88.5", "2026-11-21")


def of_a_plan_without_a_team(ward: Ward) -> None:
    ward.plan(*YELLOW_RED, careTeam=[{"display": "Nobody yet"}])
    ward.read(SPO2, 85, "2026-11-21")


SCENES: list[Callable[[Ward], Any]] = [
    red,
    yellow_then_red_then_closed,
    resolved_by_normal_readings,
    taken_back,
    of_every_kind,
    not_to_be_judged,
    of_a_patient_who_is_not_here,
    of_a_rule_in_cql,
    of_a_plan_without_a_team,
]


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)  # what is written is the same on both
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_what_is_written_keeps_its_profile(ward, scene):
    scene(ward)
    written = [(resource, profile) for type_, profile in PROFILES.items() for resource in ward.found(type_)]
    assert {"Flag", "Task"} <= {resource["resourceType"] for resource, _ in written}
    for resource, profile in written:
        assert findings(resource, profile, severities=("error", "warning")) == [], resource


@pytest.mark.parametrize("type_", [*PROFILES, "CarePlan", "Device"])
def test_the_server_itself_finds_nothing_wrong_with_it(ward, type_):
    red(ward)
    asked = (
        f"?profile=https://varde.dev/fhir/StructureDefinition/{PROFILES[type_]}" if type_ in PROFILES else ""
    )
    found = ward.found(type_)
    assert found
    for resource in found:
        answer = ward.fhir.get(f"/{type_}/{resource['id']}/$validate{asked}").json()
        assert [i for i in answer["issue"] if i["severity"] in ("error", "warning")] == []


def test_a_clock_that_is_behind_ends_nothing_before_it_began(ward):
    ward.plan(*YELLOW_RED)
    reading = ward.read(SPO2, 85, "2026-11-21")
    ward.clock.now -= timedelta(milliseconds=28)
    ward.read(SPO2, 84, "2026-11-22")  # of the same Flag and Task
    (task,) = ward.found("Task")
    assert task["lastModified"] >= task["authoredOn"]
    for flag in ward.found("Flag"):
        ward.put({**flag, "status": "inactive"})
    ward.amend(reading, status="entered-in-error")
    for type in ("Flag", "Task"):
        for resource in ward.found(type):  # each is validated, dates and all
            answer = ward.fhir.get(f"/{type}/{resource['id']}/$validate")
            assert [i for i in answer.json()["issue"] if i["severity"] == "error"] == []
