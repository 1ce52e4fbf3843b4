"""A slow, plain reading of StructureDefinitions, to hold the compiled checks against.

https://hl7.org/fhir/R4/elementdefinition.html. Element by element of the differential, each time from the root
of the resource; nothing is merged, nothing is compiled. It knows min, max, fixed and pattern, maxLength, the
types of a choice, and slicing by values (open and closed), over a chain of differentials.
"""

from __future__ import annotations

from typing import Any

REPEATING = frozenset({"telecom", "name", "given", "contact", "identifier"})
CHOICES = {"deceased": ("Boolean", "DateTime")}


def keeps(resource: dict[str, Any], chain: list[list[dict[str, Any]]]) -> bool:
    """Whether a resource is as the differentials of a chain say, the base's first."""
    elements = [element for differential in chain for element in differential]
    return all(_element(resource, element, elements) for element in elements)


def _element(resource: dict[str, Any], element: dict[str, Any], elements: list[dict[str, Any]]) -> bool:
    *above, last = element["id"].split(".")
    if not above:
        return True
    name, _, slice_ = last.partition(":")
    for parent in _instances(resource, above, elements):
        items = _items(parent, name)
        if slice_:
            items = [i for i in items if _slice_of(i, [*above, name], elements) == slice_]
        if not _count(items, element) or not all(_value(item, element) for item in items):
            return False
        closed = element.get("slicing", {}).get("rules") == "closed"
        if closed and any(_slice_of(i, [*above, name], elements) is None for i in items):
            return False
    return True


def _instances(resource: dict[str, Any], steps: list[str], elements: list[dict[str, Any]]) -> list[Any]:
    """Every object at a path, of the slices that it names."""
    found: list[Any] = [resource]
    for n, step in enumerate(steps[1:], 1):
        name, _, slice_ = step.partition(":")
        found = [item for parent in found for item in _items(parent, name)]
        if slice_:
            way = [*steps[:n], name]
            found = [item for item in found if _slice_of(item, way, elements) == slice_]
    return [item for item in found if isinstance(item, dict)]


def _items(parent: dict[str, Any], name: str) -> list[Any]:
    if name.endswith("[x]"):
        short = name.removesuffix("[x]")
        return [(t, parent[short + t]) for t in CHOICES[short] if short + t in parent]
    value = parent.get(name)
    return [] if value is None else value if name in REPEATING else [value]


def _slice_of(item: Any, way: list[str], elements: list[dict[str, Any]]) -> str | None:
    """The first slice whose discriminator has the item's value."""
    id_ = ".".join(way)
    slicings = [e["slicing"] for e in elements if e["id"] == id_ and "slicing" in e]
    for element in elements:
        if not slicings or not element["id"].startswith(id_ + ":") or "." in element["id"][len(id_) :]:
            continue
        path = slicings[0]["discriminator"][0]["path"]
        wanted = [
            e["fixedCode"] for e in elements if e["id"] == f"{element['id']}.{path}" and "fixedCode" in e
        ]
        if wanted and isinstance(item, dict) and item.get(path) == wanted[0]:
            return str(element["sliceName"])
    return None


def _count(items: list[Any], element: dict[str, Any]) -> bool:
    most = element.get("max", "*")
    return len(items) >= element.get("min", 0) and (most == "*" or len(items) <= int(most))


def _value(item: Any, element: dict[str, Any]) -> bool:
    if isinstance(item, tuple):
        codes = [t["code"] for t in element.get("type", ())]
        return not codes or item[0].lower() in [code.lower() for code in codes]
    for name, wanted in element.items():
        if name.startswith("fixed") and item != wanted:
            return False
        if name.startswith("pattern") and not _has(item, wanted):
            return False
        if name == "maxLength" and len(item) > wanted:
            return False
    return True


def _has(item: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(item, dict) and all(k in item and _has(item[k], v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return isinstance(item, list) and all(any(_has(i, w) for i in item) for w in wanted)
    return bool(item == wanted)
