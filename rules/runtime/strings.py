"""Strings (https://cql.hl7.org/09-b-cqlreference.html#string-operators-3)."""

from __future__ import annotations


def combine(source: list[str | None] | None, separator: str | None = None) -> str | None:
    """The strings that are not null, joined; null where there are none."""
    parts = [part for part in source or () if part is not None]
    return (separator or "").join(parts) if parts else None


def concatenate(*parts: str | None) -> str | None:
    """The + of strings: null where any part is."""
    return None if None in parts else "".join(part for part in parts if part is not None)


def concatenate_or_empty(*parts: str | None) -> str:
    """The & of strings: null is the empty string."""
    return "".join(part or "" for part in parts)


def ends_with(text: str | None, suffix: str | None) -> bool | None:
    return None if text is None or suffix is None else text.endswith(suffix)


def starts_with(text: str | None, prefix: str | None) -> bool | None:
    return None if text is None or prefix is None else text.startswith(prefix)


def indexer_string(text: str | None, index: int | None) -> str | None:
    if text is None or index is None or not 0 <= index < len(text):
        return None
    return text[index]


def position_of(pattern: str | None, text: str | None) -> int | None:
    """Where the pattern is first found, or -1."""
    return None if pattern is None or text is None else text.find(pattern)


def last_position_of(pattern: str | None, text: str | None) -> int | None:
    """Where the pattern is last found, or -1."""
    return None if pattern is None or text is None else text.rfind(pattern)


def length_string(text: str | None) -> int | None:
    return None if text is None else len(text)


def lower(text: str | None) -> str | None:
    return None if text is None else text.lower()


def upper(text: str | None) -> str | None:
    return None if text is None else text.upper()


def split(text: str | None, separator: str | None) -> list[str] | None:
    if text is None:
        return None
    return text.split(separator) if separator else [text]


def substring(text: str | None, start: int | None, length: int | None = None) -> str | None:
    """From `start`, at most `length` characters; null where `start` is outside the text."""
    if text is None or start is None or start < 0 or start > len(text) or (start == len(text) and text):
        return None
    return text[start:] if length is None else text[start : start + max(0, length)]


def to_chars(text: str | None) -> list[str] | None:
    return None if text is None else list(text)
