"""JSON Patch, https://www.rfc-editor.org/rfc/rfc6902, over a decoded resource; decimals keep their text."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.resource_json import MAX_DEPTH, decode_list

MOST_OPERATIONS = 10_000
# Copies of copies double with each operation.
_MOST_COPIED = 1_000_000
_INDEX = re.compile("0|[1-9][0-9]{0,8}").fullmatch
_TELLABLE = re.compile("(?!.*[0-9]{6})[A-Za-z0-9_/-]{0,200}").fullmatch  # no room for a person's number
_ESCAPED = re.compile("~(?![01])")

Patch = Callable[[Any], Any]
Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation; `where` names it to a person."""

    op: str
    path: Path
    source: Path
    value: Any
    where: str


def read(body: bytes) -> Patch:
    """The patch in body, as a function that gives a new tree and leaves the old one alone.

    FhirError("malformed") for what is no JSON Patch. The function raises FhirError("unprocessable") for a
    path that is not there or a test that fails, naming the operation.
    """
    items = decode_list(body)
    if len(items) > MOST_OPERATIONS:
        raise FhirError("too-large", f"A patch may have {MOST_OPERATIONS} operations")
    operations = [_read(index, item) for index, item in enumerate(items)]
    return lambda tree: _apply(operations, tree)


def _read(index: int, item: Any) -> Operation:
    where = f"Operation {index + 1}"
    op = item.get("op") if isinstance(item, dict) else None
    if not isinstance(op, str) or op not in _OPERATIONS:
        raise FhirError("malformed", f"{where}: op must be one of {', '.join(_OPERATIONS)}")
    path = _pointer(item.get("path"), f"{where}: path")
    source = _pointer(item.get("from"), f"{where}: from") if op in ("move", "copy") else ()
    if op in ("add", "replace", "test") and "value" not in item:
        raise FhirError("malformed", f"{where}: {op} needs a value")
    shown = item["path"] if _TELLABLE(item["path"]) else "..."
    return Operation(op, path, source, item.get("value"), f"{where} ({op} {shown})")


def _pointer(text: Any, what: str) -> Path:
    """The names of a JSON Pointer (RFC 6901), unescaped."""
    if not isinstance(text, str) or (text and not text.startswith("/")) or _ESCAPED.search(text):
        raise FhirError("malformed", f"{what} must be a JSON Pointer, such as /name/0/given")
    names = tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])
    if len(names) > MAX_DEPTH:
        raise FhirError("malformed", f"{what} is nested deeper than a resource may be")
    return names


def _apply(operations: list[Operation], tree: Any) -> Any:
    root = [copy.deepcopy(tree)]  # in a list, as the root can be replaced like anything else
    copied = 0
    for operation in operations:
        try:
            copied += _OPERATIONS[operation.op](root, operation) or 0
        except LookupError as error:
            raise FhirError("unprocessable", f"{operation.where}: {error.args[0]}") from None
        if copied > _MOST_COPIED:
            raise FhirError("too-large", f"{operation.where}: the patch copies too much")
    return root[0]


def _add(root: list[Any], operation: Operation) -> None:
    _measure(operation.value, len(operation.path))
    _put(root, operation.path, copy.deepcopy(operation.value))


def _remove(root: list[Any], operation: Operation) -> None:
    _take(root, operation.path)


def _replace(root: list[Any], operation: Operation) -> None:
    parent, key = _existing(root, operation.path)
    _measure(operation.value, len(operation.path))
    parent[key] = copy.deepcopy(operation.value)


def _move(root: list[Any], operation: Operation) -> None:
    if operation.path[: len(operation.source)] == operation.source and operation.path != operation.source:
        raise LookupError("a value cannot be moved into itself")
    value = _take(root, operation.source)
    _measure(value, len(operation.path))
    _put(root, operation.path, value)


def _copy(root: list[Any], operation: Operation) -> int:
    parent, key = _existing(root, operation.source)
    size = _measure(parent[key], len(operation.path))
    _put(root, operation.path, copy.deepcopy(parent[key]))
    return size


def _test(root: list[Any], operation: Operation) -> None:
    parent, key = _existing(root, operation.path)
    if not same(parent[key], operation.value):
        raise LookupError("the test failed, the value is another")


_OPERATIONS: dict[str, Callable[[list[Any], Operation], int | None]] = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _parent(root: list[Any], path: Path) -> tuple[Any, str | int]:
    """Where the last name of the path belongs; LookupError where the way there does not exist."""
    node: Any = root
    key: str | int = 0
    for name in path:
        node = node[_key_of(node, key)]
        key = name
    return node, key


def _key_of(node: Any, name: str | int) -> Any:
    """The key of something that is there."""
    if isinstance(node, dict):
        if name in node:
            return name
    elif isinstance(node, list):
        index = name if isinstance(name, int) else int(name) if _INDEX(name) else -1
        if 0 <= index < len(node):
            return index
    raise LookupError("there is nothing at this path")


def _existing(root: list[Any], path: Path) -> tuple[Any, Any]:
    parent, name = _parent(root, path)
    return parent, _key_of(parent, name)


def _put(root: list[Any], path: Path, value: Any) -> None:
    parent, name = _parent(root, path)
    if parent is root:
        root[0] = value
    elif isinstance(parent, dict):
        parent[name] = value
    elif isinstance(parent, list) and name == "-":
        parent.append(value)
    elif isinstance(parent, list) and isinstance(name, str) and _INDEX(name) and int(name) <= len(parent):
        parent.insert(int(name), value)
    else:
        raise LookupError("there is no place for a value at this path")


def _take(root: list[Any], path: Path) -> Any:
    parent, key = _existing(root, path)
    if parent is root:
        raise LookupError("the resource itself cannot be removed")
    return parent.pop(key)


def _measure(value: Any, depth: int) -> int:
    """How many nodes a value has; LookupError where it is nested deeper than JSON may be from there on."""
    nodes, level = 0, [value]
    while level:
        depth += 1
        nodes += len(level)
        if depth > MAX_DEPTH:
            raise LookupError("the result is nested too deep")
        level = [
            child
            for node in level
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return nodes


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, RFC 6902 section 4.6: numbers by value, true is no number."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    numbers = int | Decimal
    return bool(one == other) and (type(one) is type(other) or isinstance(one, numbers))
