"""The thorough validation of a resource: its type, the profiles it claims and those asked for, its context.

https://hl7.org/fhir/R4/validation.html. profiles/structure.py alone decides quickly what may be stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from profiles import bundles, extensions, questionnaires
from profiles.conformance import bound_by, conform
from profiles.context import Context
from profiles.findings import Findings
from profiles.problems import Place, Problem, Problems, TooMany, inside
from profiles.structure import THOROUGH, place_of

__all__ = ["validate_thoroughly"]


def validate_thoroughly(context: Context, also: Iterable[str] = ()) -> list[Problem]:
    """Everything there is to say of context.document, which is also held to the profiles in `also`.

    Never raises, whatever the document is. At most 100 findings, and a note if there are more.
    """
    out, document = Findings(context), context.document
    root = place_of(document)
    try:
        THOROUGH.check_resource(document, root, out)
        if type(document) is dict:
            for url in also:
                conform(document, (url,), root, out)
    except TooMany:
        more = Problem("information", "informational", "There is more to check or to say than this", root[2])
        return [*dict.fromkeys(out.found), more]
    return list(dict.fromkeys(out.found))


def look_closer(value: Mapping[str, Any], at: Place, out: Problems) -> None:
    """What a thorough check looks at in every resource, wherever it stands."""
    for index, url in enumerate(_claimed(value)):
        if type(url) is str:
            place = inside(inside(at, "meta"), "profile", index)
            _conform_claimed(value, url, at, place, out)
    for url in vital_signs(value):
        conform(value, (url,), at, out)
    match value.get("resourceType"):
        case "Bundle":
            bundles.check(value, at, out)
        case "QuestionnaireResponse":
            questionnaires.check(value, at, out)


def _claimed(value: Mapping[str, Any]) -> list[Any]:
    meta = value.get("meta")
    profiles = meta.get("profile") if type(meta) is dict else None
    return profiles if type(profiles) is list else []


def _conform_claimed(value: Any, url: str, at: Place, claim: Place, out: Problems) -> None:
    definition = out.context.definition(url)
    if definition and definition.get("type") != value.get("resourceType"):
        out.add("invalid", f"{url} is a profile of {definition.get('type')}", claim)
        return
    conform(value, (url,), at, out)


_HL7 = "http://hl7.org/fhir/StructureDefinition/"
_LOINC = "http://loinc.org"
# https://hl7.org/fhir/R4/observation-vitalsigns.html#vitals-table: who sends these codes sends vital signs.
_VITAL_SIGNS = {
    "85353-1": "vitalspanel",
    "9279-1": "resprate",
    "8867-4": "heartrate",
    "2708-6": "oxygensat",
    "8310-5": "bodytemp",
    "8302-2": "bodyheight",
    "9843-4": "headcircum",
    "29463-7": "bodyweight",
    "39156-5": "bmi",
    "85354-9": "bp",
}
# The same measurements in SNOMED CT: the profiles want the LOINC code beside it.
_SNOMED = "http://snomed.info/sct"
_IN_SNOMED = {
    "86290005": "resprate",
    "364075005": "heartrate",
    "431314004": "oxygensat",
    "386725007": "bodytemp",
    "276885007": "bodytemp",
    "50373000": "bodyheight",
    "27113001": "bodyweight",
    "60621009": "bmi",
    "75367002": "bp",
}


def vital_signs(value: Mapping[str, Any]) -> list[str]:
    """The vital signs profiles that an Observation must follow by its codes."""
    if value.get("resourceType") != "Observation":
        return []
    code = value.get("code")
    codings = code.get("coding") if type(code) is dict else None
    found = [
        _HL7 + name
        for coding in (codings if type(codings) is list else ())
        if type(coding) is dict and (name := _vital_sign(coding))
    ]
    if not found and _is_vital_sign(value):
        found = [_HL7 + "vitalsigns"]
    return list(dict.fromkeys(found))


def _vital_sign(coding: Mapping[str, Any]) -> str | None:
    code = coding.get("code")
    if type(code) is not str:
        return None
    return {_LOINC: _VITAL_SIGNS, _SNOMED: _IN_SNOMED}.get(str(coding.get("system")), {}).get(code)


def _is_vital_sign(value: Mapping[str, Any]) -> bool:
    categories = value.get("category")
    for category in categories if type(categories) is list else ():
        codings = category.get("coding") if type(category) is dict else None
        for coding in codings if type(codings) is list else ():
            if type(coding) is dict and coding.get("code") == "vital-signs":
                return bool(
                    coding.get("system") == "http://terminology.hl7.org/CodeSystem/observation-category"
                )
    return False


def known_code(value: Mapping[str, Any], at: Place, out: Problems) -> None:
    """A Coding's code must be one of its system, where the system is known."""
    system, code = value.get("system"), value.get("code")
    if type(system) is str and type(code) is str and out.context.known(system, code) is False:
        out.add("code-invalid", f"The code is none of the code system {system[:200]}", inside(at, "code"))


def known_unit(value: Mapping[str, Any], at: Place, out: Problems) -> None:
    """A unit in UCUM must be written in UCUM."""
    if value.get("system") == "http://unitsofmeasure.org":
        code = value.get("code")
        if type(code) is str and out.context.known("http://unitsofmeasure.org", code) is False:
            out.add("code-invalid", "The code of the unit is no UCUM unit", at)


THOROUGH.names.update(
    bound_by=bound_by,
    known_extension=extensions.known_extension,
    known_code=known_code,
    known_unit=known_unit,
)
THOROUGH.closer = look_closer
