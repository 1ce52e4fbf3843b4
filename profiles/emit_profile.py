"""Turns the tree of a profile into Python functions, put together as profiles/emit.py does it for types.

https://hl7.org/fhir/R4/profiling.html. A node becomes a function `name(o, at, out)` of the element's value:
what it asks of the value itself (profiles/facets.py), and of its children one by one, with their slices
(profiles/slices.py).
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from profiles.assembly import Constants, constant, fill, module
from profiles.definitions import Definitions
from profiles.discriminators import Discriminators
from profiles.facets import Facets
from profiles.primitives import PRIMITIVES
from profiles.slices import Parts, Slices
from profiles.tree import Node, Profile

_CHILDREN = """
if type(o) is dict:
    d = at[0] + 1
"""
# A child `v` of `o`: at most one, a primitive of that kind, a choice, or several.
_ONE = """
v = o.get(NAME)
if v is not None:
    p = (d, at, NAME)
    CHECK(v, p, out)
"""
_CHOICE = """
v, t, q = chosen(o, CHOICES)
if v is not None:
    p = (d, at, q)
    CHECK(v, p, out)
"""
_KINDS = """
v, t, q = chosen(o, CHOICES)
if v is not None and t not in WANTED:
    out.wrong_type(t, WANTED, (d, at, q))
"""
_MANY = """
s = o.get(NAME)
s = s if type(s) is list else ()
for i, v in enumerate(s):
    p = (d, at, NAME, i)
    CHECK(v, p, out)
"""
_FEWEST = """
s = o.get(NAME)
s = len(s) if type(s) is list else 0
if s < WANTED:
    out.too_few(NAME, WANTED, s, at)
"""
_MOST = """
s = o.get(NAME)
s = len(s) if type(s) is list else 0
if s > WANTED:
    out.too_many(NAME, WANTED, s, at)
"""
_REQUIRED = """
if o.get(NAME) is None and SIBLING not in o:
    out.missing(NAME, at)
"""
_REQUIRED_CHOICE = """
if not has_choice(o, CHOICES):
    out.missing(NAME, at, '[x]')
"""
_FORBIDDEN = """
if NAME in o or SIBLING in o:
    out.forbidden(NAME, at)
"""
_FORBIDDEN_CHOICE = """
if has_choice(o, CHOICES):
    out.forbidden(NAME, at)
"""
# The id and the extensions of a primitive, of each of a list of them, of the one that a choice is.
_EXTENDED = """
if NAME in o or SIBLING in o:
    EXTENDED(o.get(SIBLING, NOTHING), (d, at, NAME), out)
"""
_EXTENDED_MANY = """
for i, x in beside(o, NAME):
    EXTENDED(x or NOTHING, (d, at, NAME, i), out)
"""
_EXTENDED_CHOICE = """
x, q = beside_choice(o, CHOICES)
if q is not None:
    EXTENDED(x or NOTHING, (d, at, q), out)
"""
_EXTENSIONS = {_ONE: _EXTENDED, _MANY: _EXTENDED_MANY, _CHOICE: _EXTENDED_CHOICE}
_CONFORM_BY_TYPE = """
v, t, q = chosen(o, CHOICES)
if t in WANTED:
    conform(v, WANTED[t], (d, at, q), out)
"""
_AS = """
CHECK(o, at, out)
"""


@dataclass(slots=True)
class EmittedProfile:
    """The functions of a profile; `root` is the one of the resource or type as a whole."""

    root: str
    functions: list[ast.stmt]
    constants: dict[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> ast.Module:
        return module(self.functions)

    @property
    def source(self) -> str:
        """The functions as Python text."""
        return ast.unparse(self.module)


def emit_profile(
    profile: Profile, definitions: Definitions, find: Callable[[str], Profile | None]
) -> EmittedProfile:
    """The check of a profile; ProfileError for slices that nothing tells apart."""
    emitter = _Emitter(profile, definitions, find)
    root = emitter.function(profile.root)
    if root in emitter.empty:  # a profile that only gives a name
        emitter.functions += fill("def FUNCTION(o, at, out):\n    pass", FUNCTION=root)
    return EmittedProfile(root, emitter.functions, emitter.constants.values)


class _Emitter:
    """One run over the nodes of a profile."""

    def __init__(
        self, profile: Profile, definitions: Definitions, find: Callable[[str], Profile | None]
    ) -> None:
        self.functions: list[ast.stmt] = []
        self.constants = Constants()
        self.made: dict[int, str] = {}
        self.empty: set[str] = set()  # functions that ask nothing
        discriminators = Discriminators(definitions, find)
        self.elsewhere = discriminators.elsewhere
        self.facets = Facets(self.constants, definitions, find)
        self.slices = Slices(profile.url, self.constants, discriminators, self.function, self.empty)

    def function(self, node: Node, *, extended: bool = False) -> str:
        """Emit the function of a node, once; `extended` for the id and extensions of a primitive."""
        key = id(node) * 2 + extended
        if key in self.made:
            return self.made[key]
        name = self.made[key] = f"f{len(self.made) + 1}_{_letters(node.name)}"
        body = [] if extended else [*self.facets.of(node), *self.as_elsewhere(node)]
        children = self.children(node) if extended or not _is_primitive(node) else []
        if children:
            (block,) = fill(_CHILDREN)
            assert isinstance(block, ast.If)
            block.body += children
            body.append(block)
        (function,) = fill("def FUNCTION(o, at, out):\n    pass", FUNCTION=name)
        assert isinstance(function, ast.FunctionDef)
        if body:
            function.body = body
            self.functions.append(function)
        else:
            self.empty.add(name)
        return name

    def as_elsewhere(self, node: Node) -> list[ast.stmt]:
        """A backbone element may be asked to be as an element of another profile."""
        checks = [self.function(other) for other in self.elsewhere(node)]
        return [s for check in checks if check not in self.empty for s in fill(_AS, CHECK=check)]

    def one(self, part: str, wanted: Any, **parts: Any) -> list[ast.stmt]:
        return fill(part, WANTED=self.constants.expression(wanted), **parts)

    def children(self, node: Node) -> list[ast.stmt]:
        return [statement for child in node.children.values() for statement in self.child(child)]

    def child(self, child: Node) -> list[ast.stmt]:
        element = child.element
        assert element is not None
        if element.choice:
            return self.choice(child)
        parts: Parts = {"NAME": constant(child.name), "SIBLING": constant("_" + child.name)}
        least, most = child.facts.get("min", 0), child.facts.get("max", element.max)
        if most == 0:
            return fill(_FORBIDDEN, **parts)
        statements: list[ast.stmt] = []
        if child.repeats:
            statements += self.one(_FEWEST, least, **parts) if least > element.min else []
            statements += self.one(_MOST, most, **parts) if most is not None else []
        elif least > element.min:
            statements += fill(_REQUIRED, **parts)
        return statements + self.items(child, _MANY if child.repeats else _ONE, parts)

    def items(self, child: Node, part: str, parts: Parts) -> list[ast.stmt]:
        """The loop over the items of a child, or the look at its one value, with its slices."""
        check, sliced = self.function(child), self.slices.of(child)
        statements: list[ast.stmt] = []
        if check not in self.empty or sliced:
            loop = fill(part, CHECK=check, **parts)
            inner = loop[-1].body  # type: ignore[attr-defined]
            if check in self.empty:
                inner.pop()
            if sliced:
                before, each, after = sliced
                if part is not _CHOICE:
                    inner += fill("t = None")
                if part is not _MANY:
                    inner += fill("i = 0")
                inner += each
                statements += before
                statements += [*loop, *after]
            else:
                statements += loop
        if _is_primitive(child) and child.children:
            extended = self.function(child, extended=True)
            nothing = self.constants.expression({})
            statements += fill(_EXTENSIONS[part], EXTENDED=extended, NOTHING=nothing, **parts)
        return statements

    def choice(self, child: Node) -> list[ast.stmt]:
        assert child.element is not None
        choices = {
            name: (type_.code, f"{child.name}.ofType({type_.code})")
            for name, type_ in child.element.properties.items()
        }
        parts: Parts = {"NAME": constant(child.name), "CHOICES": self.constants.expression(choices)}
        if child.facts.get("max") == 0:
            return fill(_FORBIDDEN_CHOICE, **parts)
        statements: list[ast.stmt] = []
        if child.facts.get("min", 0) > child.element.min:
            statements += fill(_REQUIRED_CHOICE, **parts)
        if "type" in child.facts:
            statements += self.one(_KINDS, frozenset(child.codes), **parts)
        if profiles := self.facets.profiles_by_type(child):
            statements += self.one(_CONFORM_BY_TYPE, profiles, **parts)
        return statements + self.items(child, _CHOICE, parts)


def _letters(name: str) -> str:
    return "".join(char for char in name if char.isalnum() and char.isascii())[:40]


def _is_primitive(node: Node) -> bool:
    return node.element is not None and all(code in PRIMITIVES for code in node.codes)
