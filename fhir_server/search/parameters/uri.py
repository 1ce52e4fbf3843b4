"""URI parameters: the whole URI exactly, or with :below and :above a part of its path.

https://hl7.org/fhir/R4/search.html#uri
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import And, Match, Node, Or, Test

TABLE = "uri"
SORT = "value"
MODIFIERS = frozenset(("below", "above"))
LEFT_OUT: frozenset[str] = frozenset()

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")


# Extraction


def _uri(value: str) -> list[tuple[str]]:
    return [(value,)]


def _canonical(value: str) -> list[tuple[str]]:
    """With its version and without, so that it is found either way."""
    unversioned = value.partition("|")[0]
    return [(value,)] if unversioned == value else [(value,), (unversioned,)]


ROWS: dict[str, Callable[[Any], list[tuple[str]]]] = {
    "uri": _uri,
    "url": _uri,
    "canonical": _canonical,
}


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """:below matches what the value starts, :above what starts the value; both are for URLs, not URNs."""
    uri = unescape(text)
    if modifier is None:
        return _exactly(parameter, text)
    if not _URL.match(uri):
        raise BadValue("not a URL, and :above and :below are for URLs only")
    if modifier == "below":
        return Match(TABLE, parameter.code, (Test("value", "prefix", uri),))
    return Match(TABLE, parameter.code, (Test("value", "in", _ancestors(uri)),))


def _exactly(parameter: Parameter, text: str) -> Node:
    whole = Match(TABLE, parameter.code, (Test("value", "=", unescape(text)),))
    url, *version = [unescape(part) for part in split(text, "|")]
    if parameter.code != "url" or len(version) != 1 or not parameter.versioned:
        return whole
    of_version = (
        Match(TABLE, parameter.code, (Test("value", "=", url),)),
        Match("token", "version", (Test("code", "=", version[0].casefold()),)),
    )
    return Or((whole, And(of_version)))


def _ancestors(url: str) -> tuple[str, ...]:
    """The URL and what is above it in its path, each with and without a slash at the end."""
    start = _URL.match(url)
    shortest = len(start[0]) if start else 0
    found = [url]
    while len(url) > shortest:
        url = url[: url.rindex("/", shortest)]
        found += [url + "/", url]
    return tuple(dict.fromkeys(found))
