"""An independent oracle: fhir.resources judges the same resources (its R4B models, as it has none of R4)."""

from __future__ import annotations

import importlib
import json
from decimal import Decimal
from pathlib import Path

import pytest

from profiles.structure import validate

NAMES = sorted(file.stem for file in (Path(__file__).parent / "samples").glob("*.json"))


def accepts(resource):
    """Whether fhir.resources can build its model of the resource."""
    name = resource["resourceType"]
    model = getattr(importlib.import_module(f"fhir.resources.R4B.{name.lower()}"), name)
    try:
        model.model_validate(resource)
    except (ValueError, TypeError):
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_both_accept_the_samples(name, sample):
    assert validate(sample(name)) == []
    assert accepts(sample(name))


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
def test_both_refuse_what_is_wrong(name, place, value, sample, changed):
    resource = changed(sample(name), place, value)
    assert validate(resource)
    assert not accepts(json.loads(json.dumps(resource, default=float), parse_float=Decimal))
