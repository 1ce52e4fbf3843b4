"""A query string to a Search: every parameter is applied, refused, or named in an issue; none is lost.

https://hl7.org/fhir/R4/search.html. Unknown and unsupported parameters are issues, or errors with
`Prefer: handling=strict`. A modifier that a parameter does not support, and a value that it cannot have, are
always errors: R4 asks it of the modifier, and leaving out `date=abc` would answer another question.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

from fhir_server.errors import FhirError, Issue
from fhir_server.search import cursor, extract, parameters
from fhir_server.search.filters import Filters, NotApplied, all_of, bad, shown
from fhir_server.search.parameters import Parameter, Scope
from fhir_server.search.query import EVERYTHING, Match, Node, Query, Sort, Test
from fhir_server.search.request import Include, Search
from profiles import definitions

COUNT = 20
MAX_COUNT = 1000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RESULT = frozenset(("_sort", "_count", "_include", "_summary", "_elements", "_total", "_cursor"))
_REPEATABLE = frozenset(("_include",))
_PASSED_ON = frozenset(("_format", "_pretty"))  # http applies them; they stay in the links


def parse(
    type: str,
    pairs: Sequence[tuple[str, str]],
    *,
    strict: bool = False,
    base: str,
    now: datetime,
    key: bytes = b"",
) -> Search:
    """What a search of this type with these decoded name-value pairs asks for.

    `base` is the server's own URL without a slash at its end, `now` the time that `ap` measures from, `key`
    the secret that cursors are sealed with. FhirError("invalid" | "not-supported" | "expired").
    """
    reading = _Reading(type, strict, Scope(base, (now - _EPOCH) // timedelta(microseconds=1)))
    results: dict[str, list[str]] = {}
    for name, value in pairs:
        plain = name.partition(":")[0]
        if plain in _PASSED_ON:
            continue
        if plain in _RESULT or plain == "_revinclude":
            results.setdefault(name, []).append(value)
        else:
            reading.filter(name, value)
    search = reading.search(results)
    passed_on = tuple((name, value) for name, value in pairs if name in _PASSED_ON)
    search = replace(search, applied=search.applied + passed_on)
    cursors = results.get("_cursor")
    return _continued(search, cursors[0], key) if cursors else search


def parse_criteria(type: str, text: str, *, base: str, now: datetime) -> Query:
    """The query of If-None-Exist, of a conditional interaction or a conditional reference: filters only.

    Asks for at most two matches, which is enough to tell none, one and several apart. FhirError("invalid" |
    "not-supported") also when there is no filter at all, since everything would match.
    """
    try:
        pairs = parse_qsl(text.removeprefix("?"), keep_blank_values=True, errors="strict")
    except ValueError:
        raise FhirError("invalid", "The search criteria are not a query string") from None
    for name, _ in pairs:
        if name.partition(":")[0] in _RESULT | {"_revinclude"}:
            raise FhirError("invalid", f"{shown(name)} has no place in search criteria")
    search = parse(type, pairs, strict=True, base=base, now=now)
    if search.query.where == EVERYTHING:
        raise FhirError("invalid", "The search criteria are empty, and would match everything")
    return replace(search.query, count=2)


def _continued(search: Search, text: str, key: bytes) -> Search:
    after, snapshot, total = cursor.unseal(key, search.identity, text)
    query = replace(search.query, after=after, snapshot=snapshot)
    return replace(search, query=query, known_total=total)


class _Reading:
    """One query string while it is read."""

    def __init__(self, type: str, strict: bool, scope: Scope) -> None:
        self.type = type
        self.strict = strict
        self.scope = scope
        self.parameters = parameters.of(type)
        self.conjuncts: list[Node] = []
        self.applied: list[tuple[str, str]] = []
        self.issues: list[Issue] = []
        self.filters = Filters(scope)

    def not_applied(self, problem: str) -> None:
        """Something that is left out of the search: an issue, or with strict handling an error."""
        if self.strict:
            raise FhirError("not-supported", problem)
        self.issues.append(Issue("warning", "not-supported", f"{problem}; it was not applied"))

    def filter(self, name: str, value: str) -> None:
        if not value:
            self.not_applied(f"{shown(name)} has no value")
            return
        try:
            self.conjuncts.append(self.filters.node(self.type, name, value))
        except NotApplied as problem:
            self.not_applied(str(problem))
        else:
            self.applied.append((name, value))

    # Result parameters

    def search(self, results: dict[str, list[str]]) -> Search:
        for name, values in results.items():
            if len(values) > 1 and name not in _REPEATABLE:
                bad(name, "given more than once")
            if name not in _RESULT:
                self.not_applied(f"{shown(name)} is not supported yet")
        sort = self.one(results, "_sort", self.sort, ())
        count = self.one(results, "_count", self.count, COUNT)
        includes = [self.include(text) for text in results.get("_include", ())]
        summary = self.one(results, "_summary", self.summary, None)
        elements = self.one(results, "_elements", self.elements, ())
        total = self.one(results, "_total", self.total, None)
        if elements and summary:
            bad("_elements", "given together with _summary")
        if summary == "text" and any(includes):
            bad("_summary", "text, which goes with no _include")
        where = all_of(self.conjuncts)
        patient = _confined_to(self.type, self.conjuncts)
        return Search(
            Query(self.type, where, sort, count, patient),
            tuple(self.applied),
            tuple(self.issues),
            self.scope.base,
            total,
            summary,
            elements,
            tuple(include for include in includes if include),
        )

    def one(self, results: dict[str, list[str]], name: str, read: Callable[[str], Any], default: Any) -> Any:
        values = results.get(name)
        if not values:
            return default
        if not values[0]:
            self.not_applied(f"{shown(name)} has no value")
            return default
        return read(values[0])

    def sort(self, text: str) -> tuple[Sort, ...]:
        keys, names = [], []
        for name in text.split(","):
            key = _sort_key(self.parameters.get(name.removeprefix("-")), name.startswith("-"))
            if key is None:
                self.not_applied(f"_sort by {shown(name)} is not supported")
            else:
                keys.append(key)
                names.append(name)
        if keys:
            self.applied.append(("_sort", ",".join(names)))
        return tuple(keys)

    def count(self, text: str) -> int:
        if not re.fullmatch("[0-9]+", text):
            bad("_count", "not a whole number of resources, 0 or more")
        count = min(int(text[:10]) if len(text.lstrip("0")) < 10 else MAX_COUNT, MAX_COUNT)
        self.applied.append(("_count", str(count)))
        return count

    def include(self, text: str) -> Include | None:
        source, _, rest = text.partition(":")
        param, _, target = rest.partition(":")
        reference = self.parameters.get(param)
        if text == "*" or (source == self.type and param == "*"):
            made = Include(None, target or None)
        elif source == self.type and reference and reference.type == "reference":
            made = Include(param, target or None)
        else:
            self.not_applied(f"_include of {shown(text)} is not supported")
            return None
        if target and target not in definitions.load().resource_types:
            bad("_include", "an unknown target type")
        self.applied.append(("_include", text))
        return made

    def summary(self, text: str) -> str | None:
        if text not in ("true", "false", "text", "data", "count"):
            bad("_summary", "not true, false, text, data or count")
        self.applied.append(("_summary", text))
        return None if text == "false" else text

    def elements(self, text: str) -> tuple[str, ...]:
        known = definitions.load().types[self.type].elements
        names = []
        for name in dict.fromkeys(text.split(",")):
            if name in known:
                names.append(name)
            else:
                self.not_applied(f"_elements: {self.type} has no element {shown(name)}")
        if names:
            self.applied.append(("_elements", ",".join(names)))
        return tuple(names)

    def total(self, text: str) -> str:
        if text not in ("none", "estimate", "accurate"):
            bad("_total", "not none, estimate or accurate")
        self.applied.append(("_total", text))
        return text


def _sort_key(parameter: Parameter | None, descending: bool) -> Sort | None:
    if parameter is None:
        return None
    if parameter.code in parameters.OF_THE_VERSION:
        column = "id" if parameter.code == "_id" else "updated"
        return Sort("resource", parameter.code, column, descending)
    module = parameters.module_of(parameter)
    return Sort(module.TABLE, parameter.code, module.SORT, descending) if module.SORT else None


def _confined_to(type: str, conjuncts: list[Node]) -> str | None:
    """The one patient whose compartment every match is in, where a conjunct says so."""
    for node in conjuncts:
        match node:
            case Match("resource", "_id", (Test("id", "=", id),)) if type == "Patient":
                return str(id)
            case Match("reference", param, (Test("type", "=", "Patient"), Test("id", "=", id))):
                if param in extract.confining(type):
                    return str(id)
    return None
