"""String parameters: the start of a text, without regard to case, accents, punctuation and extra space.

https://hl7.org/fhir/R4/search.html#string. Folding takes characters apart (NFKD) and drops the combining
marks, so é is e and å is a; ø and æ have no such parts and stay letters of their own, as in Norwegian.
Apostrophes vanish, other punctuation counts as a space.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from fhir_server.search.parameters.parameter import Parameter, Scope
from fhir_server.search.parameters.text import unescape
from fhir_server.search.query import Match, Node, Test

TABLE = "string"
SORT = "folded"
MODIFIERS = frozenset(("exact", "contains"))
LEFT_OUT: frozenset[str] = frozenset()

_NAME_PARTS = ("text", "family", "given", "prefix", "suffix")
_ADDRESS_PARTS = ("text", "line", "city", "district", "state", "postalCode", "country")
_APOSTROPHES = str.maketrans("", "", "'’ʼ‘`´")
_SHORT = 100
_BETWEEN_WORDS = re.compile(r"[\W_]+")


def fold(text: str) -> str:
    """The text as it is compared; folding twice changes nothing more."""
    return _fold(text) if len(text) <= _SHORT else _fold.__wrapped__(text)


@lru_cache(maxsize=8192)  # names of codes and units come again and again
def _fold(text: str) -> str:
    if not text.isascii():
        parts = unicodedata.normalize("NFKD", text.translate(_APOSTROPHES))
        parts = unicodedata.normalize("NFKD", parts.casefold())
        text = "".join(char for char in parts if not unicodedata.combining(char))
    return _BETWEEN_WORDS.sub(" ", text.translate(_APOSTROPHES).lower()).strip()


# Extraction


def _text(value: str) -> list[tuple[str, str]]:
    return [(fold(value), value)]


def _parts(names: tuple[str, ...]) -> Callable[[Mapping[str, Any]], list[tuple[str, str]]]:
    def rows(value: Mapping[str, Any]) -> list[tuple[str, str]]:
        found = []
        for name in names:
            part = value.get(name)
            if part is not None:
                texts = part if isinstance(part, list) else (part,)
                found += [(fold(text), text) for text in texts if text is not None]
        return found

    return rows


ROWS: dict[str, Callable[[Any], list[tuple[str, str]]]] = {
    "string": _text,
    "markdown": _text,
    "HumanName": _parts(_NAME_PARTS),
    "Address": _parts(_ADDRESS_PARTS),
}


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """:exact compares the whole text as written, :contains looks anywhere in the folded one."""
    wanted = unescape(text)
    folded = fold(wanted)
    if modifier == "exact":
        test = Test("exact", "=", wanted)
    elif not folded:  # only punctuation: compared as it is, since folded it would match everything
        test = Test("exact", "contains" if modifier else "prefix", wanted)
    else:
        test = Test("folded", "contains" if modifier else "prefix", folded)
    return Match(TABLE, parameter.code, (test,))
