"""The text filter of an expansion: every word of it begins a word of the code or of something it is called.

https://hl7.org/fhir/R4/valueset-operation-expand.html (filter)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from terminology.findings import refuse

_WORD = re.compile(r"\w+")
_MOST_WORDS = 20


def words_of(text: str | None) -> list[str]:
    """The words of a text, each once, without regard to case. TerminologyError where they are too many."""
    words = list(dict.fromkeys(_WORD.findall(text.casefold()))) if text else []
    if len(words) > _MOST_WORDS:
        raise refuse("too-costly", f"A text filter may have {_MOST_WORDS} words")
    return words


def begins(wanted: list[str]) -> Callable[[Iterable[str]], bool]:
    """Whether each wanted word begins a word of some texts, or one of the texts."""

    def passes(said: Iterable[str]) -> bool:
        texts = [text.casefold() for text in said]
        there = [*texts, *(word for text in texts for word in _WORD.findall(text))]
        return all(any(word.startswith(want) for word in there) for want in wanted)

    return passes
