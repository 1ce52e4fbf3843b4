"""Python text under construction: statements with the line of the CQL that they come from, and constants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        self.namespace[wanted] = value
        self._by_object[id(value)] = wanted
        return wanted

    def constant(self, text: str) -> str:
        """The name of a value that is built once, when the module is loaded."""
        if text not in self.constants:
            self.constants[text] = f"K{len(self.constants)}"
        return self.constants[text]


class Function:
    """One function being written."""

    def __init__(self, module: Module, head: str, line: int) -> None:
        self.module = module
        self.lines: list[tuple[str, int]] = [(f"def {head}:", line)]
        self.line = line
        self.depth = 1
        self.count = 0
        self.loops: dict[str, tuple[int, int]] = {}
        self.known: dict[str, dict[str, str]] = {}

    def open_loop(self, item: str) -> None:
        """Marks the beginning of the body of a loop, just opened, over `item`."""
        self.loops[item] = (len(self.lines), self.depth)
        self.known[item] = {}

    def once_an_item(self, item: str, text: str) -> str:
        """A name for the value of an expression of the loop's item, computed where the body begins."""
        known = self.known[item]
        if text not in known:
            at, depth = self.loops[item]
            known[text] = self.fresh("h")
            self.lines.insert(at, ("    " * depth + f"{known[text]} = {text}", self.line))
            for other, (begin, other_depth) in self.loops.items():
                if begin >= at and other != item:
                    self.loops[other] = (begin + 1, other_depth)
        return known[text]

    def add(self, text: str) -> None:
        self.lines.append(("    " * self.depth + text, self.line))

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """An indented block; one that stays empty gets a `pass`."""
        self.add(head)
        self.depth += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.add("pass")
        self.depth -= 1

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
