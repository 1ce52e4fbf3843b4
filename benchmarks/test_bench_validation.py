"""How long a validation takes with every invariant of the base, beside fhir.resources in the same run."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.observation import Observation

from profiles.structure import validate

SAMPLE = Path(__file__).parents[1] / "tests" / "profiles" / "samples" / "observation.json"


@pytest.fixture
def observation():
    return json.loads(SAMPLE.read_text("utf-8"), parse_float=Decimal)


@pytest.fixture
def transaction(observation):
    entry = {"resource": observation, "request": {"method": "POST", "url": "Observation"}}
    return {"resourceType": "Bundle", "type": "transaction", "entry": [entry] * 100}


def test_an_observation(benchmark, observation):
    assert benchmark(validate, observation) == []


def test_an_observation_by_fhir_resources(benchmark, observation):
    assert benchmark(Observation.model_validate, observation)


def test_a_transaction_of_100(benchmark, transaction):
    assert benchmark(validate, transaction) == []


def test_a_transaction_of_100_by_fhir_resources(benchmark, transaction):
    assert benchmark(Bundle.model_validate, transaction)
