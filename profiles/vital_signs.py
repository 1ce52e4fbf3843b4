"""Which of R4's vital signs profiles an Observation must follow by its codes.

https://hl7.org/fhir/R4/observation-vitalsigns.html: who sends one of these measurements sends a vital sign,
and the profile then wants the code of its own ("magic value") among the codings.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_HL7 = "http://hl7.org/fhir/StructureDefinition/"
_LOINC = "http://loinc.org"
# Profile -> its own code, and the more special ones of the same measurement.
_VITAL_SIGNS: dict[str, str] = {
    "vitalspanel": "85353-1",
    "resprate": "9279-1 76170-0 76172-6 76171-8 19840-8 33438-3 76270-8 11291-2",
    "heartrate": "8867-4 60978-4 73795-7 73799-9 76476-1 76477-9 8889-8 8890-6 8891-4 8892-2 8893-0 40443-4"
    " 55425-3 68999-2 11328-2 69000-8 8886-4",
    "oxygensat": "2708-6 19224-5 20564-1 2709-4 2710-2 2711-0 2713-6 51733-4 59408-5 59417-6 89276-0 97549-0",
    "bodytemp": "8310-5 60834-9 60835-6 60836-4 60838-0 60955-2 61009-7 75539-7 75987-8 76010-8 76011-6"
    " 76278-1 8309-7 8328-7 8329-5 8330-3 8331-1 8332-9 8333-7 8334-5 91371-5 98657-0 98663-8",
    "bodyheight": "8302-2 3137-7 3138-5 8306-3 8308-9",
    "headcircum": "9843-4 8287-5",
    "bodyweight": "29463-7 3141-9 3142-7 75292-3 79348-9 8350-1 8351-9",
    "bmi": "39156-5 59574-4 89270-3",
    "bp": "85354-9 35094-2 8459-0 76534-7 55284-4 8480-6",
}
_IN_LOINC = {code: profile for profile, codes in _VITAL_SIGNS.items() for code in codes.split()}
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
    return {_LOINC: _IN_LOINC, _SNOMED: _IN_SNOMED}.get(str(coding.get("system")), {}).get(code)


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
