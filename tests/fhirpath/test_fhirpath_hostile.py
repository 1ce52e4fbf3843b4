"""Expressions that want to get out, to take all memory, or never to end."""

from __future__ import annotations

import time
import traceback

import pytest

from rules import fhirpath
from rules.fhirpath import CompileError, EvaluationError

PATIENT = {
    "resourceType": "Patient",
    "name": [{"family": str(k), "given": ["a", "b"]} for k in range(30)],
    "birthDate": "1974-12-25",
}
DEEP = 10_000


@pytest.mark.parametrize(
    "text",
    [
        "(" * DEEP + "1" + ")" * DEEP,
        "-" * DEEP + "1",
        "name" + ".where(name" * DEEP + ")" * DEEP,
        "iif(true, " * DEEP + "1" + ", 2)" * DEEP,
        "name" + "[0]" * DEEP,
        "name" + ".first()" * DEEP,
        "a" + ".a" * DEEP,
        "1" + " + 1" * DEEP,
        "1 in " * DEEP + "1",
        "'" * DEEP,
        "`" * DEEP + "`",
        "{" * DEEP,
        "not()." * DEEP + "not()",
        "name.select(" * 79 + "given" + ")" * 79,
        "name.where(exists(" * 39 + "given" + "))" * 39,
    ],
    ids=range(15),
)
def test_ten_thousand_levels_are_refused_or_run_at_once(text):
    begun = time.process_time()
    try:
        fhirpath.compile(text)(PATIENT)
    except (CompileError, EvaluationError) as error:
        assert str(error)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("operator", ["and", "or", "|"])
def test_long_chains_of_what_is_associative_have_no_limit(operator):
    text = f" {operator} ".join(["active.exists()"] * 1500)
    assert fhirpath.compile(text)(PATIENT) == [False]


NASTY = [
    "'); import os; os.abort() #",
    '"""',
    "\\'",
    "\n    raise SystemExit\n",
    "{0.__class__}",
    "%s%n",
    "\u2028\u0000\ud800",
    "v0",
    "]; c.environment = None #",
]


@pytest.mark.parametrize("nasty", NASTY)
def test_text_stays_a_constant(nasty):
    quoted = nasty.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    assert fhirpath.compile(f"'{quoted}'")(PATIENT) == [nasty]
    assert fhirpath.compile(f"name.where(family = '{quoted}').given")(PATIENT) == []
    assert fhirpath.compile(f"'{quoted}' & 'x'")(PATIENT) == [nasty + "x"]
    assert fhirpath.compile(f"extension('{quoted}').exists()")(PATIENT) == [False]


@pytest.mark.parametrize("nasty", NASTY)
def test_names_stay_constants(nasty):
    quoted = nasty.replace("\\", "\\\\").replace("`", "\\`").replace("\n", "\\n")
    assert fhirpath.compile(f"`{quoted}`.name")(PATIENT) == []
    assert fhirpath.compile(f"children().`{quoted}`")(PATIENT) == []
    assert fhirpath.compile(f"%`{quoted}`")(PATIENT, **{nasty: 7}) == [7]
    assert fhirpath.compile(f"defineVariable('{quoted[:3].strip(chr(39) + chr(92))}', 7).birthDate")(PATIENT)
    with pytest.raises(CompileError):
        fhirpath.compile(f"name is `{quoted}`")
    with pytest.raises(CompileError):
        fhirpath.compile(f"`{quoted}`()")


def test_hostile_names_in_the_data_are_not_looked_at():
    data = {**PATIENT, "__class__": [{}], "_": 1, "": {}, "'": [1], "name'": 2}
    assert fhirpath.compile("children().count()")(data) == [31]


@pytest.mark.parametrize(
    "text",
    [
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('(a+)+$')",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matches('^(a|a)*$')",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.matchesFull('(.*)*(.*)*x')",
        "'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'.replaceMatches('(a*)*$', 'x')",
        "'x'.matches('(')",
        "'x'.replaceMatches('x', '$9')",
        "(1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9).aggregate($total & $total & $total & $total & $total & $total, 'aaaaaaaa')",
        "name.aggregate($total.combine($total).combine($total), name)",
        "name.select(%resource.name.select(%resource.name.select(%resource.name.select(%resource.name.select($this)))))",
        "name.where(%resource.name.all(%resource.name.all(%resource.name.all(%resource.name.all(true)))))",
        "name.repeat(%resource.name.repeat(%resource.name.repeat(%resource.name.repeat(%resource.name))))",
        "name.repeat($this.combine($this)).count()",
        "(1).repeat($this + 1)",
        "('x').repeat($this & 'x').count()",
        "'x'.replace('', 'aaaaaaaaaa').replace('', 'aaaaaaaaaa').replace('', 'aaaaaaaaaa').replace('', 'aaaaaaaaaa')"
        + ".replace('', 'aaaaaaaaaa').replace('', 'aaaaaaaaaa').replace('', 'aaaaaaaaaa').length()",
        "2.power(2147483647)",
        "1000000.0.exp()",
        "0.0001.power(2147483647.0)",
        "2147483647 + 1",
        "-2147483647 - 2",
        "2147483647 * 2147483647",
        "99999999999999999999.0 * 99999999999999999999.0",
        "1 / 0 + 1 div 0 + 1 mod 0",
        "1.0 'g' / 0 'g'",
        "0.ln() | (-1).log(2) | (-1).sqrt() | (-1).power(0.5)",
        "@9999-12-31 + 1 day",
        "@0001-01-01 - 1 day",
        "@2026-01-01 + 99999999999999999999.0 years",
        "birthDate + 2147483647 'd'",
        "1.lowBoundary(2147483647)",
        "'99999999999999999999999999999'.toInteger()",
        "'1e999999999'.toDecimal()",
        "name[2147483647] | name[-1]",
        "name.skip(-5).take(2147483647).count()",
        "'x'.substring(2147483647, 2147483647) | 'x'.substring(0, -1)",
    ],
)
def test_what_would_run_away_ends_soon(text):
    begun = time.process_time()
    try:
        fhirpath.compile(text)(PATIENT)
    except EvaluationError as error:
        assert not str(error).startswith("the data are not"), repr(error.__cause__)
    assert time.process_time() - begun < 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 / 0", []),
        ("1 div 0", []),
        ("1.5 mod 0", []),
        ("2147483647 + 1", []),
        ("2147483647L + 1L", [2147483648]),
        ("2.power(31)", []),
        ("99999999999999999999.0 * 99999999999999999999.0", []),
        ("1.0 'g' / 0 'g'", []),
    ],
)
def test_what_cannot_be_represented_is_nothing(text, expected):
    assert fhirpath.compile(text)(PATIENT) == expected


def test_ways_through_choices_inside_of_choices_do_not_multiply():
    text = "extension.value.extension.value" * 1 + ".extension.value" * 5
    assert len(fhirpath.compile(text).python_source) < 5_000
    text = "iif(active, 1, 'a')" + ".select(iif(active, $this, $this))" * 12
    assert len(fhirpath.compile(text).python_source) < 100_000


def test_an_error_says_nothing_of_the_patient():
    with pytest.raises(EvaluationError) as caught:
        fhirpath.compile("name.family.single()")(PATIENT)
    assert "29" not in str(caught.value)


def test_a_traceback_shows_the_expression():
    with pytest.raises(EvaluationError) as caught:
        fhirpath.compile("name.exists() and\n  name.single().exists()")(PATIENT)
    frames = [
        f for f in traceback.extract_tb(caught.value.__traceback__) if f.filename.startswith("<fhirpath")
    ]
    assert [frame.line for frame in frames] == ["name.single().exists()"]
