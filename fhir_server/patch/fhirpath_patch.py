"""FHIRPath Patch, https://hl7.org/fhir/R4/fhirpatch.html: operations in a Parameters resource."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.patch.locations import Path, Place, properties
from fhir_server.resource_xml.elements import Child
from profiles.definitions import load

MOST_OPERATIONS = 1000
_TYPES = ("add", "insert", "delete", "replace", "move")
_ALLOWED = {
    "add": {"path", "name", "value"},
    "insert": {"path", "value", "index"},
    "delete": {"path"},
    "replace": {"path", "value"},
    "move": {"path", "source", "destination"},
}

Patch = Callable[[dict[str, Any]], dict[str, Any]]
Part = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """`value` is the part that holds it; `where` names the operation to a person."""

    type: str
    path: Path
    where: str
    expression: str
    value: Part
    name: str = ""
    index: int = 0
    source: int = 0


def read(parameters: dict[str, Any]) -> Patch:
    """The patch, as a function that gives a new resource and leaves the old one alone.

    FhirError("malformed") for what is no patch. The function raises FhirError("unprocessable") for a path
    that does not lead to one place, naming the operation.
    """
    items = parameters.get("parameter") or []
    if len(items) > MOST_OPERATIONS:
        raise FhirError("too-large", f"A patch may have {MOST_OPERATIONS} operations")
    operations = [_read(index, item) for index, item in enumerate(items)]
    return lambda tree: _apply(operations, tree)


def _read(index: int, item: Part) -> Operation:
    where, expression = f"Operation {index + 1}", f"Parameters.parameter[{index}]"
    try:
        if item.get("name") != "operation":
            raise FhirError("malformed", "a parameter of a patch is named operation")
        parts = _named(item)
        type_ = _primitive(parts, "type", str)
        if type_ not in _TYPES:
            raise FhirError("malformed", f"type must be one of {', '.join(_TYPES)}")
        where += f" ({type_})"
        if unknown := parts.keys() - _ALLOWED[type_] - {"type"}:
            raise FhirError("malformed", f"{type_} has {len(unknown)} part(s) that it does not know")
        value = parts.get("value", {})
        if "value" in _ALLOWED[type_] and not value:
            raise FhirError("malformed", f"{type_} needs a value")
        return Operation(
            type_,
            Path(_primitive(parts, "path", str)),
            where,
            expression,
            value,
            _primitive(parts, "name", str) if type_ == "add" else "",
            _number(parts, {"insert": "index", "move": "destination"}.get(type_)),
            _number(parts, "source" if type_ == "move" else None),
        )
    except FhirError as error:
        raise FhirError(error.category, f"{where}: {error}", expression=expression) from None


def _named(item: Part) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for part in item.get("part") or ():
        if part["name"] in parts:
            raise FhirError("malformed", "a part is given twice")
        parts[part["name"]] = part
    return parts


def _primitive(parts: dict[str, Part], name: str, type_: type) -> Any:
    found = [value for key, value in parts.get(name, {}).items() if key.startswith("value")]
    if len(found) != 1 or type(found[0]) is not type_:
        raise FhirError("malformed", f"it needs one {name}")
    return found[0]


def _number(parts: dict[str, Part], name: str | None) -> int:
    number: int = _primitive(parts, name, int) if name else 0
    if number < 0:
        raise FhirError("malformed", f"{name} counts from 0")
    return number


def _apply(operations: list[Operation], tree: dict[str, Any]) -> dict[str, Any]:
    tree = copy.deepcopy(tree)
    for operation in operations:
        try:
            _OPERATIONS[operation.type](tree, operation)
        except FhirError as error:
            text = f"{operation.where}: {error}"
            raise FhirError(error.category, text, expression=operation.expression) from None
    return tree


def _add(tree: dict[str, Any], operation: Operation) -> None:
    place = _one(tree, operation)
    node, code = _open(place)
    _set_child(node, code, operation.name, operation.value)


def _insert(tree: dict[str, Any], operation: Operation) -> None:
    place, name = operation.path.find_list(tree)
    node, code = _open(place)
    child = _chosen(code, name, operation.value)
    items, extras = _lists(node, child)
    if not child.many or operation.index > len(items):
        raise FhirError("unprocessable", "there is no such place in a list")
    value, more = _value(operation.value, child)
    items.insert(operation.index, value)
    extras.insert(operation.index, more)
    _put_lists(node, child, items, extras)


def _delete(tree: dict[str, Any], operation: Operation) -> None:
    places = operation.path.find(tree)
    if len(places) > 1:
        raise FhirError("unprocessable", "the path leads to more than one element")
    if places:  # deleting what is not there is no error
        _remove(places[0])


def _replace(tree: dict[str, Any], operation: Operation) -> None:
    place = _one(tree, operation)
    if place.owner is None or place.inside is None:
        raise FhirError("unprocessable", "the resource itself cannot be replaced")
    code = "Element" if place.inside.primitive else place.inside.code
    child = next(c for c in _every(code) if c.name == place.key)
    if not child.many:
        new = _chosen(code, _element_of(code, place.key), operation.value)
        value, more = _value(operation.value, new)
        place.owner.pop(place.key, None)
        place.owner.pop(f"_{place.key}", None)
        _put(place.owner, new.name, value, more)
        return
    value, more = _value(operation.value, child)
    items, extras = _lists(place.owner, child)
    items[place.index or 0], extras[place.index or 0] = value, more
    _put_lists(place.owner, child, items, extras)


def _move(tree: dict[str, Any], operation: Operation) -> None:
    place, name = operation.path.find_list(tree)
    node, code = _open(place)
    child = properties(code, name)[0]
    items, extras = _lists(node, child)
    if not child.many or max(operation.source, operation.index) >= len(items):
        raise FhirError("unprocessable", "there is no such place in a list")
    items.insert(operation.index, items.pop(operation.source))
    extras.insert(operation.index, extras.pop(operation.source))
    _put_lists(node, child, items, extras)


_OPERATIONS = {"add": _add, "insert": _insert, "delete": _delete, "replace": _replace, "move": _move}


def _one(tree: dict[str, Any], operation: Operation) -> Place:
    places = operation.path.find(tree)
    if len(places) != 1:
        said = "nothing" if not places else "more than one element"
        raise FhirError("unprocessable", f"the path leads to {said}")
    return places[0]


def _open(place: Place) -> tuple[dict[str, Any], str]:
    """The object that children of a place are put into, and its type."""
    if not place.primitive:
        return place.node, place.code
    node = place.extras
    if node is None and place.owner is not None:
        node = {}
        if place.index is None:
            place.owner[f"_{place.key}"] = node
        else:
            child = Child(place.key, 0, place.code, True, True)
            items, extras = _lists(place.owner, child)
            extras[place.index] = node
            _put_lists(place.owner, child, items, extras)
    return node, "Element"


def _set_child(node: dict[str, Any], code: str, name: str, part: Part) -> None:
    child = _chosen(code, name, part)
    value, more = _value(part, child)
    if child.many:
        items, extras = _lists(node, child)
        _put_lists(node, child, [*items, value], [*extras, more])
        return
    taken = [one.name for one in properties(code, _element_of(code, child.name))]
    if any(key in node or f"_{key}" in node for key in taken):
        raise FhirError("unprocessable", "the element is there already, and does not repeat")
    _put(node, child.name, value, more)


def _chosen(code: str, name: str, part: Part) -> Child:
    """The property that a value goes to: of a choice the one of the value's type."""
    found = properties(code, _element_of(code, name))
    named = [child for child in found if child.name == name]
    if len(found) == 1 or named:
        return (named or found)[0]
    said = next(
        (key.lstrip("_")[len("value") :] for key in part if key.lstrip("_").startswith("value")), None
    )
    chosen = [child for child in found if said and child.name == name + said]
    if not chosen:
        raise FhirError("unprocessable", "the element cannot have a value of this type")
    return chosen[0]


def _element_of(code: str, name: str) -> str:
    """The name of the element that goes by a JSON property: value for valueQuantity."""
    elements = load().types[code].elements
    if name in elements:
        return name
    return next((element.name for element in elements.values() if name in element.properties), name)


def _every(code: str) -> list[Child]:
    return [child for name in load().types[code].elements for child in properties(code, name)]


def _value(part: Part, child: Child) -> tuple[Any, Any]:
    """The value of a part, and what stands beside it where it is a primitive."""
    if "resource" in part:
        return copy.deepcopy(part["resource"]), None
    if "part" in part:
        made: dict[str, Any] = {}
        for inner in part["part"]:
            _set_child(made, child.code, inner["name"], inner)
        return made, None
    value = next((item for key, item in part.items() if key.startswith("value")), None)
    more = next((item for key, item in part.items() if key.startswith("_value")), None)
    if isinstance(value, dict) == child.primitive and value is not None:
        raise FhirError("unprocessable", "the element cannot have a value of this type")
    if value is None and more is None:
        raise FhirError("malformed", "the value is empty")
    return copy.deepcopy(value), copy.deepcopy(more)


def _put(node: dict[str, Any], name: str, value: Any, more: Any) -> None:
    if value is not None:
        node[name] = value
    if more is not None:
        node[f"_{name}"] = more


def _lists(node: dict[str, Any], child: Child) -> tuple[list[Any], list[Any]]:
    """The values of a repeating element and what stands beside each, equally long."""
    if not child.many:
        raise FhirError("unprocessable", "the element does not repeat")
    items, extras = list(node.get(child.name) or ()), list(node.get(f"_{child.name}") or ())
    length = max(len(items), len(extras))
    return items + [None] * (length - len(items)), extras + [None] * (length - len(extras))


def _put_lists(node: dict[str, Any], child: Child, items: list[Any], extras: list[Any]) -> None:
    for name, values in ((child.name, items), (f"_{child.name}", extras)):
        if any(value is not None for value in values):
            node[name] = values
        else:
            node.pop(name, None)


def _remove(place: Place) -> None:
    """Take an element out, and what is left empty by that."""
    if place.owner is None:
        raise FhirError("unprocessable", "the resource itself cannot be deleted")
    if place.index is None:
        place.owner.pop(place.key, None)
        place.owner.pop(f"_{place.key}", None)
    else:
        child = Child(place.key, 0, place.code, True, place.primitive)
        items, extras = _lists(place.owner, child)
        del items[place.index], extras[place.index]
        _put_lists(place.owner, child, items, extras)
    if not place.owner and place.inside:
        if place.inside.primitive and place.inside.value is not None:
            _drop_extras(place.inside)
        else:
            _remove(place.inside)


def _drop_extras(place: Place) -> None:
    """A primitive keeps its value when the last of its extensions goes."""
    if place.owner is None:
        return
    if place.index is None:
        place.owner.pop(f"_{place.key}", None)
    else:
        child = Child(place.key, 0, place.code, True, True)
        items, extras = _lists(place.owner, child)
        extras[place.index] = None
        _put_lists(place.owner, child, items, extras)
