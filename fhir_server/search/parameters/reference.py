"""Reference parameters: Type/id, an id, an absolute or canonical URL, or with :identifier an identifier.

https://hl7.org/fhir/R4/search.html#reference. A reference to a version is found without it, and with it. A
contained resource (`#x`) is no target. `urn:uuid:` and other URNs are URLs here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import Lookup, Match, Node, Or, Test

TABLE = "reference"
SORT = "id"
MODIFIERS = frozenset(("identifier", "above", "below"))  # and the name of a resource type
LEFT_OUT: frozenset[str] = frozenset()

_LOCAL = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(/_history/[A-Za-z0-9\-.]{1,64})?")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+", re.DOTALL)
_HISTORY = re.compile(r"/_history/[A-Za-z0-9\-.]{1,64}$")

Row = tuple[str, str, str, str, str]  # type, id, url, system, value


# Extraction. A reference that points nowhere we know still gives a row, so that :missing does not find it.


def _text(text: str, system: str = "", value: str = "") -> list[Row]:
    local = _LOCAL.fullmatch(text)
    if local:
        type, id, version = local.groups()
        return [(type, id, text if version else "", system, value)]
    if not text or text[0] == "#":
        return [("", "", "", system, value)]
    rows = [("", "", text, system, value)]
    unversioned = _HISTORY.sub("", text).partition("|")[0]
    if unversioned != text:
        rows.append(("", "", unversioned, system, value))
    return rows


def _reference(value: Mapping[str, Any]) -> list[Row]:
    identifier = value.get("identifier") or {}
    return _text(value.get("reference") or "", identifier.get("system") or "", identifier.get("value") or "")


def _resource(value: Mapping[str, Any]) -> list[Row]:
    """A resource that is there itself, in a Bundle."""
    return [(value["resourceType"], value.get("id") or "", "", "", "")]


def _attachment(value: Mapping[str, Any]) -> list[Row]:
    return _text(value.get("url") or "")


ROWS: dict[str, Callable[[Any], list[Row]]] = {
    "Reference": _reference,
    "canonical": _text,
    "uri": _text,
    "Attachment": _attachment,
    "Resource": _resource,
}


def relative(row: tuple[str, ...], base: str) -> tuple[str, ...]:
    """A row (with its parameter code) whose url is on this server, as the local reference that it is."""
    code, _, _, url, system, value = row
    if not url.startswith(base + "/"):
        return row
    return (code, *_text(url[len(base) + 1 :], system, value)[0])


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """What the value points to; a bare id is of any type that the parameter allows, or of the modifier's.

    :above and :below are about what the value points to and what it is part of, or what is part of it.
    """
    if modifier == "identifier":
        return _by_identifier(parameter, text)
    if modifier in ("above", "below"):
        return Lookup(modifier, parameter.resource, parameter.code, unescape(text), parameter)
    wanted = unescape(text)
    if modifier and _ID.fullmatch(wanted):
        wanted = f"{modifier}/{wanted}"
    local = _LOCAL.fullmatch(wanted.removeprefix(f"{scope.base}/") if scope.base else wanted)
    if local:
        if modifier and local[1] != modifier:
            raise BadValue("a reference to another type than the modifier says")
        return _local(parameter, wanted, local)
    if _ABSOLUTE.fullmatch(wanted):
        return _match(parameter, Test("url", "=", wanted))
    if _ID.fullmatch(wanted):
        return _by_id(parameter, wanted)
    if parameter.kinds & {"uri", "canonical"}:
        return _match(parameter, Test("url", "=", wanted))
    raise BadValue("not Type/id, an id or an absolute URL")


def _match(parameter: Parameter, *tests: Test) -> Match:
    return Match(TABLE, parameter.code, tests)


def _local(parameter: Parameter, wanted: str, local: re.Match[str]) -> Node:
    type, id, version = local.groups()
    if version:
        here = _match(parameter, Test("url", "=", local[0]))
    else:
        here = _match(parameter, Test("type", "=", type), Test("id", "=", id))
    if wanted == local[0]:
        return here
    return Or((here, _match(parameter, Test("url", "=", wanted))))


def _by_id(parameter: Parameter, id: str) -> Node:
    by_id = Test("id", "=", id)
    match parameter.targets:
        case ():
            here = _match(parameter, by_id)
        case (only,):
            here = _match(parameter, Test("type", "=", only), by_id)
        case several:
            here = _match(parameter, Test("type", "in", several), by_id)
    if parameter.kinds & {"uri", "canonical"}:
        return Or((here, _match(parameter, Test("url", "=", id))))
    return here


def _by_identifier(parameter: Parameter, text: str) -> Node:
    """As a token: value, system|value, |value or system|."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) > 2 or not any(parts):
        raise BadValue("not value, system|value, |value or system|")
    if len(parts) == 1:
        return _match(parameter, Test("value", "=", parts[0]))
    system, value = parts
    if not value:
        return _match(parameter, Test("system", "=", system))
    return _match(parameter, Test("system", "=", system), Test("value", "=", value))
