"""What each definition of a library asks of the data."""

import pytest

from rules import cql
from rules.emit.retrieve import merged

COMMON = """
library Common version '1'
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1'
valueset "COPD": 'http://example.org/copd'
context Patient
define Ill: exists [Condition: "COPD"]
define Other: [Encounter]
"""
TEXT = """
library Two version '1'
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1'
include Common version '1' called Common
codesystem "LOINC": 'http://loinc.org'
valueset "Severe": 'http://example.org/severe'
code "SpO2": '59408-5' from "LOINC"
code "Weight": '29463-7' from "LOINC"
context Patient
define function Of(things List<FHIR.Observation>): Last(things O where O.status = 'final')
define "Saturations": [Observation: "SpO2"]
define "Low": (Of("Saturations").value as FHIR.Quantity) < 90 '%' and Common.Ill
define "Heavy": exists ([Observation: "Weight"] O where exists ([Condition] C where C.code in "Severe"))
define "None": 1 + 1
"""


def needed(name: str) -> tuple[list[tuple[str, str | None]], list[str]]:
    needs = cql.needs(cql.compile(TEXT, {"Common": COMMON}), name)
    return sorted((r.type, r.path) for r in needs.retrieves), sorted(v.id for v in needs.valuesets)


def test_a_definition_needs_what_it_comes_to_and_nothing_else() -> None:
    assert needed("None") == ([], [])
    assert needed("Saturations") == ([("Observation", "code")], [])
    assert needed("Low") == ([("Condition", "code"), ("Observation", "code")], ["http://example.org/copd"])
    assert needed("Heavy") == ([("Condition", None), ("Observation", "code")], ["http://example.org/severe"])


def test_all_definitions_together_need_what_the_library_retrieves() -> None:
    library = cql.compile(TEXT, {"Common": COMMON})
    every = [retrieve for name in library.defines for retrieve in cql.needs(library, name).retrieves]
    assert {*merged(every)} < {*library.retrieves}  # Common.Other is nobody's


def test_there_is_no_such_definition() -> None:
    with pytest.raises(KeyError):
        needed("Nothing")


def test_the_steps_of_an_evaluation_are_limited() -> None:
    library = cql.compile(
        "library L define Many: Count((expand { Interval[1, 1000] }) I return all Tuple{at: I})"
    )
    assert library.evaluate("Many", steps=2000) == 1000
    with pytest.raises(cql.EvaluationError, match="more than 10 steps"):
        library.evaluate("Many", steps=10)
