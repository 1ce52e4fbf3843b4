"""The FHIR resources, and the head of the library, that the cases of fhir_cases.py are about."""

from __future__ import annotations

from decimal import Decimal as D
from typing import Any

from rules.runtime.units import TextUnits
from rules.runtime.values import Code
from terminology import ucum

NOW = "2026-11-21T10:00:00.000+01:00"
LOINC, SCT, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"


def quantity(value: str, unit: str, **more: Any) -> dict[str, Any]:
    return {"value": D(value), "unit": unit, "system": UCUM, "code": unit, **more}


def concept(system: str, code: str, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}], **more}


def observation(id_: str, code: str, at: str | None, **value: Any) -> dict[str, Any]:
    found = {"resourceType": "Observation", "id": id_, "status": "final", "code": concept(LOINC, code)}
    return {**found, **({"effectiveDateTime": at} if at else {}), **value}


RESOURCES = [
    {
        "resourceType": "Patient",
        "id": "p",
        "gender": "female",
        "birthDate": "1950-11-22",
        "_birthDate": {"extension": [{"url": "urn:time", "valueDateTime": "1950-11-22T03:00:00+01:00"}]},
        "active": True,
        "_active": {"id": "act"},
        "name": [
            {
                "use": "official",
                "family": "Nordmann",
                "given": ["Kari", "Anne"],
                "_given": [None, {"extension": [{"url": "urn:called", "valueBoolean": True}]}],
            },
            {"use": "old", "family": "Hansen", "given": ["Kari"], "period": {"end": "1980-05"}},
        ],
        "deceasedBoolean": False,
        "multipleBirthInteger": 2,
        "extension": [
            {"url": "urn:a", "valueString": "text"},
            {"url": "urn:q", "valueQuantity": quantity("5", "mg")},
        ],
        "managingOrganization": {"reference": "Organization/1"},
        "communication": [{"language": concept("urn:ietf:bcp:47", "nb"), "preferred": True}],
        "_gender": {"extension": [{"url": "urn:why", "valueString": "asked"}]},
    },
    {"resourceType": "Organization", "id": "1", "name": "Legen", "active": True},
    observation("s1", "59408-5", "2026-11-19T08:00:00+01:00", valueQuantity=quantity("93", "%")),
    observation("s2", "59408-5", "2026-11-21T08:00:00+01:00", valueQuantity=quantity("88", "%")),
    observation("s3", "59408-5", "2026-11-20T08:00:00+01:00", valueQuantity=quantity("91", "%")),
    observation("w1", "29463-7", "2026-11-18", valueQuantity=quantity("80.0", "kg")),
    observation("w2", "29463-7", "2026-11-20", valueQuantity=quantity("82500", "g")),
    observation("w3", "29463-7", "2026-11", valueQuantity=quantity("81", "kg")),
    observation("c1", "1-1", None, valueCodeableConcept=concept(SCT, "10", text="ten")),
    observation("c2", "1-2", None, valueString="free"),
    observation("c3", "1-3", None, valueBoolean=True),
    observation("c4", "1-4", None, valueInteger=7),
    observation("c5", "1-5", None, valueQuantity=quantity("5", "mg", comparator="<")),
    observation("c6", "1-6", None, valueQuantity={"value": D("5"), "system": "urn:other", "code": "x"}),
    observation("c7", "1-7", None, valueRatio={"numerator": quantity("1", "mg"), "denominator": quantity("2", "mL")}),
    observation("c8", "1-8", None, valueRange={"low": quantity("1", "mg"), "high": quantity("2", "mg")}),
    observation("c9", "1-9", None, dataAbsentReason=concept("urn:dar", "unknown")),
    {
        **observation("p1", "2-1", None),
        "effectivePeriod": {"start": "2026-11-01", "end": "2026-11-10"},
        "component": [
            {"code": concept(LOINC, "8480-6"), "valueQuantity": quantity("120", "mm[Hg]")},
            {"code": concept(LOINC, "8462-4"), "valueQuantity": quantity("80", "mm[Hg]")},
        ],
    },
    {
        "resourceType": "Procedure",
        "id": "x1",
        "status": "completed",
        "_performedDateTime": {"extension": [{"url": "urn:absent", "valueCode": "unknown"}]},
    },
    {"resourceType": "Condition", "id": "k1", "code": concept(SCT, "13645005"), "onsetDateTime": "2010"},
    {"resourceType": "Condition", "id": "k2", "code": concept(SCT, "1"), "onsetAge": quantity("30", "a")},
    {"resourceType": "Encounter", "id": "e1", "class": {"system": "urn:act", "code": "AMB"}, "period": {"start": "2026-10-01T10:00:00Z", "end": "2026-10-01T11:00:00Z"}},
    {"resourceType": "Encounter", "id": "e2", "class": {"system": "urn:act", "code": "IMP"}, "period": {"start": "2026-11-01T10:00:00Z"}},
    {"resourceType": "MedicationRequest", "id": "m1", "medicationCodeableConcept": concept(SCT, "99")},
    {"resourceType": "MedicationRequest", "id": "m2", "medicationReference": {"reference": "Medication/1"}},
    {
        "resourceType": "MedicationRequest",
        "id": "m3",
        "authoredOn": "2026-11-10",
        "dosageInstruction": [
            {
                "timing": {
                    "repeat": {
                        "boundsPeriod": {"start": "2026-11-10", "end": "2026-11-20"},
                        "frequency": 2,
                        "period": 1,
                        "periodUnit": "d",
                        "timeOfDay": ["08:00:00", "20:00:00"],
                    }
                },
                "doseAndRate": [{"doseQuantity": quantity("500", "mg")}],
            }
        ],
    },
]  # fmt: skip

HEAD = f"""
library T
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1'
codesystem "LOINC": '{LOINC}'
codesystem "SCT": '{SCT}'
codesystem "ACT": 'urn:act'
valueset "COPD": 'urn:vs:copd'
valueset "Empty": 'urn:vs:empty'
code "SpO2": '59408-5' from "LOINC"
code "Weight": '29463-7' from "LOINC"
code "COPD code": '13645005' from "SCT"
code "Systolic": '8480-6' from "LOINC"
code "Inpatient": 'IMP' from "ACT"
concept "Either": {{ "SpO2", "Weight" }}
context Patient
define Readings: [Observation: "SpO2"] O sort by (effective as dateTime).value
define Latest: Last(Readings)
define Weights: [Observation: "Weight"]
define Dosage: singleton from ([MedicationRequest] M where M.id = 'm3' return First(M.dosageInstruction))
define function One(id String): singleton from ([Observation] O where O.id = id)
"""
VALUESETS = {"urn:vs:copd": [Code("13645005", SCT), Code("2", SCT)], "urn:vs:empty": []}
GIVEN = {"resources": RESOURCES, "now": NOW, "valuesets": VALUESETS, "units": TextUnits(ucum.convert)}
