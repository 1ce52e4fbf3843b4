"""What may stand for what: subtypes, casts, implicit conversions, and the choice among overloads.

https://cql.hl7.org/03-developersguide.html#conversion-precedence
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from rules.typed.model import Models
from rules.typed.signatures import Signature
from rules.typed.tree import Typed
from rules.typed.types import (
    ANY,
    CODE,
    CONCEPT,
    DATE,
    DATETIME,
    DECIMAL,
    INTEGER,
    LONG,
    QUANTITY,
    VALUESET,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    Type,
    Variable,
    choice_of,
)

_SUBTYPE, _NULL, _CAST, _SIMPLE, _CLASS, _INSIDE = 1, 2, 3, 4, 6, 1

# from, to: the operator and its cost
_IMPLICIT: Final[dict[tuple[Type, Type], tuple[str, int]]] = {
    (INTEGER, LONG): ("ToLong", _SIMPLE),
    (INTEGER, DECIMAL): ("ToDecimal", _SIMPLE),
    (LONG, DECIMAL): ("ToDecimal", _SIMPLE),
    (DATE, DATETIME): ("ToDateTime", _SIMPLE),
    (INTEGER, QUANTITY): ("ToQuantity", _CLASS),
    (LONG, QUANTITY): ("ToQuantity", _CLASS),
    (DECIMAL, QUANTITY): ("ToQuantity", _CLASS),
    (CODE, CONCEPT): ("ToConcept", _CLASS),
    (VALUESET, ListOf(CODE)): ("ExpandValueSet", _CLASS),
}


@dataclass(frozen=True, slots=True)
class Match:
    """An overload with its types bound; ambiguous if a choice fits another one as well."""

    operands: tuple[Type, ...]
    result: Type
    ambiguous: bool = False


class Conversions:
    """The rules of conversion over the models in use."""

    def __init__(self, models: Models) -> None:
        self.models = models

    def cost(self, source: Type, target: Type) -> int | None:
        """How far the one is from the other: 0 the same, higher is farther, None is out of reach."""
        if source == target:
            return 0
        if self.models.is_subtype(source, target):
            return _SUBTYPE
        if source == ANY:
            return _NULL
        if isinstance(source, ChoiceOf):
            return self._from_choice(source, target)
        if isinstance(target, ChoiceOf):
            costs = [found for option in target.options if (found := self.cost(source, option)) is not None]
            return _CAST + min(costs) if costs else None
        return self._implicit(source, target)

    def _implicit(self, source: Type, target: Type) -> int | None:
        if known := _IMPLICIT.get((source, target)):
            return known[1]
        if model := self.models.conversion(source):
            rest = self.cost(model[1].type, target)
            return None if rest is None else rest + _CLASS
        inner: int | None = None
        if isinstance(source, ListOf) and isinstance(target, ListOf):
            inner = self.cost(source.element, target.element)
        elif isinstance(source, IntervalOf) and isinstance(target, IntervalOf):
            inner = self.cost(source.point, target.point)
        return None if inner is None else inner + _INSIDE

    def _from_choice(self, source: ChoiceOf, target: Type) -> int | None:
        """Of one choice to another: what is not among its options becomes null."""
        costs = [found for option in source.options if (found := self.cost(option, target)) is not None]
        if isinstance(target, ChoiceOf) and len(costs) == len(source.options):
            return _SUBTYPE
        return _CAST + min(costs) if costs else None

    def convert(self, node: Typed, target: Type) -> Typed:
        """The node with what it takes to be of the target type; the cost must not be None."""
        source = node.type
        if source == target or target == ANY:
            return node
        if pushed := self._into_selector(node, target):
            return pushed
        if node.op == "Null" or (source == ANY and node.op == "As"):
            return Typed("As", target, [node], {"asType": target, "strict": False}, node.at)
        if self.models.is_subtype(source, target):
            return node
        if isinstance(source, ChoiceOf):
            return self._convert_choice(node, source, target)
        if source == ANY:
            return Typed("As", target, [node], {"asType": target, "strict": False}, node.at)
        if isinstance(target, ChoiceOf):
            return self._into_choice(node, target)
        if self.models.conversion(source):
            return self.convert(self.as_system(node), target)
        if known := _IMPLICIT.get((source, target)):
            return Typed(known[0], target, [node], {}, node.at)
        if isinstance(source, ListOf) and isinstance(target, ListOf):
            return self._each(node, "ConvertList", source.element, target.element, target)
        assert isinstance(source, IntervalOf) and isinstance(target, IntervalOf)
        return self._each(node, "ConvertInterval", source.point, target.point, target)

    def as_system(self, node: Typed) -> Typed:
        """A value of a model's type as its System value, where it has one."""
        found = self.models.conversion(node.type)
        if found is None:
            return node
        owner, conversion = found
        fields = {"name": conversion.name, "from": owner}
        return Typed("ModelConversion", conversion.type, [node], fields, node.at)

    def to_values(self, node: Typed) -> Typed:
        """What a choice of a model's types holds, as a System value where its type has one."""
        type_ = node.type
        if isinstance(type_, ListOf) and is_mixed(type_):
            element = self.to_values(Typed("ElementRef", type_.element, at=node.at))
            return Typed("ConvertList", ListOf(element.type), [node], {"by": element}, node.at)
        if not (isinstance(type_, ChoiceOf) and is_mixed(type_)):
            return self.as_system(node)
        result = choice_of(*(self._system_of(option) for option in type_.options))
        return Typed("ModelConversion", result, [node], {"name": "ToValue", "from": None}, node.at)

    def _system_of(self, type_: Type) -> Type:
        found = self.models.conversion(type_)
        return found[1].type if found else type_

    def _into_selector(self, node: Typed, target: Type) -> Typed | None:
        """A list or interval that is written out is converted where its elements are written."""
        if node.op == "List" and isinstance(target, ListOf):
            operands = [self.convert(operand, target.element) for operand in node.operands]
            return Typed("List", target, operands, node.fields, node.at)
        if node.op == "Interval" and isinstance(target, IntervalOf):
            if node.type == IntervalOf(ANY):
                return (
                    node  # Interval[null, null] says nothing of its points, and is taken so by the operators
                )
            operands = [self.convert(operand, target.point) for operand in node.operands]
            return Typed("Interval", target, operands, node.fields, node.at)
        return None

    def _each(self, node: Typed, op: str, source: Type, target: Type, whole: Type) -> Typed:
        element = Typed("ElementRef", source, at=node.at)
        return Typed(op, whole, [node], {"by": self.convert(element, target)}, node.at)

    def _into_choice(self, node: Typed, target: ChoiceOf) -> Typed:
        if any(self.models.is_subtype(node.type, option) for option in target.options):
            return Typed("As", target, [node], {"asType": target, "strict": False}, node.at)
        costs = {option: self.cost(node.type, option) for option in target.options}
        reachable = {option: cost for option, cost in costs.items() if cost is not None}
        return self.convert(node, min(reachable, key=lambda option: reachable[option]))

    def _convert_choice(self, node: Typed, source: ChoiceOf, target: Type) -> Typed:
        if isinstance(target, ChoiceOf):
            if all(self.cost(option, target) is not None for option in source.options):
                return node
            return Typed("As", target, [node], {"asType": target, "strict": False}, node.at)
        reachable = [option for option in source.options if self.cost(option, target) is not None]
        exact = [option for option in reachable if self.models.is_subtype(option, target)]
        if exact and len(reachable) == len(exact):
            return Typed("As", target, [node], {"asType": target, "strict": False}, node.at)
        otherwise = Typed("As", target, [Typed("Null", ANY)], {"asType": target, "strict": False})
        items = []
        for option in reachable:
            cast = Typed("As", option, [node], {"asType": option, "strict": False}, node.at)
            items.append((Typed("Is", ANY, [node], {"isType": option}, node.at), self.convert(cast, target)))
        return Typed("Case", target, [], {"comparand": None, "items": items, "else": otherwise}, node.at)

    # Overloads

    def join(self, a: Type, b: Type, *, choice: bool = False) -> Type | None:
        """The type that both can be brought to, or None; a choice of the two where that is allowed."""
        if a == b or b == ANY:
            return a
        if a == ANY:
            return b
        if self.models.is_subtype(a, b):
            return b
        if self.models.is_subtype(b, a):
            return a
        if choice and (isinstance(a, ChoiceOf) or isinstance(b, ChoiceOf)):
            return choice_of(a, b)
        to_b, to_a = self.cost(a, b), self.cost(b, a)
        if to_b is not None and (to_a is None or to_b <= to_a):
            return b
        if to_a is not None:
            return a
        inside = self._join_inside(a, b, choice=choice)
        if inside is not None:
            return inside
        known = self._system_of(a), self._system_of(b)
        if known != (a, b) and (joined := self.join(*known)) is not None:
            return joined
        return choice_of(a, b) if choice else None

    def _join_inside(self, a: Type, b: Type, *, choice: bool) -> Type | None:
        if isinstance(a, ListOf) and isinstance(b, ListOf):
            element = self.join(a.element, b.element, choice=choice)
            return ListOf(element) if element is not None else None
        if isinstance(a, IntervalOf) and isinstance(b, IntervalOf):
            point = self.join(a.point, b.point)
            return IntervalOf(point) if point is not None else None
        return None

    def resolve(self, signatures: Sequence[Signature], types: Sequence[Type]) -> Match | None:
        """The cheapest overload for operands of these types, the first of equals; None if none fits."""
        best: tuple[int, Match] | None = None
        for operands, result in signatures:
            if len(operands) != len(types):
                continue
            bound: dict[str, Type] = {}
            if not all(self._bind(p, t, bound) for p, t in zip(operands, types, strict=True)):
                continue
            targets = tuple(substitute(operand, bound) for operand in operands)
            costs = [self.cost(t, target) for t, target in zip(types, targets, strict=True)]
            known = [cost for cost in costs if cost is not None]
            if len(known) < len(costs):
                continue
            if best is None or sum(known) < best[0]:
                best = (sum(known), Match(targets, substitute(result, bound)))
            elif sum(known) == best[0] and any(isinstance(type_, ChoiceOf) for type_ in types):
                best = (best[0], replace(best[1], ambiguous=True))
        return best[1] if best else None

    def _bind(self, pattern: Type, type_: Type, bound: dict[str, Type]) -> bool:
        """Whether the type can have the pattern's form; its variables are widened to let it in."""
        if isinstance(pattern, Variable):
            joined = self.join(bound.get(pattern.name, ANY), type_, choice=pattern.name == "C")
            if joined is None:
                return False
            bound[pattern.name] = joined
            return True
        if isinstance(pattern, ListOf | IntervalOf):
            return self._bind_inside(pattern, type_, bound)
        return True

    def _bind_inside(self, pattern: ListOf | IntervalOf, type_: Type, bound: dict[str, Type]) -> bool:
        if type_ == ANY:
            for name in variables(pattern):
                bound.setdefault(name, ANY)
            return True
        type_ = self._system_of(type_)
        if isinstance(type_, ChoiceOf):
            return any(self._bind_inside(pattern, option, bound) for option in type_.options)
        if isinstance(pattern, ListOf):
            if type_ == VALUESET:
                type_ = ListOf(CODE)
            return isinstance(type_, ListOf) and self._bind(pattern.element, type_.element, bound)
        return isinstance(type_, IntervalOf) and self._bind(pattern.point, type_.point, bound)


def is_mixed(type_: Type) -> bool:
    """Whether it is a choice, or a list of a choice, with types of a data model in it."""
    if isinstance(type_, ListOf):
        return is_mixed(type_.element)
    options = type_.options if isinstance(type_, ChoiceOf) else ()
    return any(isinstance(option, Named) and option.model != "System" for option in options)


def variables(type_: Type) -> set[str]:
    if isinstance(type_, Variable):
        return {type_.name}
    if isinstance(type_, ListOf):
        return variables(type_.element)
    return variables(type_.point) if isinstance(type_, IntervalOf) else set()


def substitute(type_: Type, bound: dict[str, Type]) -> Type:
    if isinstance(type_, Variable):
        return bound.get(type_.name, ANY)
    if isinstance(type_, ListOf):
        return ListOf(substitute(type_.element, bound))
    return IntervalOf(substitute(type_.point, bound)) if isinstance(type_, IntervalOf) else type_
