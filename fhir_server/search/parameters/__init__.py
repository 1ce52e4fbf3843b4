"""The search parameters of each resource type; one module per parameter type owns extraction and matching.

https://hl7.org/fhir/R4/searchparameter-registry.html. Each module has TABLE (of query.TABLES), SORT (the
column to sort by), MODIFIERS, ROWS (FHIR type -> function from a value to rows), LEFT_OUT (FHIR types that a
parameter names but that have no meaning for it) and match(parameter, modifier, text, scope) -> Node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import ModuleType
from typing import Any

from fhir_server.search.parameters import date, number, quantity, reference, string, token, uri
from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from profiles import definitions
from rules import fhirpath

__all__ = ["TYPES", "BadValue", "Parameter", "Scope", "converter", "of"]

TYPES: Mapping[str, ModuleType] = {
    "token": token,
    "string": string,
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "uri": uri,
}
# These two are columns of every version, not rows: parse.py gives them their meaning.
OF_THE_VERSION = frozenset(("_id", "_lastUpdated"))
# Published expressions that are not FHIRPath: hasExtension() is not a function of it.
NOT_FHIRPATH = frozenset(
    (
        "http://hl7.org/fhir/SearchParameter/questionnaireresponse-extensions-QuestionnaireResponse-item-subject",
    )
)

Rows = Callable[[Any], Iterable[tuple[Any, ...]]]


@cache
def of(type: str) -> Mapping[str, Parameter]:
    """Code -> parameter, of everything that can be searched for in this resource type."""
    published = {
        parameter.code: parameter
        for parameter in definitions.load().search_parameters(type)
        if parameter.type in TYPES and parameter.expression and parameter.url not in NOT_FHIRPATH
    }
    return {
        code: _parameter(type, parameter, "version" in published) for code, parameter in published.items()
    }


def _parameter(type: str, published: definitions.SearchParameter, versioned: bool) -> Parameter:
    model = definitions.load()
    branches = fhirpath.branches(published.expression or "", type=type, model=model)
    branches = tuple(b for b in branches if b.type not in TYPES[published.type].LEFT_OUT)
    return Parameter(
        published.code,
        published.type,
        published.url,
        branches,
        frozenset(branch.type for branch in branches),
        _targets(published, branches) if published.type == "reference" else (),
        _systems(branches, model.value_sets) if published.type == "token" else None,
        versioned,
    )


def _targets(published: definitions.SearchParameter, branches: Iterable[fhirpath.Branch]) -> tuple[str, ...]:
    """What the elements can point to, as far as the parameter allows it; () where one can point anywhere."""
    found: dict[str, None] = {}
    for branch in branches:
        allowed = branch.targets or published.targets
        if not allowed:
            return ()
        found |= dict.fromkeys(t for t in allowed if not published.targets or t in published.targets)
    return tuple(found)


def _systems(
    branches: Iterable[fhirpath.Branch], value_sets: Mapping[str, Mapping[str, Any]]
) -> frozenset[str] | None:
    """The code systems that the bindings of all code elements imply; None where one is not listed."""
    found: set[str] = set()
    for branch in branches:
        if branch.type == "code":
            systems = value_sets.get(getattr(branch.element, "value_set", None) or "")
            if systems is None:
                return None
            found |= systems.keys()
    return frozenset(found)


def converter(parameter_type: str, fhir_type: str) -> Rows:
    """The function from a value of the FHIR type to rows of the parameter type's table."""
    rows: Mapping[str, Rows] = TYPES[parameter_type].ROWS
    if fhir_type == "Extension":
        return _of_extension(rows)
    return rows[fhir_type]


def _of_extension(rows: Mapping[str, Rows]) -> Rows:
    """An extension counts as the value it carries: value[x] says its type."""
    by_property = {f"value{name[0].upper()}{name[1:]}": convert for name, convert in rows.items()}

    def convert(value: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
        for key in value.keys() & by_property.keys():
            return by_property[key](value[key])
        return ()

    return convert
