"""Extensions against their definitions: known or not, in a place that allows them, with the right content.

https://hl7.org/fhir/R4/extensibility.html, https://hl7.org/fhir/R4/defining-extensions.html#context
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from profiles.conformance import conform
from profiles.definitions import Definitions, load
from profiles.problems import Place, Problems

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
    _check_kind(definition, modifies, at, out)
    _check_context(definition, at, out)
    conform(value, (url,), at, out)


def _unknown(url: str, modifies: bool, at: Place, out: Problems) -> None:
    if modifies and not _OF_ANOTHER_VERSION.match(url):
        out.add("extension", "This modifier extension is not known here: what it changes is not known", at)
    elif _OF_HL7.match(url):
        out.add("structure", f"HL7 defines no extension {url[:200]}", at)
    else:
        out.add("informational", "This extension is not known here", at, "information")


def _check_kind(definition: Mapping[str, Any], modifies: bool, at: Place, out: Problems) -> None:
    elements = definition.get("differential", {}).get("element") or definition.get("snapshot", {}).get(
        "element"
    )
    is_modifier = any(e.get("path") == "Extension" and e.get("isModifier") is True for e in elements or ())
    if is_modifier and not modifies:
        out.add("structure", "This extension changes meaning: it belongs into modifierExtension", at)
    elif modifies and not is_modifier:
        out.add("structure", "This extension changes no meaning: it belongs into extension", at)


def _check_context(definition: Mapping[str, Any], at: Place, out: Problems) -> None:
    contexts = definition.get("context")
    if not isinstance(contexts, list) or at[1] is None:
        return
    if any(c.get("type") not in ("element", "extension") for c in contexts if isinstance(c, dict)):
        return  # a FHIRPath selects the places
    here = paths(at[1], out.context.document)
    wanted = [c.get("expression", "") for c in contexts if isinstance(c, dict)]
    if not here.isdisjoint(wanted) or not here:
        return
    out.add("structure", f"This extension may stand only on {', '.join(wanted[:20])}", at)


def paths(at: Place, document: Any, definitions: Definitions | None = None) -> set[str]:
    """Every name that a context may call the element at a place: its path, its type and their bases.

    The path starts at the resource, at each data type on the way, and for extensions it is the url.
    """
    definitions = definitions or load()
    steps: list[Place] = []
    place: Place | None = at
    while place is not None and place[1] is not None:
        steps.append(place)
        place = place[1]
    value = document
    type_ = _resource_type(value)
    names = {type_} if type_ else set()
    for step in reversed(steps):
        value, type_, names = _step(value, type_, names, step, definitions)
        if not names:
            return set()
    if isinstance(value, dict) and type_ == "Extension":
        names.add(str(value.get("url")))
    more = set(definitions.bases(type_)) if type_ and type_ in definitions.types else set()
    return names | more | {"*", "Element"}  # R4's own extensions mean resources too when they say Element


def _step(
    value: Any, type_: str | None, names: set[str], step: Place, definitions: Definitions
) -> tuple[Any, str | None, set[str]]:
    label = step[2]
    match = _OFTYPE.fullmatch(label)
    name, chosen = (match[1], match[2]) if match else (label, None)
    definition = definitions.types.get(type_ or "")
    element = definition.elements.get(name) if definition else None
    if element is None:
        return None, None, set()
    property_ = name + chosen[0].upper() + chosen[1:] if chosen else name
    value = value.get(property_) if isinstance(value, dict) else None
    if len(step) == 4:
        value = value[step[3]] if isinstance(value, list) and step[3] < len(value) else None
    if chosen is None and element.types:
        chosen = element.types[0].code
    if chosen == "Resource":
        found = _resource_type(value)
        return value, found, {found} if found else set()
    suffix = "[x]" if element.choice else ""
    after = {f"{n}.{name}{suffix}" for n in names} | {f"{n}.{name}" for n in names}
    for base in definitions.bases(type_ or "") if type_ else ():
        after |= {f"{base}.{name}{suffix}"}
    return value, chosen, after | ({chosen} if chosen else set())


def _resource_type(value: Any) -> str | None:
    found = value.get("resourceType") if isinstance(value, dict) else None
    return found if isinstance(found, str) else None
