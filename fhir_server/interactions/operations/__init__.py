"""Operations: what is asked of the server by a name that begins with $.

https://hl7.org/fhir/R4/operations.html. Those of our own are defined in profiles/published/.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_BASE: Final = "https://varde.dev/fhir/OperationDefinition"
_FHIR: Final = "http://hl7.org/fhir/OperationDefinition"
# Those of the system and of every resource type.
OF_ALL: Final[Mapping[str, str]] = {"validate": f"{_FHIR}/Resource-validate"}
# Resource type, "" for the system -> the operations' names, and their definitions.
DEFINED: Final[Mapping[str, Mapping[str, str]]] = {
    "": {
        "closure": f"{_FHIR}/ConceptMap-closure",
        "cql": f"{_BASE}/cql",
        "fhirpath": f"{_BASE}/fhirpath",
        "reindex": f"{_BASE}/reindex",
    },
    "CodeSystem": {name: f"{_FHIR}/CodeSystem-{name}" for name in ("lookup", "subsumes", "validate-code")},
    "ConceptMap": {"translate": f"{_FHIR}/ConceptMap-translate"},
    "Encounter": {"everything": f"{_FHIR}/Encounter-everything"},
    "NamingSystem": {"preferred-id": f"{_FHIR}/NamingSystem-preferred-id"},
    "Observation": {name: f"{_FHIR}/Observation-{name}" for name in ("lastn", "stats")},
    "Patient": {
        "break-the-glass": f"{_BASE}/break-the-glass",
        "everything": f"{_FHIR}/Patient-everything",
    },
    "Library": {"evaluate": f"{_BASE}/library-evaluate"},
    "SearchParameter": {"reindex": f"{_BASE}/reindex"},
    "ValueSet": {name: f"{_FHIR}/ValueSet-{name}" for name in ("expand", "validate-code")},
}
# Of the system and of every type, and of every resource.
META: Final = {"meta": f"{_FHIR}/Resource-meta"}
META_OF_ONE: Final = {name: f"{_FHIR}/Resource-{name}" for name in ("meta-add", "meta-delete")}
