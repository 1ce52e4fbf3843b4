"""Turns the tree of a profile into Python: one small builder for each facet of ElementDefinition.

https://hl7.org/fhir/R4/elementdefinition.html. A node becomes a function `name(o, at, out)` of the element's
value, put together from the parts below exactly as profiles/emit.py does it for types. What a profile says
is only ever a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from profiles.definitions import Binding, Definitions
from profiles.differential import HL7, Node, Profile, code, value_of
from profiles.discriminators import Discriminators, Test
from profiles.emit import constant, fill, module, placed, test
from profiles.invariants import Rule
from profiles.primitives import PRIMITIVES

# Facets of the value `o` itself.
_FIXED = """
if o != WANTED:
    out.fixed(WANTED, o, at)
"""
_PATTERN = """
if not fits(o, WANTED):
    out.pattern(WANTED, at)
"""
_LONGEST = """
if type(o) is str and len(o) > WANTED:
    out.too_long(WANTED, at)
"""
_BOUND = """
bound_by(o, WANTED, at, out)
"""
_LIMIT = """
if beyond(o, WANTED, LOWER):
    out.beyond(WANTED, LOWER, at)
"""
_TARGET = """
target(o, WANTED, at, out)
"""
_TARGET_PROFILES = """
follow(o, WANTED, at, out)
"""
_KIND_OF_REFERENCE = """
reference_as(o, WANTED, at, out)
"""
_RESOURCE = """
if type(o) is dict and o.get('resourceType') not in WANTED:
    out.wrong_resource(WANTED, at)
"""
_CONFORM = """
conform(o, WANTED, at, out)
"""
_INVARIANT = """
invariant(o, WANTED, at, out)
"""
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
_EXTENDED = """
if NAME in o or SIBLING in o:
    EXTENDED(o.get(SIBLING, NOTHING), (d, at, NAME), out)
"""
# Slices: C counts them, J is the place of the slice that the item was found to be of.
_COUNT = """
C = [0] * WANTED
L = -1
"""
_START = """
J = -1
"""
_SLICE = """
if J < 0 and (TEST):
    J = PLACE
    C[PLACE] += 1
    CHECK(v, p, out)
"""
_CLOSED = """
if J < 0:
    out.unsliced(p)
"""
_ORDERED = """
if J >= 0:
    if J < L:
        out.unordered(p)
    L = J
"""
_AT_END = """
if J < 0:
    L = LAST
elif L == LAST:
    out.unordered(p)
"""
_SLICE_FEWEST = """
if C[PLACE] < WANTED:
    out.slice_few(NAME, SLICE, WANTED, C[PLACE], at)
"""
_SLICE_MOST = """
if C[PLACE] > WANTED:
    out.slice_many(NAME, SLICE, WANTED, C[PLACE], at)
"""
_WITHIN = """
if J == PLACE:
    pass
"""
_LAST = 1_000_000
_TESTS = {
    "equal": "any_equal(reach(v, t, STEPS, p, out), WANTED)",
    "fits": "any_fits(reach(v, t, STEPS, p, out), WANTED)",
    "member": "any_member(reach(v, t, STEPS, p, out), WANTED, out)",
    "exists": "bool(reach(v, t, STEPS, p, out)) is WANTED",
    "type": "any_type(reach(v, t, STEPS, p, out), WANTED)",
    "profile": "any_conforms(reach(v, t, STEPS, p, out), WANTED, out)",
    "passes": "any_passes(reach(v, t, STEPS, p, out), WANTED, NAME, out)",
    "place": "i == WANTED",
}
_URL = "type(v) is dict and v.get('url') == WANTED"


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
    emitter = _Emitter(profile, definitions, Discriminators(definitions, find), find)
    root = emitter.function(profile.root)
    if root in emitter.empty:  # a profile that only gives a name
        emitter.functions += fill("def FUNCTION(o, at, out):\n    pass", FUNCTION=root)
    return EmittedProfile(root, emitter.functions, emitter.constants)


Parts = dict[str, "str | ast.expr"]


class _Emitter:
    def __init__(
        self,
        profile: Profile,
        definitions: Definitions,
        discriminators: Discriminators,
        find: Callable[[str], Profile | None],
    ) -> None:
        self.profile = profile
        self.definitions = definitions
        self.discriminators = discriminators
        self.find = find
        self.functions: list[ast.stmt] = []
        self.constants: dict[str, Any] = {}
        self.made: dict[int, str] = {}
        self.empty: set[str] = set()  # functions that ask nothing
        self.count = 0

    def function(self, node: Node, *, extended: bool = False) -> str:
        """Emit the function of a node, once; `extended` for the id and extensions of a primitive."""
        key = id(node) * 2 + extended
        if key in self.made:
            return self.made[key]
        self.count += 1
        name = f"f{self.count}_{_letters(node.name)}"
        self.made[key] = name
        body = [] if extended else self.value(node)
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

    def constant(self, value: Any) -> ast.expr:
        if isinstance(value, str | int | bool):
            return constant(value)
        name = f"K{len(self.constants)}"
        self.constants[name] = value
        return placed(ast.Name(name, ast.Load()))

    # What an element asks of its value.

    def value(self, node: Node) -> list[ast.stmt]:
        facts, statements = node.facts, []
        for builder in (
            self.fixed, self.pattern, self.longest, self.limits, self.binding, self.types, self.invariants
        ):  # fmt: skip
            statements += builder(node, facts)
        return statements

    def one(self, part: str, wanted: Any, **parts: Any) -> list[ast.stmt]:
        return fill(part, WANTED=self.constant(wanted), **parts)

    def fixed(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        wanted = value_of(facts, "fixed")
        return [] if wanted is None else self.one(_FIXED, wanted)

    def pattern(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        wanted = [value_of(facts, "pattern"), *facts.get("patterns", ())]
        return [s for pattern in wanted if pattern is not None for s in self.one(_PATTERN, pattern)]

    def longest(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        return self.one(_LONGEST, facts["maxLength"]) if "maxLength" in facts else []

    def limits(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        statements = []
        for kind in ("minValue", "maxValue"):
            limit = value_of(facts, kind)
            if limit is not None:
                statements += self.one(_LIMIT, _Limit(limit), LOWER=constant(kind == "minValue"))
        return statements

    def binding(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        binding = facts.get("binding", {})
        if binding.get("strength", "example") == "example" or not binding.get("valueSet"):
            return []
        return self.one(_BOUND, Binding(binding["strength"], binding["valueSet"]))

    def types(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        if "type" not in facts or node.element is None:
            return []
        statements = []
        base = {t.code for t in node.element.types}
        codes = [code(type_) for type_ in facts["type"]]
        if "Resource" in base and "Resource" not in codes and "DomainResource" not in codes:
            statements += self.one(_RESOURCE, frozenset(codes))
        statements += self.targets(facts["type"])
        profiles = [url for type_ in facts["type"] for url in type_.get("profile", ())]
        if profiles and all(type_.get("profile") for type_ in facts["type"]):
            statements += self.one(_CONFORM, tuple(profiles))
        return statements

    def targets(self, types: list[dict[str, Any]]) -> list[ast.stmt]:
        statements = []
        for type_ in types:
            if code(type_) != "Reference":
                continue
            urls = tuple(type_.get("targetProfile", ()))
            names = frozenset(name for url in urls if (name := self.type_of(url)))
            if urls and "Resource" not in names and len(names) and all(self.type_of(u) for u in urls):
                statements += self.one(_TARGET, names)
            if any(
                not url.startswith(HL7) or url.removeprefix(HL7) not in self.definitions.types for url in urls
            ):
                statements += self.one(_TARGET_PROFILES, urls)
            asked = (tuple(type_.get("aggregation", ())), type_.get("versioning", "either"))
            if asked[0] or asked[1] != "either":
                statements += self.one(_KIND_OF_REFERENCE, asked)
        return statements

    def type_of(self, url: str) -> str | None:
        plain = url.partition("|")[0]
        name = plain.removeprefix(HL7)
        if name in self.definitions.types:
            return name
        found = self.find(plain)
        return found.type if found else None

    def invariants(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        type_ = node.codes[0] if node.codes else "Element"
        return [
            statement
            for item in facts.get("constraint", ())
            for statement in self.one(_INVARIANT, _rule(item, type_))
        ]

    # What it asks of its children.

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
        check, sliced = self.function(child), self.slices(child, "", 0)
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
        if _is_primitive(child) and child.children and part is _ONE:
            extended = self.function(child, extended=True)
            statements += fill(_EXTENDED, EXTENDED=extended, NOTHING=self.constant({}), **parts)
        return statements

    def choice(self, child: Node) -> list[ast.stmt]:
        assert child.element is not None
        choices = {
            name: (type_.code, f"{child.name}.ofType({type_.code})")
            for name, type_ in child.element.properties.items()
        }
        parts: Parts = {"NAME": constant(child.name), "CHOICES": self.constant(choices)}
        if child.facts.get("max") == 0:
            return fill(_FORBIDDEN_CHOICE, **parts)
        statements: list[ast.stmt] = []
        if child.facts.get("min", 0) > child.element.min:
            statements += fill(_REQUIRED_CHOICE, **parts)
        if "type" in child.facts:
            statements += self.one(_KINDS, frozenset(child.codes), **parts)
        return statements + self.items(child, _CHOICE, parts)

    # Slices, and slices of slices.

    def slices(
        self, node: Node, suffix: str, depth: int
    ) -> tuple[list[ast.stmt], list[ast.stmt], list[ast.stmt]] | None:
        """What stands before the loop over the items, in it for each, and after it; None without slices."""
        slicing = node.facts.get("slicing") or self.discriminators.usual(node)
        rules = slicing.get("rules", "open")
        if not node.slices and rules != "closed":
            return None
        names: Parts = {"C": "c" + suffix, "J": "j" + suffix, "L": "l" + suffix}
        names["NAME"] = constant(node.name)
        before = self.one(_COUNT, max(len(node.slices), 1), **names)
        each = fill(_START, **names)
        after: list[ast.stmt] = []
        within: list[ast.stmt] = []
        for place, (name, slice_) in enumerate(node.slices.items()):
            parts: Parts = {**names, "PLACE": constant(place), "SLICE": constant(name)}
            check = self.function(slice_)
            (block,) = fill(_SLICE, TEST=self.match(node, slice_, place), CHECK=check, **parts)
            if check in self.empty:
                block.body.pop()  # type: ignore[attr-defined]
            each.append(block)
            inner = self.slices(slice_, f"{suffix}_{place}", depth + 1)
            if inner:
                first, items, last = inner
                (nested,) = fill(_WITHIN, **parts)
                nested.body = items  # type: ignore[attr-defined]
                before, within, after = before + first, [*within, nested], after + last
            least, most = slice_.facts.get("min", 0), slice_.facts.get("max")
            after += self.one(_SLICE_FEWEST, least, **parts) if least else []
            after += self.one(_SLICE_MOST, most, **parts) if most is not None else []
        if rules == "closed":
            each += fill(_CLOSED, **names)
        if rules == "openAtEnd":
            each += fill(_AT_END, **names, LAST=constant(_LAST))
        elif slicing.get("ordered"):
            each += fill(_ORDERED, **names)
        return before, each + within, after

    def match(self, node: Node, slice_: Node, place: int) -> ast.expr:
        """Whether `v` is of the slice."""
        found = [self.one_match(t) for t in self.discriminators.tests(node, slice_, place)]
        return found[0] if len(found) == 1 else ast.copy_location(ast.BoolOp(ast.And(), found), found[0])

    def one_match(self, one: Test) -> ast.expr:
        if one.kind == "equal" and one.steps == (("name", "url"),):
            return test(_URL, WANTED=self.constant(one.wanted))
        parts: Parts = {"STEPS": self.constant(one.steps)}
        if one.kind == "passes":
            name = self.function(one.wanted)
            return test(_TESTS["passes"], WANTED=name, NAME=constant(f"{self.profile.url}#{name}"), **parts)
        if one.kind == "place":
            parts = {}
        return test(_TESTS[one.kind], WANTED=self.constant(one.wanted), **parts)


@dataclass(frozen=True, slots=True)
class _Limit:
    """minValue[x] or maxValue[x]."""

    value: Any


def _rule(item: Mapping[str, Any], type_: str) -> Rule:
    severity, human = item.get("severity", "error"), item.get("human", "")
    return Rule(item["key"], severity, item["expression"], type_, item["profile"], human)


def _letters(name: str) -> str:
    return "".join(char for char in name if char.isalnum() and char.isascii())[:40]


def _is_primitive(node: Node) -> bool:
    return node.element is not None and all(code in PRIMITIVES for code in node.codes)
