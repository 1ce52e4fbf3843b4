"""Extensions against their definitions: known or not, in a place that allows them, with the right content.

https://hl7.org/fhir/R4/extensibility.html, https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from profiles.conformance import conform
from profiles.definitions import Definitions, load
from profiles.invariants import compile_rule
from profiles.problems import Place, Problems
from rules.fhirpath import CompileError, Element, EvaluationError

# Where HL7 alone defines extensions: one that is not known there is a mistake. Those of other versions of
# FHIR (.../5.0/StructureDefinition/extension-...) and of guides cannot be known here.
_OF_HL7 = re.compile(r"http://hl7\.org/fhir/(?!test/|tools/|[1-9]\.[0-9]/)")
_OF_ANOTHER_VERSION = re.compile(r"http://hl7\.org/fhir/[1-9]\.[0-9]/StructureDefinition/extension-")
_OFTYPE = re.compile(r"(.+)\.ofType\((.+)\)")


def known_extension(value: Mapping[str, Any], at: Place, out: Problems) -> None:
    """The thorough check of an Extension calls this at its end."""
    url = value.get("url")
    if type(url) is not str or out.context is None:
        return
    modifies = at[2] == "modifierExtension"
    if ":" not in url:
        return  # a part of a complex extension, which its definition judges
    definition = out.context.definition(url)
    if definition is None or definition.get("type") != "Extension":
        _unknown(url, modifies, at, out)
        return
    _check_kind(is_modifier(definition), modifies, at, out)
    _check_context(definition, value, at, out)
    conform(value, (url,), at, out)


def _unknown(url: str, modifies: bool, at: Place, out: Problems) -> None:
    later = load().later_extensions.get(url)
    if later is not None:
        _check_kind(later, modifies, at, out)
        out.add("informational", "What this extension holds is not known here", at, "information")
    elif modifies and not _OF_ANOTHER_VERSION.match(url):
        out.add("extension", "This modifier extension is not known here: what it changes is not known", at)
    elif _OF_HL7.match(url):
        out.add("structure", f"HL7 defines no extension {url[:200]}", at)
    else:
        out.add("informational", "This extension is not known here", at, "information")


def is_modifier(definition: Mapping[str, Any]) -> bool:
    """Whether an extension changes the meaning of what has it."""
    views = (definition.get(view, {}).get("element") for view in ("differential", "snapshot"))
    elements = next(filter(None, views), ())
    return any(e.get("path") == "Extension" and e.get("isModifier") is True for e in elements)


def _check_kind(changes: bool, modifies: bool, at: Place, out: Problems) -> None:
    if changes and not modifies:
        out.add("structure", "This extension changes meaning: it belongs into modifierExtension", at)
    elif modifies and not changes:
        out.add("structure", "This extension changes no meaning: it belongs into extension", at)


def _check_context(definition: Mapping[str, Any], value: Any, at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/defining-extensions.html#context: where it may stand, and what holds there."""
    contexts = [c for c in _list(definition.get("context")) if isinstance(c, dict)]
    here = standing(at[1], out.context.document) if at[1] is not None else None
    if here is None:
        return
    answers = [_is_in(context, here, at, out) for context in contexts]
    if contexts and True not in answers and None not in answers:
        wanted = [str(context.get("expression", "")) for context in contexts]
        out.add("structure", f"This extension may stand only on {', '.join(wanted[:20])}", at)
        return
    for expression in _list(definition.get("contextInvariant")):
        held = _hold(str(expression), here, value, at, out)
        if held is False:
            out.add("invariant", f"This extension may stand only where {str(expression)[:1000]}", at)


@dataclass(frozen=True, slots=True)
class Standing:
    """An element that has an extension: its value, what stands beside it if it is a primitive, its type, and
    every name that a context may call it."""

    value: Any
    beside: Any
    type: str
    names: frozenset[str]


def _is_in(context: Mapping[str, Any], here: Standing, at: Place, out: Problems) -> bool | None:
    """Whether a context allows the place; None where that cannot be judged."""
    expression = str(context.get("expression", ""))
    if context.get("type") != "fhirpath":
        return expression in here.names
    resource = out.resource
    found = _evaluate(expression, _resource_type(resource) or "Resource", resource, {}, at, out, "typed")
    if found is None:
        return None
    return any(
        isinstance(item, Element)
        and (item.extra is here.beside if here.beside is not None else item.value is here.value)
        for item in found
    )


def _hold(expression: str, here: Standing, extension: Any, at: Place, out: Problems) -> bool | None:
    """Whether an invariant of a context holds; None where that cannot be judged."""
    element = here.value if here.beside is None else Element(here.value, here.type, here.beside)
    variables = {"extension": Element(extension, "Extension")}
    held = _evaluate(expression, here.type, element, variables, at, out, "holds")
    return None if held is None else held is True


def _evaluate(
    expression: str, type_: str, focus: Any, variables: dict[str, Any], at: Place, out: Problems, form: str
) -> Any:
    """What an expression of a definition gives; None, with a remark, where it cannot be evaluated."""
    try:
        compiled = compile_rule(expression, type_, published=False)
        called = compiled.typed if form == "typed" else compiled.holds
        found = called(
            focus, out.context.environment, resource=out.resource, rootResource=out.root, **variables
        )
    except (CompileError, EvaluationError) as error:
        said = f"Where this extension may stand could not be judged: {str(error)[:200]}"
        out.add("not-supported", said, at, "information")
        return None
    return False if found is None else found


def standing(at: Place, document: Any, definitions: Definitions | None = None) -> Standing | None:
    """The element at a place of a document; None where the definitions do not have it.

    Its names are its path, its type and their bases. The path starts at the resource, at each data type on
    the way, and for extensions it is the url.
    """
    definitions = definitions or load()
    steps: list[Place] = []
    place: Place | None = at
    while place is not None and place[1] is not None:
        steps.append(place)
        place = place[1]
    value, beside, type_ = document, None, _resource_type(document)
    names = {type_} if type_ else set()
    for step in reversed(steps):
        value, beside, type_, names = _step(value, type_, names, step, definitions)
        if not names:
            return None
    if type_ is None:
        return None
    if isinstance(value, dict) and type_ == "Extension":
        names.add(str(value.get("url")))
    more = set(definitions.bases(type_)) if type_ in definitions.types else set()
    # R4's own extensions mean resources too when they say Element
    return Standing(value, beside, type_, frozenset(names | more | {"*", "Element"}))


def _step(
    value: Any, type_: str | None, names: set[str], step: Place, definitions: Definitions
) -> tuple[Any, Any, str | None, set[str]]:
    label = step[2]
    match = _OFTYPE.fullmatch(label)
    name, chosen = (match[1], match[2]) if match else (label, None)
    definition = definitions.types.get(type_ or "")
    element = definition.elements.get(name) if definition else None
    if element is None:
        return None, None, None, set()
    property_ = name + chosen[0].upper() + chosen[1:] if chosen else name
    beside = value.get("_" + property_) if isinstance(value, dict) else None
    value = value.get(property_) if isinstance(value, dict) else None
    if len(step) == 4:
        value, beside = (
            each[step[3]] if isinstance(each, list) and step[3] < len(each) else None
            for each in (value, beside)
        )
    if chosen is None and element.types:
        chosen = element.types[0].code
    if chosen == "Resource":
        found = _resource_type(value)
        return value, None, found, {found} if found else set()
    suffix = "[x]" if element.choice else ""
    after = {f"{n}.{name}{suffix}" for n in names} | {f"{n}.{name}" for n in names}
    for base in definitions.bases(type_ or "") if type_ else ():
        after |= {f"{base}.{name}{suffix}"}
    return value, beside, chosen, after | ({chosen} if chosen else set())


def _resource_type(value: Any) -> str | None:
    found = value.get("resourceType") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
