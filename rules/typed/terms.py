"""Literals, selectors, names, members and calls.

https://cql.hl7.org/03-developersguide.html#literals-and-selectors
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from rules.language import nodes as n
from rules.runtime.temporal import parse_date, parse_datetime, parse_time
from rules.typed.functions import FUNCTIONS, MEMBERS
from rules.typed.operators import Operators
from rules.typed.signatures import TABLE
from rules.typed.tree import Typed, TypedFunction, TypedLibrary
from rules.typed.types import (
    ANY,
    BOOLEAN,
    CODE,
    CODESYSTEM,
    CONCEPT,
    DATE,
    DATETIME,
    DECIMAL,
    INTEGER,
    LONG,
    QUANTITY,
    RATIO,
    STRING,
    TIME,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Type,
    tuple_of,
)

_MAX_DECIMAL: Final = Decimal("9999999999999999999999999999.99999999")
_PARSERS: Final = {
    "date": (DATE, parse_date),
    "datetime": (DATETIME, parse_datetime),
    "time": (TIME, parse_time),
}


class Terms(Operators):
    """Everything that stands on its own. `library` and `definition` are what names are looked up in."""

    library: TypedLibrary

    # Literals

    def _literal(self, node: n.Literal) -> Typed:
        return self.literal(node)

    def literal(self, node: n.Literal, sign: str = "") -> Typed:
        if node.kind == "null":
            return Typed("Null", ANY, at=node.at)
        if node.kind in ("boolean", "string"):
            type_ = BOOLEAN if node.kind == "boolean" else STRING
            return Typed("Literal", type_, [], {"value": node.value}, node.at)
        if node.kind in _PARSERS:
            return self._temporal(node)
        return self._number(node, sign)

    def _temporal(self, node: n.Literal) -> Typed:
        type_, parse = _PARSERS[node.kind]
        value = parse(node.value[1:])
        if value is None:
            return self.error(node.at, f"{node.value} is not a valid {type_}")
        return Typed("Literal", type_, [], {"value": node.value[1:], "constant": value}, node.at)

    def _number(self, node: n.Literal, sign: str) -> Typed:
        if node.kind == "long":
            return self._whole(node, sign + node.value[:-1], LONG, 63)
        if "." not in node.value:
            return self._whole(node, sign + node.value, INTEGER, 31)
        value = Decimal(sign + node.value)
        if abs(value) > _MAX_DECIMAL or len(node.value.partition(".")[2]) > 8:
            return self.error(
                node.at, f"{node.value} is not a valid Decimal: at most 28 digits and 8 decimals"
            )
        text = sign + node.value if value else node.value
        return Typed("Literal", DECIMAL, [], {"value": text}, node.at)

    def _whole(self, node: n.Literal, text: str, type_: Type, bits: int) -> Typed:
        if len(text) > 20 or not -(2**bits) <= int(text) < 2**bits:
            return self.error(node.at, f"{node.value} is out of the range of {type_}")
        return Typed("Literal", type_, [], {"value": str(int(text))}, node.at)

    def _quantityliteral(self, node: n.QuantityLiteral) -> Typed:
        if abs(Decimal(node.value)) > _MAX_DECIMAL:
            return self.error(node.at, f"{node.value} is out of the range of Decimal")
        return Typed("Quantity", QUANTITY, [], {"value": node.value, "unit": node.unit}, node.at)

    def _ratioliteral(self, node: n.RatioLiteral) -> Typed:
        sides = [self._quantityliteral(node.numerator), self._quantityliteral(node.denominator)]
        return Typed("Ratio", RATIO, sides, {}, node.at)

    def _parenthesised(self, node: n.Parenthesised) -> Typed:
        return self.expression(node.expression)

    # Conditions

    def _if(self, node: n.If) -> Typed:
        condition = self.converted(self.expression(node.condition), BOOLEAN, node.condition.at)
        branches = [self.expression(node.then), self.expression(node.otherwise)]
        type_, branches = self.common(branches)
        return Typed("If", type_, [condition, *branches], {}, node.at)

    def _case(self, node: n.Case) -> Typed:
        comparand = self.expression(node.comparand) if node.comparand is not None else None
        conditions = [self.expression(condition) for condition, _ in node.items]
        results = [self.expression(result) for _, result in node.items]
        type_, results = self.common([*results, self.expression(node.otherwise)])
        if comparand is None:
            conditions = [self.converted(condition, BOOLEAN, node.at) for condition in conditions]
        else:
            _, (comparand, *conditions) = self.common([comparand, *conditions])
        items = list(zip(conditions, results[:-1], strict=True))
        return Typed(
            "Case", type_, [], {"comparand": comparand, "items": items, "else": results[-1]}, node.at
        )

    # Selectors

    def _intervalselector(self, node: n.IntervalSelector) -> Typed:
        ends = [self.conversions.as_system(self.expression(end)) for end in (node.low, node.high)]
        type_ = self.conversions.join(ends[0].type, ends[1].type)
        if type_ is None or isinstance(type_, ChoiceOf):
            return self.error(node.at, f"an interval cannot run from {ends[0].type} to {ends[1].type}")
        ends = [self.conversions.convert(end, type_) for end in ends]
        closed = {"lowClosed": node.low_closed, "highClosed": node.high_closed}
        fields = {name: self._closed(end, node.at) for name, end in closed.items()}
        return Typed("Interval", IntervalOf(type_), ends, fields, node.at)

    def _closed(self, closed: bool | n.Expression, at: n.At) -> bool | Typed:
        if isinstance(closed, bool):
            return closed
        return self.converted(self.expression(closed), BOOLEAN, at)

    def _tupleselector(self, node: n.TupleSelector) -> Typed:
        elements = [(name, self.expression(element)) for name, element in node.elements]
        if len({name for name, _ in elements}) < len(elements):
            return self.error(node.at, "the same element twice")
        type_ = tuple_of({name: element.type for name, element in elements})
        return Typed("Tuple", type_, [], {"elements": elements}, node.at)

    def _instanceselector(self, node: n.InstanceSelector) -> Typed:
        type_ = self.type_of(node.type)
        elements = []
        for name, written in node.elements:
            wanted = self.models.element(type_, name)
            if wanted is None:
                return self.error(written.at, f"{type_} has no element {name}")
            elements.append((name, self._element_value(written, wanted)))
        if len({name for name, _ in elements}) < len(elements):
            return self.error(node.at, "the same element twice")
        return Typed("Instance", type_, [], {"classType": type_, "elements": elements}, node.at)

    def _element_value(self, written: n.Expression, wanted: Type) -> Typed:
        """The value of an element; one value makes a list of it, and the items of a list are taken singly."""
        if isinstance(wanted, ListOf) and isinstance(written, n.ListSelector) and written.type is None:
            items = [self._element_value(item, wanted.element) for item in written.items]
            return Typed("List", wanted, items, {}, written.at)
        value = self.expression(written)
        if isinstance(wanted, ListOf) and not isinstance(value.type, ListOf) and value.op != "Null":
            value = Typed("ToList", ListOf(value.type), [value], {}, written.at)
        return self.converted(self.as_data(value, wanted), wanted, written.at)

    def as_data(self, value: Typed, wanted: Type) -> Typed:
        """A System value given for an element of a model's primitive type, as an instance of that type."""
        if value.type == ANY or self.conversions.cost(value.type, wanted) is not None:
            return value
        if isinstance(value.type, ListOf) and isinstance(wanted, ListOf):
            element = self.as_data(Typed("ElementRef", value.type.element, at=value.at), wanted.element)
            return Typed("ConvertList", ListOf(element.type), [value], {"by": element}, value.at)
        for option in wanted.options if isinstance(wanted, ChoiceOf) else (wanted,):
            held = self.models.element(option, "value") if self.models.is_primitive(option) else None
            if held is not None and self.conversions.cost(value.type, held) is not None:
                elements = [("value", self.conversions.convert(value, held))]
                return Typed("Instance", option, [], {"classType": option, "elements": elements}, value.at)
        return value

    def _listselector(self, node: n.ListSelector) -> Typed:
        items = [self.expression(item) for item in node.items]
        if node.type is None:
            type_, items = self.common(items)
        else:
            type_ = self.type_of(node.type)
            items = [self.converted(item, type_, item.at or node.at) for item in items]
        return Typed("List", ListOf(type_), items, {}, node.at)

    def _codeselector(self, node: n.CodeSelector) -> Typed:
        system = self.definition(node.system, node.at)
        if system is not None and system.type != CODESYSTEM:
            return self.error(node.at, f"{'.'.join(node.system)} is not a code system")
        fields = {"code": node.code, "system": system, "display": node.display}
        return Typed("Code", CODE, [], fields, node.at)

    def _conceptselector(self, node: n.ConceptSelector) -> Typed:
        codes = [self._codeselector(code) for code in node.codes]
        return Typed("Concept", CONCEPT, [], {"codes": codes, "display": node.display}, node.at)

    # Names

    def _name(self, node: n.Name) -> Typed:
        found = self.lookup(node.name, node.at)
        if found is not None:
            return found
        if node.name in self.library.includes:
            return self.error(node.at, f"{node.name} is a library, not a value")
        constant = self.definition((node.name[1:],), node.at) if node.name.startswith("%") else None
        if constant is not None and constant.op == "ParameterRef":
            return constant
        return self.error(node.at, f"there is no {node.name}")

    def lookup(self, name: str, at: n.At) -> Typed | None:
        """A local name, else an element of $this where there is one, else a definition of the library."""
        found = self.local(name)
        if found is not None:
            return Typed(found.op, found.type, [], found.fields, at)
        if self.this and not name.startswith(("$", "%")):
            this = self.this[-1]
            if self._element_type(this.type, name) is not None:
                return self.element(this, name, at)
        return self.definition((name,), at)

    def definition(self, names: Sequence[str], at: n.At) -> Typed | None:
        """A reference to a definition of this library, or of an included one. Read by Libraries."""
        raise NotImplementedError

    def _member(self, node: n.Member) -> Typed:
        if isinstance(node.source, n.Name) and self._is_library(node.source.name):
            found = self.definition((node.source.name, node.name), node.at)
            return found or self.error(node.at, f"{node.source.name} has no {node.name}")
        return self.element(self.expression(node.source), node.name, node.at)

    def _is_library(self, name: str) -> bool:
        return self.local(name) is None and name in self.library.includes

    # Calls

    def _call(self, node: n.Call) -> Typed:
        if node.source is None:
            return self._function(node, [self.expression(argument) for argument in node.arguments])
        if isinstance(node.source, n.Name) and self._is_library(node.source.name):
            operands = [self.expression(argument) for argument in node.arguments]
            return self._function_of(node.source.name, node, operands)
        if node.name not in MEMBERS or self._defines_method(node.name):
            return self._fluent(node)
        return MEMBERS[node.name](self, node)

    def _defines_method(self, name: str) -> bool:
        """Whether the library, or one that it includes, has a fluent function of this name of its own."""
        known = (f for library in (None, *self.library.includes) for f in self.functions(library))
        return any(f.name == name and f.fluent for f in known)

    def _function(self, node: n.Call, operands: list[Typed]) -> Typed:
        found = self.function(None, node.name, operands, node.at)
        if found is not None:
            return found
        if node.name in FUNCTIONS:
            return FUNCTIONS[node.name](self, node, operands)
        if node.name in TABLE:
            return self.operator(node.name, operands, node.at)
        return self._no_function(node, operands)

    def _no_function(self, node: n.Call, operands: list[Typed]) -> Typed:
        types = ", ".join(str(operand.type) for operand in operands)
        return self.error(node.at, f"there is no function {node.name}({types})")

    def _function_of(self, library: str, node: n.Call, operands: list[Typed]) -> Typed:
        return self.function(library, node.name, operands, node.at) or self._no_function(node, operands)

    def _fluent(self, node: n.Call) -> Typed:
        assert node.source is not None
        operands = [self.expression(operand) for operand in (node.source, *node.arguments)]
        for library in (None, *self.library.includes):
            found = self.function(library, node.name, operands, node.at, fluent=True)
            if found is not None:
                return found
        return self._no_function(node, operands)

    def function(
        self, library: str | None, name: str, operands: list[Typed], at: n.At, *, fluent: bool = False
    ) -> Typed | None:
        """A call of a function that this or an included library defines, if one fits."""
        known = [f for f in self.functions(library) if f.name == name and (f.fluent or not fluent)]
        signatures = [(tuple(type_ for _, type_ in function.operands), function.type) for function in known]
        match = self.conversions.resolve(signatures, [operand.type for operand in operands])
        if match is None:
            return None
        chosen = known[[signature[0] for signature in signatures].index(match.operands)]
        pairs = zip(operands, match.operands, strict=True)
        converted = [self.conversions.convert(operand, target) for operand, target in pairs]
        fields = {"name": name, "libraryName": library, "function": chosen}
        found = Typed("FunctionRef", self.result_of(chosen, at), converted, fields, at)
        self.called(chosen, at)
        return found

    def birth_date(self, at: n.At) -> Typed:
        """The birth date of the Patient context's patient."""
        raise NotImplementedError

    def called(self, function: TypedFunction, at: n.At) -> None:
        """Told of every call of a function."""
        raise NotImplementedError

    def functions(self, library: str | None) -> list[TypedFunction]:
        raise NotImplementedError

    def result_of(self, function: TypedFunction, at: n.At) -> Type:
        raise NotImplementedError
