"""SMART scopes of version 1 and 2: read, compared, met with what is allowed, and written back.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast
from urllib.parse import quote, unquote

from fhir_server.access.grant import Level, ResourceScope, Role
from fhir_server.access.predicate import criteria_of
from fhir_server.errors import FhirError
from profiles.definitions import load

# Those that are about no resource: context, identity, and how long an app may come back.
OTHERS = (
    "launch", "launch/patient", "launch/encounter", "openid", "fhirUser", "profile", "offline_access",
    "online_access",
)  # fmt: skip
# Who may be asked for what: an app acts for its user, a backend service for itself.
LEVELS: dict[Role, tuple[Level, ...]] = {
    "patient": ("patient", "user"),
    "related": ("patient", "user"),
    "practitioner": ("patient", "user"),
    "administrator": ("patient", "user"),
    "system": ("system",),
}
MOST = 400  # scopes in one request
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_FORM = re.compile(
    r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.(read|write|\*|c?r?u?d?s?)(?:\?(.+))?", re.DOTALL
)
# RFC 6749, appendix A.4
_CHARACTERS = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
# What can be said of every resource.
_COMMON = frozenset({"_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"})
_PLAIN = "|:/,$.-_~*'()@!+;?"


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope as it was written; `resource` is None for one of OTHERS."""

    text: str
    resource: ResourceScope | None = None


def parse(text: str) -> tuple[Scope, ...]:
    """The scopes in a text with spaces between, each once, in its order.

    What is no scope of ours is left out: the token's `scope` says what was granted (RFC 6749, section 3.3).
    A restriction that cannot be understood leaves out its scope: it must not widen it.
    """
    found = (read(part) for part in dict.fromkeys(text.split(" ")[:MOST]) if part)
    return tuple(scope for scope in found if scope is not None)


@lru_cache(maxsize=2000)
def read(text: str) -> Scope | None:
    """One scope, None where it is none of ours."""
    if text in OTHERS:
        return Scope(text)
    match = _FORM.fullmatch(text)
    if not match or not _CHARACTERS.fullmatch(text):
        return None
    level, type_, letters, restriction = match.groups()
    if (restriction is not None and letters in _V1) or not letters:
        return None
    if type_ != "*" and type_ not in load().resource_types:
        return None
    criteria = _criteria(type_, restriction) if restriction else ()
    if criteria is None:
        return None
    return Scope(text, ResourceScope(cast(Level, level), type_, _V1.get(letters, letters), criteria))


def written(scope: ResourceScope) -> str:
    """The scope in the form of version 2."""
    pairs = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in scope.criteria)
    return f"{scope.level}/{scope.type}.{scope.may}{'?' if pairs else ''}{pairs}"


def printed(scopes: Iterable[Scope]) -> str:
    """The `scope` of a token response."""
    return " ".join(scope.text for scope in scopes)


def resources(scopes: Iterable[Scope]) -> tuple[ResourceScope, ...]:
    return tuple(scope.resource for scope in scopes if scope.resource is not None)


def covers(wide: ResourceScope, narrow: ResourceScope) -> bool:
    """Whether all that the narrow one allows is allowed by the wide one."""
    return (
        wide.level == narrow.level
        and wide.type in ("*", narrow.type)
        and set(narrow.may) <= set(wide.may)
        and set(wide.criteria) <= set(narrow.criteria)
    )


def meet(one: ResourceScope, other: ResourceScope) -> ResourceScope | None:
    """What both allow; None where that is nothing."""
    may = "".join(letter for letter in one.may if letter in other.may)
    types = {one.type, other.type} - {"*"}
    if one.level != other.level or not may or len(types) > 1:
        return None
    criteria = dict.fromkeys((*one.criteria, *other.criteria))
    return ResourceScope(one.level, types.pop() if types else "*", may, tuple(criteria))


def granted(asked: str, registered: str, role: Role) -> tuple[Scope, ...]:
    """What was asked for, the client is registered for, and a user of that role may allow."""
    allowed = parse(registered)
    others = {scope.text for scope in allowed if scope.resource is None}
    return _met(parse(asked), resources(allowed), others, LEVELS[role])


def narrowed(asked: str, held: str) -> tuple[Scope, ...] | None:
    """What was asked for where all of it is held; None where something is not (RFC 6749, section 6)."""
    holding = parse(held)
    wide, others = resources(holding), {scope.text for scope in holding if scope.resource is None}
    chosen = tuple(read(part) for part in dict.fromkeys(asked.split(" ")) if part)
    for scope in chosen:
        if scope is None:
            return None
        narrow = scope.resource
        if scope.text not in others if narrow is None else not any(covers(each, narrow) for each in wide):
            return None
    return cast(tuple[Scope, ...], chosen) or None


def _met(
    asked: Sequence[Scope], allowed: Sequence[ResourceScope], others: set[str], levels: Sequence[Level]
) -> tuple[Scope, ...]:
    found: list[Scope] = []
    for scope in asked:
        if scope.resource is None:
            found += [scope] if scope.text in others else []
        elif scope.resource.level in levels:
            parts = [part for each in allowed if (part := meet(scope.resource, each))]
            found += [_worded(scope, part) for part in _widest(parts)]
    return tuple(dict.fromkeys(found))


def _widest(parts: Sequence[ResourceScope]) -> list[ResourceScope]:
    """Those that no other one covers."""
    kept: list[ResourceScope] = []
    for part in parts:
        if not any(covers(each, part) for each in kept):
            kept = [each for each in kept if not covers(part, each)] + [part]
    return kept


def _worded(asked: Scope, part: ResourceScope) -> Scope:
    """In the words that were asked in where they say it, in those of version 1 for who spoke them."""
    if part == asked.resource:
        return asked
    letters = next((word for word, may in _V1.items() if may == part.may), None)
    if asked.text.rpartition(".")[2] in _V1 and letters and not part.criteria:
        return Scope(f"{part.level}/{part.type}.{letters}", part)
    return Scope(written(part), part)


def _criteria(type_: str, text: str) -> tuple[tuple[str, str], ...] | None:
    """The restriction as pairs; None where the server cannot hold to it."""
    pairs = []
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if not equals or not name or not value:
            return None
        try:
            pairs.append((unquote(name, errors="strict"), unquote(value, errors="strict")))
        except UnicodeDecodeError:
            return None
    if type_ == "*" and any(re.split(r"[:.]", name)[0] not in _COMMON for name, _ in pairs):
        return None
    try:  # as it will be held to
        criteria_of(ResourceScope("user", type_, "r", tuple(pairs)), "Basic" if type_ == "*" else type_)
    except FhirError:
        return None
    return tuple(dict.fromkeys(pairs))


def without_patient(scopes: Sequence[Scope]) -> tuple[Scope, ...]:
    """Those that mean something where no patient is in context."""
    return tuple(scope for scope in scopes if scope.resource is None or scope.resource.level != "patient")


def _quoted(text: str) -> str:
    return quote(text, safe=_PLAIN)
