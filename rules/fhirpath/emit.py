"""A syntax tree to Python: types are resolved while it is emitted, so what runs tests nothing it need not.

Every construct hands each of its items to a `sink`, which says what to do with it: a path becomes nested
loops over plain dicts, without a list in between. An element that cannot be there emits nothing.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from rules.fhirpath import runtime
from rules.fhirpath.lexer import CompileError
from rules.fhirpath.model import Element, Model, bases
from rules.fhirpath.nodes import Binary, Call, Index, IsType, Literal, Member, Node, OfType, This

_TEXT = {"string", "code", "id", "markdown", "uri", "url", "canonical", "oid", "uuid"}
_NUMBER = {"integer", "decimal", "positiveInt", "unsignedInt"}
# Of the static type of a literal by its Python type.
_LITERAL = {"str": "string", "bool": "boolean", "int": "integer", "Decimal": "decimal"}


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a collection while code is emitted for it: the Python variable and what is known of it.

    `targets` are the resource types a reference may point to (empty = any), `many` tells whether the path can
    have more than one, `element` is the definition it came from, `path` the JSON properties on the way to it.
    """

    variable: str
    type: str
    targets: tuple[str, ...] = ()
    many: bool = False
    element: Element | None = None
    path: tuple[str, ...] = ()


Statements = list[ast.stmt]
Sink = Callable[[Item], Statements]


class Emitter:
    """Emits one function. With `root`, only paths through that JSON property of the resource, whose value is
    then the function's argument; without, the argument is the resource."""

    def __init__(self, text: str, type: str, model: Model, root: str | None = None) -> None:
        self.text = text
        self.model = model
        self.context = Item("value", type)
        self.root = root
        self.roots: list[str] = []  # the properties of the resource that were found on the way
        self.count = 0

    def function(self, node: Node, wanted: Callable[[Item], bool] = lambda item: True) -> ast.FunctionDef:
        """`def evaluate(value)` that returns the list of the items wanted."""

        def keep(item: Item) -> Statements:
            if not wanted(item):
                return []
            return [ast.Expr(_call(_method("out", "append"), _name(item.variable)))]

        body: Statements = [_assign("out", ast.List([], ast.Load()))]
        body += self.walk(node, self.context, keep)
        body.append(ast.Return(_name("out")))
        arguments = ast.arguments([], [ast.arg("value")], kwonlyargs=[], kw_defaults=[], defaults=[])
        # type_params came with 3.12, where a tree without it does not compile
        extra: dict[str, Any] = {"type_params": []} if "type_params" in ast.FunctionDef._fields else {}
        return ast.FunctionDef("evaluate", arguments, body, decorator_list=[], **extra)

    def items(self, node: Node) -> list[Item]:
        """What the expression can give, an Item for each way to get there."""
        found: list[Item] = []

        def note(item: Item) -> Statements:
            found.append(item)
            return [ast.Pass()]

        self.walk(node, self.context, note)
        return found

    def walk(self, node: Node, context: Item, sink: Sink) -> Statements:
        """The statements that hand each item of the node to the sink."""
        match node:
            case This():
                return sink(context)
            case Literal():
                return self._literal(node, sink)
            case Member(None, name, at):
                return self._start(name, at, context, sink)
            case Member(child, name, at) if child:
                return self.walk(child, context, lambda item: self._member(item, name, at, sink))
            case Index(child, index, at):
                return self._pick(child, index, at, context, sink)
            case OfType(child, type, at):
                self._known(type, at)
                return self.walk(child, context, lambda item: self._of_type(item, type, sink))
            case IsType(child, type, at):
                self._known(type, at)
                return self._is_type(child, type, context, sink)
            case Call():
                return self._call(node, context, sink)
            case Binary():
                return self._binary(node, context, sink)
        raise AssertionError(node)

    def error(self, message: str, at: int) -> CompileError:
        return CompileError(message, self.text, at)

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    # Paths

    def _start(self, name: str, at: int, context: Item, sink: Sink) -> Statements:
        """The first name of a path: the context's type, another (then there is nothing), or an element."""
        if name in bases(self.model, context.type):
            return sink(context)
        if name in self.model.types and self.model.types[name].kind == "resource":
            return []
        return self._member(context, name, at, sink)

    def _member(self, item: Item, name: str, at: int, sink: Sink) -> Statements:
        type_def = self.model.types.get(item.type)
        element = type_def.elements.get(name) if type_def else None
        if element is None:
            raise self.error(f"{item.type} has no element {name}", at)
        statements: Statements = []
        for key, type in element.properties.items():
            statements += self._property(item, key, element, type.code, tuple(type.targets), sink)
        return statements

    def _property(
        self, item: Item, key: str, element: Element, type: str, targets: tuple[str, ...], sink: Sink
    ) -> Statements:
        """`for v in item.get(key) or (): ...` or `v = item.get(key)`, then what the sink does with v."""
        at_root = item is self.context
        if at_root and self.root not in (None, key):
            return []
        repeats = element.max is None or element.max > 1
        found = Item(self.fresh(), type, targets, item.many or repeats, element, (*item.path, key))
        inner = sink(found)
        if not inner:
            return []
        if at_root and key not in self.roots:
            self.roots.append(key)
        got = _call(_method(item.variable, "get"), ast.Constant(key))
        value: ast.expr = _name("value") if at_root and self.root else got
        there = ast.Compare(_name(found.variable), [ast.IsNot()], [ast.Constant(None)])
        if not repeats:
            return [_assign(found.variable, value), ast.If(there, inner, [])]
        if self._is_primitive(type):  # a list of primitives has null where only an extension is
            inner = [ast.If(there, inner, [])]
        values = ast.BoolOp(ast.Or(), [value, ast.Tuple([], ast.Load())])
        return [ast.For(_name(found.variable, store=True), values, inner, [])]

    def _is_primitive(self, type: str) -> bool:
        return type in self.model.types and self.model.types[type].kind == "primitive-type"

    def _pick(self, child: Node, index: int, at: int, context: Item, sink: Sink) -> Statements:
        """`child[index]`: the child is gathered in a list first."""
        seen: list[Item] = []
        gathered = self.fresh()
        statements = self._gather(child, context, gathered, seen)
        if not seen:
            return []
        if len({(item.type, item.targets) for item in seen}) > 1:
            raise self.error("an index into items of several types is not supported here", at)
        picked = replace(seen[0], variable=self.fresh(), many=False)
        inner = sink(picked)
        if not inner:
            return []
        enough = ast.Compare(_call(_name("len"), _name(gathered)), [ast.Gt()], [ast.Constant(index)])
        take = _assign(picked.variable, ast.Subscript(_name(gathered), ast.Constant(index), ast.Load()))
        return [*statements, ast.If(enough, [take, *inner], [])]

    def _gather(self, node: Node, context: Item, variable: str, seen: list[Item] | None = None) -> Statements:
        """`variable = [...]` of all the node's items."""

        def add(item: Item) -> Statements:
            if seen is not None:
                seen.append(item)
            return [ast.Expr(_call(_method(variable, "append"), _name(item.variable)))]

        return [_assign(variable, ast.List([], ast.Load())), *self.walk(node, context, add)]

    # Types

    def _known(self, type: str, at: int) -> None:
        if type not in self.model.types:
            raise self.error(f"{type} is not a type", at)

    def _of_type(self, item: Item, type: str, sink: Sink) -> Statements:
        if type in bases(self.model, item.type):
            return sink(item)
        if item.type in bases(self.model, type):  # known only when it runs: any resource
            inner = sink(replace(item, type=type))
            return [ast.If(_has_type(item.variable, type), inner, [])] if inner else []
        return []

    def _is_type(self, child: Node, type: str, context: Item, sink: Sink) -> Statements:
        if isinstance(child, Call) and child.name == "resolve" and not child.arguments:

            def test(item: Item) -> ast.expr:
                return _points_to(item.variable, type)

            child = child.child or This(child.at)
        else:

            def test(item: Item) -> ast.expr:
                if item.type in bases(self.model, type) and item.type != type:
                    return _has_type(item.variable, type)
                return ast.Constant(type in bases(self.model, item.type))

        return self.walk(child, context, lambda item: self._value(test(item), "boolean", item, sink))

    # Values

    def _value(self, value: ast.expr, type: str, source: Item, sink: Sink) -> Statements:
        made = Item(self.fresh(), type, many=source.many)
        inner = sink(made)
        return [_assign(made.variable, value), *inner] if inner else []

    def _literal(self, node: Literal, sink: Sink) -> Statements:
        kind = _LITERAL[node.value.__class__.__name__]
        if isinstance(node.value, Decimal):
            return self._value(
                _call(_name("Decimal"), ast.Constant(str(node.value))), kind, self.context, sink
            )
        return self._value(ast.Constant(node.value), kind, self.context, sink)

    # Functions

    def _call(self, node: Call, context: Item, sink: Sink) -> Statements:
        child = node.child or This(node.at)
        match node.name, node.arguments:
            case "where", (condition,):
                return self.walk(child, context, lambda item: self._where(condition, item, sink))
            case "exists", ():
                return self._exists(child, context, sink)
            case "exists", (condition,):
                return self._exists(Call(child, "where", (condition,), node.at), context, sink)
            case "first", ():
                return self._pick(child, 0, node.at, context, sink)
            case "extension", (Literal(str()) as url,):
                extensions = Member(child, "extension", node.at)
                wanted = Binary("=", Member(None, "url", node.at), url, node.at)
                return self.walk(Call(extensions, "where", (wanted,), node.at), context, sink)
        raise self.error(f"{node.name}() is not supported here", node.at)

    def _where(self, condition: Node, item: Item, sink: Sink) -> Statements:
        match condition:
            case IsType(Call(None | This(), "resolve", ()), wanted):  # from here on only that type
                inner = sink(replace(item, targets=(wanted,)))
                return [ast.If(_points_to(item.variable, wanted), inner, [])] if inner else []
        inner = sink(item)
        if not inner:
            return []
        holds = self.fresh()
        test = ast.Compare(_call(_name("truth"), _name(holds)), [ast.Is()], [ast.Constant(True)])
        return [*self._gather(condition, item, holds), ast.If(test, inner, [])]

    def _exists(self, child: Node, context: Item, sink: Sink) -> Statements:
        gathered = self.fresh()
        statements = self._gather(child, context, gathered)
        there = _call(_name("bool"), _name(gathered))
        return [*statements, *self._value(there, "boolean", self.context, sink)]

    # Operators

    def _binary(self, node: Binary, context: Item, sink: Sink) -> Statements:
        if node.op == "|":
            return self.walk(node.left, context, sink) + self.walk(node.right, context, sink)
        sides: list[list[Item]] = [[], []]
        names = [self.fresh(), self.fresh()]
        statements = self._gather(node.left, context, names[0], sides[0])
        statements += self._gather(node.right, context, names[1], sides[1])
        arguments: list[ast.expr] = [_name(name) for name in names]
        if node.op in ("and", "or"):
            function = "both" if node.op == "and" else "either"
            arguments = [_call(_name("truth"), argument) for argument in arguments]
        else:
            function = "equal" if node.op == "=" else "different"
            self._comparable(sides[0], sides[1], node.at)
        result = self.fresh()
        inner = sink(Item(result, "boolean"))
        if not inner:
            return []
        there = ast.Compare(_name(result), [ast.IsNot()], [ast.Constant(None)])
        call = _call(_name(function), *arguments)
        return [*statements, _assign(result, call), ast.If(there, inner, [])]

    def _comparable(self, left: Sequence[Item], right: Sequence[Item], at: int) -> None:
        """Text, numbers and booleans compare; dates and complex types need more than `==`."""
        shared = {_family(item.type) for item in left} & {_family(item.type) for item in right}
        for family in shared - {"text", "number", "boolean"}:
            raise self.error(f"a comparison of two {family} values is not supported here", at)


def _family(type: str) -> str:
    if type in _TEXT:
        return "text"
    return "number" if type in _NUMBER else type


def _name(name: str, store: bool = False) -> ast.Name:
    return ast.Name(name, ast.Store() if store else ast.Load())


def _assign(name: str, value: ast.expr) -> ast.stmt:
    return ast.Assign([_name(name, store=True)], value)


def _method(variable: str, method: str) -> ast.expr:
    return ast.Attribute(_name(variable), method, ast.Load())


def _call(function: ast.expr, *arguments: ast.expr) -> ast.Call:
    return ast.Call(function, list(arguments), [])


def _points_to(variable: str, type: str) -> ast.expr:
    return _call(_name("points_to"), _name(variable), ast.Constant(type))


def _has_type(variable: str, type: str) -> ast.expr:
    got = _call(_method(variable, "get"), ast.Constant("resourceType"))
    return ast.Compare(got, [ast.Eq()], [ast.Constant(type)])


def load(function: ast.FunctionDef, text: str) -> Callable[[Any], list[Any]]:
    """The emitted function as one that can be called; a traceback through it shows the expression."""
    file = f"<fhirpath {text}>"
    linecache.cache[file] = (len(text), None, [text], file)
    namespace: dict[str, Any] = {"Decimal": Decimal}
    namespace |= {
        name: getattr(runtime, name)
        for name in ("points_to", "equal", "different", "truth", "both", "either")
    }
    module = ast.fix_missing_locations(ast.Module([function], []))
    exec(compile(module, file, "exec"), namespace)  # noqa: S102 - a tree that we built, text only as constants
    evaluate: Callable[[Any], list[Any]] = namespace["evaluate"]
    return evaluate
