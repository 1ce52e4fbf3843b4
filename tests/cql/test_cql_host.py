"""What an evaluation is given by its host: external functions, code systems, subsumption, messages."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.runtime.context import Message
from rules.runtime.temporal import Date
from rules.runtime.values import Code, CodeSystem

TEXT = """library Host using FHIR version '4.0.1' include FHIRHelpers version '4.0.1'
codesystem S: 'urn:s' codesystem T: 'urn:t'
define function Twice(x Decimal) returns Decimal: external
define function Named(p FHIR.Patient) returns String: external
define function Sizes(a List<Integer>, b String) returns List<Integer>: external
define fluent function plus(d Date, n Integer) returns Date: external
context Patient
define Number: Twice(2) + 1
define Name: Named(Patient)
define Lists: Sizes({1, 2}, null)
define Moved: @2026-11-21.plus(2)
define InS: Code 'a' from S in S
define InT: Code 'a' from T in T
define Whole: Subsumes(Code 'a' from S, Code 'b' from S)
define Part: SubsumedBy(Code 'a' from S, Code 'b' from S)
define Self: Subsumes(Code 'a' from S, Code 'a' from S)
define None: Subsumes(null as Code, Code 'a' from S)
define Concepts: Subsumes(Concept { codes: { Code 'x' from S, Code 'a' from S } }, Code 'b' from S)
define Warned: Message(5, 1 = 1, 'w1', 'Warning', 'look')
define Quiet: Message(5, false, 'w1', 'Warning', 'look')
define Failed: Message(5, true, 'e1', 'Error', 'stop')
"""
LIBRARY = cql.compile(TEXT)
PATIENT = {"resourceType": "Patient", "id": "p", "name": [{"family": "Nordmann"}]}


def value(name: str, **given: Any) -> Any:
    return LIBRARY.evaluate(name, resources=[PATIENT], now="2026-11-21T10:00:00.000+01:00", **given)


def test_external_functions_are_called() -> None:
    given: dict[str, Any] = {
        "Twice": lambda x: x * 2,
        "Host.Named": lambda p: p["name"][0]["family"],
        "Named": None,  # the library's own comes first
        "Sizes": lambda a, b: [*a, len(b or "")],
        "plus": lambda d, n: Date((*d.fields[:2], d.fields[2] + n)),
    }
    assert value("Number", functions=given) == Decimal(5)
    assert value("Name", functions=given) == "Nordmann"
    assert value("Lists", functions=given) == [1, 2, 0]
    assert value("Moved", functions=given) == Date((2026, 11, 23))


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({}, "Twice was not given"),
        ({"Twice": lambda x: str(x)}, "Twice gave a value that is not of type Decimal"),
        ({"Twice": lambda x: x / 0}, "Twice failed: DivisionByZero"),
        ({"Twice": lambda: 1}, "Twice failed: TypeError"),
    ],
)
def test_an_external_function_that_cannot_answer_is_an_error(functions: Any, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        value("Number", functions=functions)


def test_an_external_function_says_what_it_returns() -> None:
    with pytest.raises(CompileError, match="must say what it returns"):
        cql.compile("define function F(x Integer): external")


def test_external_functions_go_through_elm() -> None:
    again = cql.load_elm(LIBRARY.to_elm())
    assert again.evaluate("Number", functions={"Twice": lambda x: x * 2}) == Decimal(5)


def test_code_systems_are_given_by_url_or_as_a_function() -> None:
    assert value("InS", codesystems={"urn:s": {"a", "b"}}) is True
    assert value("InS", codesystems={"urn:s": ["b"]}) is False
    with pytest.raises(EvaluationError, match="urn:t is not known"):
        value("InT", codesystems={"urn:s": {"a"}})

    def known(code: str, system: CodeSystem) -> bool | None:
        return code == "a" if system.id == "urn:t" else None

    assert value("InT", codesystems=known) is True


def test_subsumption_is_asked_of_the_host_and_null_without() -> None:
    def subsumes(left: Code, right: Code) -> bool | None:
        return (left.code, right.code) == ("a", "b")

    assert [value(name) for name in ("Whole", "Part", "Self", "None", "Concepts")] == [
        None,
        None,
        True,
        None,
        None,
    ]
    found = [value(name, subsumes=subsumes) for name in ("Whole", "Part", "Self", "None", "Concepts")]
    assert found == [True, False, True, None, True]


def test_messages_go_to_the_host() -> None:
    seen: list[Message] = []
    assert value("Warned", message=seen.append) == 5 == value("Quiet", message=seen.append)
    assert seen == [Message("w1", "Warning", "look", 5)]
    with pytest.raises(EvaluationError, match="e1: stop"):
        value("Failed", message=seen.append)
