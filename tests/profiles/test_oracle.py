"""An independent oracle judges the same resources."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from profiles.structure import validate

NAMES = sorted(file.stem for file in (Path(__file__).parent / "samples").glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_both_accept_the_samples(name, sample, accepted_by_oracle):
    assert validate(sample(name)) == []
    assert accepted_by_oracle(sample(name))


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("observation", "status", ...),
        ("observation", "code", ...),
        ("observation", "valeu", 1),
        ("observation", "valueString", "x"),
        ("observation", "category", {"text": "x"}),
        ("observation", "code", [{"text": "x"}]),
        ("observation", "effectiveDateTime", "yesterday"),
        ("observation", "issued", "2026-11-21"),
        ("observation", "valueQuantity.value", "many"),
        ("observation", "code.coding.0.kode", "x"),
        ("patient", "birthDate", "1948-02-30"),
        ("patient", "id", "a_b"),
        ("patient", "active", "maybe"),
        ("patient", "link.0.type", ...),
        ("patient", "telecom.0.rank", 0),
        ("patient", "extension.0.url", ...),
        ("care_plan", "intent", ...),
        ("medication_request", "medicationReference", ...),
        ("questionnaire_response", "item.0.linkId", ...),
        ("bundle", "entry.0.request.method", ...),
        ("bundle", "entry.0.resource.unheardOf", 1),
    ],
)
def test_both_refuse_what_is_wrong(name, place, value, sample, changed, accepted_by_oracle):
    resource = changed(sample(name), place, value)
    assert validate(resource)
    assert not accepted_by_oracle(json.loads(json.dumps(resource, default=float), parse_float=Decimal))
