"""SearchParameters, and what CapabilityStatements say of them, against the types and definitions they name.

https://hl7.org/fhir/R4/searchparameter.html, https://hl7.org/fhir/R4/capabilitystatement.html
"""

from __future__ import annotations

from collections.abc import Mapping

from profiles.definitions import alternatives, load, start
from profiles.parts import Part, items, text, texts
from profiles.problems import Place, Problems, inside
from rules import fhirpath

_LONGEST = 10_000  # characters of an expression
_TYPES = load().types


def check(parameter: Part, at: Place, out: Problems) -> None:
    """The thorough check of a SearchParameter calls this."""
    expression = text(parameter, "expression")
    bases = [base for base in texts(parameter, "base") if base in _TYPES]
    if expression and len(expression) <= _LONGEST:
        reasons = {reason for base in bases if (reason := _wrong(expression, base))}
        for reason in sorted(reasons):
            out.add("invalid", f"The expression does not fit: {reason}", inside(at, "expression"))
    canonical = text(parameter, "derivedFrom")
    origin = out.context.artifact("SearchParameter", canonical) if canonical else None
    if type(origin) is dict:
        _check_derived(parameter, origin, at, out)


def _wrong(expression: str, base: str) -> str | None:
    """Why an expression finds nothing in resources of a type, None where it may."""
    own = load().bases(base)
    parts = [p for p in alternatives(expression) if start(p) in own or start(p) not in _TYPES]
    if not parts:
        return f"no part of it is about {base}"
    for part in parts:
        try:
            fhirpath.compile(part, base, strict=True)
        except fhirpath.CompileError as error:
            return f"of {base}, {error.diagnostics[0].message[:500]}"
    return None


def _check_derived(parameter: Part, origin: Mapping[str, object], at: Place, out: Problems) -> None:
    """A parameter that is derived from another one may narrow it, and is of its type."""
    allowed = set(texts(origin, "base"))
    for base in texts(parameter, "base"):
        if base in _TYPES and allowed.isdisjoint(load().bases(base)):
            said = f"{base} is no base of the parameter that this one is derived from"
            out.add("business-rule", said, at)
    if origin.get("type") != parameter.get("type"):
        out.add("business-rule", f"The parameter that it is derived from is a {origin.get('type')}", at)


def check_capabilities(statement: Part, at: Place, out: Problems) -> None:
    """The thorough check of a CapabilityStatement: parameters have the types of their definitions."""
    for rest, place in items(statement, "rest", at):
        for holder, where in ((rest, place), *items(rest, "resource", place)):
            for parameter, here in items(holder, "searchParam", where):
                _check_declared(parameter, here, out)


def _check_declared(parameter: Part, at: Place, out: Problems) -> None:
    canonical = text(parameter, "definition")
    definition = out.context.artifact("SearchParameter", canonical) if canonical else None
    if type(definition) is dict and definition.get("type") != parameter.get("type"):
        said = f"Its definition is a parameter of type {definition.get('type')}, not {parameter.get('type')}"
        out.add("invalid", said, at)
