"""A ValueSet against the code systems that it is made from: their URLs, codes, properties and filters.

https://hl7.org/fhir/R4/valueset.html#compositions, https://hl7.org/fhir/R4/valueset-filter-operator.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from profiles.codings import is_absolute, is_value_set, may_have, misnamed
from profiles.parts import Part, child, extension, items, text
from profiles.problems import Place, Problems, inside
from terminology.code_system import CodeSystem
from terminology.ecl import wrong_with
from terminology.implicit import SNOMED

_PARAMETER = "http://hl7.org/fhir/tools/StructureDefinition/valueset-parameter"
_EXPRESSION = "http://hl7.org/fhir/StructureDefinition/cqf-expression"
_VARIABLE = re.compile(r"%(?:`([^`]+)`|'([^']+)'|([A-Za-z_][A-Za-z0-9_\-]*))")
_CODING = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^#\s]*#.+")
# Filters on these, and with these operators, are about codes of the system itself.
_OF_CODES = frozenset({"concept", "code", "parent", "child"})
_OF_HIERARCHY = frozenset({"is-a", "descendent-of", "is-not-a", "generalizes", "child-of", "descendent-leaf"})
_VALUES = frozenset({"=", "in", "not-in"})


def check(value_set: Part, at: Place, out: Problems) -> None:
    """The thorough check of a ValueSet calls this."""
    compose, place = child(value_set, "compose"), inside(at, "compose")
    parameters = frozenset(_parameters(value_set))
    for name in ("include", "exclude"):
        for part, where in items(compose, name, place):
            _check_part(part, parameters, where, out)


def _parameters(value_set: Part) -> Iterator[str]:
    """The names of the parameters that it declares."""
    for found, at in items(value_set, "extension", (0, None, "")):
        if found.get("url") == _PARAMETER:
            for part, _ in items(found, "extension", at):
                if part.get("url") == "name":
                    yield str(part.get("valueCode") or part.get("valueString"))


def _check_part(part: Part, parameters: frozenset[str], at: Place, out: Problems) -> None:
    system = text(part, "system")
    for filter_, where in items(part, "filter", at):
        _check_expression(filter_, parameters, where, out)
        if system:
            _check_filter(system, filter_, where, out)
    if system is None:
        return
    if not is_absolute(system):
        said = (
            "system must be absolute: for a contained code system its URL, and the extension valueset-system"
        )
        out.add("invalid", said, at)
    elif is_value_set(system, out):
        said = f"{system[:200]} is a value set: it belongs into {at[2]}.valueSet"
        out.add("invalid", said, inside(at, "system"))
    elif is_judged(system, text(part, "version"), out):
        for concept, where in items(part, "concept", at):
            check_listed(system, concept, where, out)


def is_judged(system: str, version: str | None, out: Problems) -> bool:
    """Whether what is known of a system holds for the version that is meant."""
    known: CodeSystem | None = out.context.system(system) if version else None
    return known is None or known.version in (None, version)


def check_listed(system: str, concept: Part, at: Place, out: Problems) -> None:
    """A code that a list has of a system, with its display."""
    code, display = text(concept, "code"), text(concept, "display")
    if code is None:
        return
    out.context.spend()
    if not may_have(system, code, out):
        out.add("code-invalid", f"The code is none of the code system {system[:200]}", at)
    elif display and (said := misnamed(system, code, display, out)):
        out.add("invalid", said, inside(at, "display"), "warning")


# Filters


def _check_filter(system: str, filter_: Part, at: Place, out: Problems) -> None:
    name, op, value = (text(filter_, key) for key in ("property", "op", "value"))
    if name is None or op is None or value is None:
        return
    if system == SNOMED and (name, op) in (("constraint", "="), ("expression", "=")):
        if reason := wrong_with(value):
            out.add("invalid", f"The constraint is no expression of SNOMED CT's ECL: {reason}", at)
        return
    if op in _OF_HIERARCHY or (name in _OF_CODES and op in _VALUES):
        _check_codes(system, op, value, at, out)
        return
    type_ = _property_type(out.context.system(system), name)
    if type_ == "Coding" and op in _VALUES:
        _check_codings(op, value, at, out)
    elif type_ == "boolean" and op == "=" and value not in ("true", "false"):
        out.add("invalid", f"The property {name[:64]} is true or false", at)
    elif type_ == "code" and op in _VALUES and _is_own(system, name, out):
        _check_codes(system, op, value, at, out)
    elif op == "exists" and value not in ("true", "false"):
        out.add("invalid", "The operator exists takes true or false", at)


def _listed(op: str, value: str) -> list[str]:
    return [value] if op not in ("in", "not-in") else [part.strip() for part in value.split(",")]


def _check_codes(system: str, op: str, value: str, at: Place, out: Problems) -> None:
    for code in _listed(op, value):
        out.context.spend()
        if not may_have(system, code, out):
            out.add("invalid", "The filter's value is no code of the code system", at)


def _check_codings(op: str, value: str, at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/codesystem.html#filters: a Coding is written system(|version)#code."""
    for coding in _listed(op, value):
        if not _CODING.fullmatch(coding):
            out.add("invalid", "The property is a Coding: its value is written system#code", at)
            continue
        canonical, _, code = coding.partition("#")
        system, _, version = canonical.partition("|")
        if is_judged(system, version or None, out) and not may_have(system, code, out):
            out.add("invalid", "The filter's value is no code of the code system that it names", at)


def _property_type(system: CodeSystem | None, name: str) -> str | None:
    """The type that a code system declares for a property."""
    resource: Mapping[str, object] = system.resource if system else {}
    found = [
        part.get("type") for part, _ in items(resource, "property", (0, None, "")) if part.get("code") == name
    ]
    return str(found[0]) if found else None


def _is_own(system: str, name: str, out: Problems) -> bool:
    """Whether a property of type code means codes of its own system, as those of the hierarchy do."""
    known: CodeSystem | None = out.context.system(system)
    uri = known.property_uri(name) if known else None
    return uri is not None and uri.rpartition("#")[2] in ("parent", "child", "subsumedBy")


# Expressions in the place of a filter's value


def _check_expression(filter_: Part, parameters: frozenset[str], at: Place, out: Problems) -> None:
    """An expression can only be FHIRPath over the value set's own parameters."""
    found = extension(child(filter_, "_value"), _EXPRESSION)
    expression = child(found or {}, "valueExpression")
    language, written = text(expression, "language"), text(expression, "expression")
    if language not in (None, "text/fhirpath"):
        out.add("invalid", "The expression of a filter must be in text/fhirpath", at)
        return
    for match in _VARIABLE.finditer(written or ""):
        name = next(filter(None, match.groups()))
        if not _declared(name, parameters):
            out.add("not-found", f"The value set has no parameter {name[:64]}", at)


def _declared(name: str, parameters: frozenset[str]) -> bool:
    """Without quotes `%a-b` may be the parameter a-b, or b taken from a."""
    steps = name.split("-")
    return any("-".join(steps[: length + 1]) in parameters for length in range(len(steps)))
