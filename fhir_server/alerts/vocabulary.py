"""The codes and URLs that alerts are written with, each once."""

from __future__ import annotations

from typing import Any

from rules.plans import Text

BASE = "https://varde.dev/fhir"
EXPLANATION_URL = f"{BASE}/StructureDefinition/dho-explanation"
SEVERITY_URL = f"{BASE}/StructureDefinition/dho-severity"
ZONE_SYSTEM = f"{BASE}/CodeSystem/dho-zone"
ALERT_SYSTEM = f"{BASE}/CodeSystem/dho-alert"
VKP_SEVERITY_SYSTEM = f"{BASE}/CodeSystem/vkp-severity"
VKP_ALERT_SYSTEM = f"{BASE}/CodeSystem/vkp-alert"
FLAG_DETAIL_URL = "http://hl7.org/fhir/StructureDefinition/flag-detail"
FLAG_PRIORITY_URL = "http://hl7.org/fhir/StructureDefinition/flag-priority"
TRANSLATION_URL = "http://hl7.org/fhir/StructureDefinition/translation"
ENGINE = {"reference": "Device/varde-engine"}

# most severe last; "technical" is a flag of its own and never mixes with the others
SEVERITY = {"technical": 0, "yellow": 1, "red": 2}

_PRIORITY_SYSTEM = "http://hl7.org/fhir/flag-priority-code"
PRIORITY = {
    "red": {"system": _PRIORITY_SYSTEM, "code": "PH", "display": "High priority"},
    "yellow": {
        "system": _PRIORITY_SYSTEM,
        "code": "PM",
        "display": "Medium priority",
    },
    "technical": {
        "system": _PRIORITY_SYSTEM,
        "code": "PL",
        "display": "Low priority",
    },
}
VKP_SEVERITY = {
    "red": {"system": VKP_SEVERITY_SYSTEM, "code": "30", "display": "Alvorlig"},
    "yellow": {"system": VKP_SEVERITY_SYSTEM, "code": "20", "display": "Moderat"},
    "technical": {"system": VKP_SEVERITY_SYSTEM, "code": "0", "display": "Ikke rapportert"},
}
REQUEST_PRIORITY = {"red": "asap", "yellow": "urgent", "technical": "routine"}
ZONE_CODINGS = {
    "red": {"system": ZONE_SYSTEM, "code": "red", "display": "Rød"},
    "yellow": {"system": ZONE_SYSTEM, "code": "yellow", "display": "Gul"},
}
CATEGORIES = {
    "reading": {"system": ALERT_SYSTEM, "code": "reading", "display": "Måling utenfor grense"},
    "technical": {"system": ALERT_SYSTEM, "code": "technical", "display": "Kunne ikke bedømmes"},
}
OUTSIDE_RANGE = {
    "system": "http://snomed.info/sct",
    "code": "442096005",
    "display": "Measurement finding outside reference range",
}
READING_REPORTED = {"system": VKP_ALERT_SYSTEM, "code": "5.2.1", "display": "Måledata rapportert"}


def translated(text: Text) -> dict[str, Any]:
    """The element beside a Norwegian string that carries its English translation."""
    parts = [{"url": "lang", "valueCode": "en"}, {"url": "content", "valueString": text.en}]
    return {"extension": [{"url": TRANSLATION_URL, "extension": parts}]}
