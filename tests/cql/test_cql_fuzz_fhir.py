"""Random CQL over FHIR paths, and over data that are not as FHIR says: a value or one of the two errors.

VARDE_FUZZ=100000 runs so many instead of a few.
"""

from __future__ import annotations

import os
from contextlib import suppress
from random import Random
from typing import Any

import pytest

from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.model import r4
from rules.typed.model import Models
from rules.typed.types import ChoiceOf, ListOf, Named, Type
from tests.cql.fhir_data import GIVEN, HEAD, RESOURCES

MANY = int(os.environ.get("VARDE_FUZZ", "250"))
MODELS = Models()
MODELS.by_name["FHIR"] = r4.model()

SOURCES = {
    "Patient": Named("FHIR", "Patient"),
    "Latest": Named("FHIR", "Observation"),
    "Dosage": Named("FHIR", "Dosage"),
    "First([Condition])": Named("FHIR", "Condition"),
    "First([Encounter])": Named("FHIR", "Encounter"),
    "[Observation]": ListOf(Named("FHIR", "Observation")),
    "([Condition] union [MedicationRequest])": ListOf(Named("FHIR", "Condition")),
    "Readings": ListOf(Named("FHIR", "Observation")),
}
VALUES = [
    *(
        "null",
        "5",
        "2.5",
        "'final'",
        "'x'",
        "5 'mg'",
        "88 '%'",
        "@2026-11-21",
        "@2026-11T",
        "Now()",
        "true",
        "@T10",
    ),
    *(
        "Interval[@2026-01-01, @2026-12-31]",
        "Interval[Now() - 1 year, Now()]",
        '"SpO2"',
        '"COPD"',
        '"Either"',
        "{1, 2}",
    ),
]
INFIX = [
    *(
        "=",
        "!=",
        "~",
        "!~",
        "<",
        "<=",
        ">",
        ">=",
        "+",
        "-",
        "*",
        "/",
        "&",
        "and",
        "or",
        "in",
        "contains",
        "union",
    ),
    *(
        "intersect",
        "except",
        "before",
        "after",
        "during",
        "includes",
        "overlaps",
        "same day as",
        "starts",
        "ends",
    ),
    *("3 days or less before", "within 2 days of", "in day of", "on or after month of", "properly includes"),
]
WRAPPED = [
    *(
        "exists {}",
        "not {}",
        "{} is null",
        "start of {}",
        "end of {}",
        "width of {}",
        "date from {}",
        "year from {}",
    ),
    *(
        "Count({})",
        "First({})",
        "Last({})",
        "Sum({})",
        "Max({})",
        "Avg({})",
        "Coalesce({}, null)",
        "ToString({})",
    ),
    *(
        "singleton from {}",
        "distinct {}",
        "flatten {}",
        "collapse {}",
        "expand {} per day",
        "Length({})",
        "-{}",
    ),
    *(
        "{}.extension",
        "{}.id",
        "{}.value",
        "{}.ofType(Quantity)",
        "{}.where($this is not null)",
        "Descendents({})",
    ),
    *("{} as Quantity", "{} as dateTime", "{} is FHIR.string", "cast {} as Period", "convert {} to String"),
    *(
        "FHIRHelpers.ToValue({})",
        "{}.hasValue()",
        "{}.extension('urn:a')",
        "(({}) A return A)",
        "(({}) A sort desc)",
    ),
    *(
        "(({}) A return all A sort by value)",
        "[{} -> Observation]",
        "Tuple {{ a: {} }}.a",
        "{{ {} }}",
        "{}[0]",
    ),
    *(
        "Observation {{ value: {} }}",
        "FHIR.Quantity {{ value: {} }}",
        "(({}) A aggregate R starting 0: R + 1)",
    ),
    *(
        "(from ({}) A, [Encounter] E where A = E return A)",
        "({}) A with [Observation] B such that B.value = A",
        "AgeInYearsAt({})",
    ),
]


def path(random: Random) -> str:
    """A walk along the elements that there are, and now and then one that is not."""
    text, type_ = random.choice(list(SOURCES.items()))
    for _ in range(random.randint(0, 4)):
        name, following = step(random, type_)
        if not name:
            break
        text, type_ = f"{text}.{name}", following
    return text


def step(random: Random, type_: Type) -> tuple[str, Type]:
    while isinstance(type_, ListOf | ChoiceOf):
        type_ = type_.element if isinstance(type_, ListOf) else random.choice(type_.options)
    assert isinstance(type_, Named)
    known: dict[str, Type] = {}
    for at in MODELS.ancestors(type_):
        if at.model == "FHIR":
            known |= r4.model().classes[at.name].elements
    if not known or random.random() < 0.03:
        return ("nothing", type_) if random.random() < 0.1 else ("", type_)
    return random.choice(list(known.items()))


def expression(random: Random, depth: int = 0) -> str:
    chance = random.random()
    if depth > 3 or chance < 0.3:
        return path(random) if random.random() < 0.7 else random.choice(VALUES)
    if chance < 0.6:
        return random.choice(WRAPPED).format(f"({expression(random, depth + 1)})")
    if chance < 0.9:
        return f"({expression(random, depth + 1)} {random.choice(INFIX)} {expression(random, depth + 1)})"
    parts = [expression(random, depth + 1) for _ in range(3)]
    return f"(if ({parts[0]}) is null then {parts[1]} else {parts[2]})"


def evaluated(text: str, resources: Any) -> bool:
    """Whether it could be compiled."""
    try:
        library = cql.compile(f"{HEAD}\ndefine X: {text}")
    except CompileError as error:
        assert error.diagnostics
        return False
    try:
        library.evaluate("X", **{**GIVEN, "resources": resources})
    except EvaluationError as error:
        assert not str(error).startswith("internal error"), f"{text}: {error.__cause__!r}"
    return True


def test_random_expressions_over_fhir() -> None:
    random = Random(int(os.environ.get("VARDE_SEED", "20261121")))
    compiled = sum(evaluated(expression(random), RESOURCES) for _ in range(MANY))
    assert compiled > MANY / 10  # else nothing is tried


def damaged(random: Random, value: Any) -> Any:
    """Data with parts taken out and exchanged for others."""
    if random.random() < 0.03:
        return random.choice([None, "x", 5, True, [], {}, "2026", [None], {"value": "x"}])
    if isinstance(value, dict):
        kept = {name: damaged(random, item) for name, item in value.items() if random.random() > 0.02}
        return {**kept, "resourceType": value["resourceType"]} if "resourceType" in value else kept
    return [damaged(random, item) for item in value] if isinstance(value, list) else value


PROBES = [
    "Latest.value > 90 '%'",
    "[Observation] O where O.effective before Now() return O.value",
    "Patient.name.given.extension.url",
    '[Observation: "SpO2"] O sort by (effective as dateTime).value',
    'exists ([Condition] C where C.code in "COPD")',
    "Dosage.timing.repeat.bounds overlaps Interval[Now(), Now() + 1 day]",
    "[Encounter] E return E.period",
    "Descendents(Patient)",
    "Patient.birthDate.extension('urn:time').value",
    "AgeInYearsAt(@2026-11-21)",
]


@pytest.mark.parametrize("text", PROBES)
def test_data_that_are_not_as_fhir_says(text: str) -> None:
    random = Random(7)
    library = cql.compile(f"{HEAD}\ndefine X: {text}")
    for _ in range(max(20, MANY // 100)):
        resources = [damaged(random, resource) for resource in RESOURCES]
        with suppress(EvaluationError):  # a fault inside, for what is not FHIR, is the one error as well
            library.evaluate("X", **{**GIVEN, "resources": [r for r in resources if isinstance(r, dict)]})
