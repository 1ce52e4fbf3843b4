"""Token parameters: a code, or a system and a code.

https://hl7.org/fhir/R4/search.html#token. Codes and systems match exactly, case and all (the systems in use
are case sensitive or written in one way); only elements of type string match without regard to case. The
system of a code element is what its binding implies; where the definitions do not list it, any is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import NOTHING, Match, Node, Or, Test

TABLE = "token"
SORT = "code"
MODIFIERS = frozenset(("not",))
LEFT_OUT: frozenset[str] = frozenset()

SPECIAL_VALUES = frozenset(
    ("http://hl7.org/fhir/special-values", "http://terminology.hl7.org/CodeSystem/special-values")
)
# Types whose values have a system that is not in the resource.
_IMPLIED = {"code", "boolean"}

Row = tuple[str, str]


# Extraction. A value that is there but has no code still gives a row, so that :missing does not find it.


def _coding(value: Mapping[str, Any]) -> list[Row]:
    return [(value.get("system") or "", value.get("code") or "")]


def _concept(value: Mapping[str, Any]) -> list[Row]:
    codings = value.get("coding")
    if not codings:
        return [("", "")]
    return [(coding.get("system") or "", coding.get("code") or "") for coding in codings]


def _identifier(value: Mapping[str, Any]) -> list[Row]:
    return [(value.get("system") or "", value.get("value") or "")]


def _contact(value: Mapping[str, Any]) -> list[Row]:
    return [("", value.get("value") or "")]


def _code(value: str) -> list[Row]:
    return [("", value)]


def _boolean(value: bool) -> list[Row]:
    return [("", "true" if value else "false")]


def _text(value: str) -> list[Row]:
    return [("", value.casefold())]


ROWS: dict[str, Callable[[Any], list[Row]]] = {
    "Coding": _coding,
    "CodeableConcept": _concept,
    "Identifier": _identifier,
    "ContactPoint": _contact,
    "code": _code,
    "id": _code,
    "uri": _code,
    "boolean": _boolean,
    "string": _text,
}


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """`code`, `system|code`, `|code` or `system|`. :not is the caller's: it turns round all of an OR."""
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) == 1:
        return Match(TABLE, parameter.code, (_code_test(parameter, parts[0]),))
    if len(parts) > 2 or parts == ["", ""]:
        raise BadValue("not code, system|code, |code or system|")
    system, code = parts
    if not code:
        return Match(TABLE, parameter.code, (Test("system", "=", system),))
    alternatives: list[Node] = []
    if not system or parameter.kinds - _IMPLIED:
        tests = (Test("system", "=", system), _code_test(parameter, code))
        alternatives.append(Match(TABLE, parameter.code, tests))
    if system and _implies(parameter, system):
        tests = (Test("system", "=", ""), Test("code", "=", code))
        alternatives.append(Match(TABLE, parameter.code, tests))
    if not alternatives:
        return NOTHING
    return alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))


def _code_test(parameter: Parameter, code: str) -> Test:
    folded = code.casefold()
    if "string" not in parameter.kinds or folded == code:
        return Test("code", "=", code)
    if parameter.kinds == {"string"}:
        return Test("code", "=", folded)
    return Test("code", "in", (code, folded))


def _implies(parameter: Parameter, system: str) -> bool:
    """Whether the elements' codes are of this system though the resource does not say so."""
    if "code" in parameter.kinds and (parameter.systems is None or system in parameter.systems):
        return True
    return "boolean" in parameter.kinds and system in SPECIAL_VALUES
