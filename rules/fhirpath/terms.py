"""Literals, variables and types: what stands in an expression without a function.

https://hl7.org/fhirpath/N1/#literals, #environment-variables, #types
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from rules.fhirpath import fhir, types, values
from rules.fhirpath.environment import as_item
from rules.fhirpath.syntax import stripped
from rules.fhirpath.writer import EMPTY, Item, Scope, Sink, Value
from rules.language import nodes as n
from rules.runtime.decimals import fit
from rules.runtime.temporal import Date, DateTime, Time, parse_date, parse_datetime, parse_time
from rules.runtime.units import CALENDAR
from rules.runtime.values import INTEGER_MAX, LONG_MAX, Long, Quantity

if TYPE_CHECKING:
    from rules.fhirpath.emitter import Emitter

_CONSTANTS: Final = {
    "%sct": "http://snomed.info/sct",
    "%loinc": "http://loinc.org",
    "%ucum": "http://unitsofmeasure.org",
}
_PREFIXES: Final = {
    "%vs-": "http://hl7.org/fhir/ValueSet/",
    "%ext-": "http://hl7.org/fhir/StructureDefinition/",
}


def literal(e: Emitter, node: n.Literal | n.QuantityLiteral) -> Value:
    """A constant; those that Python has no literal for are built once, when the module is loaded."""
    if isinstance(node, n.QuantityLiteral):
        return _quantity(e, node)
    if node.kind == "boolean":
        return Value("True" if node.value == "true" else "False", types.BOOLEAN, null=False)
    if node.kind == "string":
        return Value(repr(node.value), types.STRING, null=False)
    if node.kind in ("number", "long"):
        return _number(e, node)
    return _time(e, node)


def _number(e: Emitter, node: n.Literal) -> Value:
    if node.kind == "long":
        digits = node.value[:-1]
        if len(digits) < 30 and int(digits) <= LONG_MAX:
            return _constant(e, Long, f"({int(digits)})", types.LONG)
    elif "." in node.value:
        number = fit(Decimal(node.value)) if len(node.value) < 100 else None
        if number is not None:
            return _constant(e, Decimal, f"({str(number)!r})", types.DECIMAL)
    elif len(node.value) < 30 and int(node.value) <= INTEGER_MAX:
        return Value(str(int(node.value)), types.INTEGER, null=False)
    e.problem("the number is too large", node.at)
    return Value("None", EMPTY)


def _quantity(e: Emitter, node: n.QuantityLiteral) -> Value:
    number = fit(Decimal(node.value)) if len(node.value) < 100 else None
    if number is None:
        e.problem("the number is too large", node.at)
        return Value("None", EMPTY)
    e.needs_context = True
    unit = CALENDAR.get(node.unit, node.unit)
    decimal = e.bind(Decimal)
    return _constant(e, Quantity, f"({decimal}({str(number)!r}), {unit!r})", types.QUANTITY)


def _time(e: Emitter, node: n.Literal) -> Value:
    e.needs_context = True
    written = node.value[1:]
    found: Date | DateTime | Time | None
    if node.kind == "date":
        found, kind = parse_date(written), types.DATE
    elif node.kind == "time":
        found, kind = parse_time(written), types.TIME
    else:
        found, kind = parse_datetime(written), types.DATETIME
    if found is None:
        e.problem(f"there is no {node.kind} {node.value}", node.at)
        return Value("None", EMPTY)
    offset = f", {found.offset}" if found.offset is not None else ""
    return _constant(e, type(found), f"({found.fields}{offset})", kind)


def _constant(e: Emitter, made_by: type, arguments: str, kind: str) -> Value:
    return Value(e.module.constant(f"{e.bind(made_by)}{arguments}"), kind, null=False)


# Variables


def variable(e: Emitter, node: n.Name, scope: Scope, sink: Sink) -> None:
    """`%name`: one that was defined, one of the specification's, or one that the caller gives."""
    name = node.name
    if name in scope.variables:
        return e.each(scope.variables[name], sink)
    if name == "%context":
        return sink(e.context)
    if name in _CONSTANTS:
        return sink(Item(repr(_CONSTANTS[name]), types.STRING))
    for prefix, url in _PREFIXES.items():
        if name.startswith(prefix):
            return sink(Item(repr(url + name[len(prefix) :]), types.STRING))
    if name in ("%resource", "%rootResource"):
        found = resource_item(e) if name == "%resource" else None
        text = "c.resource" if name == "%resource" else "c.root"
        return sink(found or Item(e.hold(f"{e.bind(as_item)}({text})"), types.ANY))
    item = e.fresh("x")
    with e.loop(f"for {item} in c.variable({name[1:]!r}):"):
        sink(Item(item, types.ANY, many=True))
    return None


def resource_item(e: Emitter) -> Item | None:
    """%resource, where the type of what is evaluated says of which resource it is a part."""
    kind = e.context.type.partition(".")[0]
    if not types.is_resource(kind) or types.is_abstract(kind):
        return None
    return replace(Item("c.resource", kind), path=())


# Types


def test_type(e: Emitter, operand: n.Expression, wanted: str | None, scope: Scope) -> Value:
    """`is`"""
    if wanted is None:
        return Value("None", EMPTY)
    resolved = stripped(operand)
    if isinstance(resolved, n.Call) and resolved.name == "resolve" and not resolved.arguments:
        operand = e.source(resolved)

        def render(item: Item) -> tuple[str, str]:
            return points_to(e, item, wanted), types.BOOLEAN
    else:
        if (found := _choice_is(e, operand, wanted, scope)) is not None:
            return found

        def render(item: Item) -> tuple[str, str]:
            return e.is_type(item, wanted).text, types.BOOLEAN

    return e.value(operand, scope, render)


def _choice_is(e: Emitter, operand: n.Expression, wanted: str, scope: Scope) -> Value | None:
    """Whether a choice element is of the type, by the property that is there."""
    place = e.place(operand, scope)
    if place is None or len(place[1].alternatives) < 2 or place[1].repeats or e.plain:
        return None
    properties: dict[bool, set[str]] = {True: set(), False: set()}
    for key, type in place[1].alternatives:
        fits = wanted == "System.Any" or types.is_a(type, wanted)
        properties[fits] |= {key, "_" + key} if types.is_primitive(type) else {key}
    names = {fits: e.module.constant(f"frozenset({sorted(keys)!r})") for fits, keys in properties.items()}
    text = place[0].text
    found = f"True if not {names[True]}.isdisjoint({text}) else "
    found += f"None if {names[False]}.isdisjoint({text}) else False"
    return Value(f"({found})", types.BOOLEAN)


def points_to(e: Emitter, item: Item, wanted: str) -> str:
    """`resolve() is wanted`. Search parameters read nothing: they go by what the reference says."""
    if e.plain:
        return f"{e.bind(fhir.says)}({item.text}, {wanted!r})"
    return f"{e.bind(fhir.points_to)}(c, {e.box(item)}, {wanted!r})"


def take_as(
    e: Emitter, node: n.Expression, operand: n.Expression, wanted: str | None, scope: Scope, sink: Sink
) -> None:
    """`as`: of one item; of every item of the type in R4's own definitions, which were written so."""
    if wanted is None:
        return None
    if e.published or not _may_be_many(e, operand, scope):
        return narrowed(e, operand, wanted, scope, sink)
    gathered = e.gather(operand, scope)
    item = e.fresh("v")
    with e.loop(f"for {item} in {e.bind(values.only)}({gathered.text}):"):
        single = replace(gathered, item=replace(gathered.item, many=False))
        e.element(item, single, lambda found: e.narrow(found, wanted, sink))
    return None


def _may_be_many(e: Emitter, operand: n.Expression, scope: Scope) -> bool:
    place = e.place(operand, scope)
    if place is not None:
        return place[1].repeats
    node = stripped(operand)
    return not (isinstance(node, n.Name) and node.name == "$this" and scope.this.collected is None)


def narrowed(e: Emitter, operand: n.Expression, wanted: str, scope: Scope, sink: Sink) -> None:
    """The items of the type. Of a choice only the property of that type is looked at."""
    operand = stripped(operand)
    if isinstance(operand, n.Member):
        child = operand

        def of_child(item: Item) -> None:
            e.member(item, child.name, child.at, lambda found: e.narrow(found, wanted, sink), only=wanted)

        return e.walk(child.source, scope, of_child)
    place = e.place(operand, scope)
    if place is not None and isinstance(operand, n.Name):
        name, at = operand.name, operand.at
        return e.member(place[0], name, at, lambda found: e.narrow(found, wanted, sink), only=wanted)
    return e.walk(operand, scope, lambda item: e.narrow(item, wanted, sink))
