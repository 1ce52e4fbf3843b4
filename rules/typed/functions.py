"""System functions whose name or operands differ from those of their ELM node, and methods of lists.

https://cql.hl7.org/09-b-cqlreference.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rules.language import nodes as n
from rules.language.words import PRECISIONS
from rules.typed.tree import QueryClauses, Typed
from rules.typed.types import ANY, BOOLEAN, DATE, DATETIME, INTEGER, STRING, ListOf, Type

if TYPE_CHECKING:
    from rules.typed.terms import Terms

Function = Callable[["Terms", n.Call, list[Typed]], Typed]
Method = Callable[["Terms", n.Call], Typed]


def _null(type_: Type) -> Typed:
    return Typed("As", type_, [Typed("Null", ANY)], {"asType": type_, "strict": False})


def _literal(value: int) -> Typed:
    return Typed("Literal", INTEGER, [], {"value": str(value)})


def _coalesce(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
    """Of a list, or of two and more operands of any types."""
    if len(operands) == 1 and isinstance(operands[0].type, ListOf):
        return Typed("Coalesce", operands[0].type.element, operands, {}, node.at)
    if len(operands) < 2:
        return typing.error(node.at, "Coalesce takes a list, or two operands and more")
    type_, operands = typing.common(operands)
    return Typed("Coalesce", type_, operands, {}, node.at)


def _skip(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
    if len(operands) != 2:
        return typing.error(node.at, "Skip takes a list and a number")
    return typing.operator("Slice", [*operands, _null(INTEGER)], node.at)


def _take(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
    if len(operands) != 2:
        return typing.error(node.at, "Take takes a list and a number")
    source, number = operands
    number = typing.converted(number, INTEGER, node.at)
    end = Typed("Coalesce", INTEGER, [number, _literal(0)], {}, node.at)
    return typing.operator("Slice", [source, _literal(0), end], node.at)


def _tail(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
    if len(operands) != 1:
        return typing.error(node.at, "Tail takes a list")
    return typing.operator("Slice", [*operands, _literal(1), _null(INTEGER)], node.at)


def _slice(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
    """ELM's operator as CQL 2.0 names it; the bounds may be left out."""
    if not 1 <= len(operands) <= 3:
        return typing.error(node.at, "Slice takes a list and up to two numbers")
    bounds = [*operands[1:], _null(INTEGER), _null(INTEGER)][:2]
    return typing.operator("Slice", [operands[0], *bounds], node.at)


def _to_list(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
    if len(operands) != 1:
        return typing.error(node.at, "ToList takes one operand")
    return Typed("ToList", ListOf(operands[0].type), operands, {}, node.at)


def _per(op: str) -> Function:
    def function(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
        if len(operands) == 1:
            operands = [*operands, Typed("Null", ANY)]
        return typing.operator(op, operands, node.at)

    return function


def _boundary(op: str) -> Function:
    def function(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
        if len(operands) == 1:
            operands = [*operands, _null(INTEGER)]
        return typing.operator(op, operands, node.at)

    return function


def _age(precision: str, at: bool, own: bool) -> Function:
    """AgeInYears(), AgeInYearsAt(x), CalculateAgeInYears(b), CalculateAgeInYearsAt(b, x)."""
    op = "CalculateAgeAt" if at else "CalculateAge"

    def function(typing: Terms, node: n.Call, operands: list[Typed]) -> Typed:
        if own:
            birth = typing.birth_date(node.at)
            operands = [birth, *operands]
        if len(operands) == 2 and operands[1].type == DATETIME and operands[0].type == DATE:
            operands = [operands[0], Typed("DateFrom", DATE, [operands[1]], {}, node.at)]
        return typing.operator(op, operands, node.at, precision=precision)

    return function


FUNCTIONS: dict[str, Function] = {
    "Coalesce": _coalesce,
    "Skip": _skip,
    "Take": _take,
    "Tail": _tail,
    "Slice": _slice,
    "ToList": _to_list,
    "Expand": _per("Expand"),
    "Collapse": _per("Collapse"),
    "LowBoundary": _boundary("LowBoundary"),
    "HighBoundary": _boundary("HighBoundary"),
}
for _precision in PRECISIONS:
    for _own in (True, False):
        for _at in (True, False):
            _name = f"{'' if _own else 'Calculate'}AgeIn{_precision.capitalize()}s{'At' if _at else ''}"
            FUNCTIONS[_name] = _age(_precision, _at, _own)


# Methods that FHIRPath gives to collections


def _of_source(op: str) -> Method:
    def method(typing: Terms, node: n.Call) -> Typed:
        return typing.operator(op, [_source(typing, node)], node.at)

    return method


def _source(typing: Terms, node: n.Call) -> Typed:
    assert node.source is not None
    return typing.expression(node.source)


def _each(typing: Terms, node: n.Call, build: Callable[[QueryClauses, Typed], Any]) -> Typed:
    """A query over the source in which `$this` and its elements are names."""
    source = _source(typing, node)
    element = source.type.element if isinstance(source.type, ListOf) else source.type
    this = Typed("AliasRef", element, [], {"name": "$this"}, node.at)
    typing.this.append(this)
    with typing.scope({"$this": this}):
        body = [typing.expression(argument) for argument in node.arguments]
    typing.this.pop()
    if len(body) != 1:
        return typing.error(node.at, f"{node.name} takes one operand")
    clauses = QueryClauses([("$this", source)])
    build(clauses, body[0])
    result = clauses.returns.type if clauses.returns else element
    type_ = ListOf(result) if isinstance(source.type, ListOf) else result
    return Typed("Query", type_, [], {"clauses": clauses}, node.at)


def _where(typing: Terms, node: n.Call) -> Typed:
    def build(clauses: QueryClauses, body: Typed) -> None:
        clauses.where = typing.converted(body, BOOLEAN, node.at)

    return _each(typing, node, build)


def _select(typing: Terms, node: n.Call) -> Typed:
    def build(clauses: QueryClauses, body: Typed) -> None:
        clauses.returns = body

    found = _each(typing, node, build)
    if isinstance(found.type, ListOf) and isinstance(found.type.element, ListOf):
        return typing.operator("Flatten", [found], node.at)
    return found


def _exists(typing: Terms, node: n.Call) -> Typed:
    if node.arguments:
        return typing.operator("Exists", [_where(typing, node)], node.at)
    return typing.operator("Exists", [_source(typing, node)], node.at)


def _empty(typing: Terms, node: n.Call) -> Typed:
    return typing.operator("Not", [_exists(typing, node)], node.at)


def _take_method(function: Function) -> Method:
    def method(typing: Terms, node: n.Call) -> Typed:
        operands = [_source(typing, node), *(typing.expression(argument) for argument in node.arguments)]
        return function(typing, node, operands)

    return method


def _to_string(typing: Terms, node: n.Call) -> Typed:
    source = _source(typing, node)
    return source if source.type == STRING else typing.operator("ToString", [source], node.at)


def _all(typing: Terms, node: n.Call) -> Typed:
    """Whether the condition holds for every element."""

    def build(clauses: QueryClauses, body: Typed) -> None:
        clauses.returns = typing.converted(body, BOOLEAN, node.at)

    return typing.operator("AllTrue", [_each(typing, node, build)], node.at)


def _of_type(typing: Terms, node: n.Call) -> Typed:
    """`ofType(T)`: of a list the elements of the type; of a value the value if it is of the type."""
    source = _source(typing, node)
    type_ = _type_argument(typing, node)
    if not isinstance(source.type, ListOf):
        return typing.cast_to(source, type_, node.at)
    item = Typed("AliasRef", source.type.element, [], {"name": "$this"}, node.at)
    clauses = QueryClauses([("$this", source)], returns=typing.cast_to(item, type_, node.at))
    clauses.where = Typed("Is", BOOLEAN, [item], {"isType": type_}, node.at)
    return Typed("Query", ListOf(type_), [], {"clauses": clauses}, node.at)


def _is(typing: Terms, node: n.Call) -> Typed:
    return Typed("Is", BOOLEAN, [_source(typing, node)], {"isType": _type_argument(typing, node)}, node.at)


def _as(typing: Terms, node: n.Call) -> Typed:
    return typing.cast_to(_source(typing, node), _type_argument(typing, node), node.at)


def _type_argument(typing: Terms, node: n.Call) -> Type:
    """The type that is named as the only argument."""
    names: tuple[str, ...] = ()
    argument: n.Expression | None = node.arguments[0] if len(node.arguments) == 1 else None
    while isinstance(argument, n.Member):
        names = (argument.name, *names)
        argument = argument.source
    if not isinstance(argument, n.Name):
        typing.error(node.at, f"{node.name} takes the name of a type")
        return ANY
    return typing.type_of(n.NamedType(node.at, (argument.name, *names)))


def _of_all(op: str) -> Method:
    """An operator of the source and the arguments."""

    def method(typing: Terms, node: n.Call) -> Typed:
        operands = [_source(typing, node), *(typing.expression(argument) for argument in node.arguments)]
        return typing.operator(op, operands, node.at)

    return method


_SAME_AS_OPERATOR = (
    *("Abs", "AllTrue", "AnyTrue", "Ceiling", "ConvertsToBoolean", "ConvertsToDate", "ConvertsToDateTime"),
    *("ConvertsToDecimal", "ConvertsToInteger", "ConvertsToQuantity", "ConvertsToString", "ConvertsToTime"),
    *("EndsWith", "Exp", "Floor", "Intersect", "Length", "Ln", "Log", "Lower", "Matches", "Power"),
    *("ReplaceMatches", "Round", "StartsWith", "Substring", "ToBoolean", "ToChars", "ToDate", "ToDateTime"),
    *("ToDecimal", "ToInteger", "ToQuantity", "ToTime", "Truncate", "Union", "Upper", "Except", "IndexOf"),
)

MEMBERS: dict[str, Method] = {
    **{f"{op[0].lower()}{op[1:]}": _of_all(op) for op in _SAME_AS_OPERATOR},
    "all": _all,
    "as": _as,
    "is": _is,
    "ofType": _of_type,
    "exclude": _of_all("Except"),
    "subsetOf": _of_all("IncludedIn"),
    "supersetOf": _of_all("Includes"),
    "descendants": _of_source("Descendents"),
    "exists": _exists,
    "empty": _empty,
    "where": _where,
    "select": _select,
    "first": _of_source("First"),
    "last": _of_source("Last"),
    "count": _of_source("Count"),
    "distinct": _of_source("Distinct"),
    "single": _of_source("SingletonFrom"),
    "children": _of_source("Children"),
    "descendents": _of_source("Descendents"),
    "not": _of_source("Not"),
    "toString": _to_string,
    "skip": _take_method(_skip),
    "take": _take_method(_take),
    "tail": _take_method(_tail),
}
