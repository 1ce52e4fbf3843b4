"""What an element of a profile asks of its value: one small builder for each facet of ElementDefinition.

https://hl7.org/fhir/R4/elementdefinition.html. The statements are of a function `name(o, at, out)` of the
value (profiles/emit_profile.py). What a profile says is only ever a constant.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from profiles.assembly import Constants, constant, fill
from profiles.definitions import Binding, Definitions
from profiles.invariants import Rule
from profiles.tree import HL7, Node, Profile, code, value_of, widest_of

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
_CONFORM_RESOURCE = """
if type(o) is dict and o.get('resourceType') in WANTED:
    conform(o, WANTED[o['resourceType']], at, out)
"""
_INVARIANT = """
invariant(o, WANTED, at, out)
"""


class Facets:
    """Makes the statements; `find` reads the profile of a canonical, None where it is not known."""

    def __init__(
        self, constants: Constants, definitions: Definitions, find: Callable[[str], Profile | None]
    ) -> None:
        self.constants = constants
        self.definitions = definitions
        self.find = find

    def of(self, node: Node) -> list[ast.stmt]:
        """What the element asks of each of its values."""
        facts, statements = node.facts, []
        for builder in (
            self.fixed, self.pattern, self.longest, self.limits, self.binding, self.types, self.invariants
        ):  # fmt: skip
            statements += builder(node, facts)
        return statements

    def one(self, part: str, wanted: Any, **parts: Any) -> list[ast.stmt]:
        return fill(part, WANTED=self.constants.expression(wanted), **parts)

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
        widest = widest_of(binding)
        strength, value_set = binding.get("strength", "example"), binding.get("valueSet")
        more = [s for also in facts.get("additional", ()) for s in self.one(_BOUND, also)]
        if not widest and (strength == "example" or not value_set):
            return more
        return self.one(_BOUND, Binding(strength, value_set or "", widest)) + more

    def types(self, node: Node, facts: Mapping[str, Any]) -> list[ast.stmt]:
        if "type" not in facts or node.element is None:
            return []
        statements = []
        base = {t.code for t in node.element.types}
        codes = [code(type_) for type_ in facts["type"]]
        if "Resource" in base and "Resource" not in codes and "DomainResource" not in codes:
            statements += self.one(_RESOURCE, frozenset(codes))
        statements += self.targets(facts["type"])
        if not node.element.choice or node.sliced:
            statements += self.profiles(facts["type"])
        return statements

    def profiles(self, types: list[dict[str, Any]]) -> list[ast.stmt]:
        """The profiles that a type, or each type of resource, is asked to follow."""
        profiles = {code(t): tuple(t["profile"]) for t in types if t.get("profile")}
        if len(types) == 1:
            return [s for urls in profiles.values() for s in self.one(_CONFORM, urls)]
        resources = {name: urls for name, urls in profiles.items() if self.is_resource(name)}
        return self.one(_CONFORM_RESOURCE, resources) if resources else []

    def profiles_by_type(self, node: Node) -> dict[str, tuple[str, ...]]:
        """Of a choice: the profiles that each of its types is asked to follow."""
        return {code(t): tuple(t["profile"]) for t in node.facts.get("type", ()) if t.get("profile")}

    def is_resource(self, name: str) -> bool:
        return name in self.definitions.types and self.definitions.types[name].kind == "resource"

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


@dataclass(frozen=True, slots=True)
class _Limit:
    """minValue[x] or maxValue[x]."""

    value: Any


def _rule(item: Mapping[str, Any], type_: str) -> Rule:
    severity, human = item.get("severity", "error"), item.get("human", "")
    return Rule(item["key"], severity, item["expression"], type_, item["profile"], human)
