"""A slow and plain interpreter of FHIRPath: every item with its type, every collection a list.

It walks the syntax tree as the specification reads, and shares with the compiler what single values mean
(rules.fhirpath.comparing, numbers, strings), but nothing of how an expression becomes Python.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from rules.fhirpath import comparing, elements, fhir, numbers, strings, types, values
from rules.fhirpath.environment import Environment, State
from rules.fhirpath.syntax import parse, path_names, stripped
from rules.fhirpath.value_calls import _TABLE
from rules.language import nodes as n
from rules.runtime.context import evaluation
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import parse_date, parse_datetime, parse_time
from rules.runtime.units import CALENDAR
from rules.runtime.values import Long, Quantity

Items = list[Any]


@dataclass(frozen=True)
class Names:
    """What `$this` (a collection), `$index`, `$total` and the variables are."""

    this: Items
    index: int | None = None
    total: Items = field(default_factory=list)
    outermost: bool = False


class Interpreter:
    def __init__(self, state: State) -> None:
        self.state = state
        self.root: Items = [elements.resource(state.focus)]

    def evaluate(self, text: str) -> Items:
        return self.items(parse(text), Names(self.root, outermost=True))

    def items(self, node: n.Expression, names: Names) -> Items:
        node = stripped(node)
        match node:
            case n.Literal() | n.QuantityLiteral():
                return [_literal(node)]
            case n.ListSelector():
                return []
            case n.Name():
                return self.name(node.name, names)
            case n.Member():
                return [
                    c for item in self.items(node.source, names) for c in elements.member(item, node.name)
                ]
            case n.TypeOperation():
                items = values.only(self.items(node.operand, names))
                wanted = types.specifier(node.type.parts)
                return (
                    self.of_type(items, wanted)
                    if node.name == "As"
                    else self.is_type(node.operand, items, wanted, names)
                )
            case n.Operation():
                return self.operation(node, names)
            case n.Call():
                source = names.this if node.source is None else self.items(node.source, names)
                return self.call(node, source, names)
        raise AssertionError(node)

    def name(self, name: str, names: Names) -> Items:
        if name.startswith("$"):
            return {"$this": names.this, "$index": [names.index], "$total": names.total}[name]
        if name.startswith("%"):
            constants = {"%resource": self.root, "%rootResource": self.root, "%context": self.root}
            return constants[name] if name in constants else self.state.variable(name[1:])
        if names.outermost and types.is_known(name) and types.is_resource(name):
            return [item for item in names.this if elements.is_type(item, name)]
        return [child for item in names.this for child in elements.member(item, name)]

    def of_type(self, items: Items, wanted: str) -> Items:
        return [item for item in items if elements.can_be_taken_as(item, wanted)]

    def is_type(self, operand: n.Expression, items: Items, wanted: str, names: Names) -> Items:
        operand = stripped(operand)
        if isinstance(operand, n.Call) and operand.name == "resolve":
            before = names.this if operand.source is None else self.items(operand.source, names)
            return [fhir.points_to(self.state, item, wanted) for item in values.only(before)]
        return [elements.is_type(item, wanted) for item in items]

    # Operators

    def system(self, node: n.Expression, names: Names) -> Items:
        return [value for item in self.items(node, names) if (value := elements.plain(item)) is not None]

    def one(self, node: n.Expression, names: Names) -> Any:
        return values.single(self.system(node, names))

    def truth(self, node: n.Expression, names: Names) -> bool | None:
        return values.truth(self.one(node, names))

    def operation(self, node: n.Operation, names: Names) -> Items:
        name = node.name
        left = node.operands[0]
        right = node.operands[-1]
        if name == "Union":
            return comparing.distinct(self.items(left, names) + self.items(right, names), values.same)
        if name == "Indexer":
            index = values.integer(self.one(right, names))
            items = self.items(left, names)
            return [] if index is None or not 0 <= index < len(items) else [items[index]]
        if name in ("And", "Or", "Implies", "Xor"):
            return _some(self.logic(name, left, right, names))
        if name in ("Equal", "NotEqual"):
            found = comparing.equal_lists(self.system(left, names), self.system(right, names))
            return _some(found if name == "Equal" or found is None else not found)
        if name in ("Equivalent", "NotEquivalent"):
            found = comparing.equivalent_lists(self.system(left, names), self.system(right, names))
            return [found is (name == "Equivalent")]
        if name in ("In", "Contains"):
            one, many = (left, right) if name == "In" else (right, left)
            return _some(comparing.among(self.one(one, names), self.system(many, names)))
        if name in ("Negate", "Positive"):
            return _some((numbers.negate if name == "Negate" else numbers.positive)(self.one(left, names)))
        return _some(_BINARY[name](self.one(left, names), self.one(right, names)))

    def logic(self, name: str, left: n.Expression, right: n.Expression, names: Names) -> bool | None:
        """The truth tables as the specification prints them: a row for each left side."""
        first = self.truth(left, names)
        if (name, first) in (("And", False), ("Or", True), ("Implies", False)):
            return first is not False or name == "Implies"
        second = self.truth(right, names)
        if name == "Xor":
            return None if first is None or second is None else first is not second
        if name == "And":
            return second if first else (False if second is False else None)
        if name == "Or":
            return second if first is False else (True if second else None)
        return second if first else (True if second else None)

    # Functions

    def each(self, items: Items, names: Names) -> Iterator[Names]:
        for index, item in enumerate(items):
            yield replace(names, this=[item], index=index, outermost=False)

    def call(self, node: n.Call, source: Items, names: Names) -> Items:
        function = getattr(self, f"_{node.name}", None)
        if function is not None:
            return function(node.arguments, source, names)
        operation, _, kinds, *_ = _TABLE[node.name]
        given = [value for item in source if (value := elements.plain(item)) is not None]
        arguments = [self.one(argument, names) for argument in node.arguments]
        for argument, kind in zip(arguments, kinds, strict=False):
            _check(argument, kind)
        _check(values.single(given), _TABLE[node.name][1])
        return _some(operation(values.single(given), *arguments))

    def _where(self, arguments: Any, source: Items, names: Names) -> Items:
        return [
            inner.this[0] for inner in self.each(source, names) if self.truth(arguments[0], inner) is True
        ]

    def _select(self, arguments: Any, source: Items, names: Names) -> Items:
        return [item for inner in self.each(source, names) for item in self.items(arguments[0], inner)]

    def _exists(self, arguments: Any, source: Items, names: Names) -> Items:
        if not arguments:
            return [bool(source)]
        return [any(self.truth(arguments[0], inner) is True for inner in self.each(source, names))]

    def _all(self, arguments: Any, source: Items, names: Names) -> Items:
        held = [self.truth(arguments[0], inner) is True for inner in self.each(source, names)]
        return [all(held)]

    def _empty(self, arguments: Any, source: Items, names: Names) -> Items:
        return [not source]

    def _not(self, arguments: Any, source: Items, names: Names) -> Items:
        found = values.truth(values.single(values.present([elements.plain(item) for item in source])))
        return _some(None if found is None else not found)

    def _count(self, arguments: Any, source: Items, names: Names) -> Items:
        return [len(source)]

    def _first(self, arguments: Any, source: Items, names: Names) -> Items:
        return source[:1]

    def _last(self, arguments: Any, source: Items, names: Names) -> Items:
        return source[-1:]

    def _tail(self, arguments: Any, source: Items, names: Names) -> Items:
        return source[1:]

    def _single(self, arguments: Any, source: Items, names: Names) -> Items:
        return values.only(source)

    def _skip(self, arguments: Any, source: Items, names: Names) -> Items:
        return source[max(0, values.integer(self.one(arguments[0], names)) or 0) :]

    def _take(self, arguments: Any, source: Items, names: Names) -> Items:
        return source[: max(0, values.integer(self.one(arguments[0], names)) or 0)]

    def _distinct(self, arguments: Any, source: Items, names: Names) -> Items:
        return comparing.distinct(source, values.same)

    def _combine(self, arguments: Any, source: Items, names: Names) -> Items:
        return source + self.items(arguments[0], names)

    def _union(self, arguments: Any, source: Items, names: Names) -> Items:
        return comparing.distinct(source + self.items(arguments[0], names), values.same)

    def _intersect(self, arguments: Any, source: Items, names: Names) -> Items:
        return comparing.intersect(source, self.items(arguments[0], names), values.same)

    def _exclude(self, arguments: Any, source: Items, names: Names) -> Items:
        return comparing.exclude(source, self.items(arguments[0], names), values.same)

    def _subsetOf(self, arguments: Any, source: Items, names: Names) -> Items:
        return [comparing.subset(source, self.items(arguments[0], names), values.same)]

    def _ofType(self, arguments: Any, source: Items, names: Names) -> Items:
        return self.of_type(source, types.specifier(path_names(arguments[0])))

    def _as(self, arguments: Any, source: Items, names: Names) -> Items:
        return self.of_type(values.only(source), types.specifier(path_names(arguments[0])))

    def _iif(self, arguments: Any, source: Items, names: Names) -> Items:
        inner = (
            replace(names, this=values.only(source), outermost=False) if source is not names.this else names
        )
        if self.truth(arguments[0], inner) is True:
            return self.items(arguments[1], inner)
        return self.items(arguments[2], inner) if len(arguments) == 3 else []

    def _aggregate(self, arguments: Any, source: Items, names: Names) -> Items:
        total = self.items(arguments[1], names) if len(arguments) == 2 else []
        for inner in self.each(source, names):
            total = self.items(arguments[0], replace(inner, total=total))
        return total

    def _children(self, arguments: Any, source: Items, names: Names) -> Items:
        return [child for item in source for child in elements.children(item)]

    def _descendants(self, arguments: Any, source: Items, names: Names) -> Items:
        return [child for item in source for child in elements.descendants(item)]

    def _extension(self, arguments: Any, source: Items, names: Names) -> Items:
        url = values.string(self.one(arguments[0], names))
        found = [child for item in source for child in elements.member(item, "extension")]
        return [extension for extension in found if extension.value.get("url") == url]

    def _hasValue(self, arguments: Any, source: Items, names: Names) -> Items:
        return [len(source) == 1 and elements.has_value(source[0])]

    def _join(self, arguments: Any, source: Items, names: Names) -> Items:
        texts = values.present([elements.plain(item) for item in source])
        return _some(strings.join(texts, *(values.string(self.one(a, names)) for a in arguments)))


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Less": comparing.less,
    "LessOrEqual": comparing.at_most,
    "Greater": comparing.greater,
    "GreaterOrEqual": comparing.at_least,
    "Add": numbers.add,
    "Subtract": numbers.subtract,
    "Multiply": numbers.multiply,
    "Divide": numbers.divide,
    "TruncatedDivide": numbers.whole_divide,
    "Modulo": numbers.modulo,
    "Ampersand": numbers.concatenate,
}


def _check(value: Any, kinds: frozenset[str]) -> None:
    if kinds == {types.STRING}:
        values.string(value)
    elif kinds == {types.INTEGER}:
        values.integer(value)


def _some(value: Any) -> Items:
    return [] if value is None else [value]


def _literal(node: n.Literal | n.QuantityLiteral) -> Any:
    if isinstance(node, n.QuantityLiteral):
        return Quantity(Decimal(node.value), CALENDAR.get(node.unit, node.unit))
    convert = {
        "boolean": lambda text: text == "true",
        "string": str,
        "long": lambda text: Long(text[:-1]),
        "number": lambda text: Decimal(text) if "." in text else int(text),
        "date": lambda text: parse_date(text[1:]),
        "datetime": lambda text: parse_datetime(text[1:]),
        "time": lambda text: parse_time(text[1:]),
    }
    return convert[node.kind](node.value)


def evaluate(text: str, resource: dict[str, Any], environment: Environment, **variables: Any) -> Items:
    """The items of an expression. Raises EvaluationError."""
    with evaluation(environment.context):
        try:
            return Interpreter(State(resource, environment, variables)).evaluate(text)
        except (AttributeError, TypeError) as error:
            raise EvaluationError("not defined") from error
