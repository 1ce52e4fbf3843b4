"""Python text under construction: statements with the line of the CQL that they come from, and constants."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from rules.emit.retrieve import Retrieve

UNSET: Final = object()
_UNSAFE = re.compile(r"[^A-Za-z0-9]+")


def readable(name: str) -> str:
    """What of a CQL name may stand in a Python name; a number in front of it makes it unique."""
    return _UNSAFE.sub("_", name)[:40].strip("_")


class Module:
    """The statements of one module and the objects that its names stand for."""

    def __init__(self) -> None:
        self.namespace: dict[str, Any] = {}
        self.constants: dict[str, str] = {}
        self.limits: dict[tuple[str, ...], tuple[str, Function]] = {}  # by their text
        self.retrieves: list[Retrieve] = []
        self._by_object: dict[int, str] = {}

    def bind(self, value: Callable[..., Any] | Any, name: str | None = None) -> str:
        """The name under which the emitted code finds a function or class of ours."""
        known = self._by_object.get(id(value))
        if known is not None:
            return known
        wanted = name or value.__name__
        if wanted in self.namespace:
            wanted = f"{value.__module__.rsplit('.', 1)[-1]}_{wanted}"
        if wanted in self.namespace:  # functions of one module may share a name: closures do
            wanted = f"{wanted}_{len(self.namespace)}"
        self.namespace[wanted] = value
        self._by_object[id(value)] = wanted
        return wanted

    def constant(self, text: str) -> str:
        """The name of a value that is built once, when the module is loaded."""
        if text not in self.constants:
            self.constants[text] = f"K{len(self.constants)}"
        return self.constants[text]


@dataclass(slots=True, eq=False)
class Loop:
    """A loop being written over a list: the lines of its head and of the end of what its body begins with.

    `first` is the outermost of the loops around it in all of which its list is the same, there before `first`
    begins or else, `late`, at its own head. `beside` has names of what is taken from other lists in each
    round, `known` those of values that were lifted to where the body begins.
    """

    item: str
    over: str
    first: Loop | None
    head: int
    depth: int
    body: int = 0
    late: bool = False
    beside: dict[str, str] = field(default_factory=dict)
    known: dict[Hashable, str] = field(default_factory=dict)


class Function:
    """One function being written."""

    def __init__(self, module: Module, head: str, line: int) -> None:
        self.module = module
        self.lines: list[tuple[str, int]] = [(f"def {head}:", line)]
        self.line = line
        self.depth = 1
        self.count = 0
        self.loops: list[Loop] = []  # that are open, and whose names may be assigned to where the text is now
        self.bound: dict[str, Loop] = {}  # local names that change in each round of a loop
        self.known: dict[Hashable, str] = {}  # names of values that were lifted out of all loops
        self._open: list[Loop] = []
        self._held: list[dict[str, str]] = [{}]  # names of values, by their text, for each block that is open

    @contextmanager
    def loop(self, item: str, over: str, first: Loop | None = None, *, late: bool = False) -> Iterator[Loop]:
        """A loop over a list; see Loop for `first` and `late`."""
        outer = self.known
        if not self.loops:
            self.known = {}
        with self.block(f"for {item} in {over}:"):
            opened = Loop(item, over, first, len(self.lines) - 1, self.depth, len(self.lines), late)
            self.bound[item] = opened
            self.loops.append(opened)
            self._open.append(opened)
            yield opened
            self.loops.remove(opened)
            self._open.remove(opened)
        self.known = outer

    @contextmanager
    def within(self, loops: list[Loop]) -> Iterator[None]:
        """What is written is evaluated within these loops only, or in a function of its own within none."""
        outer, known = self.loops, self.known
        self.loops, self.known = loops, {}
        yield
        self.loops, self.known = outer, known

    def insert(self, at: int, depth: int, text: str) -> None:
        """A line in front of what has been written."""
        self.lines.insert(at, ("    " * depth + text, self.line))
        for loop in self._open:
            loop.head += loop.head >= at
            loop.body += loop.body >= at

    def lift(self, loop: Loop | None, text: str) -> None:
        """A line where the body of the loop begins, or in front of all loops."""
        if loop is not None:
            self.insert(loop.body, loop.depth, text)
        else:
            self.insert(self.loops[0].head, self.loops[0].depth - 1, text)

    def once_an_item(self, item: str, text: str) -> str | None:
        """A name for the value of an expression of a loop's item that cannot fail, computed where the body
        begins, or before an inner loop, which goes over the same items again and again; None of other items.
        """
        loop = next((loop for loop in self.loops if loop.item == item), None)
        if loop is None:
            return None
        name = loop.known.get(text)
        if name is None:
            name = loop.known[text] = self.fresh("h")
            self.bound[name] = loop
            if loop.first is None:
                self.lift(loop, f"{name} = {text}")
            else:
                self.beside(loop, name, f"[{text} for {item} in {loop.over}]")
        return name

    def beside(self, loop: Loop, name: str, values: str) -> None:
        """A name for what stands in another list at the place of the item of an inner loop."""
        assert loop.first is not None
        kept = self.fresh("m")
        if loop.late:
            self.insert(loop.first.head, loop.first.depth - 1, f"{kept} = UNSET")
            self.insert(loop.head, loop.depth - 1, f"if {kept} is UNSET:")
            self.insert(loop.head, loop.depth, f"{kept} = {values}")
        else:
            self.insert(loop.first.head, loop.first.depth - 1, f"{kept} = {values}")
        loop.beside[name] = kept
        items, over = (
            ", ".join(names) for names in ((loop.item, *loop.beside), (loop.over, *loop.beside.values()))
        )
        self.lines[loop.head] = ("    " * (loop.depth - 1) + f"for {items} in zip({over}):", self.line)

    def add(self, text: str) -> None:
        self.lines.append(("    " * self.depth + text, self.line))

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """An indented block; one that stays empty gets a `pass`."""
        self.add(head)
        self.depth += 1
        self._held.append({})
        before = len(self.lines)
        yield
        self._held.pop()
        if len(self.lines) == before:
            self.add("pass")
        self.depth -= 1

    def once(self, text: str) -> str:
        """A name for the value of a call that gives the same each time, made once in a block."""
        for held in self._held:
            if text in held:
                return held[text]
        name = self._held[-1][text] = self.hold(text)
        return name

    def assign(self, name: str, text: str) -> None:
        """The name for the value of the expression; a name that was made just for it is not needed."""
        last, line = self.lines[-1]
        made = f"{'    ' * self.depth}{text} = "
        if last.startswith(made):
            self.lines[-1] = (last.replace(text, name, 1), line)
        else:
            self.add(f"{name} = {text}")

    def fresh(self, stem: str = "t") -> str:
        """A new local name."""
        self.count += 1
        return f"{stem}{self.count}"

    def hold(self, text: str) -> str:
        """A local name (or a constant) that holds the value of the expression."""
        if text.isidentifier() or text in ("None", "True", "False"):
            return text
        name = self.fresh()
        self.add(f"{name} = {text}")
        return name
