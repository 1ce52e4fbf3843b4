"""What the engine writes is right by R4 and by Varde's own definitions, thoroughly."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.alerts.test_alerts import SPO2, YELLOW_RED


@pytest.mark.parametrize("type", ["Flag", "Communication", "Task", "CarePlan", "Device"])
def test_what_is_written_has_no_errors(ward, type):
    ward.plan(*YELLOW_RED)
    ward.read(SPO2, 85, "2026-11-21")
    found = ward.found(type)
    assert found
    for resource in found:
        answer = ward.fhir.get(f"/{type}/{resource['id']}/$validate")
        assert [i for i in answer.json()["issue"] if i["severity"] in ("error", "warning")] == []


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
