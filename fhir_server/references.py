"""References between the entries of a transaction, found and rewritten.

https://hl7.org/fhir/R4/http.html#trules, https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from profiles.definitions import load

_URIS = frozenset({"uri", "url", "canonical", "oid", "uuid"})
_NARRATIVE_LINK = re.compile(r"""(\b(?:href|src)\s*=\s*)(["'])([^"']*)\2""")
_RESTFUL = re.compile(r"(https?://.+/)[A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64}")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]+)\?(.+)", re.DOTALL)


def rewrite(resource: dict[str, Any], links: Mapping[str, str], full_url: str | None) -> dict[str, Any]:
    """The resource with every link to a key of `links` replaced by its value.

    Links are Reference.reference, values of the uri types, and href and src in narratives; an Identifier's
    value is none. A relative reference counts as well where full_url, of the entry it stands in, gives it a
    base.
    """
    base = _RESTFUL.fullmatch(full_url or "")
    return _Rewriting(links, base[1] if base else None).node(resource, str(resource.get("resourceType")))


def references(node: Any) -> Iterator[str]:
    """Each Reference.reference of a resource, contained ones included."""
    if isinstance(node, dict):
        text = node.get("reference")
        if isinstance(text, str):
            yield text
    for child in node.values() if isinstance(node, dict) else node:
        if isinstance(child, dict | list):
            yield from references(child)


def conditional(reference: str) -> tuple[str, str] | None:
    """The resource type and the criteria of `Patient?identifier=1`, None for any other reference."""
    found = _CONDITIONAL.fullmatch(reference)
    return (found[1], found[2]) if found else None


def is_urn_uuid(text: str) -> bool:
    return text[:9].lower() == "urn:uuid:"


def plain(url: str) -> str:
    """A urn:uuid: in lower case, which means the same (RFC 4122 section 3); any other URL as it is."""
    return url.lower() if is_urn_uuid(url) else url


class _Rewriting:
    def __init__(self, links: Mapping[str, str], base: str | None) -> None:
        self._links = links
        self._base = base

    def node(self, node: dict[str, Any], type_: str) -> dict[str, Any]:
        codes = _codes(node.get("resourceType", type_) if type_ == "Resource" else type_)
        return {
            key: self._value(value, codes.get(key, "Element" if key.startswith("_") else ""))
            for key, value in node.items()
        }

    def _value(self, value: Any, code: str) -> Any:
        if isinstance(value, dict):
            return self.node(value, code)
        if isinstance(value, list):
            return [self._value(item, code) for item in value]
        if isinstance(value, str):
            if code in _URIS:
                return self._target(value) or value
            if code == "xhtml":
                return _NARRATIVE_LINK.sub(self._narrative_link, value)
        return value

    def _target(self, text: str) -> str | None:
        found = self._links.get(plain(text))
        if found is None and self._base:
            found = self._links.get(self._base + text)
        return found

    def _narrative_link(self, match: re.Match[str]) -> str:
        return f"{match[1]}{match[2]}{self._target(match[3]) or match[3]}{match[2]}"


@cache
def _codes(type_: str) -> dict[str, str]:
    """JSON property name -> type code of a type's elements; Reference.reference counts as a uri."""
    definition = load().types.get(type_)
    elements = definition.elements.values() if definition else ()
    codes = {name: ref.code for element in elements for name, ref in element.properties.items()}
    if type_ == "Reference":
        codes["reference"] = "uri"
    return codes
