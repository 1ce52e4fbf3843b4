"""Ids of elements: each once in a resource, so that a reference to it leads to one element.

https://hl7.org/fhir/R4/element.html (Element.id)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from profiles.parts import Part
from profiles.problems import Place, Problems, inside

# Both views of a profile have the same ids; sdf-16 and sdf-17 have each of them once in a view.
_APART = {"StructureDefinition": ("snapshot", "differential")}


def check(resource: Part, at: Place, out: Problems) -> None:
    """The elements of one resource, without those of resources inside it."""
    seen: set[str] = set()
    waiting = list(_children(resource, at))[::-1]
    while waiting:
        value, place = waiting.pop()
        id_ = value.get("id")
        if type(id_) is str:
            if id_ in seen:
                out.add(
                    "business-rule", f"Another element of the resource has the id {id_[:64]} already", place
                )
            seen.add(id_)
        waiting += list(_children(value, place))[::-1]


def _children(value: Part, at: Place) -> Iterator[tuple[dict[str, Any], Place]]:
    """The elements just below one, in their order."""
    apart = _APART.get(str(value.get("resourceType")), ())
    for name, child in value.items():
        if type(name) is not str or name in apart:
            continue
        label = name.removeprefix("_")
        if type(child) is dict and "resourceType" not in child:
            yield child, inside(at, label)
        elif type(child) is list:
            for index, item in enumerate(child):
                if type(item) is dict and "resourceType" not in item:
                    yield item, inside(at, label, index)
