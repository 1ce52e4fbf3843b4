"""SNOMED CT's expression constraints: what is one and what is not, by the grammar."""

from __future__ import annotations

import pytest

from terminology.ecl import wrong_with


@pytest.mark.parametrize(
    "text",
    [
        "404684003",
        " << 404684003 |Clinical finding| ",
        "*",
        "^ 700043003",
        "^ [referencedComponentId, mapTarget] 700043003",
        "!!> (< 404684003)",
        "loinc#54486-6",
        "< 19829001 AND < 301867009 , < 404684003",
        "< 19829001 or < 301867009 OR <<! 404684003",
        "(< 19829001 OR < 301867009) AND ^ 700043003",
        "< 19829001 MINUS << 301867009",
        "<< 404684003 /* of all kinds */ . 363698007 . 127489000",
        "< 19829001 |Disorder of lung| : 116676008 |Associated morphology| = 79654002 |Edema|",
        "< 404684003 : {363698007 = << 39057004, 116676008 = << 415582006}, [1..*] 127489000 = < 105590001",
        "< 404684003 : (363698007 = << 39057004 OR 116676008 = *) AND 255234002 = *",
        "< 404684003 : R 363698007 = < 1234567 OR (< 363698007) != 39057004",
        '< 27658006 : 1142135004 >= #250, 774160008 = true, 774158006 != "x\\"y"',
        '< 64572001 {{ D term = ("heart" "att"), language = en }} {{ C active = true }}',
        "<< 195967001 {{ +HISTORY-MOD }}",
    ],
)
def test_an_expression(text):
    assert wrong_with(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("234234 << 234234", "at character 8"),
        ("", "a concept is expected at its end"),
        ("<<", "a concept"),
        ("12", "a concept"),
        ("heart attack", "a concept"),
        ("404684003 |Clinical finding", "at character 11"),
        ("404684003 ; 404684003", "at character 11"),
        ("(404684003", "')' is expected"),
        ("404684003)", "an operator, or the end"),
        ("404684003 AND", "a concept"),
        ("404684003 AND 19829001 OR 404684003", "an operator, or the end"),
        ("404684003 MINUS 19829001 MINUS 404684003", "an operator, or the end"),
        ("< 404684003 :", "a concept"),
        ("< 404684003 : 363698007", "a comparison"),
        ("< 404684003 : {363698007 = 404684003", "'}'"),
        ("< 404684003 : [1..x] 363698007 = 404684003", "a number"),
        ("< 404684003 : [1] 363698007 = 404684003", "'..'"),
        ("404684003 {{ term = }", "a filter is expected at character 21"),
        ("404684003 {{", "a filter"),
        ("404684003 {{ }}", "a filter"),
        ("^ [x y 700043003", "the name of a field"),
        ("(" * 60 + "404684003" + ")" * 60, "nested more than 50"),
        ("< 404684003 : " + "(" * 60 + "363698007 = *" + ")" * 60, "nested more than 50"),
        ("*" * 20_000, "10000 characters"),
    ],
)
def test_no_expression(text, reason):
    assert reason in wrong_with(text)
