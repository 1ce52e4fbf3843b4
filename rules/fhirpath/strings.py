"""The functions of strings.

https://hl7.org/fhirpath/N1/#string-manipulation and, for the later ones, https://hl7.org/fhirpath/#additional-string-functions
"""

from __future__ import annotations

import base64
import binascii
import html
import json
from collections.abc import Callable
from typing import Any, Final

from rules.fhirpath.numbers import sized
from rules.runtime import matching
from rules.runtime import strings as common
from rules.runtime.errors import EvaluationError

substring = common.substring
lower = common.lower
upper = common.upper
to_chars = common.to_chars
starts_with = common.starts_with
ends_with = common.ends_with
length = common.length_string
matches = matching.matches
matches_full = matching.matches_full


def contains(text: str | None, part: str | None) -> bool | None:
    return None if text is None or part is None else part in text


def index_of(text: str | None, part: str | None) -> int | None:
    return common.position_of(part, text)


def last_index_of(text: str | None, part: str | None) -> int | None:
    return common.last_position_of(part, text)


def trim(text: str | None) -> str | None:
    return None if text is None else text.strip()


def replace(text: str | None, pattern: str | None, substitution: str | None) -> str | None:
    """An empty pattern is found before every character and at the end."""
    if text is None or pattern is None or substitution is None:
        return None
    if len(substitution) > 1 and (len(text) + 1) * len(substitution) > 10**8:
        raise EvaluationError("replace() would make too long a text")
    return sized(text.replace(pattern, substitution))


def replace_matches(text: str | None, pattern: str | None, substitution: str | None) -> str | None:
    """An empty pattern changes nothing."""
    if text is not None and pattern == "" and substitution is not None:
        return text
    found = matching.replace_matches(text, pattern, substitution)
    return None if found is None else sized(found)


def split(text: str | None, separator: str | None) -> list[str]:
    if text is None or separator is None:
        return []
    return text.split(separator) if separator else list(text)


def join(texts: list[Any], separator: str | None = "") -> str | None:
    """Raises EvaluationError where an item is no string."""
    parts = [text for text in texts if text is not None]
    if any(part.__class__ is not str for part in parts):
        raise EvaluationError("join() is for strings")
    if not parts or separator is None:
        return None
    return sized(separator.join(parts))


_CODINGS: Final[dict[str, tuple[Callable[[bytes], bytes], Callable[[str], bytes]]]] = {
    "hex": (binascii.hexlify, binascii.unhexlify),
    "base64": (base64.b64encode, lambda text: base64.b64decode(text, validate=True)),
    "urlbase64": (base64.urlsafe_b64encode, lambda text: base64.b64decode(text, b"-_", validate=True)),
}


def encode(text: str | None, format: str | None) -> str | None:
    """hex, base64 or urlbase64 of the text in UTF-8; None for another format."""
    if text is None or format not in _CODINGS:
        return None
    return _CODINGS[format][0](text.encode("utf-8", "surrogatepass")).decode("ascii")


def decode(text: str | None, format: str | None) -> str | None:
    """None for another format, and for a text that is not written in it."""
    if text is None or format not in _CODINGS:
        return None
    try:
        return _CODINGS[format][1](text).decode("utf-8")
    except ValueError:
        return None


def escape(text: str | None, target: str | None) -> str | None:
    """html or json; None for another target."""
    if text is None:
        return None
    if target == "html":
        return html.escape(text)
    return json.dumps(text, ensure_ascii=False)[1:-1] if target == "json" else None


def unescape(text: str | None, target: str | None) -> str | None:
    """None for another target, and for a text that is not written so."""
    if text is None:
        return None
    if target == "html":
        return html.unescape(text)
    return _from_json(text) if target == "json" else None


def _from_json(text: str) -> str | None:
    for written in (text, text.replace('"', '\\"')):  # quotes may have been left as they are
        try:
            found = json.loads(f'"{written}"', strict=False)
        except ValueError:
            continue
        return found if isinstance(found, str) else None
    return None
