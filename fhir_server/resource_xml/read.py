"""XML bytes as the tree that the same resource has in JSON.

https://hl7.org/fhir/R4/xml.html. Expat reads; a document type is refused at its first character, so there are
no entities to expand, and nothing is ever fetched.
"""

from __future__ import annotations

import re
from typing import Any
from xml.parsers import expat

from fhir_server.errors import FhirError, Issue
from fhir_server.resource_json import MAX_DEPTH, read_number
from fhir_server.resource_xml.elements import FHIR, RESOURCE_TYPES, XHTML, Child, Kind, kind_of
from fhir_server.resource_xml.narrative import Narrative

_FHIR = f"{FHIR} "
_DIV = f"{XHTML} div"
_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_MOST_ISSUES = 100
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?").fullmatch
_INTEGER = re.compile(r"0|[-+]?[1-9][0-9]{0,17}").fullmatch
_NAME = re.compile("[A-Za-z][A-Za-z0-9]{0,63}").fullmatch
_WHOLE = frozenset({"integer", "positiveInt", "unsignedInt"})
_ELEMENT = kind_of("Element")


def decode(body: bytes) -> dict[str, Any]:
    """The resource in body, as resource_json.decode gives it.

    FhirError("malformed") with the line for what is not XML in UTF-8, has a document type, or is nested
    deeper than JSON may be; "unprocessable" with line and element for each thing that FHIR's XML has no room
    for. What JSON could get wrong as well is left to the validator.
    """
    return _Reading(body).resource()


class _Frame:
    """An open element; `value` is what it becomes in JSON.

    `kind` None: the element is there to hold a whole resource. A primitive's `value` is its id and extensions
    and `said` its value. `at` counts the levels of JSON down to here.
    """

    __slots__ = ("at", "child", "index", "kind", "order", "parent", "said", "value")

    def __init__(self, parent: _Frame | None, child: Child | None, kind: Kind | None, at: int) -> None:
        self.parent = parent
        self.child = child
        self.kind = kind
        self.at = at
        self.index = 0
        self.order = -1
        self.said: Any = None
        self.value: Any = {}

    @property
    def path(self) -> str:
        """The FHIRPath of the element."""
        inner = self.parent.path if self.parent else ""
        if self.child:
            return f"{inner}.{self.child.name}" + (f"[{self.index}]" if self.child.many else "")
        return inner or (self.kind.code if self.kind else "")


class _Reading:
    """What expat calls while it reads one document."""

    def __init__(self, body: bytes) -> None:
        self._body = body[3:] if body.startswith(b"\xef\xbb\xbf") else body
        self._issues: list[Issue] = []
        self._top: _Frame | None = None
        self._root: dict[str, Any] = {}
        self._skipping = 0  # depth inside of what was not understood
        self._narrative: Narrative | None = None
        self._prefixes = False  # whether any were declared outside of narratives
        # The encoding is FHIR's, whatever the document claims.
        self._parser = parser = expat.ParserCreate("utf-8", " ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._prefix
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def resource(self) -> dict[str, Any]:
        try:
            self._parser.Parse(self._body, True)
        except expat.ExpatError as error:
            reason = expat.errors.messages.get(error.code) or expat.ErrorString(error.code)
            raise FhirError("malformed", f"The body is not XML: {reason}, line {error.lineno}") from None
        if self._issues:
            raise FhirError("unprocessable", issues=self._issues)
        return self._root

    def _doctype(self, *_: Any) -> None:
        raise self._malformed("A document type is not allowed")

    def _prefix(self, prefix: str | None, namespace: str) -> None:
        if prefix and namespace != _XSI and not self._narrative:
            self._prefixes = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        top = self._top
        if self._narrative:
            self._narrative.start(name, attributes)
        elif self._skipping:
            self._skipping += 1
        elif top is None or top.kind is None:
            self._start_resource(top, name, attributes)
        else:
            child = self._child(top, name)
            if child is None:
                self._skipping = 1
            else:
                self._start_element(top, child, name, attributes)

    def _start_resource(self, holder: _Frame | None, name: str, attributes: dict[str, str]) -> None:
        type_ = name.removeprefix(_FHIR)
        if holder is None:
            if type_ == name:
                raise self._malformed(f'The root element is not in the namespace "{FHIR}"')
            if type_ not in RESOURCE_TYPES:
                raise self._malformed("The root element is not the name of an R4 resource type")
        elif type_ == name or type_ not in RESOURCE_TYPES or "resourceType" in holder.value:
            self._issue(f"{holder.path} has room for one resource of R4 and nothing else", holder.path)
            self._skipping = 1
            return
        frame = self._open(_Frame(holder, None, kind_of(type_), holder.at + 1 if holder else 1))
        frame.value["resourceType"] = type_
        self._read_attributes(frame, attributes)

    def _child(self, top: _Frame, name: str) -> Child | None:
        """The property that an element is, None for an issue."""
        local = "div" if name == _DIV else name.removeprefix(_FHIR)
        child = top.kind.children.get(local) if top.kind and " " not in local else None
        if child is None or (child.code == "xhtml") != (name == _DIV):
            local = name.rpartition(" ")[2]
            shown = local if _NAME(local) else "An element"
            expression = f"{top.path}.{local}" if shown == local else top.path
            self._issue(f"{shown} is not an element of {top.path}, in the namespace it has here", expression)
            return None
        if child.order < top.order:
            where = f"{top.path}.{local}"
            self._issue(f"{local} is not in its place: FHIR's elements have an order in XML", where)
        top.order = max(child.order, top.order)
        if not child.many and (local in top.value or "_" + local in top.value):
            self._issue(f"{local} occurs at most once", f"{top.path}.{local}")
            return None
        return child

    def _start_element(self, top: _Frame, child: Child, name: str, attributes: dict[str, str]) -> None:
        if child.primitive:
            kind: Kind | None = _ELEMENT
        else:
            kind = None if child.code == "Resource" else kind_of(child.code)
        frame = _Frame(top, child, kind, top.at + (2 if child.many else 1))
        if child.many:
            frame.index = len(top.value.get(child.name) or ())
        self._open(frame)
        if child.code == "xhtml":
            self._narrative = Narrative(self._body, self._parser, self._prefixes)
            self._narrative.start(name, attributes)
        elif attributes:
            self._read_attributes(frame, attributes)

    def _open(self, frame: _Frame) -> _Frame:
        if frame.at > MAX_DEPTH:
            raise self._malformed(f"The XML is nested deeper than {MAX_DEPTH} levels of JSON")
        self._top = frame
        return frame

    def _read_attributes(self, frame: _Frame, attributes: dict[str, str]) -> None:
        kind, child = frame.kind, frame.child
        for name, value in attributes.items():
            if kind and child and name in kind.attributes:
                frame.value[name] = value
            elif name == "value" and child and child.primitive:
                frame.said = self._read_value(frame, child.code, value)
            elif not name.startswith(f"{_XSI} "):
                shown = name if _NAME(name) else "An attribute"
                self._issue(f"{shown} is not an attribute of {frame.path}", frame.path)

    def _read_value(self, frame: _Frame, code: str, text: str) -> Any:
        """The value of a primitive as JSON has it."""
        if code == "boolean":
            if text in ("true", "false"):
                return text == "true"
            self._issue(f"{frame.path} must be true or false", frame.path)
        elif code == "decimal":
            if _DECIMAL(text):
                return self._number(frame, text)
            self._issue(f"{frame.path} is not a valid decimal", frame.path)
        elif code in _WHOLE:
            if _INTEGER(text):
                return int(text)
            self._issue(f"{frame.path} is not a valid {code}", frame.path)
        return text

    def _number(self, frame: _Frame, text: str) -> Any:
        try:
            return read_number(text)
        except FhirError as error:
            self._issue(str(error), frame.path)
            return text

    def _end(self, name: str) -> None:
        frame = self._top
        if self._narrative and frame:
            self._narrative.end(name)
            if self._narrative.depth:
                return
            frame.said = self._narrative.text()
            self._narrative = None
        elif self._skipping:
            self._skipping -= 1
            return
        if frame:
            self._close(frame)
            self._top = frame.parent

    def _close(self, frame: _Frame) -> None:
        """Put what the element became where it belongs."""
        child, parent = frame.child, frame.parent
        if frame.kind is not None and not (child and child.primitive):
            _even_out(frame)
        if child is None:
            if parent:
                parent.value = frame.value
            else:
                self._root = frame.value
        elif parent:
            if not frame.value and frame.said is None:
                self._issue(f"{child.name} is empty: leave out what has no content", frame.path)
            elif child.primitive:
                _put_primitive(parent.value, child, frame)
            elif child.many:
                parent.value.setdefault(child.name, []).append(frame.value)
            else:
                parent.value[child.name] = frame.value

    def _text(self, text: str) -> None:
        if self._narrative:
            self._narrative.text_inside(text)
        elif not self._skipping and not text.isspace():
            where = self._top.path if self._top else ""
            self._issue(f"Text has no place in {where}: values are attributes", where)

    def _issue(self, text: str, expression: str) -> None:
        line = self._parser.CurrentLineNumber
        self._issues.append(Issue("error", "structure", f"Line {line}: {text}", expression))
        if len(self._issues) == _MOST_ISSUES:
            raise FhirError("unprocessable", issues=self._issues)

    def _malformed(self, text: str) -> FhirError:
        return FhirError("malformed", f"{text}, line {self._parser.CurrentLineNumber}")


def _put_primitive(value: dict[str, Any], child: Child, frame: _Frame) -> None:
    """https://hl7.org/fhir/R4/json.html#primitive: `x` and `_x`, in a list side by side."""
    if not child.many:
        if frame.said is not None:
            value[child.name] = frame.said
        if frame.value:
            value["_" + child.name] = frame.value
        return
    items = value.setdefault(child.name, [])
    items.append(frame.said)
    if frame.value:
        extras = value.setdefault("_" + child.name, [])
        extras += [None] * (len(items) - 1 - len(extras))
        extras.append(frame.value)


def _even_out(frame: _Frame) -> None:
    """Give lists of primitives that have extensions the same length as these, or leave them out."""
    value = frame.value
    for name in [key for key in value if key[0] == "_"]:
        if type(value[name]) is list:
            items = value[name[1:]]
            value[name] += [None] * (len(items) - len(value[name]))
            if not any(item is not None for item in items):
                del value[name[1:]]
