"""A syntax tree to Python: types are resolved while it is emitted, so what runs tests nothing it need not.

Three ways to write an expression: `walk` hands each of its items to a sink, so that a path becomes nested
loops over plain dicts without a list in between; `value` gives the Python of the one System value that an
operator takes; `condition` that of a test. An element that cannot be there emits nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from rules.fhirpath import elements, registry, terms, types, values
from rules.fhirpath.paths import Paths
from rules.fhirpath.syntax import path_names, stripped
from rules.fhirpath.writer import DEEP, EMPTY, Gathered, Item, Scope, Sink, Site, Value, common
from rules.language import nodes as n

_LONG_PATH: Final = 8  # steps that may be loops inside of each other before a list is made
Render = Callable[[Item], tuple[str, str]]


class Emitter(Paths):
    """Emits functions of one expression. `published`: it is one of R4's own definitions, in which `as` takes
    every item of the type and a path of another resource type is nothing."""

    def __init__(
        self,
        type: str,
        *,
        strict: bool = False,
        published: bool = False,
        plain: bool = False,
        root: str | None = None,
    ) -> None:
        super().__init__(type, strict, plain, root)
        self.published = published

    def scope(self) -> Scope:
        return Scope(self.context, {}, outermost=True)

    # Every item

    def walk(self, node: n.Expression, scope: Scope, sink: Sink) -> None:
        """The statements that hand each item of the node to the sink."""
        node = stripped(node)
        if self.steps(node) % _LONG_PATH == 0 and not isinstance(node, n.Name):
            return self.each(self.gather(node, scope, whole=False), sink)
        return self._walk(node, scope, sink)

    def _walk(self, node: n.Expression, scope: Scope, sink: Sink) -> None:
        self.out.line = node.at.line
        match node:
            case n.Name():
                return self._name(node, scope, sink)
            case n.Member():
                return self.walk(node.source, scope, lambda item: self.member(item, node.name, node.at, sink))
            case n.Call() if (call := registry.CALLS.get(node.name)) is not None:
                if self.fits(node, call):
                    call.emit(self, node, scope, sink)
                return None
            case n.Operation() if node.name in registry.COLLECTIONS:
                return registry.COLLECTIONS[node.name](self, node, scope, sink)
            case n.TypeOperation(name="As"):
                return terms.take_as(self, node, node.operand, self.written_type(node.type), scope, sink)
            case n.ListSelector():
                return None
        return self.hand(self.value(node, scope), sink)

    def hand(self, value: Value, sink: Sink) -> None:
        """Hands a single value to the sink, if there is one."""
        if value.type == EMPTY:
            return
        if not value.null:
            sink(Item(value.text, value.type))
            return
        at = len(self.out.lines)
        name = self.hold(value.text)
        held = len(self.out.lines)
        with self.block(f"if {name} is not None:"):
            sink(Item(name, value.type))
        if len(self.out.lines) == held:
            del self.out.lines[at:]

    def steps(self, node: n.Expression) -> int:
        """How many steps a path has, on and on to the left."""
        count = 0
        while True:
            node = stripped(node)
            before = node.source if isinstance(node, n.Member | n.Call) else None
            if before is not None:
                node = before
            elif isinstance(node, n.Operation) and node.name == "Indexer":
                node = node.operands[0]
            else:
                return count + 1
            count += 1

    def fits(self, node: n.Call, call: registry.Call) -> bool:
        """Whether the function takes so many arguments."""
        if call.least <= len(node.arguments) <= call.most:
            return True
        wanted = str(call.least) if call.least == call.most else f"{call.least} to {call.most}"
        self.problem(f"{node.name}() takes {wanted} arguments, not {len(node.arguments)}", node.at)
        return False

    def source(self, node: n.Call) -> n.Expression:
        """What a function is called on: without a source on `$this`."""
        return node.source or n.Name(node.at, "$this")

    def _name(self, node: n.Name, scope: Scope, sink: Sink) -> None:
        name = node.name
        if name == "$this":
            return self.focus(scope.this, sink)
        if name == "$index":
            if scope.index is None:
                return self.problem("$index is only inside of a function's expression", node.at)
            return sink(Item(scope.index, types.INTEGER))
        if name == "$total":
            if scope.total is None:
                return self.problem("$total is only inside of aggregate()", node.at)
            return self.each(scope.total, sink)
        if name.startswith("%"):
            return terms.variable(self, node, scope, sink)
        if scope.outermost and self._is_type_name(name, scope.this):
            return self._of_type(name, node.at, scope, sink)
        return self.focus(scope.this, lambda item: self.member(item, name, node.at, sink))

    def _is_type_name(self, name: str, this: Item) -> bool:
        return (
            name[:1].isupper()
            and types.is_known(name)
            and (types.is_resource(name) or name in types.bases(this.type))
        )

    def _of_type(self, name: str, at: n.At, scope: Scope, sink: Sink) -> None:
        """A path that begins with a type's name: the context, if it is of that type."""
        this = scope.this
        if types.is_a(this.type, name):
            return self.focus(this, sink)
        if this.type == types.ANY or types.is_abstract(this.type):
            return self.focus(this, lambda item: self.narrow(item, name, sink))
        if self.strict and not self.published:
            self.problem(f"the expression is for {this.type}, not for {name}", at)
        return None

    def written_type(self, node: n.TypeNode) -> str | None:
        """The type that a specifier names; a problem where there is none."""
        parts = node.parts if isinstance(node, n.NamedType) else ()
        found = types.specifier(parts) if parts else None
        if found is None:
            self.problem(f"{'.'.join(parts)} is not a type", node.at)
        return found

    def argument_type(self, node: n.Expression) -> str | None:
        """The type that an argument names."""
        parts = path_names(node)
        if parts is None:
            self.problem("the name of a type is expected", node.at)
            return None
        return self.written_type(n.NamedType(node.at, parts))

    # Lists

    def gather(
        self, node: n.Expression, scope: Scope, *, boxed: bool = False, whole: bool = True
    ) -> Gathered:
        """A list of the node's items."""
        return self.gather_all([node], scope, boxed=boxed, whole=whole)

    def gather_all(
        self, nodes: Sequence[n.Expression], scope: Scope, *, boxed: bool = False, whole: bool = True
    ) -> Gathered:
        """One list of the items of several nodes. `boxed`: as elements.py takes them, of whatever type."""
        if self.out.depth > DEEP:
            return self.lifted(lambda: self._gather(nodes, scope, boxed, whole))
        return self._gather(nodes, scope, boxed, whole)

    def _gather(self, nodes: Sequence[n.Expression], scope: Scope, boxed: bool, whole: bool) -> Gathered:
        name = self.fresh("g")
        self.add(f"{name} = []")
        sites: list[Site] = []
        for node in nodes:
            visit = self.walk if whole else self._walk
            visit(
                stripped(node),
                self.branch(scope, len(nodes)),
                self._keep(sites, lambda item: ("", item.type)),
            )
        return self.listed(name, sites, boxed)

    def branch(self, scope: Scope, ways: int) -> Scope:
        """The scope for one of several operands: what one defines the other does not see."""
        return scope if ways == 1 else replace(scope, variables=dict(scope.variables))

    def _keep(self, sites: list[Site], render: Render) -> Sink:
        def keep(item: Item) -> None:
            text, kind = render(item)
            sites.append(Site(self.out, len(self.out.lines), text, kind, item))
            self.add("pass")

        return keep

    def listed(self, name: str, sites: list[Site], boxed: bool = False) -> Gathered:
        """The list that those sites fill, each in the form that all of them allow."""
        kinds = {site.item.type for site in sites}
        boxed = boxed or len(kinds) > 1
        for site in sites:
            site.write(f"{name}.append({self.box(site.item) if boxed else self.raw(site.item)})")
        first = sites[0].item if sites else Item(name, EMPTY)
        kind = types.ANY if boxed and sites else first.type
        alike = (
            len({(site.item.owner, site.item.name, site.item.path, site.item.targets) for site in sites}) == 1
        )
        like = first if alike and not boxed else Item(name, kind)
        extended = not boxed and any(site.item.extra is not None for site in sites)
        many = any(site.item.many for site in sites) or len(sites) > 1
        return Gathered(
            name, replace(like, text=name, type=kind, many=many, extra=None, bare=False), extended
        )

    def collect(self, into: Callable[[Sink], None]) -> Gathered:
        """A list filled by statements that `into` writes around the sink it is given."""
        name = self.fresh("g")
        self.add(f"{name} = []")
        sites: list[Site] = []
        into(self._keep(sites, lambda item: ("", item.type)))
        return self.listed(name, sites)

    def boxed(self, gathered: Gathered) -> Gathered:
        """The same items, as elements.py takes them."""
        if gathered.item.type in (types.ANY, EMPTY) or gathered.item.type.startswith("System."):
            return replace(gathered, item=replace(gathered.item, type=types.ANY))
        name = self.fresh("v")
        box = self.box(replace(gathered.item, text=name))
        if gathered.extended:
            box = f"{name} if {name}.__class__ is {self.bind(elements.Element)} else {box}"
        text = self.hold(f"[{box} for {name} in {gathered.text}]")
        return Gathered(text, Item(text, types.ANY, many=gathered.item.many))

    # One value

    def operand(self, node: n.Expression, scope: Scope, render: Render | None = None) -> Value:
        """The node's System values: one, or a list where there can be several.

        An element without a value (a primitive that has only extensions) is none of them.
        """
        node = stripped(node)
        if render is None and (found := self._direct(node, scope)) is not None:
            return found
        if self.out.depth > DEEP:
            return self.lifted(lambda: self._operand(node, scope, render or self.system))
        return self._operand(node, scope, render or self.system)

    def _direct(self, node: n.Expression, scope: Scope) -> Value | None:
        self.out.line = node.at.line
        match node:
            case n.Literal() | n.QuantityLiteral():
                return terms.literal(self, node)
            case n.ListSelector():
                return Value("None", EMPTY)
            case n.Name(name="$index") if scope.index is not None:
                return Value(scope.index, types.INTEGER, null=False)
            case n.Operation() if node.name in registry.OPERATORS:
                return registry.OPERATORS[node.name](self, node, scope)
            case n.TypeOperation(name="Is"):
                return terms.test_type(self, node.operand, self.written_type(node.type), scope)
            case n.Call() if node.name in registry.CALLS:
                return None
            case n.Call() if (function := registry.VALUES.get(node.name)) is not None:
                return function.emit(self, node, scope) if self.fits(node, function) else Value("None", EMPTY)
            case n.Name() | n.Member():
                return self._inline(node, scope)
            case n.TypeOperation() | n.Operation(name="Indexer" | "Union"):
                return None
        name = f"{node.name}()" if isinstance(node, n.Call) else type(node).__name__
        self.problem(f"{name} is not FHIRPath", node.at, "unsupported")
        return Value("None", EMPTY)

    def place(self, node: n.Expression, scope: Scope) -> tuple[Item, types.Element] | None:
        """The element that a name or `x.name` means, where x is one item whose type is known."""
        node = stripped(node)
        if isinstance(node, n.Name) and node.name[:1] not in "$%":
            if scope.outermost and self._is_type_name(node.name, scope.this):
                return None
            item: Item | None = scope.this
        elif isinstance(node, n.Member):
            item = self._one(stripped(node.source), scope)
        else:
            return None
        if item is None or item.collected or item.type == types.ANY or types.is_primitive(item.type):
            return None
        if self.root is not None and item.text == self.context.text:
            return None
        element = types.element(item.type, node.name)
        return None if element is None else (item, element)

    def _one(self, node: n.Expression, scope: Scope) -> Item | None:
        if isinstance(node, n.Name):
            if node.name == "$this":
                return scope.this
            if node.name == "%resource":
                return terms.resource_item(self)
            if scope.outermost and node.name in types.bases(scope.this.type):
                return scope.this
        return None

    def _inline(self, node: n.Expression, scope: Scope) -> Value | None:
        """A property of `$this` that is there once at most, without a statement."""
        found = self.place(node, scope)
        if found is None or found[1].repeats or len(found[1].alternatives) > 1:
            return None
        item, element = found
        key, type = element.alternatives[0]
        if types.is_abstract(type):
            return None
        return Value(*self.system(Item(f"{item.text}.get({key!r})", type)))

    def _operand(self, node: n.Expression, scope: Scope, render: Render) -> Value:
        name = self.fresh()
        out, at = self.out, len(self.out.lines)
        self.add("pass")
        sites: list[Site] = []
        self._walk(node, scope, self._keep(sites, render))
        many = any(site.item.many for site in sites)
        if not sites:
            del out.lines[at:]
            return Value("None", EMPTY)
        if not many and len(sites) == 1 and sites[0].at == at + 1 == len(out.lines) - 1:
            del out.lines[at:]  # nothing stands between the beginning and the one site
            there = sites[0].item.type.startswith("System.")  # else it may not convert
            return Value(sites[0].text, sites[0].type, null=not there)
        for site in sites:
            site.write(f"{name}.append({{}})" if many else f"{name} = {{}}")
        if many and any(site.item.bare or site.text != site.item.text for site in sites):
            self.add(f"{name} = {self.bind(values.present)}({name})")
        begin = Site(out, at, "", "", sites[0].item)
        begin.write(f"{name} = []" if many else f"{name} = None")
        return Value(name, common([site.type for site in sites]), null=not many, many=many)

    def value(self, node: n.Expression, scope: Scope, render: Render | None = None) -> Value:
        """The node's one System value; several are an error of the evaluation."""
        found = self.operand(node, scope, render)
        if not found.many:
            return found
        name = self.hold(f"{self.bind(values.single)}({found.text})")
        return Value(name, found.type)

    def items(self, node: n.Expression, scope: Scope) -> Value:
        """The node's System values as a list."""
        found = self.operand(node, scope)
        text = "[]" if found.type == EMPTY and not found.many else self.as_list(found)
        return Value(text, found.type, null=False, many=True)

    def as_list(self, value: Value) -> str:
        """The value, or the values, as a list."""
        if value.many:
            return value.text
        if not value.null:
            return f"[{value.text}]"
        name = self.hold(value.text)
        return f"([] if {name} is None else [{name}])"

    # Conditions

    def boolean(self, node: n.Expression, scope: Scope) -> Value:
        """The node as a Boolean: anything else that is there counts as true."""
        found = self.value(node, scope)
        if found.type == types.BOOLEAN:
            return found
        if found.type == EMPTY:
            return Value("None", types.BOOLEAN)
        if found.type == types.ANY:
            return Value(f"{self.bind(values.truth)}({found.text})", types.BOOLEAN)
        if self.strict:
            self.problem(f"a Boolean is needed, not a {found.type.removeprefix('System.')}", node.at)
        if not found.null:
            return Value("True", types.BOOLEAN, null=False)
        return Value(f"(True if {found.text} is not None else None)", types.BOOLEAN)

    def condition(self, node: n.Expression, scope: Scope) -> str:
        """Python that is true if and only if the node is."""
        node = stripped(node)
        if isinstance(node, n.Call) and (test := registry.TESTS.get(node.name)) is not None:
            return test.emit(self, node, scope) if self.fits(node, test) else "False"
        if isinstance(node, n.Operation) and node.name in registry.CONDITIONS:
            return registry.CONDITIONS[node.name](self, node, scope)
        found = self.boolean(node, scope)
        return f"{found.text} is True" if found.null else found.text
