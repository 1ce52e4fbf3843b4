"""The functions of single values: conversion, strings, mathematics, precision.

https://hl7.org/fhirpath/N1/#conversion, #string-manipulation, #math; later ones: https://hl7.org/fhirpath/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from rules.fhirpath import converting, fhir, numbers, precision, strings, types, values
from rules.fhirpath.registry import VALUES, Call, call, value
from rules.fhirpath.types import ANY, BOOLEAN, DATE, DATETIME, DECIMAL, INTEGER, LONG, QUANTITY, STRING, TIME
from rules.fhirpath.writer import EMPTY, Gathered, Item, Scope, Sink, Value
from rules.language import nodes as n

if TYPE_CHECKING:
    from rules.fhirpath.emitter import Emitter

_NUMBER: Final = frozenset((INTEGER, LONG, DECIMAL))
_CHECKS: Final = {STRING: values.string, INTEGER: values.integer}
_ANYTHING: Final = types.SYSTEM

# name: function, what it is called on, its arguments (those in brackets may be left out), its result
_Row = tuple[Callable[..., Any], frozenset[str], Sequence[frozenset[str]], int, str]


def _row(
    function: Callable[..., Any],
    subject: Any,
    arguments: Sequence[Any],
    result: str,
    least: int | None = None,
) -> _Row:
    def kinds(given: Any) -> frozenset[str]:
        return given if isinstance(given, frozenset) else frozenset((given,))

    return (
        function,
        kinds(subject),
        [kinds(argument) for argument in arguments],
        len(arguments) if least is None else least,
        result,
    )


_AMOUNT: Final = _NUMBER | {QUANTITY}
_PRECISE: Final = _AMOUNT | types.TIMES

_TABLE: Final[dict[str, _Row]] = {
    "toBoolean": _row(converting.to_boolean, _ANYTHING, [], BOOLEAN),
    "convertsToBoolean": _row(converting.converts_to_boolean, _ANYTHING, [], BOOLEAN),
    "toInteger": _row(converting.to_integer, _ANYTHING, [], INTEGER),
    "convertsToInteger": _row(converting.converts_to_integer, _ANYTHING, [], BOOLEAN),
    "toLong": _row(converting.to_long, _ANYTHING, [], LONG),
    "convertsToLong": _row(converting.converts_to_long, _ANYTHING, [], BOOLEAN),
    "toDecimal": _row(converting.to_decimal, _ANYTHING, [], DECIMAL),
    "convertsToDecimal": _row(converting.converts_to_decimal, _ANYTHING, [], BOOLEAN),
    "toDate": _row(converting.to_date, _ANYTHING, [], DATE),
    "convertsToDate": _row(converting.converts_to_date, _ANYTHING, [], BOOLEAN),
    "toDateTime": _row(converting.to_date_time, _ANYTHING, [], DATETIME),
    "convertsToDateTime": _row(converting.converts_to_date_time, _ANYTHING, [], BOOLEAN),
    "toTime": _row(converting.to_time, _ANYTHING, [], TIME),
    "convertsToTime": _row(converting.converts_to_time, _ANYTHING, [], BOOLEAN),
    "toString": _row(converting.to_string, _ANYTHING, [], STRING),
    "convertsToString": _row(converting.converts_to_string, _ANYTHING, [], BOOLEAN),
    "toQuantity": _row(converting.to_quantity, _ANYTHING, [STRING], QUANTITY, 0),
    "convertsToQuantity": _row(converting.converts_to_quantity, _ANYTHING, [STRING], BOOLEAN, 0),
    "indexOf": _row(strings.index_of, STRING, [STRING], INTEGER),
    "lastIndexOf": _row(strings.last_index_of, STRING, [STRING], INTEGER),
    "substring": _row(strings.substring, STRING, [INTEGER, INTEGER], STRING, 1),
    "startsWith": _row(strings.starts_with, STRING, [STRING], BOOLEAN),
    "endsWith": _row(strings.ends_with, STRING, [STRING], BOOLEAN),
    "contains": _row(strings.contains, STRING, [STRING], BOOLEAN),
    "upper": _row(strings.upper, STRING, [], STRING),
    "lower": _row(strings.lower, STRING, [], STRING),
    "trim": _row(strings.trim, STRING, [], STRING),
    "length": _row(strings.length, STRING, [], INTEGER),
    "matches": _row(strings.matches, STRING, [STRING], BOOLEAN),
    "matchesFull": _row(strings.matches_full, STRING, [STRING], BOOLEAN),
    "replace": _row(strings.replace, STRING, [STRING, STRING], STRING),
    "replaceMatches": _row(strings.replace_matches, STRING, [STRING, STRING], STRING),
    "encode": _row(strings.encode, STRING, [STRING], STRING),
    "decode": _row(strings.decode, STRING, [STRING], STRING),
    "escape": _row(strings.escape, STRING, [STRING], STRING),
    "unescape": _row(strings.unescape, STRING, [STRING], STRING),
    "abs": _row(numbers.absolute, _AMOUNT, [], "same"),
    "ceiling": _row(numbers.ceiling, _NUMBER, [], INTEGER),
    "floor": _row(numbers.floor, _NUMBER, [], INTEGER),
    "truncate": _row(numbers.truncate, _NUMBER, [], INTEGER),
    "exp": _row(numbers.exp, _NUMBER, [], DECIMAL),
    "ln": _row(numbers.ln, _NUMBER, [], DECIMAL),
    "log": _row(numbers.log, _NUMBER, [_NUMBER], DECIMAL),
    "power": _row(numbers.power, _NUMBER, [_NUMBER], ANY),
    "round": _row(numbers.round_, _NUMBER, [INTEGER], DECIMAL, 0),
    "sqrt": _row(numbers.sqrt, _NUMBER, [], DECIMAL),
    "comparable": _row(numbers.comparable, QUANTITY, [QUANTITY], BOOLEAN),
    "precision": _row(precision.precision, _PRECISE, [], INTEGER),
    "lowBoundary": _row(precision.low_boundary, _PRECISE, [INTEGER], "bound", 0),
    "highBoundary": _row(precision.high_boundary, _PRECISE, [INTEGER], "bound", 0),
}


def _emitter(name: str, row: _Row) -> Call:
    function, subject, arguments, least, result = row

    def emit(e: Emitter, node: n.Call, scope: Scope) -> Value:
        found = e.value(e.source(node), e.branch(scope, 2))
        kind = found.type
        texts = [checked(e, found, subject, node, f"{name}() is called on")]
        for argument, kinds in zip(node.arguments, arguments, strict=False):
            texts.append(checked(e, e.value(argument, e.branch(scope, 2)), kinds, node, f"{name}() takes"))
        e.needs_context = True
        return Value(e.hold(f"{e.bind(function)}({', '.join(texts)})"), _result(result, kind))

    return Call(least, len(arguments), emit)


def checked(e: Emitter, found: Value, kinds: frozenset[str], node: n.Call, what: str) -> str:
    """The value's Python, if its type fits; if only the evaluation can tell, it does."""
    if found.type in kinds or found.type == EMPTY or kinds == _ANYTHING:
        return found.text
    if found.type == ANY:
        (kind,) = kinds if len(kinds) == 1 else ("",)
        return f"{e.bind(_CHECKS[kind])}({found.text})" if kind in _CHECKS else found.text
    if found.type == INTEGER and DECIMAL in kinds:
        return found.text
    wanted = " or ".join(sorted(kind.removeprefix("System.") for kind in kinds))
    e.problem(f"{what} {wanted}, not {found.type.removeprefix('System.')}", node.at)
    return "None"


def _result(result: str, subject: str) -> str:
    if result == "same":
        return subject
    if result == "bound":
        return DECIMAL if subject in _NUMBER else subject if subject != DATETIME else ANY
    return result


VALUES.update({name: _emitter(name, row) for name, row in _TABLE.items()})


# Strings that are lists


@call("toChars")
def to_chars(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    text = checked(e, e.value(e.source(node), scope), frozenset((STRING,)), node, "toChars() is called on")
    found = f"{e.bind(strings.to_chars)}({text}) or ()"
    e.each(Gathered(found, Item(found, STRING, many=True)), sink)


@call("split", 1)
def split(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    kinds = frozenset((STRING,))
    text = checked(e, e.value(e.source(node), scope), kinds, node, "split() is called on")
    separator = checked(e, e.value(node.arguments[0], scope), kinds, node, "split() takes")
    found = f"{e.bind(strings.split)}({text}, {separator})"
    e.each(Gathered(found, Item(found, STRING, many=True)), sink)


@value("join", 0, 1)
def join(e: Emitter, node: n.Call, scope: Scope) -> Value:
    items = e.items(e.source(node), e.branch(scope, 2))
    if items.type not in (STRING, ANY, EMPTY):
        e.problem("join() is for strings", node.at)
    texts = [items.text]
    if node.arguments:
        found = e.value(node.arguments[0], e.branch(scope, 2))
        texts.append(checked(e, found, frozenset((STRING,)), node, "join() takes"))
    return Value(e.hold(f"{e.bind(strings.join)}({', '.join(texts)})"), STRING)


# The clock


def _clock(name: str, function: Callable[[], Any], kind: str) -> None:
    @value(name)
    def emit(e: Emitter, node: n.Call, scope: Scope) -> Value:
        e.needs_context = True
        return Value(f"{e.bind(function)}()", kind, null=False)


_clock("now", fhir.now, DATETIME)
_clock("today", fhir.today, DATE)
_clock("timeOfDay", fhir.time_of_day, TIME)
