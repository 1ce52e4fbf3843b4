"""Compartments: everything that is linked to one resource, https://hl7.org/fhir/R4/compartmentdefinition.html"""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.search import parameters
from fhir_server.search.query import EVERYTHING, Match, Node, Or, Test
from profiles import definitions

NAMES = tuple(definitions.load().compartments)  # Patient, Encounter, ...


def types(name: str) -> tuple[str, ...]:
    """The resource types that can be in such a compartment; a resource is in its own."""
    return tuple(dict.fromkeys((name, *definitions.load().compartments[name])))


def conditions(type: str, compartment: tuple[str, str] | None) -> Iterator[Node]:
    """What resources of a type fulfil if they are in the compartment, (its name, the id; "" for any)."""
    if compartment is None:
        return
    name, id = compartment
    here = (Test("type", "=", name), *((Test("id", "=", id),) if id else ()))
    alternatives: list[Node] = [Match("reference", code, here) for code in codes(name, type)]
    if type == name:
        alternatives.append(Match("resource", "_id", (Test("id", "=", id),)) if id else EVERYTHING)
    yield alternatives[0] if len(alternatives) == 1 else Or(tuple(alternatives))


def codes(name: str, type: str) -> tuple[str, ...]:
    """The parameters that link a type to a compartment."""
    known = parameters.of(type)
    return tuple(
        code
        for code in definitions.load().compartments[name].get(type, ())
        if code in known and known[code].type == "reference"
    )
