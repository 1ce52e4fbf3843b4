"""What was asked, as the log keeps it: without values that could say who somebody is.

https://hl7.org/fhir/R4/search.html. A value is kept where its parameter is known to hold references, codes,
dates or numbers; everything else, and whatever looks like a national identity number, is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import parse_qsl, quote

from profiles.definitions import load

HIDDEN = "***"
_PLAIN = frozenset({"reference", "token", "date", "number", "quantity", "uri", "composite"})
_PERSONAL = frozenset(
    {"identifier", "birthdate", "death-date", "phone", "email", "telecom", "address-postalcode"}
)
_CONTROL = frozenset(
    {
        "_at", "_beyond", "_count", "_elements", "_format", "_id", "_include", "_lastUpdated", "_list",
        "_pretty", "_profile", "_revinclude", "_security", "_since", "_sort", "_source", "_summary", "_tag",
        "_total", "_type", "end", "max", "start", "statistic",
    }
)  # fmt: skip
_NUMBER = re.compile(r"\d{11}|\d{6} \d{5}")
_ID = re.compile(r"(?:Patient/)?([A-Za-z0-9\-.]{1,64})")
_LONGEST = 2000  # characters


def described(path: str, *texts: str) -> str:
    """The path with the parameters of these encoded texts (a URL's query, a form)."""
    pairs = [pair for text in texts if text for pair in _pairs(text)]
    if not pairs:
        return without_numbers(path)
    said = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in map(_shown, pairs))
    return f"{without_numbers(path)}?{said}"[:_LONGEST]


def patients_named(*texts: str) -> tuple[str, ...]:
    """The ids of the patients that the search names as such, in case it finds nothing."""
    found = dict.fromkeys(
        match[1]
        for text in texts
        if text
        for name, value in _pairs(text)
        if name in ("patient", "subject", "patient:Patient", "subject:Patient")
        for each in value.split(",")
        if (match := _ID.fullmatch(each)) and not _NUMBER.search(each)
    )
    return tuple(found)


@lru_cache(maxsize=32)
def _pairs(text: str) -> Iterable[tuple[str, str]]:
    """Looked at twice, by `described` and by `patients_named`."""
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, errors="replace", max_num_fields=1000))
    except ValueError:
        return ()


def _shown(pair: tuple[str, str]) -> tuple[str, str]:
    name, value = pair
    kept = _keeps(name) and not _NUMBER.search(value)
    return without_numbers(name) if _known(name) else HIDDEN, value if kept else HIDDEN


@lru_cache(maxsize=1000)
def _keeps(name: str) -> bool:
    """Whether the values of a parameter, with its chain and its modifier, say nothing of who somebody is."""
    if name.partition(":")[0] in _CONTROL:
        return True
    last = name.rpartition(".")[2] if "." in name else name
    if name.startswith("_has:"):
        last = name.rpartition(":")[2]
    code, _, modifier = last.partition(":")
    if modifier in ("identifier", "text", "text-advanced", "of-type", "contains", "exact"):
        return False
    return code not in _PERSONAL and _types().get(code, frozenset({""})) <= _PLAIN


def _known(name: str) -> bool:
    """Whether a name is made of what parameters are made of: an unknown one could be anything."""
    return re.fullmatch(r"[A-Za-z_][A-Za-z0-9_:.\-]{0,80}", name) is not None


@lru_cache(maxsize=1)
def _types() -> dict[str, frozenset[str]]:
    """Every parameter's types, by its code."""
    types: dict[str, set[str]] = {}
    for parameter in load().all_search_parameters:
        types.setdefault(parameter.code, set()).add(parameter.type)
    return {code: frozenset(of) for code, of in types.items()}


def without_numbers(text: str) -> str:
    """The text, with what looks like a national identity number replaced."""
    return _NUMBER.sub(HIDDEN, text)


def _quoted(text: str) -> str:
    return quote(text, safe="/:|,$-_.~*", errors="replace")
