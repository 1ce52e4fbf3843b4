"""A resource as XML bytes.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.entities import html5
from itertools import zip_longest
from typing import Any
from xml.parsers import expat

from fhir_server.resource_json import Verbatim
from fhir_server.resource_xml.elements import FHIR, XHTML, Child, Kind, kind_of

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
# What XML cannot say at all becomes the replacement character; the validator lets little of it in.
_SPECIAL = re.compile('[&<>"\\x00-\\x1f\ud800-\udfff\ufffe\uffff]')
_OPENING = re.compile(r"<div(?=[\s/>])((?:[^\"'>/]|\"[^\"]*\"|'[^']*'|/(?!>))*)")
_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]*;)")
_XML_ENTITIES = frozenset({"amp;", "lt;", "gt;", "quot;", "apos;"})


def encode(resource: dict[str, Any], pretty: bool = False) -> bytes:
    """The resource in UTF-8, its elements in the order of the definitions.

    KeyError for a property that R4 does not know: what is stored was validated.
    """
    out: list[str] = [_DECLARATION]
    writing = _Writing(out, "\n" if pretty else "")
    writing.resource(resource, f' xmlns="{FHIR}"', 0)
    if pretty:
        out.append("\n")
    return "".join(out).encode()


class _Writing:
    def __init__(self, out: list[str], newline: str) -> None:
        self._out = out
        self._newline = newline

    def resource(self, resource: dict[str, Any], namespace: str, depth: int) -> None:
        type_ = resource["resourceType"]
        content = {key: value for key, value in resource.items() if key != "resourceType"}
        self._element(type_, content, kind_of(type_), namespace, depth)

    def _element(self, name: str, value: dict[str, Any], kind: Kind, attributes: str, depth: int) -> None:
        """An element that is no primitive."""
        for key in kind.attributes:
            if key in value:
                attributes += f' {key}="{_escape(value[key])}"'
        margin = self._margin(depth)
        children = list(_children(value, kind))
        if not children:
            self._out.append(f"{margin}<{name}{attributes}/>")
            return
        self._out.append(f"{margin}<{name}{attributes}>")
        for child in children:
            self._property(child, value, depth + 1)
        self._out.append(f"{margin}</{name}>")

    def _property(self, child: Child, value: dict[str, Any], depth: int) -> None:
        content: Any = value.get(child.name)
        if child.primitive:
            extras = value.get("_" + child.name)
            if child.many:
                for item, more in zip_longest(content or (), extras or ()):
                    self._primitive(child, item, more, depth)
            else:
                self._primitive(child, content, extras, depth)
        else:
            items = content if child.many else [content]
            for item in items or ():
                if child.code == "Resource":
                    margin = self._margin(depth)
                    self._out.append(f"{margin}<{child.name}>")
                    self.resource(item, "", depth + 1)
                    self._out.append(f"{margin}</{child.name}>")
                else:
                    self._element(child.name, item, kind_of(child.code), "", depth)

    def _primitive(self, child: Child, value: Any, extras: dict[str, Any] | None, depth: int) -> None:
        if child.code == "xhtml":
            if value is not None:
                self._out.append(self._margin(depth) + narrative(value))
            return
        said = "" if value is None else f' value="{_text(value)}"'
        if extras:
            self._element(child.name, extras, kind_of("Element"), said, depth)
        elif said:
            self._out.append(f"{self._margin(depth)}<{child.name}{said}/>")

    def _margin(self, depth: int) -> str:
        return self._newline + "  " * depth if self._newline else ""


def _children(value: dict[str, Any], kind: Kind) -> Iterator[Child]:
    """The properties that are there, in the order of the definitions, `x` and `_x` once."""
    names = {key.removeprefix("_") for key in value if key not in kind.attributes}
    yield from sorted((kind.children[name] for name in names), key=lambda child: (child.order, child.name))


def _text(value: Any) -> str:
    if type(value) is str:
        return _escape(value)
    if type(value) is bool:
        return "true" if value else "false"
    return value.text if isinstance(value, Verbatim) else str(value)


def _escape(text: str) -> str:
    """As the value of an attribute, every white space kept."""
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\ufffd"), text)


def narrative(text: str) -> str:
    """The div of a narrative as it stands in the JSON, made to stand in XML.

    It gets its namespace, and the names that only HTML knows (&nbsp;) become characters. What is not well
    formed even so is shown as the text that it is: half of a tag must not break the document around it.
    """
    div = _NAMED.sub(_character, text.strip())
    opening = _OPENING.match(div)
    if opening and "xmlns=" not in opening[1]:
        div = f'<div xmlns="{XHTML}"{div[4:]}'
    if opening and _is_well_formed(div):
        return div
    return f'<div xmlns="{XHTML}">{_escape(text)}</div>'


def _character(match: re.Match[str]) -> str:
    name = match[1]
    if name in _XML_ENTITIES or name not in html5:
        return match[0]
    return _escape(html5[name])


def _is_well_formed(text: str) -> bool:
    parser = expat.ParserCreate("utf-8")
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(text.encode(), True)
    except (expat.ExpatError, UnicodeEncodeError, ValueError):
        return False
    return True


def _refuse(*_: Any) -> None:
    raise ValueError("a document type has no place in a narrative")
