"""Python under construction for one expression: statements, names, and what is known of the items they hold.

The means are those of CQL (rules.emit.source): what the text says gets into the Python only as `repr`
constants; names are letters and numbers of ours.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from rules.emit.source import Function, Module
from rules.fhirpath import types
from rules.language.errors import Diagnostic
from rules.language.nodes import At

DEEP: Final = 10  # blocks inside of each other; Python takes twenty loops
_MOST_LINES: Final = 20_000
EMPTY: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a collection while code is emitted for it.

    `text` is the Python that gives it: the JSON value of a FHIR element, a System value, and if `type` is
    types.ANY either an elements.Element or a System value. Of a primitive, `extra` gives what JSON has beside
    it; it is `bare` if its value may be None. `collected` is set where `$this` stands for a whole list.
    `many` tells whether the path can have more than one. The rest is for search parameters: the type and
    element that it came from, the JSON properties on the way to it, the resource types that it may point to.
    """

    text: str
    type: str
    many: bool = False
    extra: str | None = None
    bare: bool = False
    collected: Gathered | None = None
    owner: str = ""
    name: str = ""
    path: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """Python that gives one value as operators take it, or (`many`) the list of such values.

    `type` is a System type, a complex type of FHIR, types.ANY or EMPTY. If `null`, it may be None.
    """

    text: str
    type: str
    null: bool = True
    many: bool = False


@dataclass(frozen=True, slots=True)
class Gathered:
    """A Python list of items, all like `item`; a primitive in it may be an elements.Element (split)."""

    text: str
    item: Item
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """What names mean: `$this`, `$index`, `$total`, and the variables that were defined on the way."""

    this: Item
    variables: dict[str, Gathered]
    index: str | None = None
    total: Gathered | None = None
    outermost: bool = False

    def inner(self, item: Item, index: str | None = None) -> Scope:
        """Inside of a function's expression, for one item of its input."""
        return replace(
            self,
            this=replace(item, many=False),
            index=index,
            outermost=False,
            variables=dict(self.variables),
        )


@dataclass(frozen=True, slots=True)
class Site:
    """A line that will keep an item, written when it is known how."""

    out: Function
    at: int
    text: str
    type: str
    item: Item

    def write(self, form: str) -> None:
        before, line = self.out.lines[self.at]
        indent = before[: len(before) - len(before.lstrip())]
        self.out.lines[self.at] = (indent + form.replace("{}", self.text), line)


Sink = Callable[[Item], None]
_Result = TypeVar("_Result", Value, Gathered)


class Writer:
    def __init__(self) -> None:
        self.module = Module()
        self.out = Function(self.module, "nothing()", 1)
        self.functions: list[Function] = []
        self.problems: list[Diagnostic] = []
        self.needs_context = False  # whether operators read the evaluation's units or clock
        self._names: set[str] = set()
        self._loops = 0
        self.counting = True  # whether loops inside of loops are counted
        self._nested = 0  # functions whose own expression is being written

    def problem(self, message: str, at: At, kind: str = "semantic") -> None:
        self.problems.append(Diagnostic(at.line, at.column, kind, message))

    def fresh(self, stem: str = "t") -> str:
        """A local name that no other function of the module has."""
        name = f"{stem}{len(self._names) + 1}"
        self._names.add(name)
        return name

    def bind(self, value: Any) -> str:
        return self.module.bind(value)

    def add(self, text: str) -> None:
        if len(self.out.lines) > _MOST_LINES:
            raise RecursionError
        self.out.add(text)

    def hold(self, text: str) -> str:
        """A name, or a constant, for the value of the expression."""
        if text.isidentifier() or (text[:1] in "'\"0123456789" and _is_constant(text)):
            return text
        name = self.fresh()
        self.add(f"{name} = {text}")
        return name

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """An indented block, which is taken back if nothing is put into it."""
        out, at = self.out, len(self.out.lines)
        self.add(head)
        out.depth += 1
        yield
        out.depth -= 1
        if len(out.lines) == at + 1:
            del out.lines[at]

    @contextmanager
    def loop(self, head: str) -> Iterator[None]:
        self._loops += 1
        with self.block(head):
            at = len(self.out.lines)
            counted = self.counting and self._nested > 0
            if counted:
                self.add("c.step()")
            yield
            if counted and len(self.out.lines) == at + 1:
                del self.out.lines[at]
        self._loops -= 1

    @contextmanager
    def inside(self) -> Iterator[None]:
        """In the expression that a function evaluates for each item: its loops are inside of others."""
        self._nested += 1
        yield
        self._nested -= 1

    @contextmanager
    def outside(self) -> Iterator[None]:
        """In what comes after such a function, though it is written inside of it."""
        before, self._nested = self._nested, max(0, self._nested - 1)
        yield
        self._nested = before

    @property
    def loops(self) -> int:
        """How many loops of the function being written are open."""
        return self._loops

    def lifted(self, work: Callable[[], _Result]) -> _Result:
        """What `work` writes becomes a function of its own, called from here with what it uses of here."""
        before: set[str] = set(self._names)
        outer, loops = self.out, self._loops
        inner = self.out = Function(self.module, "nothing()", outer.line)
        self._loops = 0
        result = work()
        inner.add(f"return {result.text}")
        self.out, self._loops = outer, loops
        used: set[str] = {
            node.id
            for node in ast.walk(ast.parse("\n".join(text for text, _ in inner.lines)))
            if isinstance(node, ast.Name)
        }
        arguments = ", ".join(["c", *sorted(used & before)])
        name = f"part_{len(self.functions) + 1}"
        inner.lines[0] = (f"def {name}({arguments}):", inner.line)
        self.functions.append(inner)
        held = self.fresh()
        self.add(f"{held} = {name}({arguments})")
        return replace(result, text=held)


def _is_constant(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return False
    return True


def common(kinds: list[str]) -> str:
    """The type that all have, or ANY."""
    found = {kind for kind in kinds if kind != EMPTY}
    return types.ANY if len(found) > 1 else found.pop() if found else EMPTY


def negated(test: str) -> str:
    """The test's opposite."""
    if test in ("True", "False"):
        return "False" if test == "True" else "True"
    test = _unwrapped(test, "(")
    inside = _unwrapped(test, "bool(")
    if inside != test:
        return f"not {inside}"
    if test.endswith(" is not None") and test.count(" ") == 3:
        return test.replace(" is not None", " is None")
    return f"not {test}" if test.isidentifier() else f"not ({test})"


def _unwrapped(text: str, opening: str) -> str:
    """The text without `opening` and the parenthesis that closes it, where these are around all of it."""
    while text.startswith(opening) and text.endswith(")") and "'" not in text and '"' not in text:
        depth = 0
        for at, sign in enumerate(text):
            depth += (sign == "(") - (sign == ")")
            if depth == 0 and sign == ")" and at < len(text) - 1:
                return text
        text = text[len(opening) : -1]
    return text
