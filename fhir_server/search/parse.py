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
from fhir_server.search import compartments, cursor, extract, parameters
from fhir_server.search.filters import Filters, all_of, bad, shown
from fhir_server.search.not_applied import NotApplied
from fhir_server.search.parameters import Parameter, Scope
from fhir_server.search.posted import Posted, keys
from fhir_server.search.query import EVERYTHING, NOTHING, Match, Node, Query, Sort, Test
from fhir_server.search.request import Include, Scene, Search
from profiles import definitions

COUNT = 20
MAX_COUNT = 1000
MAX_SORT = 10  # parameters in _sort

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RESULT = frozenset(
    (
        "_sort",
        "_count",
        "_include",
        "_revinclude",
        "_summary",
        "_elements",
        "_total",
        "_cursor",
        "_type",
        "_explain",
    )
)
_REPEATABLE = frozenset(("_include", "_revinclude"))
_PASSED_ON = frozenset(("_format", "_pretty"))  # http applies them; they stay in the links


def parse(
    type: str | Scene,
    pairs: Sequence[tuple[str, str]],
    *,
    strict: bool = False,
    base: str,
    now: datetime,
    key: bytes = b"",
    hidden: bool = False,
    explain: bool = False,
    posted: Posted | None = None,
) -> Search:
    """What a search of this type, or in this scene, with these decoded name-value pairs asks for.

    `base` is the server's own URL without a slash at its end, `now` the time that `ap` measures from, `key`
    the secret that cursors are sealed with; `hidden`: the pairs came in a form; `explain`: _explain may be
    asked for; `posted`: the parameters of users. FhirError("invalid" | "not-supported" | "expired").
    """
    scene = Scene((type,), type) if isinstance(type, str) else type
    if enclosed := [value for name, value in pairs if name == "_search"]:
        others = [pair for pair in pairs if pair[0] in _PASSED_ON or pair[0] == "_cursor"]
        pairs, hidden = [*cursor.disclose(key, enclosed[0]), *others], True
    results: dict[str, list[str]] = {}
    filters: list[tuple[str, str]] = []
    for name, value in pairs:
        plain = name.partition(":")[0]
        if plain in _RESULT:
            results.setdefault(name, []).append(value)
        elif plain not in _PASSED_ON:
            filters.append((name, value))
    moment = (now - _EPOCH) // timedelta(microseconds=1)
    more = (posted.ready, posted.waiting) if posted else ({}, {})
    reading = _Reading(scene, strict, Scope(base, moment, *more), explain)
    reading.types(results)
    for name, value in filters:
        reading.filter(name, value)
    search = reading.search(results)
    passed_on = tuple((name, value) for name, value in pairs if name in _PASSED_ON)
    search = replace(search, applied=search.applied + passed_on, hidden=hidden, posted=_posted(search))
    cursors = results.get("_cursor")
    return continued(search, cursors[0], key) if cursors else search


def _posted(search: Search) -> tuple[str, ...]:
    """The names of the rows of users' parameters that decide what is found."""
    return (*keys(search.queries), *(str(each.param) for each in search.includes if each.posted))


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
        if name.partition(":")[0] in _RESULT:
            raise FhirError("invalid", f"{shown(name)} has no place in search criteria")
    search = parse(type, [pair for pair in pairs if pair[0] != "_search"], strict=True, base=base, now=now)
    if search.query.where == EVERYTHING:
        raise FhirError("invalid", "The search criteria are empty, and would match everything")
    return replace(search.query, count=2)


def continued(search: Search, text: str, key: bytes) -> Search:
    """The search at the page that a cursor of it leads to; FhirError("invalid" | "expired")."""
    place = cursor.unseal(key, search.identity, text, search.now)
    queries = (replace(query, after=place.after, snapshot=place.snapshot) for query in search.queries)
    return replace(search, queries=tuple(queries), place=place)


class _Reading:
    """One query string while it is read."""

    def __init__(self, scene: Scene, strict: bool, scope: Scope, may_explain: bool) -> None:
        self.scene = scene
        self.strict = strict
        self.scope = scope
        self.may_explain = may_explain
        self.conjuncts: dict[str, list[Node]] = {}
        self.applied: list[tuple[str, str]] = []
        self.issues: list[Issue] = []
        self.filters = Filters(scope)

    @property
    def searched(self) -> str:
        """What is searched, as it may be shown."""
        return next(iter(self.conjuncts)) if len(self.conjuncts) == 1 else "all the types searched"

    def types(self, results: dict[str, list[str]]) -> None:
        """Which types are searched, each with the conditions of the scene."""
        types = self.scene.types
        if asked := results.pop("_type", None):
            if len(types) == 1:
                self.not_applied("'_type' is for searches of several types")
            else:
                types = self.chosen(types, asked)
        for type in types:
            self.conjuncts[type] = list(compartments.conditions(type, self.scene.compartment))

    def chosen(self, types: tuple[str, ...], asked: list[str]) -> tuple[str, ...]:
        if len(asked) > 1:
            bad("_type", "given more than once")
        named = asked[0].split(",")
        if unknown := [name for name in named if name not in definitions.load().resource_types]:
            bad("_type", f"of {len(unknown)} types that there are not in R4")
        self.applied.append(("_type", asked[0]))
        return tuple(dict.fromkeys(name for name in named if name in types))

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
            nodes = [(type, self.filters.node(type, name, value)) for type in self.conjuncts]
        except NotApplied as problem:
            self.not_applied(str(problem))
            return
        for type, node in nodes:
            self.conjuncts[type].append(node)
        self.applied.append((name, value))

    # Result parameters

    def search(self, results: dict[str, list[str]]) -> Search:
        for name, values in results.items():
            plain, colon, modifier = name.partition(":")
            if colon and (plain not in _REPEATABLE or modifier != "iterate"):
                raise FhirError("not-supported", f"{shown(name)}: {plain} does not support this modifier")
            if len(values) > 1 and plain not in _REPEATABLE:
                bad(name, "given more than once")
        sort = self.one(results, "_sort", self.sort, ())
        count = self.one(results, "_count", self.count, COUNT)
        includes = [
            self.include(name, text)
            for name, values in results.items()
            if name.partition(":")[0] in _REPEATABLE
            for text in values
        ]
        summary = self.one(results, "_summary", self.summary, None)
        elements = self.one(results, "_elements", self.elements, ())
        total = self.one(results, "_total", self.total, None)
        explain = self.one(results, "_explain", self.explain, False)
        if elements and summary:
            bad("_elements", "given together with _summary")
        if summary == "text" and any(includes):
            bad("_summary", "text, which goes with no _include")
        queries = tuple(
            Query(type, all_of(conjuncts), sort, count, _confined_to(type, conjuncts))
            for type, conjuncts in self.conjuncts.items()
        )
        return Search(
            queries or (Query("Basic", NOTHING, sort, count),),  # of none of the types that there are here
            tuple(self.applied),
            tuple(self.issues),
            self.scope.base,
            self.scene.path,
            total,
            summary,
            elements,
            tuple(include for include in includes if include),
            now=self.scope.now,
            explain=explain,
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
        keys: list[Sort] = []
        names = []
        for name in text.split(","):
            code, descending = name.removeprefix("-"), name.startswith("-")
            sorting = [parameters.find(type, code, self.scope) for type in self.conjuncts]
            found = {_sort_key(parameter, descending) for parameter in sorting}
            key = found.pop() if len(found) == 1 else None
            if key is None:
                why = "".join({self.scope.why(type, code) for type in self.conjuncts})
                self.not_applied(f"_sort by {shown(name)} is not supported for {self.searched}{why}")
            elif len(keys) == MAX_SORT:
                bad("_sort", f"of more than {MAX_SORT} parameters")
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

    def include(self, name: str, text: str) -> Include | None:
        reverse, iterate = name.startswith("_revinclude"), name.endswith(":iterate")
        source, _, rest = text.partition(":")
        param, _, target = rest.partition(":")
        made = None
        known = definitions.load().resource_types
        if source == "*":
            made = Include(None, None, rest or None, reverse, iterate)
            target = rest
        elif source in known and (reverse or iterate or source in self.conjuncts):
            parameter = parameters.find(source, param, self.scope)
            if param == "*":
                made = Include(source, None, target or None, reverse, iterate)
            elif parameter is not None and parameter.type == "reference":
                posted = parameter if param not in parameters.of(source) else None
                made = Include(source, parameter.code, target or None, reverse, iterate, posted)
        if made is None:
            why = self.scope.why(source, param)
            self.not_applied(f"{name} of {shown(text)} is not supported for {self.searched}{why}")
            return None
        if target and target not in known:
            bad(name, "an unknown target type")
        self.applied.append((name, text))
        return made

    def explain(self, text: str) -> bool:
        if text not in ("true", "false"):
            bad("_explain", "not true or false")
        if not self.may_explain:
            self.not_applied("'_explain' is for administrators, who have to allow it in the settings")
            return False
        self.applied.append(("_explain", text))
        return text == "true"

    def summary(self, text: str) -> str | None:
        if text not in ("true", "false", "text", "data", "count"):
            bad("_summary", "not true, false, text, data or count")
        self.applied.append(("_summary", text))
        return None if text == "false" else text

    def elements(self, text: str) -> tuple[str, ...]:
        types = definitions.load().types
        names = []
        for name in dict.fromkeys(text.split(",")):
            if any(name in types[type].elements for type in self.conjuncts):
                names.append(name)
            else:
                self.not_applied(f"_elements: {self.searched} has no element {shown(name)}")
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
