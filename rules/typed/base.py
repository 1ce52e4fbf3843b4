"""What all parts of the typing share: diagnostics, scopes, types as written, operators by overload."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rules.language import nodes as n
from rules.language.errors import Diagnostic
from rules.typed.conversion import Conversions, is_mixed
from rules.typed.model import Models
from rules.typed.signatures import overloads
from rules.typed.tree import QueryClauses, Typed, null
from rules.typed.types import (
    ANY,
    BOOLEAN,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Type,
    choice_of,
    tuple_of,
)

# Operators whose T is compared by value: a type of a model is taken as its System type.
_OF_VALUES = frozenset(
    {"Equal", "Equivalent", "In", "Contains", "ProperIn", "ProperContains", "IndexOf", "ToConcept"}
    | {"SameAs", "SameOrBefore", "SameOrAfter", "Before", "After"}
)


class Typing:
    """One library being typed. After a finding the work goes on with a null in place of what was wrong."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.conversions = Conversions(models)
        self.problems: list[Diagnostic] = []
        self.scopes: list[dict[str, Typed]] = []
        # The element type whose elements are names of their own, innermost last (sort by, FHIRPath's $this).
        self.this: list[Typed] = []

    # Findings

    def error(self, at: n.At, message: str, kind: str = "semantic") -> Typed:
        self.problems.append(Diagnostic(at.line, at.column, kind, message))
        return Typed("Null", ANY, [], {"error": True}, at)

    # Scopes

    @contextmanager
    def scope(self, names: dict[str, Typed]) -> Iterator[None]:
        self.scopes.append(names)
        try:
            yield
        finally:
            self.scopes.pop()

    def local(self, name: str) -> Typed | None:
        for names in reversed(self.scopes):
            if name in names:
                return names[name]
        return None

    # Types

    def type_of(self, node: n.TypeNode) -> Type:
        if isinstance(node, n.TupleType):
            return tuple_of({name: self.type_of(type_) for name, type_ in node.elements})
        if isinstance(node, n.GenericType):
            arguments = [self.type_of(argument) for argument in node.arguments]
            if node.name == "List":
                return ListOf(arguments[0])
            return IntervalOf(arguments[0]) if node.name == "Interval" else choice_of(*arguments)
        found = self.models.find(node.parts)
        if found is None:
            self.error(node.at, f"there is no type {'.'.join(node.parts)}")
            return ANY
        return found

    # Nodes

    def expression(self, node: n.Expression) -> Typed:
        method = getattr(self, f"_{type(node).__name__.lower()}")
        found: Typed = method(node)
        return found

    def converted(self, node: Typed, target: Type, at: n.At) -> Typed:
        """The node as the target type, or an error."""
        if self.conversions.cost(node.type, target) is None:
            return self.error(at, f"expected {target}, found {node.type}")
        return self.conversions.convert(node, target)

    def operator(self, op: str, operands: Sequence[Typed], at: n.At, **fields: Any) -> Typed:
        """The ELM node of an operator, its operands converted to the overload that fits best.

        A choice that no single overload is for is taken at run time as the type that its value has.
        """
        signatures = overloads(op)
        if op in _OF_VALUES:
            operands = [self.conversions.as_system(operand) for operand in operands]
        match = self.conversions.resolve(signatures, [operand.type for operand in operands])
        if match is not None and op in _OF_VALUES and any(map(is_mixed, match.operands)):
            operands = [self.conversions.to_values(operand) for operand in operands]
            match = self.conversions.resolve(signatures, [operand.type for operand in operands])
        if match is None or match.ambiguous:
            return self._by_option(op, operands, at, fields)
        pairs = zip(operands, match.operands, strict=True)
        converted = [self.conversions.convert(operand, target) for operand, target in pairs]
        fields = {name: value for name, value in fields.items() if value is not None}
        return Typed(op, match.result, converted, fields, at)

    def _by_option(self, op: str, operands: Sequence[Typed], at: n.At, fields: dict[str, Any]) -> Typed:
        """A Case over the options of the first choice for which there is an overload; of others, null."""
        if any("error" in operand.fields for operand in operands):
            return null(at)
        types = ", ".join(str(operand.type) for operand in operands)
        number = next((k for k, o in enumerate(operands) if isinstance(o.type, ChoiceOf)), None)
        if number is None:
            return self.error(at, f"{op} does not take ({types})")
        choice, items = operands[number], []
        assert isinstance(choice.type, ChoiceOf)
        for option in choice.type.options:
            marked = len(self.problems)
            cast = Typed("As", option, [choice], {"asType": option, "strict": False}, at)
            found = self.operator(op, [*operands[:number], cast, *operands[number + 1 :]], at, **fields)
            if len(self.problems) == marked and "error" not in found.fields:
                items.append((Typed("Is", BOOLEAN, [choice], {"isType": option}, at), found))
            del self.problems[marked:]
        if not items:
            return self.error(at, f"{op} does not take ({types})")
        result = choice_of(*(found.type for _, found in items))
        items = [(test, self.conversions.convert(found, result)) for test, found in items]
        otherwise = Typed("As", result, [null()], {"asType": result, "strict": False}, at)
        if op == "Equivalent":  # which is never null: two nulls are equivalent, and nothing else of two types
            missing = [Typed("IsNull", BOOLEAN, [operand], {}, at) for operand in operands]
            otherwise = Typed("And", BOOLEAN, missing, {}, at)
        return Typed("Case", result, [], {"comparand": None, "items": items, "else": otherwise}, at)

    def fits(self, op: str, operands: Sequence[Typed]) -> bool:
        return self.conversions.resolve(overloads(op), [operand.type for operand in operands]) is not None

    def common(self, nodes: Sequence[Typed]) -> tuple[Type, list[Typed]]:
        """The type that all nodes can be brought to, a choice if need be, and the nodes brought there."""
        type_: Type = ANY
        for node in nodes:
            type_ = self.conversions.join(type_, node.type, choice=True) or ANY
        return type_, [self.conversions.convert(node, type_) for node in nodes]

    def element(self, source: Typed, name: str, at: n.At) -> Typed:
        """source.name; of a list, the names of its elements, flat."""
        if isinstance(source.type, ListOf):
            return self._element_of_each(source, name, at)
        if isinstance(source.type, ChoiceOf):
            return self._element_of_choice(source, source.type, name, at)
        type_ = self._element_type(source.type, name)
        if type_ is None:
            if "error" in source.fields:
                return source
            return self.error(at, f"{source.type} has no element {name}")
        return Typed("Property", type_, [source], {"path": name}, at)

    def _element_of_choice(self, source: Typed, type_: ChoiceOf, name: str, at: n.At) -> Typed:
        """The element of whichever option has it and the value is."""
        options = [option for option in type_.options if self.models.element(option, name) is not None]
        if not options:
            return self.error(at, f"{source.type} has no element {name}")
        casts = [Typed("As", option, [source], {"asType": option, "strict": False}, at) for option in options]
        result, values = self.common([self.element(cast, name, at) for cast in casts])
        tests = [Typed("Is", BOOLEAN, [source], {"isType": option}, at) for option in options]
        items = list(zip(tests, values, strict=True))
        otherwise = Typed("As", result, [null()], {"asType": result, "strict": False}, at)
        return Typed("Case", result, [], {"comparand": None, "items": items, "else": otherwise}, at)

    def _element_type(self, type_: Type, name: str) -> Type | None:
        if isinstance(type_, ChoiceOf):
            found = [self.models.element(option, name) for option in type_.options]
            known = [option for option in found if option is not None]
            return choice_of(*known) if known else None
        return self.models.element(type_, name)

    def _element_of_each(self, source: Typed, name: str, at: n.At) -> Typed:
        assert isinstance(source.type, ListOf)
        type_ = self._element_type(source.type.element, name)
        if type_ is None:
            return self.error(at, f"{source.type.element} has no element {name}")
        if isinstance(source.type.element, ChoiceOf):
            return self._element_of_choices(source, source.type.element, name, at)
        flat = type_ if isinstance(type_, ListOf) else ListOf(type_)
        return Typed("PropertyOfEach", flat, [source], {"path": name, "elementType": type_}, at)

    def _element_of_choices(self, source: Typed, type_: ChoiceOf, name: str, at: n.At) -> Typed:
        """A query, because each item has the element of its own type."""
        item = Typed("AliasRef", type_, [], {"name": "$each"}, at)
        value = self.element(item, name, at)
        clauses = QueryClauses([("$each", source)], returns=value)
        known = Typed("IsNull", BOOLEAN, [value], {}, at)
        clauses.where = Typed("Not", BOOLEAN, [known], {}, at)
        found = Typed("Query", ListOf(value.type), [], {"clauses": clauses}, at)
        if not isinstance(value.type, ListOf):
            return found
        return Typed("Flatten", value.type, [found], {}, at)


def is_collection(type_: Type) -> bool:
    return isinstance(type_, ListOf | IntervalOf)
