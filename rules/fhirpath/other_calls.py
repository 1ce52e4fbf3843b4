"""Control, navigation and utility functions, and those that FHIR adds.

https://hl7.org/fhirpath/N1/#tree-navigation, #utility-functions, #aggregates; https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rules.fhirpath import comparing, elements, fhir, html, numbers, types, values
from rules.fhirpath.collection_calls import counted
from rules.fhirpath.registry import call, value
from rules.fhirpath.syntax import stripped
from rules.fhirpath.value_calls import checked
from rules.fhirpath.writer import EMPTY, Gathered, Item, Scope, Sink, Value
from rules.language import nodes as n

if TYPE_CHECKING:
    from rules.fhirpath.emitter import Emitter

_STRING = frozenset((types.STRING,))

# Control


def _collection(scope: Scope, gathered: Gathered) -> Scope:
    """Inside of an expression whose `$this` is a whole collection."""
    item = replace(gathered.item, text=gathered.text, collected=gathered)
    return replace(scope, this=item, outermost=False, variables=dict(scope.variables))


@call("iif", 2, 3)
def iif(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    if not e.enters(2):  # too many ways already: one list for what comes after
        gathered = e.collect(lambda keep: _iif(e, node, scope, keep))
        return e.each(gathered, sink)
    _iif(e, node, scope, sink)
    return e.leaves(2)


def _iif(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    if node.source is not None:
        focus = e.gather(node.source, scope)
        e.add(f"{e.bind(values.only)}({focus.text})")
        scope = _collection(scope, focus)
    held = e.fresh()
    at = len(e.out.lines)
    test = e.condition(node.arguments[0], scope)
    e.add(f"{held} = {test}")
    before = len(e.out.lines)
    with e.block(f"if {held}:"):
        e.walk(node.arguments[1], e.branch(scope, 2), sink)
    if len(node.arguments) == 3:
        with e.block(f"if not {held}:"):
            e.walk(node.arguments[2], e.branch(scope, 2), sink)
    if len(e.out.lines) == before and before == at + 1:
        del e.out.lines[at:]


@call("aggregate", 1, 2)
def aggregate(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    total = e.fresh("g")
    start = e.gather(node.arguments[1], scope, boxed=True).text if len(node.arguments) == 2 else "[]"
    e.add(f"{total} = {start}")
    e.needs_context = True

    def step(item: Item, index: str | None) -> None:
        so_far = Gathered(total, Item(total, types.ANY, many=True))
        inner = replace(scope.inner(item, index), total=so_far)
        with e.inside():
            found = e.gather(node.arguments[0], inner, boxed=True).text
        e.add(f"{total} = {e.bind(numbers.bounded)}({found})")

    counted(e, e.source(node), node.arguments[0], scope, step)
    e.each(Gathered(total, Item(total, types.ANY, many=True)), sink)


@call("sort", 0, 20)
def sort(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    gathered = e.gather(e.source(node), scope)
    if gathered.item.type == EMPTY:
        return
    keys, descending = [], []
    for argument in node.arguments or (n.Name(node.at, "$this"),):
        key = stripped(argument)
        down = isinstance(key, n.Operation) and key.name == "Negate"
        keys.append(key.operands[0] if down and isinstance(key, n.Operation) else key)
        descending.append(down)
    rows, name = e.fresh("g"), e.fresh("v")
    e.needs_context = True
    e.add(f"{rows} = []")

    def row(item: Item) -> None:
        inner = scope.inner(item)
        parts = ", ".join(e.hold(e.value(key, inner).text) for key in keys)
        e.add(f"{rows}.append(({parts}, {name}))")

    with e.loop(f"for {name} in {gathered.text}:"), e.inside():
        e.element(name, gathered, row)
    e.each(replace(gathered, text=f"{e.bind(comparing.sorted_by)}({rows}, {tuple(descending)!r})"), sink)


@call("defineVariable", 1, 2)
def define_variable(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    argument = stripped(node.arguments[0])
    if not isinstance(argument, n.Literal) or argument.kind != "string":
        return e.problem("defineVariable() takes the variable's name as a string", node.at)
    name = f"%{argument.value}"
    if name in scope.variables or name in (
        "%context",
        "%resource",
        "%rootResource",
        "%ucum",
        "%sct",
        "%loinc",
    ):
        return e.problem(f"the variable {name} is there already", node.at)
    gathered = e.gather(e.source(node), scope)
    found = gathered
    if len(node.arguments) == 2:
        found = e.gather(node.arguments[1], _collection(scope, gathered))
    scope.variables[name] = found
    return e.each(gathered, sink)


@call("trace", 1, 2)
def trace(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    name = checked(e, e.value(node.arguments[0], scope), _STRING, node, "trace() takes")
    gathered = e.gather(e.source(node), scope)
    if gathered.item.type == EMPTY:
        return
    with e.block("if c.environment.trace is not None:"):
        shown = gathered
        if len(node.arguments) == 2:
            shown = e.collect(
                lambda keep: e.each(gathered, lambda item: e.walk(node.arguments[1], scope.inner(item), keep))
            )
        e.add(f"{e.bind(fhir.trace)}(c, {name}, {shown.text})")
    e.each(gathered, sink)


# Navigation


def _tree(name: str, function: Callable[[Any], Any]) -> None:
    @call(name)
    def emit(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
        def below(item: Item) -> None:
            child = e.fresh("x")
            found = f"{e.bind(function)}({e.box(item)})"
            if name == "descendants" and item.text == "c.resource":
                found = f"c.descendants({item.type!r})"
            with e.loop(f"for {child} in {found}:"):
                sink(Item(child, types.ANY, many=True))

        e.walk(e.source(node), scope, below)


_tree("children", elements.children)
_tree("descendants", elements.descendants)


@call("type")
def type_(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    def say(item: Item) -> None:
        known = item.type != types.ANY and not types.is_abstract(item.type)
        if known:
            found = elements.info(item.type)
            made = f"{e.bind(elements.TypeInfo)}({found.namespace!r}, {found.name!r})"
            sink(Item(e.module.constant(made), types.TYPE_INFO, item.many))
        else:
            text = e.hold(f"{e.bind(elements.type_info)}({e.box(item)})")
            sink(Item(text, types.TYPE_INFO, item.many))

    e.walk(e.source(node), scope, say)


# FHIR


@call("extension", 1)
def extension(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    url = e.hold(checked(e, e.value(node.arguments[0], scope), _STRING, node, "extension() takes"))

    def wanted(item: Item) -> None:
        if item.type != types.ANY:
            with e.block(f"if {item.text}.get('url') == {url}:"):
                sink(item)
            return
        at = len(e.out.lines)
        held = e.fresh("v")
        e.add(f"{held} = {item.text}.value")
        before = len(e.out.lines)
        with e.block(f"if {held}.get('url') == {url}:"):
            sink(Item(held, "Extension", many=True))
        if len(e.out.lines) == before:
            del e.out.lines[at:]

    def from_item(item: Item) -> None:
        if item.type == types.ANY or types.element(item.type, "extension") or types.is_abstract(item.type):
            e.member(item, "extension", node.at, wanted)

    e.walk(e.source(node), scope, from_item)


def _has_value(e: Emitter, item: Item) -> str:
    if item.type == types.ANY:
        return f"{e.bind(elements.has_value)}({item.text})"
    if item.type.startswith("System."):
        return "True"
    return f"{item.text} is not None" if types.is_primitive(item.type) else "False"


@value("hasValue")
def has_value(e: Emitter, node: n.Call, scope: Scope) -> Value:
    """Whether there is one item, a primitive with a value; false for nothing as well."""
    source = stripped(e.source(node))
    place = e.place(source, scope)
    if place is not None and not place[1].repeats and len(place[1].alternatives) == 1:
        key, type = place[1].alternatives[0]
        if not types.is_primitive(type):
            return Value("False", types.BOOLEAN, null=False)
        return Value(f"({place[0].text}.get({key!r}) is not None)", types.BOOLEAN, null=False)
    if isinstance(source, n.Name) and source.name == "$this" and scope.this.collected is None:
        test = _has_value(e, scope.this)
        return Value(test if test.isidentifier() else f"({test})", types.BOOLEAN, null=False)
    found = e.operand(source, scope, lambda item: (_has_value(e, item), types.BOOLEAN))
    if found.type == EMPTY:
        return Value("False", types.BOOLEAN, null=False)
    if found.many:
        return Value(e.hold(f"{found.text} == [True]"), types.BOOLEAN, null=False)
    return Value(f"({found.text} is True)", types.BOOLEAN, null=False)


@value("getValue")
def get_value(e: Emitter, node: n.Call, scope: Scope) -> Value:
    return e.value(e.source(node), scope)


@call("resolve")
def resolve(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    if e.plain:
        return e.problem("resolve() is not read here, only `resolve() is`", node.at, "unsupported")

    def read(item: Item) -> None:
        if (
            item.type not in (types.ANY, "Reference", types.STRING)
            and types.system_of(item.type) != types.STRING
        ):
            return
        found = e.fresh("x")
        with e.loop(f"for {found} in {e.bind(fhir.resolve)}(c, {e.box(item)}):"):
            sink(Item(found, types.ANY, item.many))

    return e.walk(e.source(node), scope, read)


def _asked(name: str, function: Callable[..., Any]) -> None:
    """A function of one element and a canonical, answered by whoever evaluates."""

    @value(name, 1)
    def emit(e: Emitter, node: n.Call, scope: Scope) -> Value:
        canonical = checked(e, e.value(node.arguments[0], scope), _STRING, node, f"{name}() takes")
        found = e.value(e.source(node), scope, lambda item: (e.box(item), types.ANY))
        held = e.hold(found.text)
        text = f"{e.bind(function)}(c, {held}, {canonical})"
        if found.null:
            text = f"(None if {held} is None else {text})"
        return Value(e.hold(text), types.BOOLEAN)


_asked("memberOf", fhir.member_of)
_asked("conformsTo", fhir.conforms_to)


def _subsumption(name: str, turned: bool) -> None:
    @value(name, 1)
    def emit(e: Emitter, node: n.Call, scope: Scope) -> Value:
        sides = [
            e.value(side, e.branch(scope, 2), lambda item: (e.box(item), types.ANY)).text
            for side in (e.source(node), node.arguments[0])
        ]
        left, right = reversed(sides) if turned else sides
        return Value(e.hold(f"{e.bind(fhir.subsumes)}(c, {left}, {right})"), types.BOOLEAN)


_subsumption("subsumes", turned=False)
_subsumption("subsumedBy", turned=True)


@value("htmlChecks")
def html_checks(e: Emitter, node: n.Call, scope: Scope) -> Value:
    found = e.value(e.source(node), scope)
    return Value(e.hold(f"{e.bind(html.is_narrative)}({found.text})"), types.BOOLEAN)


@call("checkModifiers", 0, 50)
def check_modifiers(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    urls = [
        checked(e, e.value(argument, scope), _STRING, node, "checkModifiers() takes")
        for argument in node.arguments
    ]

    def check(item: Item) -> None:
        e.add(f"{e.bind(fhir.check_modifiers)}({e.box(item)}, [{', '.join(urls)}])")
        sink(item)

    e.walk(e.source(node), scope, check)
