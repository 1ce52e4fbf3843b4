"""Known defects of the published R4 definitions, mended here and nowhere else, each with its reason.

https://hl7.org/fhir/R4/history.html. The two that concern the derived table itself are in generate.py, which
writes the table: ELEMENT_TYPES.
"""

from __future__ import annotations

from typing import Any

_HL7 = "http://hl7.org/fhir/StructureDefinition/"


def _like(profile: str, element: str) -> dict[str, Any]:
    """The type of an element that is like one of another profile."""
    extension = {"url": _HL7 + "elementdefinition-profile-element", "valueString": element}
    return {
        "code": "BackboneElement",
        "profile": [_HL7 + profile],
        "_profile": [{"extension": [extension]}],
    }


# canonical -> element id -> the facts to put in place of the published ones
ELEMENTS: dict[str, dict[str, dict[str, Any]]] = {
    # Forbids the extensions of `revision`, and then asks for three of them.
    _HL7 + "codesystem-history": {"Extension.extension:revision.extension": {"max": "*"}},
    # The profile whose sections it takes is published under another name.
    _HL7 + "example-composition": {
        f"Composition.section:{name}": {
            "type": [_like("example-section-library", f"Composition.section:{name}")]
        }
        for name in ("procedure", "medications", "plan")
    },
    # Gives its one slice of conditions a name and says of no condition whether it is in it: all are meant.
    _HL7 + "familymemberhistory-genetic": {
        f"FamilyMemberHistory.condition:Condition{child}": {
            "id": f"FamilyMemberHistory.condition{child}",
            "sliceName": "",
        }
        for child in ("", ".code", ".outcome", ".onset[x]", ".note")
    },
    # Asks one of twelve units of every component, of a flow of oxygen too; extensible in R4B.
    _HL7 + "vitalsigns": {
        "Observation.component.value[x]": {
            "binding": {
                "strength": "extensible",
                "valueSet": "http://hl7.org/fhir/ValueSet/ucum-vitals-common|4.0.1",
            }
        }
    },
}

# key of an invariant -> the expression to evaluate in place of the published one
INVARIANTS: dict[str, str] = {
    # Said nothing of entries without fullUrl, which is to say that they break it.
    "bdl-8": "fullUrl.empty() or fullUrl.contains('/_history/').not()",
    # The same of predictions without a probability.
    "ras-2": "probability.empty() or ((probability is decimal) implies (probability as decimal) <= 100)",
    # Gives nothing for times of different precision that may well be in order.
    "per-1": "start.hasValue().not() or end.hasValue().not() or (start <= end).empty() or (start <= end)",
    # Forgets that "#" alone means the resource which contains this one.
    "ref-1": "reference.startsWith('#').not() or reference = '#'"
    " or (reference.substring(1) in %rootResource.contained.id)",
    # Counts from three, where its text says "more than one".
    "que-12": "enableWhen.count() > 1 implies enableBehavior.exists()",
    # Looks for the length of a day in a Period too, which as a text has none.
    "vs-1": "toString().empty() or toString().length() >= 8",
    # Has no anchors, so that one good name makes any path good; and `[x]` may stand behind any of them.
    "eld-19": r"path.matches('^[^\\s.,:;\'\"\\/|?!@#$%&*()\\[\\]{}]{1,64}"
    r"([.][^\\s.,:;\'\"\\/|?!@#$%&*()\\[\\]{}]{1,64}(\\[x\\])?(\\:[^\\s.]+)?)*$')",
    # Both look for the first element anew at each of the others: with thousands of them that takes minutes.
    # These say the same of the parts of the paths before the first point.
    "sdf-8": "(%resource.kind = 'logical' or element.first().path = %resource.type) and"
    " iif(element.first().path.contains('.'),"
    " element.tail().all(path.startsWith(%resource.snapshot.element.first().path & '.')),"
    " element.tail().all(path.contains('.')) and"
    " element.path.select(iif(contains('.'), substring(0, indexOf('.')), $this)).distinct().count() <= 1)",
    "sdf-8a": "(%resource.kind = 'logical' or element.first().path.startsWith(%resource.type)) and"
    " element.tail().all(path.contains('.')) and"
    " element.path.select(iif(contains('.'), substring(0, indexOf('.')), $this)).distinct().count() <= 1",
    # Asks for FHIRPath's Boolean; the answer is one of FHIR's.
    "que-7": "operator = 'exists' implies (answer is boolean)",
}

# canonical of an extension -> places where it may stand besides those that its context names
CONTEXTS: dict[str, tuple[str, ...]] = {
    # R4's own snapshots have them on the type itself and not on its code.
    _HL7 + "structuredefinition-fhir-type": ("ElementDefinition.type",),
    _HL7 + "regex": ("ElementDefinition.type",),
}

# what an extension asks of where it stands -> the expression in place of the published one
CONTEXT_INVARIANTS: dict[str, str] = {
    # valueInteger is what JSON calls it, and no FHIRPath.
    f"type!='display' and ({said}=true or %extension.valueInteger={number})": (
        f"type!='display' and ({said}=true or %extension.value={number})"
    )
    for said, number in (("repeats", 1), ("required", 0))
}


def mended(definition: dict[str, Any]) -> dict[str, Any]:
    """A published StructureDefinition without its known defects."""
    url = definition.get("url", "")
    if url in CONTEXTS:
        more = [{"type": "element", "expression": place} for place in CONTEXTS[url]]
        definition = {**definition, "context": [*definition.get("context", ()), *more]}
    if "contextInvariant" in definition:
        published = definition["contextInvariant"]
        definition = {**definition, "contextInvariant": [CONTEXT_INVARIANTS.get(e, e) for e in published]}
    if url.startswith(_HL7) and "differential" in definition:
        elements = [_with_mended_rules(e) for e in definition["differential"]["element"]]
        definition = {**definition, "differential": {"element": elements}}
    if url in ELEMENTS:
        changes = ELEMENTS[url]
        elements = [{**e, **changes.get(e.get("id", ""), {})} for e in definition["differential"]["element"]]
        definition = {**definition, "differential": {"element": elements}}
    return definition


def _with_mended_rules(element: dict[str, Any]) -> dict[str, Any]:
    rules = element.get("constraint")
    if not rules:
        return element
    mended_rules = [{**r, "expression": INVARIANTS.get(r["key"], r["expression"])} for r in rules]
    return {**element, "constraint": mended_rules}
