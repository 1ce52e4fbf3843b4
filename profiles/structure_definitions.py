"""A StructureDefinition as a profile: whether its differential makes sense on what it derives from.

https://hl7.org/fhir/R4/structuredefinition.html, https://hl7.org/fhir/R4/profiling.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from profiles.conformance import Profiles, constrains
from profiles.problems import Place, Problems, inside
from profiles.structure import validate
from profiles.tree import ProfileError, UnknownBaseError

Definition = Mapping[str, Any]


def check(definition: Definition, at: Place, out: Problems) -> None:
    """The thorough check of a StructureDefinition calls this."""
    url = definition.get("url")
    if type(url) is not str or not constrains(definition) or not _elements(definition, "differential"):
        return
    if definition.get("baseDefinition") == url:
        text = "The profile derives from itself: there is no base to judge its differential by"
        out.add("not-found", text, inside(at, "baseDefinition"), "warning")
        return
    if any(not problem.rule for problem in validate(definition)):
        return  # only what is built as R4 says can be read as a profile
    try:
        Profiles(_Beside(url, definition, out)).check(url)
    except UnknownBaseError:
        text = "The profile derives from one that is not known here, so its differential is not judged"
        out.add("not-found", text, inside(at, "baseDefinition"), "warning")
    except ProfileError as error:
        for said, where in error.problems[:20]:
            out.add("processing", f"{where}: {said}" if where else said, _place(definition, where, at))


class _Beside(Mapping[str, dict[str, Any]]):
    """The definitions that are known, and this one."""

    def __init__(self, url: str, definition: Definition, out: Problems) -> None:
        self._url, self._definition, self._out = url, definition, out

    def __getitem__(self, canonical: str) -> Any:
        if canonical == self._url:
            return self._definition
        found = self._out.context.definition(canonical)
        if found is None:
            raise KeyError(canonical)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter((self._url,))

    def __len__(self) -> int:
        return 1


def _elements(definition: Definition, view: str) -> list[Any]:
    held = definition.get(view)
    elements = held.get("element") if type(held) is dict else None
    return elements if type(elements) is list else []


def _place(definition: Definition, where: str, at: Place) -> Place:
    """The element of the differential that a problem is about."""
    differential = inside(at, "differential")
    for index, element in enumerate(_elements(definition, "differential")):
        if type(element) is dict and where and where in (element.get("id"), element.get("path")):
            return inside(differential, "element", index)
    return at
