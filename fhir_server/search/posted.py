"""The search parameters that users posted, as extraction and search need them.

https://hl7.org/fhir/R4/searchparameter.html. A parameter's rows are named after its code and the version of
the SearchParameter that says what they are: rows that another version left are never found again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from fhir_server.errors import Issue
from fhir_server.search import parameters
from fhir_server.search.extract import Plan, plan_of_posted
from fhir_server.search.parameters import Parameter
from fhir_server.search.query import And, Not, Or, Query, nodes
from profiles import definitions
from rules import fhirpath

TYPES = ("number", "date", "string", "token", "reference", "quantity", "uri")
_COMPUTED = frozenset(("string", "boolean", "integer", "decimal"))  # that are as in JSON when no element is
_LONGEST = 4000  # of an expression
_CODE = re.compile("[A-Za-z][A-Za-z0-9_-]{0,63}")
_WAITING = "not yet indexed: POST SearchParameter/{}/$reindex"


@dataclass(frozen=True, slots=True)
class Entry:
    """One version of a posted SearchParameter that is active, and how far its index is.

    `state` is waiting (nobody has asked for $reindex), running or ready. `done` of `total` resources have
    been looked at, `at` was the last time something was (microseconds).
    """

    id: str
    version: int
    url: str
    code: str
    type: str
    bases: tuple[str, ...]
    expression: str
    targets: tuple[str, ...]
    state: str = "waiting"
    done: int = 0
    total: int = 0
    at: int = 0

    @property
    def key(self) -> str:
        """What its rows are named."""
        digest = hashlib.blake2b(f"{self.id}/{self.version}".encode(), digest_size=8).hexdigest()
        return f"{self.code}@{digest}"

    def moved(self, **changes: Any) -> Entry:
        """The entry with another state, or further on."""
        return replace(self, **changes)

    def means_the_same(self, other: Entry) -> bool:
        """Whether the same is found by it."""
        alike = replace(other, version=self.version, state=self.state, done=self.done, total=self.total)
        return replace(alike, at=self.at) == self


@dataclass(frozen=True, slots=True)
class Posted:
    """All that are active. `plans` extract the rows of every one of them, by resource type; searches may use
    those that are `ready`, by type and code, and `waiting` says what to do about the others."""

    entries: tuple[Entry, ...] = ()
    plans: Mapping[str, Plan] = field(default_factory=dict)
    ready: Mapping[str, Mapping[str, Parameter]] = field(default_factory=dict)
    waiting: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def extracts_as(self, other: Posted) -> bool:
        """Whether the same rows come of both."""
        return [entry.key for entry in self.entries] == [entry.key for entry in other.entries]


NONE = Posted()


@lru_cache(maxsize=8)
def posted(entries: tuple[Entry, ...]) -> Posted:
    """The entries, compiled."""
    by_type: dict[str, list[Parameter]] = {}
    ready: dict[str, dict[str, Parameter]] = {}
    waiting: dict[tuple[str, str], str] = {}
    for entry in entries:
        try:
            of_entry = compiled(entry)
        except fhirpath.CompileError:  # another Varde understood it
            continue
        for type, parameter in of_entry.items():
            by_type.setdefault(type, []).append(parameter)
            if entry.state == "ready":
                ready.setdefault(type, {})[entry.code] = parameter
            else:
                waiting[type, entry.code] = _WAITING.format(entry.id)
    plans = {type: plan_of_posted(tuple(found)) for type, found in by_type.items()}
    return Posted(entries, plans, ready, waiting)


@lru_cache(maxsize=256)
def _compiled(key: str, entry: Entry) -> Mapping[str, Parameter]:
    found = {}
    for type in entry.bases:
        published = definitions.SearchParameter(
            entry.url, entry.code, entry.type, entry.bases, entry.expression, entry.targets
        )
        of_type = parameters.compiled(type, definitions.narrow(published, set(_bases(type))))
        found[type] = replace(of_type, code=key, shared=((key,),))
    return found


def compiled(entry: Entry) -> Mapping[str, Parameter]:
    """The parameter by resource type; rules.fhirpath.CompileError where the expression makes no sense."""
    return _compiled(entry.key, replace(entry, version=0, state="", done=0, total=0, at=0))


def _bases(type: str) -> tuple[str, ...]:
    return definitions.load().bases(type)


def entry_of(resource: Mapping[str, Any], id: str, version: int) -> Entry:
    """The entry of a SearchParameter in which `check` found nothing wrong."""
    return Entry(
        id,
        version,
        resource["url"],
        resource["code"],
        resource["type"],
        tuple(dict.fromkeys(resource["base"])),
        resource["expression"],
        tuple(resource.get("target", ())),
    )


def check(resource: Mapping[str, Any]) -> list[Issue]:
    """Why an active SearchParameter cannot take effect, as errors that refuse the write (422)."""
    if resource.get("status") != "active" or _is_published(resource):
        return []
    plain = list(_plain_problems(resource))
    return plain or list(_problems(entry_of(resource, "", 0)))


def takes_effect(resource: Mapping[str, Any] | None) -> bool:
    """Whether a stored SearchParameter adds something to searches: not a copy of one that is built in."""
    return resource is not None and resource.get("status") == "active" and not _is_published(resource)


def _is_published(resource: Mapping[str, Any]) -> bool:
    """Whether it is, by its URL, one of those that every server here has."""
    url = resource.get("url")
    bases = [type for type in resource.get("base", ()) if type in definitions.load().types]
    return any(p.url == url for type in bases for p in definitions.load().search_parameters(type))


def _error(element: str, problem: str, code: str = "not-supported") -> Issue:
    return Issue("error", code, problem, f"SearchParameter.{element}")


def _plain_problems(resource: Mapping[str, Any]) -> Iterable[Issue]:
    types = definitions.load().resource_types
    if resource.get("type") not in TYPES:
        yield _error("type", f"Of the types, only {', '.join(TYPES)} can be added")
    if not _CODE.fullmatch(resource.get("code", "")):
        yield _error("code", "A code is a letter, then letters, digits, _ and -: 64 at most", "value")
    if not resource.get("expression"):
        yield _error("expression", "Without an expression there is nothing to be found by", "required")
    elif "%" in resource["expression"]:
        yield _error("expression", "Variables (%...) have no value here")
    elif len(resource["expression"]) > _LONGEST:
        yield _error("expression", f"An expression has at most {_LONGEST} characters", "too-long")
    for number, base in enumerate(resource.get("base", ())):
        if base not in types:
            yield _error(f"base[{number}]", "Not a type of resource that is stored here")


def _problems(entry: Entry) -> Iterable[Issue]:
    for number, type in enumerate(entry.bases):
        if entry.code in parameters.of(type):
            same = f"{type} has a parameter of this code already, {parameters.of(type)[entry.code].url}"
            yield _error(f"base[{number}]", same, "duplicate")
    try:
        found = compiled(entry)
    except fhirpath.CompileError as error:
        yield from (_error("expression", str(each), "invalid") for each in error.diagnostics)
        return
    rows = parameters.TYPES[entry.type].ROWS
    for type, parameter in found.items():
        odd = sorted(each for each in parameter.kinds if each not in rows and each != "Extension")
        if odd:
            yield _error("expression", f"{', '.join(odd)} of {type} cannot be searched as a {entry.type}")
        elif any(not branch.owner and branch.type not in _COMPUTED for branch in parameter.branches):
            yield _error("expression", f"What is computed here of {type} cannot be indexed: name an element")
        elif not parameter.branches:
            yield _error("expression", f"It gives nothing of {type} that can be searched for")


def keys(queries: Iterable[Query]) -> tuple[str, ...]:
    """The names of the posted parameters' rows that queries look at."""
    found = {sort.param for query in queries for sort in query.sort}
    for query in queries:
        found |= {each.param for each in nodes(query.where) if not isinstance(each, And | Or | Not)}
    return tuple(sorted(name for name in found if "@" in name))
