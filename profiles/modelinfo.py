"""Writes what rules/ needs to know of R4: `python -m profiles.modelinfo`.

rules/ may not import profiles, so the tables lie in rules/model/. fhir_r4.json, one row a type: its base, and
its own elements as "Quantity|string" (a choice), "*CodeableConcept" (a list). compartments.json: for each
compartment and type of resource, where the references are that put it there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from profiles.definitions import Definitions, Element, load

TARGET = Path(__file__).parents[1] / "rules" / "model" / "fhir_r4.json"
COMPARTMENTS = TARGET.with_name("compartments.json")

# A profile of Quantity that the model of CQL has a type for, as it has for SimpleQuantity.
_ADDED: Final = {"MoneyQuantity": ["Quantity"]}
_REFERENCE: Final = re.compile(r"\(?(\w+(?:\.\w+)+)(?:\.where\(resolve\(\) is \w+\)| as Reference\))?")


def table() -> str:
    """The types as text, one line a type; FHIR's enumerations are types that specialise code."""
    definitions = load()
    rows: dict[str, Any] = {}
    for name, type_ in definitions.types.items():
        base = definitions.types[type_.base] if type_.base else None
        inherited = base.elements if base else {}
        own = {
            n: _types(e, definitions.enumerations.get(f"{name}.{n}"))
            for n, e in type_.elements.items()
            if inherited.get(n) != e
        }
        rows[name] = [type_.base, own] if own else [type_.base]
    rows |= _ADDED | {name: ["code"] for name in sorted(set(definitions.enumerations.values()))}
    return _lines(rows)


def _types(element: Element, enumeration: str | None) -> str:
    many = "*" if element.max is None or element.max > 1 else ""
    if enumeration is not None:
        return many + enumeration
    names = dict.fromkeys(("?" if element.choice else "") + type_.code for type_ in element.types)
    return many + "|".join(names).replace("|?", "|")


def compartments() -> str:
    """Compartment -> {type of resource: [paths of references in the data]}, one line a compartment."""
    definitions = load()
    found = {
        name: {type_: _paths(definitions, type_, codes) for type_, codes in members.items()}
        for name, members in definitions.compartments.items()
    }
    return _lines(found)


def _paths(definitions: Definitions, type_: str, codes: tuple[str, ...]) -> list[str]:
    parameters = {
        parameter.code: parameter.expression or "" for parameter in definitions.search_parameters(type_)
    }
    found: dict[str, None] = {}
    for alternative in (a.strip() for code in codes for a in parameters[code].split("|")):
        match = _REFERENCE.fullmatch(alternative)
        if match is None:
            raise ValueError(f"{alternative} is no path to a reference")
        found[_in_data(definitions, type_, match[1].split(".")[1:])] = None
    return list(found)


def _in_data(definitions: Definitions, type_: str, names: list[str]) -> str:
    """The path by the names of JSON, where a choice says its type."""
    written = []
    for name in names:
        element = definitions.types[type_].elements[name]
        written.append(f"{name}Reference" if element.choice else name)
        type_ = element.types[0].code
    return ".".join(written)


def _lines(rows: Mapping[str, Any]) -> str:
    written = (f"{json.dumps(name)}:{json.dumps(row, separators=(',', ':'))}" for name, row in rows.items())
    return "{\n" + ",\n".join(written) + "\n}\n"


if __name__ == "__main__":
    TARGET.write_text(table(), encoding="utf-8")
    COMPARTMENTS.write_text(compartments(), encoding="utf-8")
