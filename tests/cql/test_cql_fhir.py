"""CQL over FHIR R4 data, with answers worked out by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from profiles import modelinfo
from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.emit.retrieve import Retrieve
from rules.runtime.values import ValueSet
from tests.cql.fhir_cases import TOPICS
from tests.cql.fhir_data import GIVEN, HEAD


def value(text: str, **given: Any) -> Any:
    return cql.compile(f"{HEAD}define X: {text}").evaluate("X", **{**GIVEN, **given})


@pytest.mark.parametrize(
    ("text", "expected"),
    [pytest.param(*case, id=f"{topic}: {case[0]}") for topic, cases in TOPICS.items() for case in cases],
)
def test_over_fhir_data(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected and (found is None) == (expected is None)
    assert type(found) is type(expected)


def test_a_cast_to_another_type_is_an_error() -> None:
    with pytest.raises(EvaluationError):
        value("cast One('c2').value as Quantity")


@pytest.mark.parametrize("id_", ["c5", "c6"])
def test_a_quantity_that_cannot_be_compared_is_an_error_and_not_null(id_: str) -> None:
    with pytest.raises(EvaluationError):
        value(f"One('{id_}').value > 1 'mg'")


def test_an_unknown_value_set_is_an_error_and_not_empty() -> None:
    with pytest.raises(EvaluationError):
        value('exists [Condition: "COPD"]', valuesets={})


@pytest.mark.parametrize(
    "text",
    [
        "Patient.nothing",
        "[Nothing]",
        "[Quantity]",
        '[Observation: nothing in "COPD"]',
        "Latest.subject > Latest.subject",
        "Latest.effective ~ 5 'mg'",
        "Patient.name contains 5",
        "Patient.name + 1",
        "FHIR.Quantity { value: 'one' }",
        "FHIR.Quantity { size: 1.0 }",
        "FHIR.Quantity { value: 1.0, value: 2.0 }",
        "Observation { value: Reference { reference: 'x' } }",
        "[Resource]",
        "Latest.value.ofType(5)",
        "[Observation] O sort by value",
        "Patient as Observation",
    ],
)
def test_what_cannot_be_right_is_a_compile_error(text: str) -> None:
    with pytest.raises(CompileError):
        value(text)


def test_retrieves_are_lifted_out_once_each() -> None:
    text = (
        f'{HEAD}define A: [Observation: "SpO2"] define B: [Condition: "COPD"] define C: [Condition: "COPD"]'
    )
    assert cql.compile(text).retrieves == (
        Retrieve("Observation"),  # of which the head asks for all
        Retrieve("MedicationRequest"),
        Retrieve("Condition", "code", ValueSet("urn:vs:copd", None, "COPD")),
    )


def test_elm_of_fhir_gives_the_same_values() -> None:
    cases = [case for topic in TOPICS.values() for case in topic]
    text = HEAD + "\n".join(
        f"define C{n}: {case}" for n, (case, _) in enumerate(cases) if "Patient." not in case
    )
    library = cql.compile(text)
    document = json.dumps(library.to_elm(), default=lambda d: float(d) if d % 1 else int(d))
    assert repr(cql.load_elm(document).evaluate_all(**GIVEN)) == repr(library.evaluate_all(**GIVEN))


def test_elm_includes_the_helpers_that_the_text_left_out() -> None:
    text = "using FHIR version '4.0.1' context Patient define X: Patient.gender = 'female'"
    library = cql.compile(text)
    includes = library.to_elm()["library"]["includes"]["def"]
    assert includes == [{"localIdentifier": "FHIRHelpers", "path": "FHIRHelpers", "version": "4.0.1"}]
    assert cql.load_elm(library.to_elm()).evaluate("X", **GIVEN) is True


def test_the_model_is_that_of_the_definitions() -> None:
    """After a change of the definitions: python -m profiles.modelinfo."""
    assert modelinfo.TARGET.read_text(encoding="utf-8") == modelinfo.table()
    assert modelinfo.COMPARTMENTS.read_text(encoding="utf-8") == modelinfo.compartments()
