"""What the engine writes is right by R4 and by Varde's own definitions, thoroughly."""

from __future__ import annotations

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
