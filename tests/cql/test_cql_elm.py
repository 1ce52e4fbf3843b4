"""ELM out and in again: the same library, the same values."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from rules import cql
from rules.cql import CompileError

NOW = "2026-11-21T10:00:00.000+00:00"
LIBRARY = """
library Elm version '1.0'
codesystem "S": 'urn:s' version '2'
valueset "V": 'urn:v' codesystems { "S" }
code "C": 'c' from "S" display 'see'
concept "Both": { "C" } display 'both'
parameter Limit Decimal default 2.5
parameter Span Interval<Date>
define Codes: "C" ~ "Both"
define Pairs: from ({1, 2, 3}) A, ({2L, 3L}) B let s: A + B with ({3}) T such that T = A where s > 3 return all s
define Sorted: ({Tuple { a: 1, b: 'x' }, Tuple { a: 2, b: 'y' }}) X sort by a desc, b
define Total: ({1, 2, 3}) N aggregate all R starting 0: R + N
define Case: case 2 when 1 then 'one' when 2 then 'two' else null end
define Span: Interval[1, 5] contains 2.5
define Names: ({Tuple { a: 1 }, Tuple { a: 2 }}).a
define Mixed: ({1, 'a', 2.5 'mg', 1:2, @T10:30}) X return all (if X is Integer then 'i' else X as String)
define Times: { @2026-11-21T10:00:00.0+01:30, DateTime(2026, 1, 1, 1, 1, 1, 1, 1.0), Now() }
define Least: minimum Integer
define Converted: convert '5' to Integer
define Within: @2026-11-20 within 3 days of Today()
define function Twice(x Decimal): x * 2
define Called: Twice(Limit)
"""


def encoded(library: cql.Library) -> str:
    return json.dumps(library.to_elm(), default=lambda number: float(number) if number % 1 else int(number))


def test_elm_gives_the_same_values() -> None:
    text = LIBRARY.replace("define Span:", 'define "Span 2":')
    library = cql.compile(text)
    again = cql.load_elm(encoded(library))
    assert (again.name, again.version, again.defines) == ("Elm", "1.0", library.defines)
    assert repr(again.evaluate_all(now=NOW)) == repr(library.evaluate_all(now=NOW))
    assert again.to_elm()["library"]["statements"]["def"][0]["name"] == "Codes"


def test_elm_names_its_parts_as_the_specification_does() -> None:
    elm = cql.compile("define A: 1 + 2\ndefine B: PositionOf('a', 'ba')").to_elm()["library"]
    assert elm["schemaIdentifier"] == {"id": "urn:hl7-org:elm", "version": "r1"}
    add, position = (definition["expression"] for definition in elm["statements"]["def"])
    assert add["type"] == "Add" and [x["value"] for x in add["operand"]] == ["1", "2"]
    assert add["operand"][0]["valueType"] == "{urn:hl7-org:elm-types:r1}Integer"
    assert (position["pattern"]["value"], position["string"]["value"]) == ("a", "ba")


def expression(document: dict[str, Any]) -> dict[str, Any]:
    definition = {"name": "X", "context": "Patient", "expression": document}
    return {"library": {"identifier": {"id": "L"}, "statements": {"def": [definition]}}}


def literal(value: str, type_: str = "Integer") -> dict[str, Any]:
    return {"type": "Literal", "valueType": f"{{urn:hl7-org:elm-types:r1}}{type_}", "value": value}


def test_elm_of_others_needs_no_result_types() -> None:
    document = {
        "type": "Add",
        "operand": [literal("-1"), {"type": "ToDecimal", "operand": literal("5", "String")}],
    }
    assert cql.load_elm(expression({"type": "Null"})).evaluate("X") is None
    assert cql.load_elm(expression(document)).evaluate("X") == Decimal(4)


@pytest.mark.parametrize(
    "document",
    [
        "no json",
        "{}",
        "[]",
        '{"library": 1}',
        expression({}),
        expression({"type": "Nothing"}),
        expression({"type": "Source", "expression": literal("1"), "alias": "A"}),
        expression({"type": "__class__"}),
        expression({"type": "Add", "operand": [literal("1"), literal("a", "String")]}),
        expression({"type": "Property", "path": "a b", "source": literal("1")}),
        expression({"type": "Retrieve", "dataType": "{http://hl7.org/other}Thing"}),
        expression({"type": "ExpressionRef", "name": "Missing"}),
    ],
)
def test_what_is_not_elm_is_a_compile_error(document: Any) -> None:
    with pytest.raises(CompileError):
        cql.load_elm(document)


def test_deep_elm_is_a_compile_error() -> None:
    document: dict[str, Any] = literal("1")
    for _ in range(10_000):
        document = {"type": "Negate", "operand": document}
    with pytest.raises(CompileError):
        cql.load_elm(expression(document))


def test_elm_spells_codes_and_types_as_other_engines_read_them() -> None:
    text = (
        "using FHIR version '4.0.1' codesystem S: 'urn:s' code A: 'a' from S concept C: { A } context Patient "
        "define X: [Observation: C] O return (First(O.component)) is FHIR.Observation.Component"
    )
    library = cql.compile(text)
    query = library.to_elm()["library"]["statements"]["def"][0]["expression"]
    codes = query["source"][0]["expression"]["codes"]
    assert (codes["type"], codes["path"], codes["source"]["type"]) == ("Property", "codes", "ConceptRef")
    specified = query["return"]["expression"]["isTypeSpecifier"]["name"]
    assert specified == "{http://hl7.org/fhir}Observation.Component"
    data = [
        {
            "resourceType": "Observation",
            "code": {"coding": [{"system": "urn:s", "code": "a"}]},
            "component": [{}],
        }
    ]
    assert cql.load_elm(library.to_elm()).evaluate("X", resources=data) == [True]
