"""Random expressions and damaged text: a CompileError, an EvaluationError or a value, and nothing else."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import fhirpath
from rules.fhirpath.registry import CALLS, VALUES

SUITES = Path(os.environ.get("VARDE_SUITES", Path(__file__).parents[3] / "shared" / "suites"))
ENVIRONMENT = fhirpath.Environment(
    now="2026-11-21T10:00:00.000+01:00",
    resolve=lambda text: PATIENT if text == "Patient/1" else None,
    member_of=lambda code, canonical: True,
    conforms_to=lambda item, canonical: None,
    subsumes=lambda left, right: False,
    trace=lambda name, items: None,
)
PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "active": True,
    "name": [
        {"family": "A", "given": ["B", None], "_given": [None, {"id": "x"}]},
        {"period": {"start": "2020"}},
    ],
    "birthDate": "1974-12-25",
    "_birthDate": {"extension": [{"url": "u", "valueDateTime": "1974-12-25T14:35:45-05:00"}]},
    "multipleBirthInteger": 2,
    "contained": [
        {"resourceType": "Observation", "id": "o", "valueQuantity": {"value": Decimal("1.50"), "code": "kg"}}
    ],
    "extension": [
        {"url": "u", "valueQuantity": {"value": 3, "unit": "mg"}},
        {"url": "v", "valueString": "x"},
    ],
    "link": [{"other": {"reference": "Patient/1"}}, {"other": {"reference": "#o"}}],
}
TERMS = [
    *("{}", "true", "1", "2147483647", "3L", "0.5", "'text'", "''", "3 'mg'", "2 days", "$this", "$index"),
    *("@2026", "@2026-11-21", "@2026-11T", "@2026-11-21T10:00:00.000+01:00", "@T10:30", "now()", "today()"),
    *("name", "name.given", "birthDate", "active", "multipleBirth", "contained", "contained.value", "id"),
    *(
        "extension.value",
        "link.other",
        "link.other.resolve()",
        "%resource",
        "%context",
        "%rootResource",
        "%x",
    ),
    *(
        "(1 | 'a' | 2)",
        "(name | birthDate)",
        "children()",
        "descendants()",
        "name.type()",
        "Patient",
        "Observation",
    ),
    *(
        "Quantity",
        "string",
        "System.String",
        "name.period.start",
        "name.given.first()",
        "birthDate.extension('u')",
    ),
]
INFIX = [*("=", "!=", "~", "!~", "<", "<=", ">", ">=", "+", "-", "*", "/", "&", "|"), *("in", "contains")]
INFIX += ["div", "mod", "and", "or", "xor", "implies", "is", "as"]
FUNCTIONS = sorted({*CALLS, *VALUES})

expressions = st.recursive(
    st.sampled_from(TERMS),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(INFIX), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        st.tuples(st.sampled_from("+-"), inner).map(lambda x: f"({x[0]}{x[1]})"),
        st.tuples(inner, st.sampled_from(FUNCTIONS), st.lists(inner, max_size=2)).map(
            lambda x: f"({x[0]}).{x[1]}({', '.join(x[2])})"
        ),
        st.tuples(st.sampled_from(FUNCTIONS), st.lists(inner, max_size=2)).map(
            lambda x: f"{x[0]}({', '.join(x[1])})"
        ),
        st.tuples(inner, inner).map(lambda x: f"{x[0]}[{x[1]}]"),
        st.tuples(inner, inner).map(lambda x: f"({x[0]}).where({x[1]}).select({x[0]})"),
        st.tuples(inner, st.sampled_from(["value", "given", "family", "id", "extension", "foo"])).map(
            ".".join
        ),
    ),
    max_leaves=7,
)


def evaluate(text: str, strict: bool = False) -> None:
    try:
        expression = fhirpath.compile(text, "Patient", strict)
    except fhirpath.CompileError as error:
        assert error.diagnostics and "literal" not in str(error)
        return
    for way in (expression, expression.typed, expression.holds):
        try:
            way(PATIENT, ENVIRONMENT, x=[1, PATIENT])
        except fhirpath.EvaluationError as error:
            assert not str(error).startswith("the data are not"), (repr(error.__cause__), text)


def outcome(text: str, type: str) -> object:
    try:
        items = fhirpath.compile(text, type).typed(PATIENT, ENVIRONMENT, x=[1, PATIENT])
    except fhirpath.CompileError:
        return "no expression"
    except fhirpath.EvaluationError:
        return "an error"
    return [(i.type, i.value, i.extra) if isinstance(i, fhirpath.Element) else i for i in items]


@settings(max_examples=250, deadline=None, derandomize=True)
@given(expressions)
def test_what_is_known_of_the_types_changes_nothing(text: str) -> None:
    """Compiled for a Patient, and for any resource, where all types are found out when it runs.

    What cannot give anything is not evaluated where that is known, and so does not fail.
    """
    known = outcome(text, "Patient")
    found = outcome(text, "Resource")
    if "no expression" not in (known, found) and (known, found) != ([], "an error"):
        assert found == known, text


@pytest.mark.filterwarnings("error::SyntaxWarning")
@settings(max_examples=250, deadline=None, derandomize=True)
@given(expressions, st.booleans())
def test_any_expression_compiles_and_runs_or_says_why_not(text: str, strict: bool) -> None:
    evaluate(text, strict)


def test_damaged_text_is_a_compile_error_or_runs() -> None:
    """Text of the suite with characters taken out, put in and exchanged, always the same."""
    random = Random(20261121)
    path = SUITES / "fhirpath-r4" / "tests-fhir-r4.xml"
    texts = (
        [e.text or "" for e in ElementTree.parse(path).getroot().iter("expression")]
        if path.is_file()
        else TERMS
    )
    letters = "()[]{}<>=!~+-*/&|.,:'\"`@$%\\ \n0T aZ\u00e9\ud800"
    for _ in range(500):
        evaluate(damaged(random, random.choice(texts), letters))


def damaged(random: Random, text: str, letters: str) -> str:
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(["", random.choice(letters)]) + text[at + random.randint(0, 2) :]
    return text


@pytest.mark.parametrize("seed", range(4))
def test_data_of_any_shape_are_an_error_at_most(seed: int) -> None:
    """JSON where FHIR has something else: only an EvaluationError, for every function."""
    random = Random(seed)
    odd = [None, 1, "x", True, [], {}, [None], [[1]], {"value": {}}, [{"given": 3}], Decimal("NaN")]
    for function in FUNCTIONS:
        for text in (f"name.given.{function}()", f"birthDate.{function}('x')", f"name.{function}(1)"):
            try:
                expression = fhirpath.compile(text)
            except fhirpath.CompileError:
                continue
            data = {"resourceType": "Patient", "name": random.choice(odd), "birthDate": random.choice(odd)}
            try:
                expression(data, ENVIRONMENT)
            except fhirpath.EvaluationError:
                continue
