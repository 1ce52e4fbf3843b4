"""Slicing as Python: each item of a list is found to be of a slice, counted, and held to it.

https://hl7.org/fhir/R4/profiling.html#slicing. How an item is told to be of a slice is found out in
profiles/discriminators.py.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection
from typing import Any

from profiles.assembly import Constants, constant, fill, test
from profiles.discriminators import Discriminators, Test
from profiles.tree import Node

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
_ORDERED_AT_END = """
if J < 0:
    L = LAST
elif J < L:
    out.unordered(p)
else:
    L = J
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

Parts = dict[str, "str | ast.expr"]
# Before the loop over the items, in it for each item, and after it.
Sliced = tuple[list[ast.stmt], list[ast.stmt], list[ast.stmt]]


class Slices:
    """Makes the statements; `function` names the check of a node, `empty` holds those that ask nothing."""

    def __init__(
        self,
        url: str,
        constants: Constants,
        discriminators: Discriminators,
        function: Callable[[Node], str],
        empty: Collection[str],
    ) -> None:
        self.url = url
        self.constants = constants
        self.discriminators = discriminators
        self.function = function
        self.empty = empty

    def one(self, part: str, wanted: Any, **parts: Any) -> list[ast.stmt]:
        return fill(part, WANTED=self.constants.expression(wanted), **parts)

    # Slices, and slices of slices.

    def of(self, node: Node, suffix: str = "") -> Sliced | None:
        """The statements of the slices of a node, and of those inside them; None without any."""
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
            inner = self.of(slice_, f"{suffix}_{place}")
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
            part = _ORDERED_AT_END if slicing.get("ordered") else _AT_END
            each += fill(part, **names, LAST=constant(_LAST))
        elif slicing.get("ordered"):
            each += fill(_ORDERED, **names)
        return before, each + within, after

    def match(self, node: Node, slice_: Node, place: int) -> ast.expr:
        """Whether `v` is of the slice."""
        found = [self.one_match(t) for t in self.discriminators.tests(node, slice_, place)]
        return found[0] if len(found) == 1 else ast.copy_location(ast.BoolOp(ast.And(), found), found[0])

    def one_match(self, one: Test) -> ast.expr:
        if one.kind == "equal" and one.steps == (("name", "url"),):
            return test(_URL, WANTED=self.constants.expression(one.wanted))
        parts: Parts = {"STEPS": self.constants.expression(one.steps)}
        if one.kind == "passes":
            name = self.function(one.wanted)
            return test(_TESTS["passes"], WANTED=name, NAME=constant(f"{self.url}#{name}"), **parts)
        if one.kind == "place":
            parts = {}
        return test(_TESTS[one.kind], WANTED=self.constants.expression(one.wanted), **parts)
