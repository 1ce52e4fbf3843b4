"""From text to Python: precedence, diagnostics, hostile text, tracebacks, libraries that include others."""

from __future__ import annotations

import traceback
from decimal import Decimal
from typing import Any

import pytest

from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.language.parser import parse_expression
from rules.runtime.values import Long

NOW = "2026-11-21T10:00:00.000+00:00"


def value(text: str, **given: Any) -> Any:
    return cql.compile(f"define X: {text}").evaluate("X", now=NOW, **given)


def diagnostics(text: str) -> list[tuple[int, int, str]]:
    with pytest.raises(CompileError) as raised:
        cql.compile(text)
    return [(d.line, d.column, d.kind) for d in raised.value.diagnostics]


@pytest.mark.parametrize(
    ("written", "grouped"),
    [
        ("1 + 2 * 3 ^ 2", "1 + (2 * (3 ^ 2))"),
        ("-2 ^ 2", "(-2) ^ 2"),
        ("not a = b", "(not a) = b"),
        ("exists a and b", "(exists a) and b"),
        ("exists a union b", "(exists a) union b"),
        ("a or b and c", "a or (b and c)"),
        ("a implies b or c", "a implies (b or c)"),
        ("a = b and c < d", "(a = b) and (c < d)"),
        ("a between 1 and 2 and c", "(a between 1 and 2) and c"),
        ("start of a before b + 1 day", "(start of a) before (b + 1 day)"),
        ("a in b or c", "(a in b) or c"),
        ("if a then b else c + 1", "if a then b else (c + 1)"),
        ("days between a + 1 day and b = 3", "(days between (a + 1 day) and b) = 3"),
        ("a | b < c", "(a | b) < c"),
        ("distinct a union b", "distinct (a union b)"),
        ("a is null and b", "(a is null) and b"),
    ],
)
def test_operators_group_as_in_the_grammar(written: str, grouped: str) -> None:
    assert shape(parse_expression(written)) == shape(parse_expression(grouped))


def shape(node: Any) -> Any:
    """A syntax tree without places and parentheses."""
    if type(node).__name__ == "Parenthesised":
        return shape(node.expression)
    if isinstance(node, tuple):
        return tuple(shape(item) for item in node)
    if hasattr(node, "__dataclass_fields__"):
        fields = [name for name in node.__dataclass_fields__ if name != "at"]
        return (type(node).__name__, *(shape(getattr(node, name)) for name in fields))
    return node


def test_all_diagnostics_come_at_once_with_their_place() -> None:
    text = "define A: 1 + 'x' + true\ndefine B: Nope\ndefine C: (1\ndefine D: C2 + 1\ndefine E: @2014-13-01"
    assert diagnostics(text) == [
        (1, 13, "semantic"),
        (2, 11, "semantic"),
        (4, 1, "syntax"),
        (4, 11, "semantic"),
        (5, 11, "semantic"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "define A: A",
        "define A: B define B: A",
        "define function F(x Integer): F(x)",
        "define A: 1 define A: 2",
        "define A: 1 = 'a'",
        "define A: 2147483648",
        "define A: Tuple { a: 1, a: 2 }",
        "define A: Nothing(1)",
        "define A: (1).nothing()",
        "define A: 'a'.b",
        "define A: 5 as String",
        "define A: Interval[1, 'a']",
        "define A: [Observation]",
        "using QDM define A: 1",
        "include Missing define A: 1",
        "define function F(x Integer): external",
        "define A: 'a' ~ Tuple { b: 1 }",
        'define "a": \'unfinished',
        "define A: 1 §",
    ],
)
def test_what_is_wrong_is_a_compile_error(text: str) -> None:
    assert diagnostics(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 10_000 + "1" + ")" * 10_000,
        "not " * 10_000 + "true",
        "-" * 10_000 + "1",
        "1" + " + 1" * 10_000,
        "a" + ".b" * 10_000,
        "{" * 10_000,
        "if true then " * 10_000,
        "f(" * 10_000,
        "List<" * 10_000,
        "null as " + "List<" * 10_000,
        "1 is null" + " is null" * 10_000,
        "from " * 10_000,
        "case when " * 10_000,
        "Interval[" * 10_000,
    ],
)
def test_deep_nesting_is_a_compile_error(text: str) -> None:
    assert diagnostics(f"define A: {text}")


def test_long_chains_of_and_or_and_union_are_not_deep() -> None:
    assert value(" and ".join(["true"] * 5000)) is True
    assert value(" or ".join(["false"] * 5000)) is False
    assert len(value(" union ".join(f"{{{n}}}" for n in range(500)))) == 500


def test_many_definitions_may_build_on_each_other() -> None:
    lines = ["define D0: 1", *(f"define D{n}: D{n - 1} + 1" for n in range(1, 150))]
    assert cql.compile("\n".join(lines)).evaluate("D149") == 150


@pytest.mark.parametrize(
    "name",
    [
        "import os",
        "__class__",
        "x'); raise SystemExit('",
        '\\"\\\\',
        "a\\nb = 1",
        "é 🔥",
        "None",
        "c",
        "slots",
    ],
)
def test_names_never_become_code(name: str) -> None:
    library = cql.compile(
        f'define "{name}": Tuple {{ "{name}": 1 }}\n'
        f'define function "{name}"("{name}" Integer): "{name}" + 1\n'
        f'define Sum: "{name}"."{name}" + "{name}"(1) + First(({{2}}) "{name}" return "{name}")'
    )
    assert library.evaluate("Sum") == 5


@pytest.mark.parametrize(
    "text", ["\\'); import os #", "{}", "%s", "\\u0000", "\\ud800", "\\\\", "\\n\\r\\t", '\\"']
)
def test_strings_stay_constants(text: str) -> None:
    expected = text.encode().decode("unicode_escape") if "\\" in text else text
    assert value(f"'{text}'") == expected


def test_a_traceback_shows_the_line_of_the_cql() -> None:
    library = cql.compile("define A: 1\n\ndefine B:\n  Message(A, true, 'x', 'Error', 'boom')")
    with pytest.raises(EvaluationError) as raised:
        library.evaluate("B")
    shown = "".join(traceback.format_exception(raised.value))
    assert "line 4" in shown and "Message(A, true, 'x', 'Error', 'boom')" in shown


def test_the_source_is_python_and_always_the_same() -> None:
    text = "define A: 1\ndefine B: ({1, 2}) X where X > A return all X + 1"
    assert cql.compile(text).python_source == cql.compile(text).python_source == (
        "\n\ndef define_0_A(c):\n"
        "    slots = c.slots[LIBRARY]\n"
        "    value = slots[0]\n"
        "    if value is UNSET:\n"
        "        value = slots[0] = 1\n"
        "    return value\n"
        "\n\ndef define_1_B(c):\n"
        "    slots = c.slots[LIBRARY]\n"
        "    value = slots[1]\n"
        "    if value is UNSET:\n"
        "        t2 = [1, 2]\n"
        "        if t2 is None:\n"
        "            r1 = None\n"
        "        else:\n"
        "            r1 = []\n"
        "            c.work(len(t2))\n"
        "            h4 = UNSET\n"
        "            for x3 in t2:\n"
        "                if h4 is UNSET:\n"
        "                    h4 = define_0_A(c)\n"
        "                if not greater(x3, h4):\n"
        "                    continue\n"
        "                r1.append(add_integer(x3, 1))\n"
        "        value = slots[1] = c.measured(r1)\n"
        "    return value\n"
    )  # fmt: skip


def test_parameters_have_types_and_defaults() -> None:
    library = cql.compile(
        "parameter Limit Decimal default 90\nparameter Name String\ndefine A: Limit + 1\ndefine B: Name"
    )
    assert library.evaluate_all() == {"A": Decimal(91), "B": None}
    assert library.evaluate("A", parameters={"Limit": Decimal("1.5")}) == Decimal("2.5")
    assert library.evaluate("B", parameters={"Name": "x"}) == "x"


@pytest.mark.parametrize(
    "parameters",
    [{"Limit": "5"}, {"Limit": True}, {"limit": 5}, {"Name": 5}, {"Span": [1]}, {"Other.Limit": 5}],
)
def test_parameters_that_do_not_fit_are_an_error(parameters: dict[str, Any]) -> None:
    library = cql.compile(
        "parameter Limit Decimal parameter Name String parameter Span Interval<Date> define A: Limit"
    )
    with pytest.raises(EvaluationError):
        library.evaluate("A", parameters=parameters)
    assert library.evaluate("A", parameters={"Limit": 5}) == Decimal(5)


def test_libraries_include_others() -> None:
    common = (
        "library Common version '1' codesystem S: 'urn:s' code C: 'c' from S parameter P Integer default 2 "
        "define A: P * 2 define private Hidden: 1 define function Twice(x Integer): x * 2 "
        "define fluent function plus(x Integer, y Integer): x + y"
    )
    text = "library Main include Common version '1' called M define A: M.A + M.Twice(3) define B: M.C.code define D: (1).plus(2)"
    library = cql.compile(text, includes={"Common": common})
    assert library.evaluate_all() == {"A": 10, "B": "c", "D": 3}
    assert library.evaluate("A", parameters={"Common.P": 5}) == 16
    assert cql.compile(text, includes={"Common": cql.compile(common)}).evaluate("A") == 10
    with pytest.raises(CompileError, match="private"):
        cql.compile("include Common define A: Common.Hidden", includes={"Common": common})
    with pytest.raises(CompileError):
        cql.compile("include Common version '2' define A: 1", includes={"Common": common})
    with pytest.raises(CompileError):
        cql.compile(
            "library A include B define X: 1",
            includes={"B": "library B include A", "A": "library A include B"},
        )


def test_functions_are_chosen_by_type() -> None:
    text = "define function F(x Integer): 'i' define function F(x Decimal): 'd' define function F(x String): 's' "
    library = cql.compile(text + "define A: F(1) + F(1.0) + F('') + F(1L)")
    assert library.evaluate("A") == "idsd"


def test_a_definition_is_evaluated_once() -> None:
    seen: list[Any] = []
    text = "define A: Message(1, true, 'c', 'Trace', 't') define B: A + A + A"
    assert cql.compile(text).evaluate("B", message=seen.append) == 3
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@2014-01-10 3 days before @2014-01-13", True),
        ("@2014-01-09 3 days or more before @2014-01-13", True),
        ("@2014-01-11 3 days or more before @2014-01-13", False),
        ("@2014-01-10 3 days or less before @2014-01-13", True),
        ("@2014-01-13 3 days or less before @2014-01-13", False),
        ("@2014-01-13 3 days or less on or before @2014-01-13", True),
        ("@2014-01-10 less than 3 days before @2014-01-13", False),
        ("@2014-01-09 more than 3 days before @2014-01-13", True),
        ("@2014-01-16 3 days after @2014-01-13", True),
        ("@2014-01-16 within 3 days of @2014-01-13", True),
        ("@2014-01-16 properly within 3 days of @2014-01-13", False),
        ("@2014-01-17 within 3 days of @2014-01-13", False),
        ("@2014-01-17 within 3 days of (null as Date)", None),
        (
            "Interval[@2014-01-01, @2014-01-05] ends 2 days before start Interval[@2014-01-07, @2014-01-09]",
            True,
        ),
        (
            "Interval[@2014-01-01, @2014-01-05] starts before day of start Interval[@2014-01-07, @2014-01-09]",
            True,
        ),
        ("Interval[1, 5] starts during Interval[0, 2]", True),
        ("3 properly between 3 and 4", False),
        ("'a' & null & 'b'", "ab"),
        ("1 + 2L", Long(3)),
        ("case 3 when 1 then 'a' when 3 then 'c' else 'd' end", "c"),
        ("true implies null", None),
        ("({3, 1, 2}) X sort desc", [3, 2, 1]),
        (
            "({Tuple{a: 1, b: 2}, Tuple{a: 1, b: 1}}) X return X sort by a, b desc",
            [{"a": 1, "b": 2}, {"a": 1, "b": 1}],
        ),
        ("({1, 2, 3}) X with ({2, 3}) Y such that Y = X without ({3}) Z such that Z = X", [2]),
        ("from ({1, 2}) A, ({2, 3}) B let s: A + B where A < B return all s", [3, 4, 5]),
        ("({1, 2}) A, ({2, 3}) B where A = B return A", [2]),
        ("Coalesce(({null}) A return A, {1})", [None]),
        ("{({1}) A return A, ({2}) B return B}", [[1], [2]]),
        ("({1, 2}).where($this > 1)", [2]),
        ("({Tuple{a: {1}}, Tuple{a: {2, 3}}}).a", [1, 2, 3]),
        ("({1, 2.5}) X return X + 1", [Decimal(2), Decimal("3.5")]),
        ("Interval[1, 5] contains 2.5", True),
        ("(null as Choice<Integer, String>) is Integer", False),
        ("({1, 'a'}) X return X is String", [False, True]),
        ("CalculateAgeInYearsAt(@1980-02-29, @2026-02-27)", 45),
    ],
)
def test_expressions(text: str, expected: Any) -> None:
    found = value(text)
    assert (found == expected and type(found) is type(expected)) or (
        isinstance(expected, list) and found == expected
    )


def test_an_evaluation_that_would_run_away_is_stopped() -> None:
    lines = ["define L0: {1, 2}", *(f"define L{n}: flatten {{L{n - 1}, L{n - 1}}}" for n in range(1, 60))]
    with pytest.raises(EvaluationError, match="elements"):
        cql.compile("\n".join(lines)).evaluate("L59")
    lines = ["define S0: 'ab'", *(f"define S{n}: S{n - 1} + S{n - 1}" for n in range(1, 60))]
    with pytest.raises(EvaluationError, match="elements"):
        cql.compile("\n".join(lines)).evaluate("S59")
    lets = ", ".join(f"l{n}: flatten {{l{n - 1}, l{n - 1}}}" for n in range(1, 60))
    with pytest.raises(EvaluationError, match="elements"):
        value(f"({{1}}) X let l0: {{1, 2}}, {lets} return l59")
    many = "{" + ", ".join(["1"] * 1000) + "}"
    text = f"define M: {many} define X: exists (from M A, M B, M C where A + B + C = 0)"
    with pytest.raises(EvaluationError, match="steps"):
        cql.compile(text).evaluate("X")


def test_functions_of_ours_that_share_a_name_stay_apart():
    asked = {
        "ConvertsToInteger('x')": False,
        "ConvertsToDecimal('1.5')": True,
        "ConvertsToBoolean('true')": True,
        "ConvertsToDate('2014-01-01')": True,
        "ConvertsToInteger('1.5')": False,
        "ConvertsToTime('noon')": False,
        "ConvertsToQuantity('1 \\'kg\\'')": True,
    }
    text = "\n".join(f"define D{number}: {expression}" for number, expression in enumerate(asked))
    assert list(cql.compile(text).evaluate_all().values()) == list(asked.values())
