"""Known defects of the published R4 definitions, mended here and nowhere else, each with its reason.

https://hl7.org/fhir/R4/history.html. The two that concern the derived table itself are in generate.py, which
writes the table: ELEMENT_TYPES.
"""

from __future__ import annotations

from typing import Any

_HL7 = "http://hl7.org/fhir/StructureDefinition/"

# canonical -> element id -> the facts to put in place of the published ones
ELEMENTS: dict[str, dict[str, dict[str, Any]]] = {
    # Forbids the extensions of `revision`, and then asks for three of them.
    _HL7 + "codesystem-history": {"Extension.extension:revision.extension": {"max": "*"}},
}

# canonical of an extension -> places where it may stand besides those that its context names
CONTEXTS: dict[str, tuple[str, ...]] = {
    # R4's own snapshots have them on the type itself and not on its code.
    _HL7 + "structuredefinition-fhir-type": ("ElementDefinition.type",),
    _HL7 + "regex": ("ElementDefinition.type",),
}


def mended(definition: dict[str, Any]) -> dict[str, Any]:
    """A published StructureDefinition without its known defects."""
    url = definition.get("url", "")
    if url in CONTEXTS:
        more = [{"type": "element", "expression": place} for place in CONTEXTS[url]]
        definition = {**definition, "context": [*definition.get("context", ()), *more]}
    if url in ELEMENTS:
        changes = ELEMENTS[url]
        elements = [{**e, **changes.get(e.get("id", ""), {})} for e in definition["differential"]["element"]]
        definition = {**definition, "differential": {"element": elements}}
    return definition
