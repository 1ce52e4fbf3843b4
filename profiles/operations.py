"""An OperationDefinition's parameters against the profiles of its Parameters resources.

https://hl7.org/fhir/R4/operationdefinition.html (inputProfile, outputProfile): both describe the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from profiles.parts import Part, child, items, text, texts
from profiles.problems import Place, Problems, inside

_PARAMETER = "Parameters.parameter"
_ANY = frozenset({"Any", "Resource", "Element", "Type"})


@dataclass(frozen=True, slots=True)
class _Parameter:
    """What one description says of a parameter; None and empty where it says nothing."""

    name: str
    min: object
    max: object
    types: frozenset[str]
    targets: frozenset[str]


def check(operation: Part, at: Place, out: Problems) -> None:
    """The thorough check of an OperationDefinition calls this."""
    for use in ("in", "out"):
        element = f"{use}putProfile"
        canonical = text(operation, element)
        profile = out.context.definition(canonical) if canonical else None
        if type(profile) is dict and profile.get("type") == "Parameters":
            listed = {p.name: p for p in _listed(operation, use)}
            _compare(listed, {p.name: p for p in _profiled(profile)}, inside(at, element), out)


def _listed(operation: Part, use: str) -> Iterator[_Parameter]:
    """The parameters that the operation itself lists for a use."""
    for part, _ in items(operation, "parameter", (0, None, "")):
        if part.get("use") == use and (name := text(part, "name")):
            types = frozenset(filter(None, [text(part, "type")]))
            targets = frozenset(texts(part, "targetProfile"))
            yield _Parameter(name, part.get("min"), part.get("max"), types, targets)


def _profiled(profile: Part) -> Iterator[_Parameter]:
    """The slices of Parameters.parameter, each with what stands below it."""
    view = child(profile, "snapshot") or child(profile, "differential")
    elements = [element for element, _ in items(view, "element", (0, None, ""))]
    for element in elements:
        name = text(element, "sliceName")
        if element.get("path") == _PARAMETER and name:
            below = {
                str(other.get("id")).removeprefix(f"{_PARAMETER}:{name}."): other
                for other in elements
                if str(other.get("id")).startswith(f"{_PARAMETER}:{name}.")
            }
            yield _slice(name, element, below)


def _slice(name: str, element: Part, below: dict[str, Any]) -> _Parameter:
    named = below.get("name", {})
    holders = [below[key] for key in ("value[x]", "resource") if key in below]
    types = [type_ for holder in holders for type_, _ in items(holder, "type", (0, None, ""))]
    return _Parameter(
        text(named, "fixedString") or text(named, "patternString") or name,
        element.get("min"),
        element.get("max"),
        frozenset(code for type_ in types if (code := text(type_, "code"))),
        frozenset(target for type_ in types for target in texts(type_, "targetProfile")),
    )


def _compare(
    listed: dict[str, _Parameter], profiled: dict[str, _Parameter], at: Place, out: Problems
) -> None:
    for name in sorted(listed.keys() ^ profiled.keys()):
        where = "the profile" if name in listed else "the operation"
        out.add("business-rule", f"{where} does not have the parameter {name[:64]}", at, "warning")
    for name in sorted(listed.keys() & profiled.keys()):
        for said in _differences(listed[name], profiled[name]):
            out.add("business-rule", f"The parameter {name[:64]} {said}", at)


def _differences(one: _Parameter, other: _Parameter) -> Iterator[str]:
    for key, own, its in (("min", one.min, other.min), ("max", one.max, other.max)):
        if its is not None and own != its:
            yield f"has {key} {own} in the operation and {its} in the profile"
    if one.types and other.types and not (one.types | other.types) & _ANY and one.types != other.types:
        yield f"is {_told(one.types)} in the operation and {_told(other.types)} in the profile"
    if other.types and one.targets != other.targets:
        own, its = _told(one.targets) or "anything", _told(other.targets) or "anything"
        yield f"refers to {own} in the operation and to {its} in the profile"


def _told(names: frozenset[str]) -> str:
    return " or ".join(sorted(names))[:500]
