"""What emitted code calls: the few operations that are more than a look-up in a dict."""

from __future__ import annotations

import re
from typing import Any

_LOCAL = re.compile(r"(?:.*/)?([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}(?:/_history/[A-Za-z0-9\-.]{1,64})?")


class EvaluationError(Exception):
    """An expression that has no value for this resource, such as a list where one item is needed."""


def points_to(reference: Any, type: str) -> bool:
    """`resolve() is type`, decided from what the reference says: its text, else its `type`.

    Nothing is read: a reference that names no type (`#contained`, `urn:uuid:`) and has no `type` is of none.
    """
    text = reference.get("reference") if isinstance(reference, dict) else reference
    if isinstance(text, str) and (found := _LOCAL.fullmatch(text)):
        return found[1] == type
    return isinstance(reference, dict) and reference.get("type") == type


def equal(left: list[Any], right: list[Any]) -> bool | None:
    """`=`, https://hl7.org/fhirpath/N1/#equals: None where either side is empty. Of like primitives only."""
    if not left or not right:
        return None
    if len(left) != len(right):
        return False
    return all(
        isinstance(a, bool) == isinstance(b, bool) and a == b for a, b in zip(left, right, strict=True)
    )


def different(left: list[Any], right: list[Any]) -> bool | None:
    """`!=`"""
    same = equal(left, right)
    return None if same is None else not same


def truth(items: list[Any]) -> bool | None:
    """A collection as a boolean, https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections."""
    if not items:
        return None
    if len(items) > 1:
        raise EvaluationError("several items where one boolean is needed")
    return items[0] if isinstance(items[0], bool) else True


def both(left: bool | None, right: bool | None) -> bool | None:
    """`and` of three-valued logic."""
    if left is False or right is False:
        return False
    return True if left and right else None


def either(left: bool | None, right: bool | None) -> bool | None:
    """`or` of three-valued logic."""
    if left or right:
        return True
    return False if left is False and right is False else None


def distinct(items: list[Any]) -> list[Any]:
    """The items without repeats, as `|` leaves them."""
    found: list[Any] = []
    for item in items:
        if not any(equal([item], [other]) for other in found):
            found.append(item)
    return found
