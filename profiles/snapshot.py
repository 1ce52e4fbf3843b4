"""The snapshot of a profile: every element of its type as the profile leaves it, in the order of R4.

https://hl7.org/fhir/R4/profiling.html#snapshot. Without prose: the derived table has none. Elements inside a
data type appear where the profile says something of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from profiles.definitions import Definitions, Element
from profiles.tree import HL7, Node, Profile

_DEEPEST = 60  # levels of elements


def snapshot(profile: Profile, definitions: Definitions) -> list[dict[str, Any]]:
    """ElementDefinitions with id, path, cardinality, types, binding, values, slicing and constraints."""
    root = profile.root
    first = {"id": root.name, "path": root.name, "min": 0, "max": "*"} | _own(root)
    return [first, *_children(root, root.name, root.name, profile.type, definitions, 0)]


def _children(
    node: Node | None, id_: str, path: str, type_: str, definitions: Definitions, depth: int
) -> Iterator[dict[str, Any]]:
    if type_ not in definitions.types or depth > _DEEPEST:
        return
    known = {} if node is None else node.children
    if node is not None and node.sliced is not None:
        known = {**node.sliced.children, **known}
    for name, element in definitions.types[type_].elements.items():
        yield from _element(known.get(name), element, f"{id_}.", f"{path}.", definitions, depth)


def _element(
    node: Node | None, element: Element, id_: str, path: str, definitions: Definitions, depth: int
) -> Iterator[dict[str, Any]]:
    shown = element.name + "[x]" * element.choice
    yield from _with_slices(node, element, id_ + shown, path + shown, definitions, depth)


def _with_slices(
    node: Node | None, element: Element, id_: str, path: str, definitions: Definitions, depth: int
) -> Iterator[dict[str, Any]]:
    yield {"id": id_, "path": path} | _base(element) | ({} if node is None else _own(node))
    if node is not None and node.facts.get("max") == 0:
        return
    yield from _inside(node, element, id_, path, definitions, depth)
    for name, slice_ in ({} if node is None else node.slices).items():
        of_slice = f"{id_.partition(':')[0] if id_.rpartition('.')[2].count(':') else id_}:{name}"
        for facts in _with_slices(slice_, element, of_slice, path, definitions, depth):
            yield facts | ({"sliceName": name} if facts["id"] == of_slice else {})


def _inside(
    node: Node | None, element: Element, id_: str, path: str, definitions: Definitions, depth: int
) -> Iterator[dict[str, Any]]:
    """Backbone elements always, data types where the profile goes into them."""
    codes = [type_.code for type_ in element.types] if node is None else node.codes
    is_backbone = len(codes) == 1 and "." in codes[0] and element.content_reference is None
    goes_in = node is not None and bool(node.children)
    if len(codes) == 1 and (is_backbone or goes_in):
        yield from _children(node, id_, path, codes[0], definitions, depth + 1)


def _base(element: Element) -> dict[str, Any]:
    facts: dict[str, Any] = {"min": element.min, "max": "*" if element.max is None else str(element.max)}
    if element.content_reference:
        facts["contentReference"] = f"#{element.content_reference}"
    else:
        facts["type"] = [
            {"code": "BackboneElement" if "." in t.code else t.code}
            | ({"targetProfile": [HL7 + name for name in t.targets]} if t.targets else {})
            for t in element.types
        ]
    if element.binding:
        facts["binding"] = {"strength": element.binding.strength, "valueSet": element.binding.value_set}
    if element.modifier:
        facts["isModifier"] = True
    return facts


def _own(node: Node) -> dict[str, Any]:
    """What the profiles say, in the words of ElementDefinition."""
    facts = {name: value for name, value in node.facts.items() if name not in ("patterns", "elsewhere")}
    if "max" in facts:
        facts["max"] = "*" if facts["max"] is None else str(facts["max"])
    if "constraint" in facts:
        facts["constraint"] = [
            {key: value for key, value in item.items() if key != "profile"} | {"source": item["profile"]}
            for item in facts["constraint"]
        ]
    if node.element is None:
        facts.pop("type", None)
    return facts
