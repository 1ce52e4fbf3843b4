"""From an item to its children: static where the type is known, through elements.py where it is not.

https://hl7.org/fhirpath/N1/#path-selection, https://hl7.org/fhir/R4/fhirpath.html#polymorphism
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from rules.fhirpath import elements, types, values
from rules.fhirpath.writer import Gathered, Item, Sink, Value, Writer
from rules.language.nodes import At

_MOST_WAYS: Final = 24  # static ways through choices inside of choices
_CONVERTERS: Final = {
    types.DATE: values.date,
    types.DATETIME: values.date_time,
    types.TIME: values.time,
    types.DECIMAL: values.decimal,
    types.QUANTITY: values.quantity,
}


class Paths(Writer):
    """`root`: only paths through that JSON property of the resource, whose value is then the function's
    argument. `plain`: elements that have only extensions count as absent, and nothing is known of others'."""

    def __init__(self, type: str, strict: bool, plain: bool, root: str | None) -> None:
        super().__init__()
        self.strict = strict
        self.plain = plain
        self.counting = not plain  # search parameters are the administrator's
        self.root = root
        self.roots: list[str] = []
        self.context = Item("v0", type)
        if types.is_primitive(type) and not plain:
            self.context = replace(self.context, extra="c.extra", bare=True)
        self._ways = 1

    # What an item is worth

    def system(self, item: Item) -> tuple[str, str]:
        """The item as operators take it: Python and type."""
        if item.type == types.ANY:
            return f"{self.bind(elements.plain)}({item.text})", types.ANY
        kind = types.system_of(item.type)
        if kind is None or item.type.startswith("System."):
            return item.text, item.type
        convert = _CONVERTERS.get(kind)
        if kind in types.TIMES or kind == types.QUANTITY:
            self.needs_context = True
        return (item.text if convert is None else f"{self.bind(convert)}({item.text})"), kind

    def box(self, item: Item) -> str:
        """The item as elements.py takes it."""
        if item.type == types.ANY or item.type.startswith("System."):
            return item.text
        if types.is_abstract(item.type) and types.is_resource(item.type):
            return f"{self.bind(elements.resource)}({item.text})"
        extra = f", {item.extra}" if item.extra else ""
        return f"{self.bind(elements.Element)}({item.text}, {item.type!r}{extra})"

    def raw(self, item: Item) -> str:
        """The item as it stands in a list of items of its type."""
        if item.extra is None:
            return item.text
        return f"{self.bind(elements.joined)}({item.text}, {item.extra}, {item.type!r})"

    def public(self, item: Item) -> str:
        """The item as an evaluation gives it."""
        if item.type == types.ANY:
            return f"{self.bind(elements.public)}({item.text})"
        if item.bare and item.extra:
            return f"{item.text} if {item.text} is not None else {item.extra}"
        return item.text

    def focus(self, item: Item, sink: Sink) -> None:
        """`$this`, which may be a whole list."""
        if item.collected is not None:
            self.each(item.collected, sink)
        else:
            sink(item)

    def each(self, gathered: Gathered, sink: Sink) -> None:
        """Every item of a list."""
        name = self.fresh("v")
        with self.loop(f"for {name} in {gathered.text}:"):
            self.element(name, gathered, sink)

    def element(self, name: str, gathered: Gathered, sink: Sink) -> None:
        """An item of a list, under its name."""
        item = replace(gathered.item, text=name, extra=None, bare=False)
        if not gathered.extended:
            sink(item)
            return
        at = len(self.out.lines)
        value, extra = self.fresh("v"), self.fresh("s")
        self.add(f"{value}, {extra} = {self.bind(elements.split)}({name})")
        sink(replace(item, text=value, extra=extra, bare=True))
        if len(self.out.lines) == at + 1:
            del self.out.lines[at]

    # Children

    def member(self, item: Item, name: str, at: At, sink: Sink, only: str | None = None) -> None:
        """The children of that name; `only`: those that can be of this type, since no others are wanted."""
        if item.type == types.ANY or item.type == types.TYPE_INFO:
            return self._by_name(item.text, name, sink)
        element = types.element(item.type, name)
        if element is not None:
            if types.is_primitive(item.type):
                return self._beside(item, name, at, sink)
            return self._alternatives(item, element, sink, only)
        if types.is_primitive(item.type) and name == "value":
            return self._value_of(item, sink)
        if types.is_abstract(item.type) and types.is_resource(item.type):
            return self._by_name(self.box(item), name, sink)
        self._missing(item, name, at)
        return None

    def _missing(self, item: Item, name: str, at: At) -> None:
        known = types.properties(item.type) if types.is_known(item.type) else {}
        if name in known:
            element, type = known[name]
            hint = f"write {element}.ofType({type})"
            self.problem(f"{item.type} has no element {name}: it is a choice, {hint}", at)
        elif self.strict:
            self.problem(f"{item.type} has no element {name}", at)

    def _by_name(self, text: str, name: str, sink: Sink) -> None:
        found = self.fresh("x")
        with self.loop(f"for {found} in {self.bind(elements.member)}({text}, {name!r}):"):
            sink(Item(found, types.ANY, many=True))

    def _value_of(self, item: Item, sink: Sink) -> None:
        text, kind = self.system(item)
        found = self.fresh()
        self.add(f"{found} = {text}")
        with self.block(f"if {found} is not None:"):
            sink(Item(found, kind, item.many))

    def _beside(self, item: Item, name: str, at: At, sink: Sink) -> None:
        """The id and the extensions of a primitive."""
        if item.extra is None:
            return
        found = self.fresh("s")
        self.add(f"{found} = {item.extra}")
        with self.block(f"if {found} is not None:"):
            self.member(Item(found, "Element", item.many), name, at, sink)

    def _alternatives(self, item: Item, element: types.Element, sink: Sink, only: str | None) -> None:
        ways = [
            (key, type)
            for key, type in element.alternatives
            if only is None or elements.taken_as(type, only) or types.is_abstract(type)
        ]
        before = self._ways
        self._ways *= len(ways) or 1
        if self._ways > _MOST_WAYS and len(ways) > 1 and not self.plain:
            self._ways = before
            return self._by_name(self.box(item), element.name, sink)
        for key, type in ways:
            self._property(item, element, key, type, sink)
        self._ways = before
        return None

    def _property(self, item: Item, element: types.Element, key: str, type: str, sink: Sink) -> None:
        """`for v in item.get(key) or (): ...` or `v = item.get(key)`, then what the sink does with v."""
        at_root = item.text == self.context.text and item.type == self.context.type
        if at_root and self.root not in (None, key):
            return
        out, at = self.out, len(self.out.lines)
        primitive = types.is_primitive(type)
        got = f"{item.text}.get({key!r})" if not (at_root and self.root) else item.text
        found = Item(
            self.fresh("v"),
            type,
            item.many or element.repeats,
            owner=element.owner,
            name=element.name,
            path=(*item.path, key),
        )
        if element.repeats:
            self._repeating(item, key, got, found, primitive, sink)
        else:
            self.add(f"{found.text} = {got}")
            test = f"if {found.text} is not None"
            if primitive and not self.plain:
                test += f" or {'_' + key!r} in {item.text}"
                found = replace(found, extra=f"{item.text}.get({'_' + key!r})", bare=True)
            with self.block(f"{test}:"):
                sink(found)
            if len(out.lines) == at + 1:
                del out.lines[at]
        if at_root and len(out.lines) > at and key not in self.roots:
            self.roots.append(key)

    def _repeating(self, item: Item, key: str, got: str, found: Item, primitive: bool, sink: Sink) -> None:
        if primitive and not self.plain:
            extra = self.fresh("s")
            head = f"for {found.text}, {extra} in {self.bind(elements.pairs)}({item.text}, {key!r}):"
            with self.loop(head):
                sink(replace(found, extra=extra, bare=True))
        else:
            with self.loop(f"for {found.text} in {got} or ():"):
                if not primitive:
                    return sink(found)
                with self.block(f"if {found.text} is not None:"):  # null where only an extension is
                    sink(found)
        return None

    def enters(self, ways: int) -> bool:
        """Whether code for so many more ways may be written; then `leaves` has to be called."""
        if self._ways * ways > _MOST_WAYS:
            return False
        self._ways *= ways
        return True

    def leaves(self, ways: int) -> None:
        self._ways //= ways

    # Types

    def narrow(self, item: Item, wanted: str, sink: Sink) -> None:
        """The item where it is of the type, as `as` and ofType take it; from there on it is known to be."""
        if item.type == types.ANY:
            return self._narrow_any(item, wanted, sink)
        if wanted == "System.Any" or elements.taken_as(item.type, wanted):
            return sink(item)
        if types.is_abstract(item.type) and types.is_resource(item.type) and types.is_a(wanted, item.type):
            test = f"{item.text}.get('resourceType') == {wanted!r}"
            if types.is_abstract(wanted):
                test = f"{self.bind(elements.is_type)}({self.box(item)}, {wanted!r})"
            with self.block(f"if {test}:"):
                sink(replace(item, type=wanted))
        return None

    def _narrow_any(self, item: Item, wanted: str, sink: Sink) -> None:
        with self.block(f"if {self.bind(elements.can_be_taken_as)}({item.text}, {wanted!r}):"):
            if wanted.startswith("System."):
                return sink(item if wanted == "System.Any" else replace(item, type=wanted))
            if types.is_abstract(wanted):
                return sink(item)
            at = len(self.out.lines)
            value = self.fresh("v")
            self.add(f"{value} = {item.text}.value")
            primitive = types.is_primitive(wanted)
            extra = f"{item.text}.extra" if primitive else None
            sink(Item(value, wanted, item.many, extra, bare=primitive))
            if len(self.out.lines) == at + 1:
                del self.out.lines[at]
        return None

    def is_type(self, item: Item, wanted: str) -> Value:
        """Whether the item is of the type, derived ones included."""
        dynamic = types.is_abstract(item.type) and types.is_resource(item.type)
        if wanted == "System.Any" or types.is_a(item.type, wanted):
            return Value("True", types.BOOLEAN, null=False)
        if item.type != types.ANY and not (dynamic and types.is_a(wanted, item.type)):
            return Value("False", types.BOOLEAN, null=False)
        return Value(
            f"{self.bind(elements.is_type)}({self.box(item)}, {wanted!r})", types.BOOLEAN, null=False
        )
