"""How long one reading takes to be decoded, validated and encoded."""

from __future__ import annotations

from fhir_server.resource_json import decode, encode
from fhir_server.search.extract import extract
from profiles.structure import validate


def test_decode_a_reading(benchmark, body):
    assert benchmark(decode, body)["resourceType"] == "Observation"


def test_encode_a_reading(benchmark, body):
    assert benchmark(encode, decode(body)) == body


def test_validate_a_blood_pressure(benchmark, body):
    assert benchmark(validate, decode(body)) == []


def test_validate_a_care_plan(benchmark, plan_resources):
    assert benchmark(validate, plan_resources[0]) == []


def test_extract_the_search_values_of_a_reading(benchmark, pressure):
    assert benchmark(extract, "Observation", pressure).patient
