"""Token parameters: a code, or a system and a code.

https://hl7.org/fhir/R4/search.html#token. Codes and systems match exactly, case and all (the systems in use
are case sensitive or written in one way); only elements of type string match without regard to case. The
system of a code element is what its binding implies; where the definitions do not list it, any is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.string import fold
from fhir_server.search.parameters.text import split, unescape
from fhir_server.search.query import NOTHING, Lookup, Match, Node, Or, Test

TABLE = "token"
SORT = "code"
MODIFIERS = frozenset(("not", "text", "in", "not-in", "above", "below", "of-type"))
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


# What only a modifier looks at, under names of its own: suffix -> (table, FHIR type -> rows).


def _texts_of_coding(value: Mapping[str, Any]) -> list[tuple[str]]:
    return _folded([value.get("display")])


def _texts_of_concept(value: Mapping[str, Any]) -> list[tuple[str]]:
    return _folded([value.get("text"), *(coding.get("display") for coding in value.get("coding", ()))])


def _texts_of_identifier(value: Mapping[str, Any]) -> list[tuple[str]]:
    return _folded([value.get("type", {}).get("text")])


def _folded(texts: Iterable[str | None]) -> list[tuple[str]]:
    return [(folded,) for text in texts if text and (folded := fold(text))]


def _identifier_types(value: Mapping[str, Any]) -> list[Row]:
    return [
        (coding["system"], f"{coding['code']}|{value['value']}")
        for coding in value.get("type", {}).get("coding", ())
        if coding.get("system") and coding.get("code") and value.get("value")
    ]


DERIVED: dict[str, tuple[str, dict[str, Callable[[Any], Iterable[tuple[Any, ...]]]]]] = {
    "text": (
        "word",
        {
            "Coding": _texts_of_coding,
            "CodeableConcept": _texts_of_concept,
            "Identifier": _texts_of_identifier,
            "string": lambda value: _folded([value]),
        },
    ),
    "of-type": ("token", {"Identifier": _identifier_types}),
}


# Matching


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """`code`, `system|code`, `|code` or `system|`. :not is the caller's: it turns round all of an OR.

    With :text the start of a text of the code or value, with :of-type `system|code|value` of an identifier;
    with :in and :not-in a value set; with :above and :below a code and those that are more or less general.
    """
    if modifier == "text":
        return _by_text(parameter, text)
    if modifier == "of-type":
        return _of_type(parameter, text)
    if modifier:
        return Lookup(modifier, parameter.resource, parameter.code, text, parameter)
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


def _by_text(parameter: Parameter, text: str) -> Node:
    folded = fold(unescape(text))
    if not folded:
        raise BadValue("not a text to search for")
    return parameter.derived("word", "text", (Test("folded", "prefix", folded),))


def _of_type(parameter: Parameter, text: str) -> Node:
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 3 or not all(parts):
        raise BadValue("not system|code|value, all three")
    if "Identifier" not in parameter.kinds:
        raise BadValue("of a parameter that is about no identifiers")
    system, code, value = parts
    tests = (Test("system", "=", system), Test("code", "=", f"{code}|{value}"))
    return parameter.derived("token", "of-type", tests)


def one_of(parameter: Parameter, codes: Mapping[str, Iterable[str] | None]) -> Node:
    """One of these codes by system; None: any code of the system."""
    alternatives: list[Node] = []
    for system, several in codes.items():
        listed = None if several is None else tuple(dict.fromkeys(several))
        if listed == ():
            continue
        tests = () if listed is None else (Test("code", "in", listed),)
        alternatives.append(Match(TABLE, parameter.code, (Test("system", "=", system), *tests)))
        if system and _implies(parameter, system):
            alternatives.append(Match(TABLE, parameter.code, (Test("system", "=", ""), *tests)))
    return Or(tuple(alternatives)) if alternatives else NOTHING


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
