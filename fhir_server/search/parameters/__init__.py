"""The search parameters of each resource type; one module per parameter type owns extraction and matching.

https://hl7.org/fhir/R4/searchparameter-registry.html. Each module has TABLE (of query.TABLES), SORT (the
column to sort by, None if it cannot), MODIFIERS, ROWS (FHIR type -> function from a value to rows), LEFT_OUT
(FHIR types that a parameter names but that have no meaning for it), perhaps DERIVED (suffix -> table and such
functions, for what modifiers look at) and match(parameter, modifier, text, scope) -> Node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import cache
from types import ModuleType
from typing import Any

from fhir_server.search.parameters import (
    age,
    composite,
    date,
    near,
    number,
    quantity,
    reference,
    string,
    token,
    uri,
    words,
)
from fhir_server.search.parameters.composite import Within
from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope, derived_code
from fhir_server.search.query import Node
from profiles import definitions
from rules import fhirpath

__all__ = [
    "TYPES",
    "BadValue",
    "Parameter",
    "Scope",
    "Within",
    "compiled",
    "converter",
    "derived_code",
    "find",
    "of",
    "table_of",
]

TYPES: Mapping[str, ModuleType] = {
    "token": token,
    "string": string,
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "uri": uri,
    "special": near,
}
# These two are columns of every version, not rows: parse.py gives them their meaning.
OF_THE_VERSION = frozenset(("_id", "_lastUpdated"))
# Parameters whose published expression is not FHIRPath (hasExtension() is no function of it) or missing.
_AMENDED = {
    "http://hl7.org/fhir/SearchParameter/"
    "questionnaireresponse-extensions-QuestionnaireResponse-item-subject": (
        "QuestionnaireResponse.item.where(extension('http://hl7.org/fhir/StructureDefinition/"
        "questionnaireresponse-isSubject').exists()).answer.value.ofType(Reference)"
    ),
    "http://hl7.org/fhir/SearchParameter/patient-extensions-Patient-birthOrderBoolean": (
        "Patient.multipleBirth.ofType(boolean)"
    ),
}

Rows = Callable[[Any], Iterable[tuple[Any, ...]]]


@cache
def of(type: str) -> Mapping[str, Parameter]:
    """Code -> parameter, of everything that can be searched for in this resource type."""
    every = map(_amended, definitions.load().search_parameters(type))
    published = [
        parameter
        for parameter in every
        if parameter.expression or words.indexed(type, parameter.code) or parameter.url == age.URL
    ]
    versioned = any(parameter.code == "version" for parameter in published)
    found = {p.code: compiled(type, p, versioned) for p in published if p.type != "composite"}
    for parameter in published:
        if parameter.type == "composite":
            branches = fhirpath.branches(parameter.expression or "", type)
            found[parameter.code] = Parameter(
                parameter.code,
                "composite",
                parameter.url,
                branches,
                frozenset(),
                resource=type,
                parts=parameter.components,
            )
    return dict(sorted(found.items()))


def find(type: str, code: str, scope: Scope) -> Parameter | None:
    """The parameter of that code, of those that are published or else of those that were posted."""
    return of(type).get(code) or scope.posted.get(type, {}).get(code)


def _amended(published: definitions.SearchParameter) -> definitions.SearchParameter:
    expression = _AMENDED.get(published.url)
    return replace(published, expression=expression) if expression else published


def compiled(type: str, published: definitions.SearchParameter, versioned: bool = False) -> Parameter:
    """The parameter as it is for one resource type; rules.fhirpath.CompileError where it makes no sense."""
    model = definitions.load()
    branches: tuple[fhirpath.Branch, ...] = ()
    if published.expression:
        branches = fhirpath.branches(published.expression, type)
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
        type,
    )


def _key(branch: fhirpath.Branch) -> tuple[Any, ...]:
    """Equal for branches that look at the same values."""
    return branch.root, branch.source, branch.type


def sharing(type: str, branch: fhirpath.Branch) -> tuple[str, ...]:
    """The codes of the parameters of a type that look at what a branch looks at."""
    return _sharing(type)[_key(branch)]


@cache
def _sharing(type: str) -> dict[tuple[Any, ...], tuple[str, ...]]:
    codes: dict[tuple[Any, ...], dict[str, None]] = {}
    for parameter in of(type).values():
        if hasattr(module_of(parameter), "DERIVED"):
            for branch in parameter.branches:
                codes.setdefault(_key(branch), {})[parameter.code] = None
    return {key: tuple(each) for key, each in codes.items()}


@cache
def sharer(type: str, code: str) -> Parameter:
    """The parameter, knowing with whom it shares the rows that are derived from what it looks at."""
    parameter = of(type)[code]
    if not hasattr(module_of(parameter), "DERIVED"):
        return parameter
    return replace(parameter, shared=tuple(dict.fromkeys(sharing(type, b) for b in parameter.branches)))


def table_of(parameter: Parameter) -> str:
    """The table in which every resource that has the parameter has a row of it."""
    return str(module_of(parameter).TABLE)


def modifiers(parameter: Parameter) -> frozenset[str]:
    """Those that the parameter supports; a reference takes the name of a resource type as well."""
    found: frozenset[str] = module_of(parameter).MODIFIERS
    if not parameter.branches or parameter.type in ("composite", "special"):
        return found
    return found | {"missing"} | ({"[type]"} if parameter.type == "reference" else set())


def module_of(parameter: Parameter) -> ModuleType:
    """Where the parameter's type is at home."""
    if parameter.type == "composite":
        return composite
    if parameter.url == age.URL:
        return age
    return words if parameter.code in words.CODES else TYPES[parameter.type]


@cache
def composites(type: str) -> Mapping[str, tuple[Within | tuple[Parameter, ...], ...]]:
    """Code of a composite parameter -> where its parts must meet: in elements, or in the resource itself.

    Parameters whose parts meet in the same elements in the same way share rows.
    """
    own = of(type)
    found: dict[str, list[Within | tuple[Parameter, ...]]] = {}
    sharing: dict[Any, dict[str, None]] = {}
    for parameter in own.values():
        for branch in parameter.branches if parameter.type == "composite" else ():
            if not branch.path:
                alike = composite.whole(type, parameter.parts, own, compiled)
                found.setdefault(parameter.code, []).append(tuple(sharer(type, p.code) for p in alike))
                continue
            parts = composite.parts_of(branch.type, parameter.parts, own, compiled)
            found.setdefault(parameter.code, []).append(Within(branch, parts, parameter.code))
            sharing.setdefault(_meeting(branch, parts), {})[parameter.code] = None
    return {
        code: tuple(
            replace(each, code=",".join(sharing[_meeting(each.branch, each.parts)]))
            if isinstance(each, Within)
            else each
            for each in alternatives
        )
        for code, alternatives in found.items()
    }


def _meeting(branch: fhirpath.Branch, parts: Iterable[composite.Part]) -> tuple[Any, ...]:
    each = ((part.parameter.type, tuple(map(_key, part.parameter.branches))) for part in parts)
    return (_key(branch), *each)


def match(parameter: Parameter, modifier: str | None, text: str, scope: Scope) -> Node:
    """The condition that one value (without commas) stands for."""
    if parameter.type == "composite":
        return composite.match(parameter, text, scope, composites(parameter.resource)[parameter.code])
    known = parameter if parameter.shared else sharer(parameter.resource, parameter.code)
    node: Node = module_of(parameter).match(known, modifier, text, scope)
    return node


def _targets(published: definitions.SearchParameter, branches: Iterable[fhirpath.Branch]) -> tuple[str, ...]:
    """What the elements can point to, as far as the parameter allows it; () where one can point anywhere."""
    found: dict[str, None] = {}
    for branch in branches:
        allowed = branch.targets or _element_targets(branch) or published.targets
        if not allowed:
            return ()
        found |= dict.fromkeys(t for t in allowed if not published.targets or t in published.targets)
    return tuple(found)


def _element(branch: fhirpath.Branch) -> definitions.Element | None:
    """The definition of the element that a branch ends at."""
    owner = definitions.load().types.get(branch.owner)
    return owner.elements.get(branch.name) if owner else None


def _element_targets(branch: fhirpath.Branch) -> tuple[str, ...]:
    element = _element(branch)
    if element is None or branch.path[-1] not in element.properties:
        return ()
    return element.properties[branch.path[-1]].targets


def _systems(
    branches: Iterable[fhirpath.Branch], value_sets: Mapping[str, Mapping[str, Any]]
) -> frozenset[str] | None:
    """The code systems that the bindings of all code elements imply; None where one is not listed."""
    found: set[str] = set()
    for branch in branches:
        if branch.type == "code":
            element = _element(branch)
            systems = value_sets.get((element and element.value_set) or "")
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
