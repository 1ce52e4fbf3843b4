"""XML documents as ElementTree trees, comments kept and document types refused."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from xml.parsers import expat

from fhir_server.errors import FhirError

MAX_DEPTH = 400


def parse(body: bytes) -> tuple[ET.Element, dict[str, str]]:
    """The root, and namespaces by prefix as declared on the root and, where it has a prefix, its children.

    FhirError("malformed") with the line for what is not XML, or has a document type.
    """
    reading = _Reading(body.removeprefix(b"\xef\xbb\xbf"))
    return reading.root(), reading.prefixes


def is_comment(element: ET.Element) -> bool:
    """Comments are elements to ElementTree, with a function for a tag."""
    tag: object = element.tag
    return tag is ET.Comment


class _Reading:
    def __init__(self, body: bytes) -> None:
        self._body = body
        self._depth = 0
        self._builder = ET.TreeBuilder(insert_comments=True)
        self.prefixes: dict[str, str] = {}
        self._parser = parser = expat.ParserCreate("utf-8", "}")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartNamespaceDeclHandler = self._prefix
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._builder.data
        parser.CommentHandler = self._comment

    def root(self) -> ET.Element:
        try:
            self._parser.Parse(self._body, True)
        except expat.ExpatError as error:
            reason = expat.ErrorString(error.code)
            raise FhirError("malformed", f"The patch is not XML: {reason}, line {error.lineno}") from None
        return self._builder.close()

    def _doctype(self, *_: object) -> None:
        raise FhirError("malformed", f"A document type is not allowed, line {self._parser.CurrentLineNumber}")

    def _prefix(self, prefix: str | None, namespace: str) -> None:
        if not self._depth or (prefix and self._depth == 1):
            self.prefixes.setdefault(prefix or "", namespace)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise FhirError("malformed", f"The XML is nested more than {MAX_DEPTH} levels deep")
        self._builder.start(_clark(name), {_clark(key): value for key, value in attributes.items()})

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._builder.end(_clark(name))

    def _comment(self, text: str) -> None:
        if self._depth:  # those around the root are nobody's
            self._builder.comment(text)


def _clark(name: str) -> str:
    """{namespace}name, as ElementTree writes it."""
    return "{" + name if "}" in name else name
