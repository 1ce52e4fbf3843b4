"""Versions of code systems and value sets: which is later, and which a wanted one (maybe 1.x) allows.

https://hl7.org/fhir/R4/references.html#canonical
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_WILD = frozenset("xX*")
_PARTS = re.compile(r"[.\-+/]")


def order(version: str | None) -> tuple[Any, ...]:
    """A sort key: numbers as numbers, part by part; no version before any."""
    parts = _PARTS.split(version) if version else []
    return tuple((1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts)


def allows(wanted: str | None, version: str | None) -> bool:
    """Whether a version is the wanted one: the same, or of the pattern (`1.x` is 1.0 and 1.2.3)."""
    if not wanted or wanted == version:
        return True
    if version is None or not _WILD.intersection(wanted.split(".")):
        return False
    pattern, parts = wanted.split("."), version.split(".")
    if len(pattern) > len(parts) or (len(pattern) < len(parts) and pattern[-1] not in _WILD):
        return False
    return all(want in _WILD or want == part for want, part in zip(pattern, parts, strict=False))


def presented(versions: Iterable[str]) -> str:
    """`1.0 or 2.0`, `1.0, 2.0 and 3.0`: as a sentence lists them."""
    *rest, last = sorted(versions, key=order)
    if len(rest) < 2:
        return " or ".join([*rest, last])
    return f"{', '.join(rest)} and {last}"


def split(canonical: str) -> tuple[str, str | None]:
    """URL and version of `url|version`."""
    url, _, version = canonical.partition("|")
    return url, version or None


def joined(url: str, version: str | None) -> str:
    """`url|version`, or the URL alone."""
    return f"{url}|{version}" if version else url
