"""htmlChecks(): what a narrative may be made of.

https://hl7.org/fhir/R4/narrative.html#xhtml
"""

from __future__ import annotations

import re
from html.entities import html5
from typing import Any, Final
from xml.parsers import expat  # nosec: no entities or declarations are let through, see _refuse


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ELEMENTS: Final = _words("""
    a abbr acronym address area b bdo big blockquote br caption cite code col colgroup dd dfn div dl
    dt em h1 h2 h3 h4 h5 h6 hr i img kbd li map ol p pre q samp small span strong sub sup table
    tbody td tfoot th thead tr tt u ul var
""")
_ATTRIBUTES: Final = _words("""
    abbr accesskey align alt axis border cellpadding cellspacing char charoff charset cite class
    colspan coords dir headers height href hreflang id ismap lang longdesc name nohref rel rev
    rowspan rules scope shape span src start style summary tabindex title type usemap valign width
    xml:lang xmlns
""")
_ENTITY: Final = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_OF_XML: Final = frozenset(("amp", "lt", "gt", "quot", "apos"))
_NAMESPACE: Final = "http://www.w3.org/1999/xhtml"


class _RefusedError(Exception):
    pass


def is_narrative(text: Any) -> bool | None:
    """Whether the text is a div of the allowed elements and attributes, with some content in it."""
    if text is None:
        return None
    if not isinstance(text, str):
        return False
    reader = _Reader()
    try:
        reader.read(_ENTITY.sub(_as_sign, text))
    except (expat.ExpatError, _RefusedError, ValueError):
        return False
    return reader.has_content


def _as_sign(found: re.Match[str]) -> str:
    """XHTML's named signs, which XML alone does not know."""
    name = found[1]
    return found[0] if name in _OF_XML or f"{name};" not in html5 else html5[f"{name};"]


class _Reader:
    def __init__(self) -> None:
        self.depth = 0
        self.has_content = False

    def read(self, text: str) -> None:
        parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = _refuse
        parser.ProcessingInstructionHandler = _refuse
        parser.Parse(text.encode("utf-8"), True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self.depth == 0 and (name != "div" or attributes.get("xmlns") != _NAMESPACE):
            raise _RefusedError
        if name not in _ELEMENTS or not _ATTRIBUTES.issuperset(attributes):
            raise _RefusedError
        if attributes.get("href", "").strip().lower().startswith("javascript:"):
            raise _RefusedError
        self.depth += 1
        self.has_content = self.has_content or name == "img"

    def _end(self, name: str) -> None:
        self.depth -= 1

    def _text(self, text: str) -> None:
        self.has_content = self.has_content or bool(text.strip())


def _refuse(*_: Any) -> None:
    raise _RefusedError
