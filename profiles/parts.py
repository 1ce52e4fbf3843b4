"""Walks over resources that may be built in any way: the parts that are as R4 has them, with their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from profiles.problems import Place, inside

Part = Mapping[str, Any]


def items(holder: Part, name: str, at: Place) -> Iterator[tuple[Part, Place]]:
    """The objects in a list element, each with its place."""
    listed = holder.get(name)
    for index, item in enumerate(listed if type(listed) is list else ()):
        if type(item) is dict:
            yield item, inside(at, name, index)


def child(holder: Part, name: str) -> Part:
    """The object that an element is, or an empty one."""
    found = holder.get(name)
    return found if type(found) is dict else {}


def text(holder: Part, name: str) -> str | None:
    """The string that an element is, or None."""
    found = holder.get(name)
    return found if type(found) is str else None


def texts(holder: Part, name: str) -> list[str]:
    """The strings in a list element."""
    listed = holder.get(name)
    return [item for item in listed if type(item) is str] if type(listed) is list else []


def codings(concept: Any) -> list[tuple[str | None, str]]:
    """(system, code) of the codings of a CodeableConcept."""
    at: Place = (0, None, "")
    found = items(concept, "coding", at) if type(concept) is dict else ()
    return [(text(coding, "system"), code) for coding, _ in found if (code := text(coding, "code"))]


def extension(holder: Part, url: str) -> Part | None:
    """The first extension with that URL."""
    for found, _ in items(holder, "extension", (0, None, "")):
        if found.get("url") == url:
            return found
    return None
