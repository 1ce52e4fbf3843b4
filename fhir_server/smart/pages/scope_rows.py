"""Scopes as rows that a person can read and untick, and what is left of them.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#scopes-for-requesting-fhir-resources
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from fhir_server.access.grant import ResourceScope
from fhir_server.smart import scopes
from fhir_server.smart.pages.words import Words
from fhir_server.smart.scopes import Scope

IDENTITY = frozenset(("openid", "fhirUser", "profile"))
# What the choice of a patient has answered already, and what says nothing about anybody.
_ALWAYS = frozenset(("launch", "launch/patient", "launch/encounter"))
_SEE, _DO = "rs", "cud"
_VERBS = {"c": "may.add", "u": "may.change", "d": "may.delete"}


@dataclass(frozen=True, slots=True)
class Row:
    """A check-box: `value` is what its form says, `more` what restricts it. `group`: own | user | you."""

    value: str
    group: str
    text: str
    more: str = ""


def rows(granted: Sequence[Scope], words: Words) -> list[Row]:
    """What there is to choose, in the order of the scopes; seeing apart from changing."""
    found: list[Row] = []
    for number, scope in enumerate(granted):
        if scope.resource is not None:
            found += _resource_rows(number, scope.resource, words)
    texts = [scope.text for scope in granted]
    if IDENTITY.intersection(texts):
        found.append(Row("identity", "you", words.plain("consent.identity")))
    if "offline_access" in texts:
        found.append(Row("offline_access", "you", words.plain("consent.offline")))
    if "online_access" in texts:
        found.append(Row("online_access", "you", words.plain("consent.online")))
    return found


def chosen(granted: Sequence[Scope], ticked: Collection[str]) -> tuple[Scope, ...]:
    """What is left of the scopes with only these rows ticked; a row that is not there gives nothing."""
    left: list[Scope] = []
    for number, scope in enumerate(granted):
        if scope.resource is not None:
            part = _left(number, scope, scope.resource, ticked)
            left += [part] if part else []
        elif scope.text in _ALWAYS or (scope.text if scope.text not in IDENTITY else "identity") in ticked:
            left.append(scope)
    return tuple(left)


def gives_something(left: Sequence[Scope]) -> bool:
    """Whether an application could do anything with what is left."""
    return any(scope.resource is not None or scope.text in IDENTITY for scope in left)


def _resource_rows(number: int, scope: ResourceScope, words: Words) -> list[Row]:
    kind = words.kind(scope.type)
    group = "own" if scope.level == "patient" else "user"
    criteria = [f"{words.criterion(name)} = {_said(value, words)}" for name, value in scope.criteria]
    more = words.plain("consent.only", criteria=words.together(criteria)) if criteria else ""
    found = []
    if any(letter in _SEE for letter in scope.may):
        verb = words.plain("may.see" if "r" in scope.may else "may.find")
        found.append(Row(f"{number}.see", group, f"{verb} {kind}", more))
    verbs = [words.plain(_VERBS[letter]) for letter in scope.may if letter in _DO]
    if verbs:
        first, *others = verbs
        said = words.together([first, *(other.lower() for other in others)])
        found.append(Row(f"{number}.do", group, f"{said} {kind}", more))
    return found


def _said(value: str, words: Words) -> str:
    """The value of a restriction: of a coding the code, in words where we have some."""
    return words.code(value.rpartition("|")[2] or value)


def _left(number: int, scope: Scope, resource: ResourceScope, ticked: Collection[str]) -> Scope | None:
    kept = (_SEE if f"{number}.see" in ticked else "") + (_DO if f"{number}.do" in ticked else "")
    may = "".join(letter for letter in resource.may if letter in kept)
    if not may or may == resource.may:
        return scope if may else None
    left = replace(resource, may=may)
    one = {_SEE: "read", _DO: "write"}.get(may) if scope.text.endswith(".*") else None
    return Scope(f"{left.level}/{left.type}.{one}" if one else scopes.written(left), left)
