"""What FHIR adds to FHIRPath, as far as it is decided when it runs.

https://hl7.org/fhir/R4/fhirpath.html#functions
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from rules.fhirpath import types
from rules.fhirpath.elements import Element, is_type, member, plain, resource
from rules.fhirpath.environment import State
from rules.runtime.context import clock
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import Date, DateTime, Time

_LOCAL: Final = re.compile(
    r"(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?"
)
_BASE: Final = "http://hl7.org/fhir/StructureDefinition/"


def today() -> Date:
    return Date(clock().fields[:3])


def time_of_day() -> Time:
    return Time(clock().fields[3:])


def now() -> DateTime:
    return clock()


def extensions(values: Iterable[Any] | None, url: str | None) -> Iterator[Any]:
    """Of the extensions, those with the URL."""
    for extension in values or ():
        if extension.get("url") == url:
            yield extension


# References


def _written(item: Any) -> Any:
    """The text of a Reference, canonical or uri."""
    value = item.value if item.__class__ is Element else item
    return value.get("reference") if isinstance(value, dict) else value


def points_to(state: State, item: Any, type: str) -> bool | None:
    """`resolve() is type`: of the resource where it can be found, else of what the reference says."""
    found = resolve(state, item)
    return is_type(found[0], type) if found else says(item, type)


def says(item: Any, type: str) -> bool:
    """Whether a reference says that it points to a resource of the type: by its text, else its `type`.

    Nothing is read: one that names no type (`#contained`, `urn:uuid:`) and has no `type` is of none.
    """
    value = item.value if item.__class__ is Element else item
    text = _written(item)
    if isinstance(text, str) and (found := _LOCAL.fullmatch(text)):
        return types.is_known(found[1]) and types.is_a(found[1], type)
    named = value.get("type") if isinstance(value, dict) else None
    return isinstance(named, str) and types.is_known(named) and types.is_a(named, type)


def resolve(state: State, item: Any) -> list[Element]:
    """The resource that a Reference, canonical or uri names; nothing where it cannot be found."""
    text = _written(item)
    if not isinstance(text, str):
        return []
    found = _inside(state, text)
    if found is None and not text.startswith("#") and state.environment.resolve is not None:
        found = state.environment.resolve(text)
    return [] if found is None else [resource(found)]


def _inside(state: State, text: str) -> dict[str, Any] | None:
    """A contained resource, the container itself (`#`), or an entry of the Bundle."""
    for holder in (state.resource, state.root):
        if not isinstance(holder, dict):
            continue
        if text == "#":
            return state.root if isinstance(state.root, dict) else holder
        if text[:1] == "#":
            for contained in holder.get("contained") or ():
                if contained.get("id") == text[1:]:
                    return contained  # type: ignore[no-any-return]
        for entry in holder.get("entry") or () if holder.get("resourceType") == "Bundle" else ():
            if entry.get("fullUrl") == text and "resource" in entry:
                return entry["resource"]  # type: ignore[no-any-return]
    return None


# Terminology and profiles


def member_of(state: State, item: Any, canonical: str | None) -> bool | None:
    """Raises EvaluationError where nobody was given to ask, or where the value set is unknown."""
    if canonical is None:
        return None
    asked = state.environment.member_of
    if asked is None:
        raise EvaluationError("memberOf() needs to be given member_of")
    found = asked(item.value if item.__class__ is Element else item, canonical)
    if found is None:
        raise EvaluationError(f"the value set {canonical[:200]} is not known")
    return found


def conforms_to(state: State, item: Any, canonical: str | None) -> bool | None:
    """Raises EvaluationError where the profile is unknown."""
    if canonical is None:
        return None
    asked = state.environment.conforms_to
    value = item.value if item.__class__ is Element else item
    found = None if asked is None else asked(value, canonical)
    if found is None and canonical.startswith(_BASE) and types.is_known(canonical[len(_BASE) :]):
        found = is_type(item, canonical[len(_BASE) :])
    if found is None:
        raise EvaluationError(f"the profile {canonical[:200]} is not known")
    return found


def subsumes(state: State, left: Any, right: Any) -> bool | None:
    """Of two Codings, or of CodeableConcepts: whether any coding is or is above one of the other."""
    if left is None or right is None:
        return None
    asked = state.environment.subsumes
    answers = []
    for mine in _codings(left):
        for its in _codings(right):
            if mine.get("code") == its.get("code") and mine.get("system") == its.get("system"):
                return True
            if asked is None:
                raise EvaluationError("subsumes() needs to be given subsumes")
            answers.append(asked(mine, its))
    return True if True in answers else None if None in answers else False


def _codings(item: Any) -> list[dict[str, Any]]:
    value = item.value if item.__class__ is Element else item
    if not isinstance(value, dict):
        raise EvaluationError("subsumes() is for Codings and CodeableConcepts")
    if "coding" in value or ("code" not in value and "text" in value):
        return value.get("coding") or []
    return [value]


def check_modifiers(item: Any, allowed: list[Any]) -> Any:
    """The item. Raises EvaluationError where it has a modifier extension that is not among those allowed."""
    for extension in member(item, "modifierExtension"):
        if extension.value.get("url") not in allowed:
            raise EvaluationError(
                "an element has a modifier extension that the expression does not understand"
            )
    return item


def trace(state: State, name: str | None, items: list[Any]) -> None:
    receive = state.environment.trace
    if receive is not None:
        receive(name or "", [plain(item) if item.__class__ is Element else item for item in items])
