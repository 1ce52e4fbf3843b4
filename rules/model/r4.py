"""The FHIR R4 model (https://hl7.org/fhir/R4, as the FHIR model information 4.0.1 of CQL presents it).

A resource or complex type is a dict, a primitive the JSON value itself; its `value` is the System value.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from rules.model.compartments import contexts
from rules.typed.model import Class, Conversion, Model
from rules.typed.types import (
    BOOLEAN,
    CODE,
    CONCEPT,
    DATE,
    DATETIME,
    DECIMAL,
    INTEGER,
    QUANTITY,
    RATIO,
    STRING,
    TIME,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    Type,
)

URL: Final = "http://hl7.org/fhir"
VERSION: Final = "4.0.1"
_TABLE: Final = Path(__file__).parent / "fhir_r4.json"

# The System value of each primitive; those derived from one (code from string) share it.
PRIMITIVES: Final[dict[str, Type]] = {
    "boolean": BOOLEAN,
    "integer": INTEGER,
    "decimal": DECIMAL,
    "string": STRING,
    "uri": STRING,
    "base64Binary": STRING,
    "xhtml": STRING,
    "date": DATE,
    "dateTime": DATETIME,
    "instant": DATETIME,
    "time": TIME,
}

CONVERSIONS: Final[dict[str, Conversion]] = {
    **{name: Conversion(f"To{type_}", type_) for name, type_ in PRIMITIVES.items()},
    "Quantity": Conversion("ToQuantity", QUANTITY),
    "Coding": Conversion("ToCode", CODE),
    "CodeableConcept": Conversion("ToConcept", CONCEPT),
    "Period": Conversion("ToInterval", IntervalOf(DATETIME)),
    "Range": Conversion("ToInterval", IntervalOf(QUANTITY)),
    "Ratio": Conversion("ToRatio", RATIO),
}

# Where a retrieve looks for codes if it names no element: FHIR's name of it, where that is not `code`.
_CODE_PATHS: Final = {
    **dict.fromkeys(("Account", "Claim", "Composition", "Coverage", "Device"), "type"),
    **dict.fromkeys(("DeviceMetric", "Encounter", "EpisodeOfCare", "ExplanationOfBenefit"), "type"),
    **dict.fromkeys(("HealthcareService", "MeasureReport", "Specimen", "SupplyDelivery"), "type"),
    **dict.fromkeys(("DocumentReference", "Location", "Organization"), "type"),
    **dict.fromkeys(("CarePlan", "CareTeam", "CommunicationRequest", "Consent"), "category"),
    **dict.fromkeys(("Goal", "SupplyRequest"), "category"),
    **dict.fromkeys(("ActivityDefinition", "Library", "Measure", "PlanDefinition"), "topic"),
    **dict.fromkeys(("MedicationAdministration", "MedicationDispense"), "medication"),
    **dict.fromkeys(("MedicationRequest", "MedicationStatement"), "medication"),
    "AdverseEvent": "event",
    "Appointment": "serviceType",
    "BodyStructure": "location",
    "Communication": "reasonCode",
    "DeviceRequest": "code",
    "DeviceUseStatement": "device.code",
    "Immunization": "vaccineCode",
    "MessageDefinition": "event",
    "OperationOutcome": "issue.code",
    "RelatedPerson": "relationship",
}


@cache
def model() -> Model:
    """The model, its classes built when they are first looked at."""
    return Model("FHIR", VERSION, URL, _Classes(), "Patient", CONVERSIONS, "FHIRHelpers", contexts())


class _Classes(Mapping[str, Class]):
    def __init__(self) -> None:
        self._rows: dict[str, Any] = json.loads(_TABLE.read_bytes())
        self._built: dict[str, Class] = {}

    def __getitem__(self, name: str) -> Class:
        found = self._built.get(name)
        if found is None:
            found = self._built[name] = self._build(name, *self._rows[name])
        return found

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def _build(self, name: str, base: str | None, rows: Mapping[str, str] | None = None) -> Class:
        elements = {element: _type(row) for element, row in (rows or {}).items()}
        if name in PRIMITIVES:
            elements["value"] = PRIMITIVES[name]
        choices = frozenset(element for element, row in (rows or {}).items() if "?" in row)
        retrievable = self._is_resource(name) and name not in ("Resource", "DomainResource")
        path = _CODE_PATHS.get(name, "code" if "code" in elements else None) if retrievable else None
        return Class(Named("FHIR", base) if base else None, elements, retrievable, path, choices)

    def _is_resource(self, name: str) -> bool:
        at: str | None = name
        while at is not None and at != "Resource":
            at = self._rows[at][0]
        return at is not None


def _type(row: str) -> Type:
    types = tuple(Named("FHIR", name) for name in row.lstrip("*?").split("|"))
    type_: Type = types[0] if len(types) == 1 else ChoiceOf(types)
    return ListOf(type_) if row.startswith("*") else type_
