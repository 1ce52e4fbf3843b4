"""Operators as they are written to ELM's nodes, timing phrases among them.

https://cql.hl7.org/03-developersguide.html#timing-phrases, https://cql.hl7.org/06-translationsemantics.html
"""

from __future__ import annotations

from rules.language import nodes as n
from rules.typed.base import Typing, is_collection
from rules.typed.tree import Typed
from rules.typed.types import (
    ANY,
    BOOLEAN,
    CODESYSTEM,
    DATE,
    DATETIME,
    DECIMAL,
    INTEGER,
    LONG,
    QUANTITY,
    RATIO,
    STRING,
    TIME,
    VOCABULARY,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Type,
)

_CONVERSIONS: dict[Type, str] = {
    BOOLEAN: "ToBoolean",
    INTEGER: "ToInteger",
    LONG: "ToLong",
    DECIMAL: "ToDecimal",
    STRING: "ToString",
    DATE: "ToDate",
    DATETIME: "ToDateTime",
    TIME: "ToTime",
    QUANTITY: "ToQuantity",
    RATIO: "ToRatio",
}
_EXTENTS = frozenset({INTEGER, LONG, DECIMAL, QUANTITY, DATE, DATETIME, TIME})


class Operators(Typing):
    """Operation, TypeOperation, ConvertUnit, Extent, Between and Timing."""

    def literal(self, node: n.Literal, sign: str = "") -> Typed:
        raise NotImplementedError

    def _operation(self, node: n.Operation) -> Typed:
        if node.name == "Negate" and isinstance(node.operands[0], n.Literal):
            # The least Integer is the negation of a number that is out of range itself.
            return self.literal(node.operands[0], "-")
        operands = [self.expression(operand) for operand in node.operands]
        special = getattr(self, f"_op_{node.name.lower()}", None)
        if special is not None:
            found: Typed = special(node, operands)
            return found
        return self.operator(node.name, operands, node.at, precision=node.precision)

    def _op_positive(self, node: n.Operation, operands: list[Typed]) -> Typed:
        if not self.fits("Negate", operands):
            return self.error(node.at, f"+ does not take ({operands[0].type})")
        return operands[0]

    def _op_notequal(self, node: n.Operation, operands: list[Typed]) -> Typed:
        return self.operator("Not", [self.operator("Equal", operands, node.at)], node.at)

    def _op_notequivalent(self, node: n.Operation, operands: list[Typed]) -> Typed:
        return self.operator("Not", [self.operator("Equivalent", operands, node.at)], node.at)

    def _op_add(self, node: n.Operation, operands: list[Typed]) -> Typed:
        operands = [self.conversions.as_system(operand) for operand in operands]
        if any(operand.type == STRING for operand in operands):
            return self.operator("Concatenate", operands, node.at)
        return self.operator("Add", operands, node.at)

    def _op_ampersand(self, node: n.Operation, operands: list[Typed]) -> Typed:
        empty = Typed("Literal", STRING, [], {"value": ""}, node.at)
        filled = []
        for operand in operands:
            text = self.converted(operand, STRING, node.at)
            filled.append(Typed("Coalesce", STRING, [text, empty], {}, node.at))
        return self.operator("Concatenate", filled, node.at)

    def _op_in(self, node: n.Operation, operands: list[Typed]) -> Typed:
        return self._membership("In", operands[0], operands[1], node.precision, node.at)

    def _op_contains(self, node: n.Operation, operands: list[Typed]) -> Typed:
        return self._membership("Contains", operands[1], operands[0], node.precision, node.at)

    def _membership(self, op: str, item: Typed, whole: Typed, precision: str | None, at: n.At) -> Typed:
        if self.models.is_subtype(whole.type, VOCABULARY) and whole.type != ANY:
            item = self.conversions.as_system(item)
            base = "InCodeSystem" if whole.type == CODESYSTEM else "InValueSet"
            return self.operator(f"Any{base}" if isinstance(item.type, ListOf) else base, [item, whole], at)
        operands = [item, whole] if op.endswith("In") else [whole, item]
        return self.operator(op, operands, at, precision=precision)

    # Types

    def _typeoperation(self, node: n.TypeOperation) -> Typed:
        operand = self.expression(node.operand)
        type_ = self.type_of(node.type)
        if node.name == "Is":
            return Typed("Is", BOOLEAN, [operand], {"isType": type_}, node.at)
        if node.name == "Convert":
            return self._convert_to(operand, type_, node.at)
        return self._as(operand, type_, node.name == "Cast", node.at)

    def cast_to(self, operand: Typed, type_: Type, at: n.At) -> Typed:
        """The operand as the type, null where it is of another."""
        return self._as(operand, type_, False, at)

    def _as(self, operand: Typed, type_: Type, strict: bool, at: n.At) -> Typed:
        """A cast must be able to succeed: to a subtype or supertype, from a choice, from Any."""
        source = operand.type
        related = self.models.is_subtype(type_, source) or self.models.is_subtype(source, type_)
        if not (related or isinstance(source, ChoiceOf) or isinstance(type_, ChoiceOf)):
            if self.conversions.cost(source, type_) is None or not is_collection(source):
                return self.error(at, f"{source} cannot be cast to {type_}")
            operand = self.conversions.convert(operand, type_)
        return Typed("As", type_, [operand], {"asType": type_, "strict": strict}, at)

    def _convert_to(self, operand: Typed, type_: Type, at: n.At) -> Typed:
        op = _CONVERSIONS.get(type_)
        if op and self.fits(op, [operand]):
            return self.operator(op, [operand], at)
        return self.converted(operand, type_, at)

    def _convertunit(self, node: n.ConvertUnit) -> Typed:
        unit = Typed("Literal", STRING, [], {"value": node.unit}, node.at)
        return self.operator("ConvertQuantity", [self.expression(node.operand), unit], node.at)

    def _extent(self, node: n.Extent) -> Typed:
        type_ = self.type_of(node.type)
        if type_ not in _EXTENTS:
            return self.error(node.at, f"{type_} has no least and greatest value")
        return Typed(node.name, type_, [], {"valueType": type_}, node.at)

    def _between(self, node: n.Between) -> Typed:
        written = (node.operand, node.low, node.high)
        operand, low, high = (self.conversions.as_system(self.expression(part)) for part in written)
        if isinstance(operand.type, IntervalOf):
            type_, ends = self.common([low, high])
            fields = {"lowClosed": True, "highClosed": True}
            whole = Typed("Interval", IntervalOf(type_), ends, fields, node.at)
            return self.operator(
                "ProperIncludedIn" if node.proper else "IncludedIn", [operand, whole], node.at
            )
        above, below = ("Greater", "Less") if node.proper else ("GreaterOrEqual", "LessOrEqual")
        sides = [
            self.operator(above, [operand, low], node.at),
            self.operator(below, [operand, high], node.at),
        ]
        return self.operator("And", sides, node.at)

    # Timing

    def _timing(self, node: n.Timing) -> Typed:
        return self._of_options(node, self.expression(node.left), self.expression(node.right))

    def _of_options(self, node: n.Timing, left: Typed, right: Typed) -> Typed:
        """A choice of a model's types (dateTime, Period) is related as whichever of them the value is."""
        for number, side in enumerate((left, right)):
            if not isinstance(side.type, ChoiceOf):
                continue
            items = []
            for option in side.type.options:
                marked = len(self.problems)
                cast = Typed("As", option, [side], {"asType": option, "strict": False}, node.at)
                sides = (cast, right) if number == 0 else (left, cast)
                found = self._of_options(node, *sides)
                if len(self.problems) == marked:
                    items.append((Typed("Is", BOOLEAN, [side], {"isType": option}, node.at), found))
                del self.problems[marked:]
            return self._first_option(node, side.type, items)
        return self._related(node, self.conversions.as_system(left), self.conversions.as_system(right))

    def _first_option(self, node: n.Timing, type_: Type, items: list[tuple[Typed, Typed]]) -> Typed:
        if not items:
            return self.error(node.at, f"{node.kind} does not take {type_}")
        unknown = Typed("As", BOOLEAN, [Typed("Null", ANY)], {"asType": BOOLEAN, "strict": False}, node.at)
        return Typed("Case", BOOLEAN, [], {"comparand": None, "items": items, "else": unknown}, node.at)

    def _related(self, node: n.Timing, left: Typed, right: Typed) -> Typed:
        left = self._end_of(left, node.left_end, node.at)
        right = self._end_of(right, node.right_end, node.at)
        if node.kind in ("Includes", "IncludedIn"):
            return self._inclusion(node, left, right)
        if node.kind == "Within":
            return self._within(node, left, right)
        if node.offset is not None:
            return self._offset(node, left, right)
        op = f"{node.kind}{(node.side or '').capitalize()}"
        if node.on:
            op = f"SameOr{node.kind}"
        return self.operator(op, [left, right], node.at, precision=node.precision)

    def _end_of(self, operand: Typed, end: str | None, at: n.At) -> Typed:
        return self.operator(end.capitalize(), [operand], at) if end else operand

    def _inclusion(self, node: n.Timing, left: Typed, right: Typed) -> Typed:
        """Of a collection or an element; a null written in place of the part is an element if `properly`."""
        part, whole = (right, left) if node.kind == "Includes" else (left, right)
        proper = "Proper" if node.proper else ""
        is_part = is_collection(part.type) and not isinstance(whole.type, ListOf)
        if isinstance(whole.type, ListOf) and is_collection(part.type):
            is_part = isinstance(part.type, ListOf)
        if part.op == "Null":
            is_part = not node.proper
        if is_part or (whole.op == "Null" and is_collection(part.type)):
            return self.operator(f"{proper}{node.kind}", [left, right], node.at, precision=node.precision)
        op = "Contains" if node.kind == "Includes" else "In"
        return self._membership(f"{proper}{op}", part, whole, node.precision, node.at)

    def _within(self, node: n.Timing, left: Typed, right: Typed) -> Typed:
        """`left within 3 days of right`: from start of right - 3 days to end of right + 3 days."""
        assert node.offset is not None
        by = self.expression(node.offset)
        low = self.operator("Subtract", [self._start(right, node.at), by], node.at)
        high = self.operator("Add", [self._finish(right, node.at), by], node.at)
        after, before = ("After", "Before") if node.proper else ("SameOrAfter", "SameOrBefore")
        sides = [
            self.operator(after, [self._start(left, node.at), low], node.at, precision=node.precision),
            self.operator(before, [self._finish(left, node.at), high], node.at, precision=node.precision),
        ]
        return self.operator("And", sides, node.at)

    def _start(self, operand: Typed, at: n.At) -> Typed:
        return self.operator("Start", [operand], at) if isinstance(operand.type, IntervalOf) else operand

    def _finish(self, operand: Typed, at: n.At) -> Typed:
        return self.operator("End", [operand], at) if isinstance(operand.type, IntervalOf) else operand

    def _offset(self, node: n.Timing, left: Typed, right: Typed) -> Typed:
        """`left 3 days (or more, or less) before right`, the distance measured between the nearest ends."""
        assert node.offset is not None
        before = node.kind == "Before"
        point = self._finish(left, node.at) if before else self._start(left, node.at)
        origin = self._start(right, node.at) if before else self._finish(right, node.at)
        by = self.expression(node.offset)
        away = self.operator("Subtract" if before else "Add", [origin, by], node.at)
        farther = {None: "SameAs", "or more": f"SameOr{node.kind}", "more than": node.kind}.get(
            node.qualifier
        )
        if farther:
            return self.operator(farther, [point, away], node.at, precision=node.precision)
        # Not an Interval from the one to the other: of partial dates it might begin after it ends.
        near = f"SameOr{node.kind}" if node.on else node.kind
        other = "After" if before else "Before"
        far = f"SameOr{other}" if node.qualifier == "or less" else other
        sides = [
            self.operator(near, [point, origin], node.at, precision=node.precision),
            self.operator(far, [point, away], node.at, precision=node.precision),
        ]
        return self.operator("And", sides, node.at)
