"""A filter of a query string as a condition: a parameter and its modifier, a chain of them, a reverse chain.

https://hl7.org/fhir/R4/search.html#modifiers, #chaining, #has. A chain leads through local references, to the
types that the modifier or the parameter's definition names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

from fhir_server.errors import FhirError
from fhir_server.search import filter_language, parameters
from fhir_server.search.not_applied import NotApplied
from fhir_server.search.parameters import BadValue, Parameter, Scope, date
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import EVERYTHING, NOTHING, And, Chain, Has, Match, Node, Not, Or, Test
from profiles import definitions

# Values in all filters together: more is no search, and this bounds the tree that a store is handed.
MAX_VALUES = 500
MAX_LINKS = 10  # of a chain
MAX_PATHS = 200  # ways that an untyped chain can take

# The values of what a modifier asks for are all of them together: none of them, for a negative one.
_NEGATIVE = {"not": None, "not-in": "in"}


def shown(name: str) -> str:
    """A parameter's name as it may be shown: never so long that it could carry more than a name."""
    return repr(name if len(name) <= 64 else name[:61] + "...")


def bad(name: str, problem: str) -> NoReturn:
    raise FhirError("invalid", f"The value of {shown(name)} is {problem}")


class Filters:
    """The filters of one query string, which have a number of values between them."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._values = 0
        self._paths = 0

    def node(self, type: str, name: str, value: str) -> Node:
        """The condition on resources of this type. NotApplied, or FhirError("invalid" | "not-supported")."""
        try:
            return self._node(type, name, value, 0)
        except BadValue as problem:
            bad(name, str(problem))

    def _node(self, type: str, name: str, value: str, links: int) -> Node:
        if links > MAX_LINKS:
            raise FhirError("invalid", f"A chain has at most {MAX_LINKS} links")
        if name.startswith("_has:"):
            return self._has(name, value, links)
        head, dot, rest = name.partition(".")
        if dot:
            return self._chain(type, head, rest, value, links)
        if name == "_list":
            return self._list(value)
        if name == "_filter":
            return filter_language.read(self, type, value, links)
        code, _, modifier = name.partition(":")
        parameter = parameters.find(type, code, self.scope)
        if parameter is None:
            why = self.scope.why(type, code)
            raise NotApplied(f"{shown(name)} is not a supported search parameter of {type}{why}")
        return self._plain(parameter, modifier, name, value)

    # One parameter

    def _plain(self, parameter: Parameter, modifier: str, name: str, value: str) -> Node:
        if modifier == "missing":
            return _missing(parameter, value)
        _check_modifier(parameter, modifier, name)
        parts = split(value, ",")
        if "" in parts:
            raise BadValue("a list with an empty item")
        self._values += len(parts)
        if self._values > MAX_VALUES:
            raise BadValue(f"one too many: a search has at most {MAX_VALUES}")
        match_ = _of_the_version(parameter.code) or parameters.match
        plain = _NEGATIVE.get(modifier, modifier or None)
        found = any_of([match_(parameter, plain, part, self.scope) for part in parts])
        return Not(found) if modifier in _NEGATIVE else found

    def _list(self, value: str) -> Node:
        """https://hl7.org/fhir/R4/search.html#list: what a List has as an item."""
        ids = [unescape(part).removeprefix("List/") for part in split(value, ",")]
        if any(id.startswith("$") for id in ids):
            raise FhirError("not-supported", "_list: functional lists are not supported")
        self._values += len(ids)
        if "" in ids or self._values > MAX_VALUES:
            raise BadValue("not the id of a List")
        return Has("List", "item", Match("resource", "_id", (Test("id", "in", tuple(ids)),)))

    # Chains

    def _chain(self, type: str, head: str, rest: str, value: str, links: int) -> Node:
        code, colon, target = head.partition(":")
        parameter = parameters.find(type, code, self.scope)
        if parameter is None or parameter.type != "reference":
            raise NotApplied(f"{shown(code)} is not a reference parameter of {type}, which a chain needs")
        known = definitions.load().resource_types
        if colon and target not in known:
            raise FhirError("not-supported", f"{shown(head)}: there is no such resource type")
        found: list[Node] = []
        problem = NotApplied(
            f"{shown(rest)} is not a supported search parameter of what {shown(head)} refers to"
        )
        for each in (target,) if colon else parameter.targets or known:
            self._paths += 1
            if self._paths > MAX_PATHS:
                raise FhirError(
                    "invalid", f"A chain that can lead in more than {MAX_PATHS} ways: name the types"
                )
            values = self._values
            try:
                found.append(Chain(parameter.code, each, self._node(each, rest, value, links + 1)))
            except NotApplied as not_applied:  # another of the types may have it
                problem = not_applied if colon else problem
            if len(found) > 1:  # the same values for another type
                self._values = values
        if not found:
            raise problem
        return found[0] if len(found) == 1 else Or(tuple(found))

    def _has(self, name: str, value: str, links: int) -> Node:
        """https://hl7.org/fhir/R4/search.html#has: _has:[type]:[reference parameter]:[filter of that type]"""
        type, code, rest = (*name.split(":", 3)[1:], "", "", "")[:3]
        if type not in definitions.load().resource_types:
            raise FhirError("invalid", f"{shown(name)}: not _has:[type]:[reference parameter]:[parameter]")
        parameter = parameters.find(type, code, self.scope)
        if parameter is None or parameter.type != "reference":
            raise NotApplied(f"{shown(name)}: {shown(code)} is not a reference parameter of {type}")
        if not rest:
            raise FhirError("invalid", f"{shown(name)}: not _has:[type]:[reference parameter]:[parameter]")
        return Has(type, parameter.code, self._node(type, rest, value, links + 1))


def _check_modifier(parameter: Parameter, modifier: str, name: str) -> None:
    """https://hl7.org/fhir/R4/search.html#modifiers: a server SHALL reject those it does not support."""
    if not modifier or modifier in parameters.module_of(parameter).MODIFIERS:
        return
    if parameter.type == "reference" and modifier in definitions.load().resource_types:
        return
    raise FhirError("not-supported", f"{shown(name)}: {parameter.name} does not support this modifier")


def _missing(parameter: Parameter, value: str) -> Node:
    if "missing" not in parameters.modifiers(parameter):
        raise FhirError("not-supported", f"{parameter.name} does not support :missing")
    if value not in ("true", "false"):
        raise BadValue("not true or false")
    if parameter.code in parameters.OF_THE_VERSION:  # every version has them
        return NOTHING if value == "true" else EVERYTHING
    there = Match(parameters.table_of(parameter), parameter.code)
    return Not(there) if value == "true" else there


def _of_the_version(code: str) -> Callable[[Parameter, str | None, str, Scope], Node] | None:
    return {"_id": _match_id, "_lastUpdated": _match_last_updated}.get(code)


def _match_id(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    return Match("resource", "_id", (Test("id", "=", unescape(text)),))


def _match_last_updated(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """A version was written at one instant, so that the table of prefixes comes down to one column."""
    prefix, low, high = date.search_range(text, scope)
    within = (Test("updated", ">=", low), Test("updated", "<", high))
    before, after = (Test("updated", "<", low),), (Test("updated", ">=", high),)
    tests = {
        "gt": after,
        "sa": after,
        "lt": before,
        "eb": before,
        "ge": (Test("updated", ">=", low),),
        "le": (Test("updated", "<", high),),
    }
    if prefix == "ne":
        return Or(tuple(Match("resource", "_lastUpdated", outside) for outside in (before, after)))
    return Match("resource", "_lastUpdated", tests.get(prefix, within))


def all_of(nodes: list[Node]) -> Node:
    return nodes[0] if len(nodes) == 1 else And(tuple(nodes))


def any_of(nodes: list[Node]) -> Node:
    """The alternatives in one flat Or, those that differ in one tested value only as one Match with `in`."""
    flat: list[Node] = []
    for node in nodes:
        flat += node.children if isinstance(node, Or) else (node,)
    grouped: dict[Any, list[Node]] = {}
    for node in flat:
        grouped.setdefault(_shape(node), []).append(node)
    merged = [_merged(group) for group in grouped.values()]
    return merged[0] if len(merged) == 1 else Or(tuple(merged))


def _shape(node: Node) -> Any:
    """Equal for Matches that differ at most in the value their last test is equal to."""
    if isinstance(node, Match) and node.tests and node.tests[-1].op == "=":
        return node.table, node.param, node.tests[:-1], node.tests[-1].column
    return node


def _merged(group: list[Node]) -> Node:
    first = group[0]
    values = dict.fromkeys(node.tests[-1].value for node in group if isinstance(node, Match) and node.tests)
    if len(values) < 2 or not isinstance(first, Match):
        return first
    return replace(first, tests=(*first.tests[:-1], Test(first.tests[-1].column, "in", tuple(values))))
