"""Regular expressions in strings, without letting one run away.

https://cql.hl7.org/09-b-cqlreference.html#matches
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from rules.runtime.errors import EvaluationError
from rules.runtime.regex import Expression, Found, expression

_LONGEST_PATTERN: Final = 2_000
_REFERENCE: Final = re.compile(r"\\(.)|\$(\d+)|\$\{(\w+)\}", re.DOTALL)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Expression:
    """The pattern, ready to run. Raises EvaluationError where it is no regular expression."""
    if len(pattern) > _LONGEST_PATTERN:
        raise EvaluationError(f"a regular expression may have at most {_LONGEST_PATTERN} characters")
    try:
        return expression(pattern)
    except (re.error, RecursionError, OverflowError):
        raise EvaluationError("the text is not a regular expression") from None


def matches(text: str | None, pattern: str | None) -> bool | None:
    """Whether the pattern is found anywhere in the text."""
    if text is None or pattern is None:
        return None
    return compiled(pattern).search(text) is not None


def matches_full(text: str | None, pattern: str | None) -> bool | None:
    """Whether the pattern is the whole text."""
    if text is None or pattern is None:
        return None
    return compiled(rf"\A(?:{pattern})\Z").search(text) is not None


def replace_matches(text: str | None, pattern: str | None, substitution: str | None) -> str | None:
    """Every match replaced; `$1` and `${name}` stand for groups, a backslash makes the next sign itself."""
    if text is None or pattern is None or substitution is None:
        return None
    parts: list[str] = []
    at = 0
    for match in compiled(pattern).finditer(text):
        parts += (text[at : match.start()], _filled(substitution, match))
        at = match.end()
    return "".join((*parts, text[at:]))


def _filled(substitution: str, match: Found) -> str:
    def part(found: re.Match[str]) -> str:
        if found[1] is not None:
            return found[1]
        try:
            return match[int(found[2]) if found[2] else found[3]] or ""
        except (IndexError, KeyError):
            raise EvaluationError("the substitution refers to a group that the pattern has not") from None

    return _REFERENCE.sub(part, substitution)


def split_on_matches(text: str | None, pattern: str | None) -> list[str] | None:
    if text is None:
        return None
    if pattern is None:
        return [text]
    parts, at = [], 0
    for match in compiled(pattern).finditer(text):
        if match.end() > match.start():
            parts.append(text[at : match.start()])
            at = match.end()
    return [*parts, text[at:]]
