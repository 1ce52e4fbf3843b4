"""Random expressions and damaged text: a CompileError, an EvaluationError or a value, and nothing else."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.typed.signatures import TABLE

NOW = "2026-11-21T10:00:00.000+00:00"
SUITES = Path(os.environ.get("VARDE_SUITES", Path(__file__).parents[3] / "shared" / "suites"))
TERMS = [
    *("null", "true", "1", "-2147483648", "2L", "0.5", "'text'", "''", "3 'mg'", "2 days", "1 'g':2 'mL'"),
    *("@2026", "@2026-11-21", "@2026-11T", "@2026-11-21T10:00:00.000+01:00", "@T10:30", "Now()", "Today()"),
    *("Interval[1, 5)", "Interval[null, null]", "Interval[@2026-01-01, null)", "Interval[1 'g', 2 'g']"),
    *(
        "{}",
        "{1, 2, 2, null}",
        "{'a', 1}",
        "{{1}, {2, 3}}",
        "{Interval[1, 2], Interval[2, 9]}",
        "{@2026, @2025}",
    ),
    *("Tuple { a: 1, b: 'x' }", "Tuple { a: null }", "Code { code: 'c' }", "minimum Integer", "maximum Date"),
    "days between @2026-01 and @2026-02",
]
INFIX = [
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
    "div",
    "mod",
    "^",
    "&",
    "and",
    "or",
    "xor",
    "implies",
    "in",
    "contains",
    "union",
    "intersect",
    "except",
    "includes",
    "during",
    "before",
    "after",
    "overlaps",
    "meets",
    "starts",
    "ends",
] + ["same day as", "on or after", "properly includes", "3 days or less before", "within 2 days of"]
PREFIX = [
    "not",
    "exists",
    "distinct",
    "flatten",
    "collapse",
    "expand",
    "start of",
    "end of",
    "width of",
    "successor of",
    "singleton from",
    "point from",
    "year from",
    "date from",
    "duration in days of",
    "-",
]
POSTFIX = [
    "is null",
    "is not true",
    "is Integer",
    "as String",
    "is Interval<Integer>",
    "as Choice<Integer, String>",
]

terms = st.sampled_from(TERMS)
expressions = st.recursive(
    terms,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(INFIX), inner).map(lambda x: f"({x[0]} {x[1]} {x[2]})"),
        st.tuples(st.sampled_from(PREFIX), inner).map(lambda x: f"({x[0]} {x[1]})"),
        st.tuples(inner, st.sampled_from(POSTFIX)).map(lambda x: f"({x[0]} {x[1]})"),
        st.tuples(st.sampled_from(sorted(TABLE)), st.lists(inner, max_size=3)).map(
            lambda x: f"{x[0]}({', '.join(x[1])})"
        ),
        st.tuples(inner, inner, inner).map(lambda x: f"(if {x[0]} then {x[1]} else {x[2]})"),
        st.tuples(inner, inner).map(lambda x: f"({x[0]} Q where Q = {x[1]} return all Q sort desc)"),
        st.tuples(inner, inner).map(lambda x: f"Interval[{x[0]}, {x[1]})"),
    ),
    max_leaves=6,
)


def evaluated(library: cql.Library) -> str:
    try:
        return repr(library.evaluate("X", now=NOW))
    except EvaluationError as error:
        assert not str(error).startswith("internal error"), repr(error.__cause__)
        return "EvaluationError"


@settings(max_examples=300, deadline=None, derandomize=True)
@given(expressions)
def test_any_expression_compiles_or_says_why_not_and_elm_agrees(text: str) -> None:
    try:
        library = cql.compile(f"define X: {text}")
    except CompileError as error:
        assert error.diagnostics
        return
    again = cql.load_elm(json.dumps(library.to_elm(), default=str))
    assert evaluated(again) == evaluated(library)


def test_damaged_text_is_a_compile_error_or_runs() -> None:
    """Text of the suite with characters taken out, put in and exchanged, always the same."""
    random = Random(20261121)
    path = SUITES / "cql" / "expected.json"
    texts = [test["expr"] for test in json.loads(path.read_text())] if path.is_file() else TERMS
    letters = "()[]{}<>=!~+-*/^&|.,:'\"`@$%\\ \n0T aZ\u00e9\ud800"
    for _ in range(600):
        evaluate(damaged(random, random.choice(texts), letters))


def damaged(random: Random, text: str, letters: str) -> str:
    for _ in range(random.randint(1, 4)):
        at = random.randrange(len(text) + 1)
        text = text[:at] + random.choice(["", random.choice(letters)]) + text[at + random.randint(0, 2) :]
    return text


def evaluate(text: str) -> Any:
    try:
        library = cql.compile(f"define X: {text}")
    except CompileError:
        return None
    return evaluated(library)
