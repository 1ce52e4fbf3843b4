"""_filter: conditions with and, or, not and parentheses, https://hl7.org/fhir/R4/search_filter.html

Read from left to right, and and or alike, as the page says. `a.b` is a chain, `a[filter].b` one through what
fulfils the filter. Operators that no index can answer (`ew`) are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from fhir_server.errors import FhirError
from fhir_server.search import parameters
from fhir_server.search.not_applied import NotApplied
from fhir_server.search.parameters import BadValue, Parameter, date
from fhir_server.search.parameters.string import fold
from fhir_server.search.query import And, Chain, Match, Node, Not, Or, Test

if TYPE_CHECKING:
    from fhir_server.search.filters import Filters

_PART = re.compile(r"\s*(?:([()\[\].])|(\"(?:[^\"\\]|\\.)*\")|([^\s()\[\]\"]+))")
_NAME = re.compile(r"[_A-Za-z][_A-Za-z0-9\-]*")
_DEEPEST = 10
_ORDERED = frozenset(("eq", "ne", "gt", "lt", "ge", "le", "ap", "sa", "eb"))
_OPERATORS = _ORDERED | {"co", "sw", "ew", "pr", "po", "ss", "sb", "in", "ni", "re"}
# of types that have modifiers: operator -> modifier
_MODIFIERS = {
    "token": {"eq": "", "ne": "not", "in": "in", "ni": "not-in", "ss": "above", "sb": "below"},
    "string": {"co": "contains", "sw": ""},
    "uri": {"eq": "", "sw": "below", "sb": "below", "ss": "above"},
    "reference": {"eq": "", "re": "", "sb": "below", "ss": "above"},
}
_ESCAPES = re.compile(r"([\\,|$])")


def read(filters: Filters, type: str, text: str, links: int) -> Node:
    """The condition on resources of this type.

    FhirError("invalid" | "not-supported"), or NotApplied for a parameter that is not there.
    """
    reader = _Reader(filters, text, links)
    found = reader.logical(type, 0)
    if reader.at < len(reader.parts):
        raise reader.wrong("something behind its end")
    return found


class _Reader:
    def __init__(self, filters: Filters, text: str, links: int) -> None:
        self.filters, self.links = filters, links
        self.parts: list[str] = []
        self.at = 0
        place = 0
        text = text.strip()
        while place < len(text):
            found = _PART.match(text, place)
            if not found:
                raise self.wrong("a text without an end")
            self.parts.append(found[0].strip())
            place = found.end()

    def wrong(self, problem: str) -> FhirError:
        return FhirError("invalid", f"_filter has {problem}")

    def peek(self) -> str:
        return self.parts[self.at] if self.at < len(self.parts) else ""

    def take(self, expected: str = "") -> str:
        part = self.peek()
        if not part or (expected and part != expected):
            raise self.wrong(f"no {expected!r} where one should be" if expected else "no end")
        self.at += 1
        return part

    def logical(self, type: str, depth: int) -> Node:
        if depth > _DEEPEST:
            raise self.wrong("too many conditions inside of conditions")
        found = self.condition(type, depth)
        while self.peek() in ("and", "or"):
            both = self.take() == "and"
            other = self.condition(type, depth)
            found = And((found, other)) if both else Or((found, other))
        return found

    def condition(self, type: str, depth: int) -> Node:
        negated = self.peek() == "not" and self.parts[self.at + 1 : self.at + 2] == ["("]
        if negated:
            self.take()
        if self.peek() == "(":
            self.take()
            found = self.logical(type, depth + 1)
            self.take(")")
            return Not(found) if negated else found
        return self.path(type, depth)

    def path(self, type: str, depth: int) -> Node:
        """One parameter, or the first of a chain."""
        names = self.take().split(".")
        if self.peek() == "[":
            return self.through(type, names, depth)
        operator = self.take()
        if operator not in _OPERATORS:
            raise self.wrong("something other than an operator behind a parameter")
        value = self.value()
        return self.chained(type, names, lambda of, code: self.plain(of, code, operator, value))

    def through(self, type: str, names: list[str], depth: int) -> Node:
        """`a[filter].b`: a refers to something that fulfils the filter, and whose b is as asked."""
        start = self.at

        def rest(of: str, code: str) -> Node:
            parameter = self.parameter(of, code)
            if parameter.type != "reference":
                raise FhirError("not-supported", "_filter: [ ] stands behind reference parameters only")
            found: list[Node] = []
            problem: Exception | None = None
            for target in parameter.targets:
                self.at = start
                try:
                    self.take("[")
                    inner = self.logical(target, depth + 1)
                    self.take("]")
                    self.take(".") if self.peek() == "." else None
                    found.append(Chain(parameter.code, target, And((inner, self.path(target, depth + 1)))))
                except NotApplied as error:
                    problem = error
            if not found:
                raise problem or FhirError(
                    "not-supported", "_filter: a reference to anything cannot be chained"
                )
            return found[0] if len(found) == 1 else Or(tuple(found))

        return self.chained(type, names, rest)

    def chained(self, type: str, names: list[str], last: Callable[[str, str], Node]) -> Node:
        code, *more = names
        if not more:
            return last(type, code)
        self.links += 1
        if self.links > 100:
            raise self.wrong("a chain that is too long, or can lead too many ways")
        parameter = self.parameter(type, code)
        if parameter.type != "reference":
            raise NotApplied(f"{code!r} is not a reference parameter of {type}, which a chain needs")
        found: list[Node] = []
        problem: Exception = NotApplied("a chain without an end")
        start = self.at
        for target in parameter.targets:
            try:
                self.at = start
                found.append(Chain(parameter.code, target, self.chained(target, more, last)))
                end = self.at
            except NotApplied as error:
                problem = error
        if not found:
            raise problem
        self.at = end
        return found[0] if len(found) == 1 else Or(tuple(found))

    def parameter(self, type: str, code: str) -> Parameter:
        if not _NAME.fullmatch(code):
            raise self.wrong("something other than a parameter")
        parameter = parameters.find(type, code, self.filters.scope)
        if parameter is None:
            why = self.filters.scope.why(type, code)
            raise NotApplied(f"_filter: {code!r} is not a supported search parameter of {type}{why}")
        return parameter

    def value(self) -> str:
        part = self.take()
        if part.startswith('"'):
            try:
                return str(json.loads(part))
            except ValueError:
                raise self.wrong("a text that is none") from None
        return part

    def plain(self, type: str, code: str, operator: str, value: str) -> Node:
        parameter = self.parameter(type, code)
        if operator == "pr":
            if value not in ("true", "false"):
                raise BadValue("not true or false behind pr")
            return self.filters.node(type, f"{code}:missing", "false" if value == "true" else "true")
        if parameter.type == "date" and operator == "po":
            _, low, high = date.search_range(f"eq{value}", self.filters.scope)
            return Match("date", parameter.code, (Test("low", "<", high), Test("high", ">", low)))
        if parameter.type in ("date", "number", "quantity") and operator in _ORDERED:
            return self.filters.node(type, code, operator + value)
        if parameter.type == "string" and operator in ("eq", "ne") and fold(value):
            same = Match("string", parameter.code, (Test("folded", "=", fold(value)),))
            return same if operator == "eq" else Not(same)
        modifier = _MODIFIERS.get(parameter.type, {}).get(operator)
        if modifier is None:
            raise FhirError("not-supported", f"_filter: {operator} is not supported for {code}")
        # a bar separates system and code here as well; what else a list or composite would part is the text's
        escaped = _ESCAPES.sub(r"\\\1", value)
        if parameter.type == "token":
            escaped = escaped.replace(r"\|", "|")
        return self.filters.node(type, f"{code}:{modifier}" if modifier else code, escaped)
