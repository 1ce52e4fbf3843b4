"""XML Patch, https://www.rfc-editor.org/rfc/rfc5261, over the XML form of a resource."""

from __future__ import annotations

import copy
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from fhir_server import resource_xml
from fhir_server.errors import FhirError
from fhir_server.patch import xml_tree, xpath

MOST_OPERATIONS = 1000
_POSITIONS = frozenset({"before", "after", "prepend", None})
_ATTRIBUTE = re.compile(r"@([A-Za-z_][\w.\-]*)").fullmatch
_NAMESPACE = re.compile(r"namespace::[A-Za-z_][\w.\-]*").fullmatch

Patch = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """`op` is add, replace or remove; `content` the element of the patch whose children are put in."""

    op: str
    steps: tuple[xpath.Step, ...]
    content: ET.Element
    where: str


def read(body: bytes) -> Patch:
    """The patch in body, as a function that gives a new resource and leaves the old one alone.

    FhirError("malformed") for what is no XML Patch. The function raises FhirError("unprocessable") for a
    selector that does not find exactly one node, naming the operation, and for XML that is no FHIR any more.
    """
    operations = read_operations(body)
    return lambda tree: _apply(operations, tree)


def read_operations(body: bytes) -> list[Operation]:
    """The operations of a patch document, whatever kind of XML it is for."""
    root, prefixes = xml_tree.parse(body)
    # Its root is named diff in the RFC's examples and patch in HL7's; the RFC leaves it open.
    items = [child for child in root if not xml_tree.is_comment(child)]
    if not items:
        raise FhirError("malformed", "The patch has no operations")
    if len(items) > MOST_OPERATIONS:
        raise FhirError("too-large", f"A patch may have {MOST_OPERATIONS} operations")
    return [_read(index, item, prefixes) for index, item in enumerate(items)]


def _read(index: int, item: ET.Element, prefixes: dict[str, str]) -> Operation:
    op = item.tag.rpartition("}")[2]
    where = f"Operation {index + 1}"
    if op not in ("add", "replace", "remove"):
        raise FhirError("malformed", f"{where} must be add, replace or remove")
    where += f" ({op})"
    sel, type_ = item.get("sel"), item.get("type")
    if not sel:
        raise FhirError("malformed", f"{where} has no sel")
    if item.get("pos") not in _POSITIONS:
        raise FhirError("malformed", f"{where}: pos must be before, after or prepend")
    if type_ and not (_ATTRIBUTE(type_) or _NAMESPACE(type_)):
        raise FhirError("malformed", f"{where}: type must name an attribute, such as @value")
    try:
        return Operation(op, xpath.read(sel, prefixes), item, where)
    except FhirError as error:
        raise FhirError("malformed", f"{where}: {error}") from None


def _apply(operations: list[Operation], resource: dict[str, Any]) -> dict[str, Any]:
    before = resource_xml.encode(resource)
    patched = apply(operations, xml_tree.parse(before)[0])
    return _with_narratives(resource_xml.decode(ET.tostring(patched)), resource)


def apply(operations: list[Operation], root: ET.Element) -> ET.Element:
    """The document with every operation carried out; FhirError("unprocessable")."""
    for operation in operations:
        found = xpath.select(root, operation.steps)
        if len(found) != 1:
            said = "finds nothing" if not found else "finds more than one node"
            raise FhirError("unprocessable", f"{operation.where}: the selector {said}")
        try:
            root = _OPERATIONS[operation.op](root, found[0], operation.content)
        except LookupError as error:
            raise FhirError("unprocessable", f"{operation.where}: {error.args[0]}") from None
    return root


def _add(root: ET.Element, target: xpath.Selected, content: ET.Element) -> ET.Element:
    element, type_, pos = target.element, content.get("type"), content.get("pos")
    if target.attribute or target.text is not None or target.namespace:
        raise LookupError("only an element can be added to")
    if type_ and _NAMESPACE(type_):
        return root  # a prefix says nothing in FHIR
    if type_:
        if type_[1:] in element.attrib:
            raise LookupError("the attribute is there already")
        element.set(type_[1:], content.text or "")
    elif pos in ("before", "after"):
        if target.parent is None:
            raise LookupError("nothing can stand beside the root")
        siblings = target.parent
        at = list(siblings).index(element) + (pos == "after")
        _insert(siblings, at, content)
    elif xml_tree.is_comment(element):
        raise LookupError("only an element can be added to")
    else:
        _insert(element, 0 if pos == "prepend" else len(element), content)
    return root


def _replace(root: ET.Element, target: xpath.Selected, content: ET.Element) -> ET.Element:
    element = target.element
    if target.namespace:
        return root
    if target.attribute:
        element.set(target.attribute, content.text or "")
    elif target.text is not None:
        _set_text(element, target.text, content.text)
    else:
        nodes = list(content)
        if len(nodes) != 1 or xml_tree.is_comment(nodes[0]) != xml_tree.is_comment(element):
            raise LookupError("a node is replaced by one node of its kind")
        new = copy.deepcopy(nodes[0])
        new.tail = element.tail
        if target.parent is None:
            return new
        target.parent[list(target.parent).index(element)] = new
    return root


def _remove(root: ET.Element, target: xpath.Selected, _: ET.Element) -> ET.Element:
    element = target.element
    if target.namespace:
        return root
    if target.attribute:
        del element.attrib[target.attribute]
    elif target.text is not None:
        _set_text(element, target.text, None)
    elif target.parent is None:
        raise LookupError("the resource itself cannot be removed")
    else:
        at = list(target.parent).index(element)
        _append_text(target.parent, at, element.tail)
        target.parent.remove(element)
    return root


_OPERATIONS = {"add": _add, "replace": _replace, "remove": _remove}


def _insert(parent: ET.Element, at: int, content: ET.Element) -> None:
    """Put the text and the nodes of content before the child at this index."""
    _append_text(parent, at, content.text)
    for offset, node in enumerate(content):
        parent.insert(at + offset, copy.deepcopy(node))


def _append_text(parent: ET.Element, at: int, text: str | None) -> None:
    """Put text before the child at this index."""
    if text:
        before = parent[at - 1].tail if at else parent.text
        _set_text(parent, at, (before or "") + text)


def _set_text(element: ET.Element, index: int, text: str | None) -> None:
    if index:
        element[index - 1].tail = text
    else:
        element.text = text


def _with_narratives(patched: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """Narratives that the patch left alone, with every character as it was before they went through XML."""
    originals: dict[str, str] = {}
    for text in set(_narratives(before)):
        alone = {"resourceType": "Basic", "text": {"div": text}}
        passed = resource_xml.decode(ET.tostring(xml_tree.parse(resource_xml.encode(alone))[0]))
        originals[passed["text"]["div"]] = text
    restored: dict[str, Any] = _replaced(patched, originals) if originals else patched
    return restored


def _narratives(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("div"), str):
            yield node["div"]
        node = node.values()
    for child in node:
        if isinstance(child, dict | list):
            yield from _narratives(child)


def _replaced(node: Any, originals: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            key: originals.get(value, value)
            if key == "div" and isinstance(value, str)
            else _replaced(value, originals)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [_replaced(item, originals) for item in node]
    return node
