"""_text and _content: words of the narrative, and of everything in a resource that people read.

https://hl7.org/fhir/R4/search.html#content. How text is searched is the server's to say: a resource matches
if for each word of the value it has one that begins so, without regard to case and accents. The content is
the narrative and the values of string and markdown elements, save those of references and extensions: codes,
identifiers, URLs, dates and numbers have parameters of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.string import fold
from fhir_server.search.parameters.text import unescape
from fhir_server.search.query import And, Match, Node, Test
from profiles import definitions

TABLE = "word"
SORT = None
MODIFIERS: frozenset[str] = frozenset()
CODES = frozenset(("_text", "_content"))
# What devices and this server write by the million: ten rows more for each would cost every reading more than
# anybody gets from them. Their codes are found by :text.
WITHOUT_CONTENT = frozenset(("Observation", "AuditEvent", "Provenance"))

_MARKUP = re.compile(r"<[^>]*>|&[#a-zA-Z0-9]+;")
_LONGEST = 64  # of a word; what is longer is found by its beginning
_MOST = 2000  # words of one resource


def indexed(type: str, code: str) -> bool:
    """Whether resources of this type have such rows."""
    return code in CODES and not (code == "_content" and type in WITHOUT_CONTENT)


def of_narrative(resource: Mapping[str, Any]) -> list[tuple[str]]:
    """The words of the narrative."""
    return _words([_narrative(resource)])


def of_content(resource: Mapping[str, Any]) -> list[tuple[str]]:
    """The words of the narrative and of all other text, those of contained resources included."""
    return _words([_narrative(resource), *_texts(resource["resourceType"], resource)])


ROWS = {"_text": of_narrative, "_content": of_content}


def _narrative(resource: Mapping[str, Any]) -> str:
    return _MARKUP.sub(" ", resource.get("text", {}).get("div") or "")


def _words(texts: list[str]) -> list[tuple[str]]:
    words = dict.fromkeys(word for text in texts if text for word in fold(text).split(" ") if word)
    return [(word[:_LONGEST],) for word in words][:_MOST]


def _texts(type: str, value: Mapping[str, Any]) -> Iterator[str]:
    """What is of type string or markdown in a value of this type."""
    kinds = _kinds(type)
    for name, item in value.items():
        kind = kinds.get(name)
        if kind is None or name == "id" or (name == "text" and kind == "Narrative"):
            continue
        for each in item if isinstance(item, list) else (item,):
            if isinstance(each, str):
                yield each
            elif isinstance(each, dict):
                yield from _texts(each.get("resourceType", kind) if kind == "Resource" else kind, each)


_KNOWN: dict[str, dict[str, str]] = {}
_READ = frozenset(("string", "markdown"))


def _kinds(type: str) -> dict[str, str]:
    """JSON property -> type, of the properties in which there is something to read."""
    found = _KNOWN.get(type)
    if found is None:
        types = definitions.load().types
        found = {}
        if type in types:
            for element in types[type].elements.values():
                for name, of in element.properties.items():
                    kind = types[of.code].kind if of.code in types else ""
                    if of.code in _READ or (
                        kind and of.code != "Reference" and kind != "primitive-type" and name != "extension"
                    ):
                        found[name] = of.code
        _KNOWN[type] = found
    return found


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """Every word of the text begins one of the resource's."""
    words = fold(unescape(text)).split()
    if not words:
        raise BadValue("without a word to search for")
    found = [Match(TABLE, parameter.code, (Test("folded", "prefix", word[:_LONGEST]),)) for word in words]
    return found[0] if len(found) == 1 else And(tuple(found))
