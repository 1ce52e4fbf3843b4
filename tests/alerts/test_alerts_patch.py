"""A reading that is patched is judged as one that is updated."""

from __future__ import annotations

import json
from typing import Any

from tests.alerts.conftest import details_of
from tests.rules.build import SPO2, target


def patch(ward: Any, id: str, *operations: dict[str, Any]) -> Any:
    body = json.dumps(operations).encode()
    return ward.fhir.request("PATCH", f"/Observation/{id}", body, content_type="application/json-patch+json")


def test_a_patched_reading_raises_and_withdraws_its_alert(ward: Any) -> None:
    ward.plan(target(SPO2, low=90))
    id = ward.read(SPO2, 95, "2026-11-21")
    assert ward.flags() == []
    assert patch(ward, id, {"op": "replace", "path": "/valueQuantity/value", "value": 85}).status_code == 200
    assert details_of(ward.flag()) == [id]
    assert (
        patch(ward, id, {"op": "replace", "path": "/status", "value": "entered-in-error"}).status_code == 200
    )
    assert ward.flags() == []
    assert len(ward.flags("entered-in-error")) == 1


def test_a_refused_patch_raises_nothing(ward: Any) -> None:
    ward.plan(target(SPO2, low=90))
    id = ward.read(SPO2, 95, "2026-11-21")
    low = {"op": "replace", "path": "/valueQuantity/value", "value": 85}
    assert patch(ward, id, low, {"op": "test", "path": "/status", "value": "final!"}).status_code == 422
    assert ward.flags() == []
