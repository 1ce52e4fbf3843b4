"""The functions of collections: existence, filtering, subsetting, combining.

https://hl7.org/fhirpath/N1/#existence and the chapters after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from rules.fhirpath import comparing, elements, numbers, types, values
from rules.fhirpath.operators import check_order, converter, pick, unite
from rules.fhirpath.registry import call, test, value
from rules.fhirpath.syntax import mentions, stripped
from rules.fhirpath.terms import narrowed, points_to, take_as, test_type
from rules.fhirpath.writer import EMPTY, Gathered, Item, Scope, Sink, Value, negated
from rules.language import nodes as n

if TYPE_CHECKING:
    from rules.fhirpath.emitter import Emitter

_CountingSink = Callable[[Item, "str | None"], None]

# Existence


@test("exists", 0, 1)
def exists(e: Emitter, node: n.Call, scope: Scope) -> str:
    source = stripped(e.source(node))
    if not node.arguments and (found := _presence(e, source, scope)) is not None:
        return found
    name = e.fresh()
    at = len(e.out.lines)
    e.add(f"{name} = False")
    before = len(e.out.lines)
    loops = e.loops

    def found_one(item: Item) -> None:
        e.add(f"{name} = True")
        if e.loops > loops:
            e.add("break")

    def found_if(item: Item, index: str | None) -> None:
        with e.block(f"if {tested(e, item, index, node.arguments[0], scope)}:"):
            found_one(item)

    if node.arguments:
        counted(e, source, node.arguments[0], scope, found_if)
    else:
        e.walk(source, scope, found_one)
    if len(e.out.lines) == before:
        del e.out.lines[at:]
        return "False"
    return name


def _presence(e: Emitter, source: n.Expression, scope: Scope) -> str | None:
    """Whether a property of one dict is there, as an expression."""
    if e.plain:
        return None
    if isinstance(source, n.Name) and source.name == "$this" and scope.this.collected is None:
        return "True"
    place = e.place(source, scope)
    if place is None:
        return None
    item, element = place
    keys = [key for key, _ in element.alternatives]
    primitive = [key for key, type in element.alternatives if types.is_primitive(type)]
    if len(keys) > 1:
        wanted = sorted({*keys, *("_" + key for key in primitive)})
        return f"not {e.module.constant(f'frozenset({wanted!r})')}.isdisjoint({item.text})"
    get = f"{item.text}.get({keys[0]!r})"
    if element.repeats:
        return f"bool({get})" if not primitive else f"bool({get} or {item.text}.get({'_' + keys[0]!r}))"
    test = f"{get} is not None"
    return f"({test} or {'_' + keys[0]!r} in {item.text})" if primitive else test


@test("empty")
def empty(e: Emitter, node: n.Call, scope: Scope) -> str:
    return negated(exists(e, node, scope))


@value("not")
def not_(e: Emitter, node: n.Call, scope: Scope) -> Value:
    found = e.boolean(e.source(node), scope)
    if not found.null:
        return Value(negated(found.text), types.BOOLEAN, null=False)
    name = e.hold(found.text)
    return Value(f"(None if {name} is None else not {name})", types.BOOLEAN)


@test("all", 1)
def all_(e: Emitter, node: n.Call, scope: Scope) -> str:
    name = e.fresh()
    e.add(f"{name} = True")

    def refute(item: Item, index: str | None) -> None:
        with e.block(f"if {negated(tested(e, item, index, node.arguments[0], scope))}:"):
            e.add(f"{name} = False")

    counted(e, e.source(node), node.arguments[0], scope, refute)
    return name


def _each_boolean(name: str, wanted: bool, every: bool) -> None:
    @test(name)
    def emit(e: Emitter, node: n.Call, scope: Scope) -> str:
        items = e.items(e.source(node), scope)
        if items.type not in (types.BOOLEAN, types.ANY, EMPTY):
            e.problem(f"{name}() is for Booleans", node.at)
        item = e.fresh("v")
        checked = f"{e.bind(values.boolean)}({item}) is {wanted}"
        return e.hold(f"{'all' if every else 'any'}([{checked} for {item} in {items.text}])")


_each_boolean("allTrue", True, True)
_each_boolean("anyTrue", True, False)
_each_boolean("allFalse", False, True)
_each_boolean("anyFalse", False, False)


@value("count")
def count(e: Emitter, node: n.Call, scope: Scope) -> Value:
    source = stripped(e.source(node))
    if (short := _countable(e, source, scope)) is not None:
        return Value(short, types.INTEGER, null=False)
    name = e.fresh()
    e.add(f"{name} = 0")
    e.walk(source, scope, lambda item: e.add(f"{name} += 1"))
    return Value(name, types.INTEGER, null=False)


def _countable(e: Emitter, source: n.Expression, scope: Scope) -> str | None:
    """The number of items as an expression, where nothing has to be walked."""
    place = e.place(source, scope)
    if place is not None and not place[1].repeats and not e.plain:
        return f"int({_presence(e, source, scope)})"
    if place is not None and len(place[1].alternatives) == 1:
        key, type = place[1].alternatives[0]
        if place[1].repeats and not types.is_primitive(type):
            return f"len({place[0].text}.get({key!r}) or ())"
    if isinstance(source, n.Call) and source.name == "children" and source.source is None:
        this = scope.this
        known = types.is_known(this.type) and not types.is_abstract(this.type)
        if known and this.collected is None and not types.is_primitive(this.type):
            return f"{e.bind(elements.count_children)}({this.text}, {this.type!r})"
    return None


def _two_lists(e: Emitter, node: n.Call, scope: Scope) -> tuple[Gathered, Gathered, str]:
    """The input and the argument as lists of one form, and what their items are compared by."""
    left = e.gather(e.source(node), e.branch(scope, 2))
    right = e.gather(node.arguments[0], e.branch(scope, 2))
    e.needs_context = True
    kinds = {left.item.type, right.item.type} - {EMPTY}
    if len(kinds) > 1:
        left, right = e.boxed(left), e.boxed(right)
        return left, right, e.bind(values.same)
    return left, right, converter(e, left.item if left.item.type != EMPTY else right.item)


@test("subsetOf", 1)
def subset_of(e: Emitter, node: n.Call, scope: Scope) -> str:
    left, right, convert = _two_lists(e, node, scope)
    return f"{e.bind(comparing.subset)}({left.text}, {right.text}, {convert})"


@test("supersetOf", 1)
def superset_of(e: Emitter, node: n.Call, scope: Scope) -> str:
    left, right, convert = _two_lists(e, node, scope)
    return f"{e.bind(comparing.subset)}({right.text}, {left.text}, {convert})"


@test("isDistinct")
def is_distinct(e: Emitter, node: n.Call, scope: Scope) -> str:
    gathered = e.gather(e.source(node), scope)
    e.needs_context = True
    return f"{e.bind(comparing.is_distinct)}({gathered.text}, {converter(e, gathered.item)})"


@call("distinct")
def distinct(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    unite(e, [e.source(node)], scope, sink)


# Filtering and projection


def counted(e: Emitter, source: n.Expression, body: n.Expression, scope: Scope, sink: _CountingSink) -> None:
    """Every item with the name of its index, where the body asks for it."""
    if not mentions(body, "$index"):
        return e.walk(source, scope, lambda item: sink(item, None))
    index = e.fresh("i")
    e.add(f"{index} = -1")

    def with_index(item: Item) -> None:
        e.add(f"{index} += 1")
        sink(item, index)

    return e.walk(source, scope, with_index)


def tested(e: Emitter, item: Item, index: str | None, criteria: n.Expression, scope: Scope) -> str:
    """The criteria of an item, as a test."""
    with e.inside():
        return e.condition(criteria, scope.inner(item, index))


@call("where", 1)
def where(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    criteria = stripped(node.arguments[0])

    def filtered(item: Item, index: str | None) -> None:
        if (pointed := _resolved_type(e, criteria)) is not None:
            with e.block(f"if {points_to(e, item, pointed)}:"):
                sink(replace(item, targets=(pointed,)))
            return
        at = len(e.out.lines)
        test = tested(e, item, index, criteria, scope)
        before = len(e.out.lines)
        with e.block(f"if {test}:"):
            sink(item)
        if len(e.out.lines) == before:
            del e.out.lines[at:]

    counted(e, e.source(node), criteria, scope, filtered)


def _resolved_type(e: Emitter, criteria: n.Expression) -> str | None:
    """T, where the criteria are `resolve() is T`."""
    if isinstance(criteria, n.TypeOperation) and criteria.name == "Is":
        operand, wanted = stripped(criteria.operand), e.written_type(criteria.type)
    elif isinstance(criteria, n.Call) and criteria.name == "is" and criteria.source and criteria.arguments:
        operand, wanted = stripped(criteria.source), e.argument_type(criteria.arguments[0])
    else:
        return None
    if not isinstance(operand, n.Call) or operand.name != "resolve":
        return None
    at_this = operand.source is None or (
        isinstance(operand.source, n.Name) and operand.source.name == "$this"
    )
    return wanted if at_this else None


@call("select", 1)
def select(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    def projected(item: Item, index: str | None) -> None:
        def found(inner: Item) -> None:
            with e.outside():
                sink(replace(inner, many=inner.many or item.many))

        with e.inside():
            e.walk(node.arguments[0], scope.inner(item, index), found)

    counted(e, e.source(node), node.arguments[0], scope, projected)


@call("repeat", 1)
def repeat(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    start = e.gather(e.source(node), scope, boxed=True)
    e.needs_context = True
    found = e.hold(f"{e.bind(comparing.Repeated)}({start.text})")
    item = e.fresh("x")
    with e.loop(f"for {item} in {found}:"):
        inner = scope.inner(Item(item, types.ANY))

        def keep(child: Item) -> None:
            e.add("c.step(50)")  # to compare an item with all that were found takes its time
            e.add(f"{found}.add({e.box(child)})")

        with e.inside():
            e.walk(node.arguments[0], inner, keep)
    e.each(Gathered(f"{found}.found", Item(found, types.ANY, many=True)), sink)


@call("ofType", 1)
def of_type(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    wanted = e.argument_type(node.arguments[0])
    if wanted is not None:
        narrowed(e, e.source(node), wanted, scope, sink)


@call("as", 1)
def as_(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    take_as(e, node, e.source(node), e.argument_type(node.arguments[0]), scope, sink)


@value("is", 1)
def is_(e: Emitter, node: n.Call, scope: Scope) -> Value:
    return test_type(e, e.source(node), e.argument_type(node.arguments[0]), scope)


# Subsetting


@call("first")
def first(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    check_order(e, e.source(node), node.at)
    gathered = e.gather(e.source(node), scope)
    pick(e, gathered, gathered.text, "0", sink)


@call("last")
def last(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    check_order(e, e.source(node), node.at)
    gathered = e.gather(e.source(node), scope)
    pick(e, gathered, gathered.text, "-1", sink)


@call("single")
def single(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    gathered = e.gather(e.source(node), scope)
    pick(e, gathered, f"{e.bind(values.only)}({gathered.text})", "0", sink)


@call("tail")
def tail(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    check_order(e, e.source(node), node.at)
    gathered = e.gather(e.source(node), scope)
    e.each(replace(gathered, text=f"{gathered.text}[1:]"), sink)


def _number_of(e: Emitter, node: n.Call, scope: Scope) -> str:
    found = e.value(node.arguments[0], scope)
    if found.type not in (types.INTEGER, types.ANY, EMPTY):
        e.problem(f"{node.name}() takes a whole number", node.at)
    if found.type == types.INTEGER and not found.null:
        return e.hold(found.text)
    return e.hold(f"{e.bind(values.integer)}({found.text})")


@call("skip", 1)
def skip(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    check_order(e, e.source(node), node.at)
    number = _number_of(e, node, scope)
    gathered = e.gather(e.source(node), scope)
    e.each(replace(gathered, text=f"{gathered.text}[max(0, {number} or 0):]"), sink)


@call("take", 1)
def take(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    check_order(e, e.source(node), node.at)
    number = _number_of(e, node, scope)
    gathered = e.gather(e.source(node), scope)
    e.each(replace(gathered, text=f"{gathered.text}[: max(0, {number} or 0)]"), sink)


@call("intersect", 1)
def intersect(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    left, right, convert = _two_lists(e, node, scope)
    text = f"{e.bind(comparing.intersect)}({left.text}, {right.text}, {convert})"
    e.each(replace(left, text=text), sink)


@call("exclude", 1)
def exclude(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    left, right, convert = _two_lists(e, node, scope)
    e.each(replace(left, text=f"{e.bind(comparing.exclude)}({left.text}, {right.text}, {convert})"), sink)


# Combining


@call("union", 1)
def union(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    unite(e, [e.source(node), node.arguments[0]], scope, sink)


@call("combine", 1)
def combine(e: Emitter, node: n.Call, scope: Scope, sink: Sink) -> None:
    gathered = e.gather_all([e.source(node), node.arguments[0]], scope)
    e.each(replace(gathered, text=f"{e.bind(numbers.bounded)}({gathered.text})"), sink)
