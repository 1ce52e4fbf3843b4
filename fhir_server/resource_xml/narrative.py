"""The div of a narrative, taken from the text of a document as it stands there.

https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import re
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from fhir_server.errors import FhirError
from fhir_server.resource_xml.elements import XHTML

MAX_DEPTH = 200
_TAG = re.compile(rb"<(?:[^\"'>]|\"[^\"]*\"|'[^']*')*>")


class Narrative:
    """Follows the parser through the div; `depth` is 0 again when it is closed.

    The text comes from the body, byte by byte, so that entities, comments and line breaks stay as they were.
    Only where prefixes were declared outside of the div is it written anew, as they would be lost.
    """

    def __init__(self, body: bytes, parser: Any, anew: bool) -> None:
        self.depth = 0
        self._body = body
        self._parser = parser
        self._begin = parser.CurrentByteIndex
        self._end = 0
        self._anew: list[str] | None = [] if anew else None

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            line = self._parser.CurrentLineNumber
            raise FhirError("malformed", f"The narrative is nested more than {MAX_DEPTH} deep, line {line}")
        if self._anew is not None:
            said = "".join(f" {_local(key)}={quoteattr(value)}" for key, value in attributes.items())
            space = f' xmlns="{XHTML}"' if self.depth == 1 else ""
            self._anew.append(f"<{_local(name)}{space}{said}>")

    def text_inside(self, text: str) -> None:
        if self._anew is not None:
            self._anew.append(escape(text))

    def end(self, name: str) -> None:
        self.depth -= 1
        if self._anew is not None:
            self._anew.append(f"</{_local(name)}>")
        if not self.depth:
            opening = _TAG.match(self._body, self._begin)
            if opening and opening[0].endswith(b"/>"):
                self._end = opening.end()
            else:
                self._end = self._body.index(b">", self._parser.CurrentByteIndex) + 1

    def text(self) -> str:
        """The whole div, its namespace declared on it."""
        if self._anew is not None:
            return "".join(self._anew)
        text = self._body[self._begin : self._end].decode()
        opening = _TAG.match(self._body, self._begin)
        if opening and b"xmlns" not in opening[0]:
            text = f'<div xmlns="{XHTML}"{text[4:]}'
        return text


def _local(name: str) -> str:
    return name.rpartition(" ")[2]
