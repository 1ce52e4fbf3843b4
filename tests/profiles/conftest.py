"""Resources of our own that R4 allows, and how to make one that it does not."""

from __future__ import annotations

import copy
import importlib
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture
def sample() -> Callable[[str], dict[str, Any]]:
    """A fresh copy of a valid resource by the name of its file in samples/."""

    def read(name: str) -> dict[str, Any]:
        return json.loads((SAMPLES / f"{name}.json").read_text("utf-8"), parse_float=Decimal)

    return read


@pytest.fixture(scope="session")
def samples() -> dict[str, dict[str, Any]]:
    """All of them; not to be changed."""
    files = sorted(SAMPLES.glob("*.json"))
    return {file.stem: json.loads(file.read_text("utf-8"), parse_float=Decimal) for file in files}


@pytest.fixture
def changed() -> Callable[[dict[str, Any], str, Any], dict[str, Any]]:
    """changed(resource, "name.0.family", value): a copy with that place set; `...` removes it."""

    def change(resource: dict[str, Any], place: str, value: Any) -> dict[str, Any]:
        resource = copy.deepcopy(resource)
        *way, last = [int(step) if step.isdigit() else step for step in place.split(".")]
        target: Any = resource
        for step in way:
            target = target[step]
        if value is ...:
            del target[last]
        else:
            target[last] = value
        return resource

    return change


@pytest.fixture(scope="session")
def accepted_by_oracle() -> Callable[[dict[str, Any]], bool]:
    """Whether fhir.resources takes it: an independent implementation (R4B models, as it has none of R4)."""

    def accepts(resource: dict[str, Any]) -> bool:
        name = resource["resourceType"]
        model = getattr(importlib.import_module(f"fhir.resources.R4B.{name.lower()}"), name)
        try:
            model.model_validate(resource)
        except (ValueError, TypeError, AttributeError):
            return False
        return True

    return accepts
