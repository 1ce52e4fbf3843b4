"""The CQL rules that are measured, the patient that they judge, and the answers that they must give.

Used by `test_bench_cql.py` (pytest-benchmark) and `cql_compare.py` (side by side with npm @cqframework/cql).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

NOW: Final = "2026-11-21T10:00:00.000+01:00"
LOINC, SCT, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
_CLINICAL: Final = "http://terminology.hl7.org/CodeSystem/condition-clinical"

HEAD: Final = f"""library Rules version '1'
using FHIR version '4.0.1'
include FHIRHelpers version '4.0.1'

codesystem "LOINC": '{LOINC}'
codesystem "SCT": '{SCT}'
codesystem "Clinical": '{_CLINICAL}'
code "SpO2": '59408-5' from "LOINC"
code "Weight": '29463-7' from "LOINC"
code "COPD": '13645005' from "SCT"
code "Active": 'active' from "Clinical"

context Patient
"""

# The newest saturation is below 90 %, and the patient has an active COPD.
LATEST: Final = """
define "Latest": Last([Observation: "SpO2"] O sort by (effective as FHIR.dateTime).value)
define "Active COPD": exists ([Condition: "COPD"] C where C.clinicalStatus ~ "Active")
define "Rule": "Active COPD" and (("Latest".value as FHIR.Quantity) < 90 '%')
"""

# The same as a clinician writes it, with no word of types: a saturation could be an integer, a range, …
PLAIN: Final = """
define "Latest": Last([Observation: "SpO2"] O where O.status = 'final' sort by effective.value)
define "Active COPD": exists ([Condition: "COPD"] C where C.clinicalStatus ~ "Active")
define "Rule": "Active COPD" and "Latest".value < 90 '%'
"""

# Some weight is more than 2 kg above one of the three days before: every reading with every other.
PAIRS: Final = """
define "Weights": [Observation: "Weight"] O where O.status in { 'final', 'amended', 'corrected' }
define "Rule":
  exists (
    from "Weights" A, "Weights" B
    where (A.effective as FHIR.dateTime) 3 days or less after (B.effective as FHIR.dateTime)
      and (A.value as FHIR.Quantity) - (B.value as FHIR.Quantity) > 2 'kg'
  )
"""

# The weights of the last three days differ by more than 2 kg.
WINDOW: Final = """
define "Weights":
  [Observation: "Weight"] O
    where (O.effective as FHIR.dateTime) in Interval[Now() - 3 days, Now()]
    return (O.value as FHIR.Quantity)
define "Rule": Max("Weights") - Min("Weights") > 2 'kg'
"""

# As a clinician would write it: the newest against the lightest of the last three days, final readings.
NEWEST: Final = """
define "Weights": [Observation: "Weight"] O
  where O.status in { 'final', 'amended', 'corrected' }
    and (O.effective as FHIR.dateTime) during Interval[Now() - 3 days, Now()]
define "Newest": Last("Weights" W sort by (effective as FHIR.dateTime).value)
define "Rule":
  (("Newest".value as FHIR.Quantity) - Min("Weights" W return (W.value as FHIR.Quantity))) > 2 'kg'
"""

CONSTANT: Final = """
define "Rule": 1 + 1 = 2
"""

RULES: Final = {
    "constant": CONSTANT,
    "latest": LATEST,
    "latest, plain": PLAIN,
    "latest of 30": LATEST,
    "pairs": PAIRS,
    "window": WINDOW,
    "newest": NEWEST,
}
TARGETS: Final = {"latest": 125_000, "pairs": 7_000, "window": 7_000, "newest": 7_000}  # evaluations a second
PATIENTS: Final = ("quiet", "alarming")


def text_of(name: str) -> str:
    return HEAD + RULES[name]


def answer(name: str, patient: str) -> bool:
    """Every rule holds for the alarming patient; none for the quiet one, so that no loop ends early."""
    return patient == "alarming" or name == "constant"


def data_of(name: str, patient: str, now: datetime | None = None) -> list[dict[str, Any]]:
    """A patient with an active COPD and three saturations, or thirty of what the rule looks at, up to now."""
    end = (now or datetime.fromisoformat(NOW)).replace(microsecond=0) - timedelta(hours=2)
    alarming = patient == "alarming"
    few = [
        {"resourceType": "Patient", "id": "p", "birthDate": "1950-01-01"},
        {
            "resourceType": "Condition",
            "id": "c",
            "clinicalStatus": {"coding": [{"system": _CLINICAL, "code": "active"}]},
            "code": {"coding": [{"system": SCT, "code": "13645005"}]},
            "subject": {"reference": "Patient/p"},
        },
    ]
    if name in ("constant", "latest", "latest, plain"):
        return [*few, *_series(end, "59408-5", "%", [94, 93, 88 if alarming else 92])]
    if name == "latest of 30":
        return [
            *few,
            *_series(end, "59408-5", "%", [*(93 + n % 3 for n in range(29)), 88 if alarming else 92]),
        ]
    weights = [round(80 + (n * 7 % 5) * 0.1, 1) for n in range(29)]
    return [*few, *_series(end, "29463-7", "kg", [*weights, 83.1 if alarming else 80.2])]


def _series(end: datetime, code: str, unit: str, values: list[float]) -> list[dict[str, Any]]:
    """Readings every twelve hours, the last one at the end."""
    return [
        {
            "resourceType": "Observation",
            "id": f"o{n}",
            "status": "final",
            "code": {"coding": [{"system": LOINC, "code": code}]},
            "subject": {"reference": "Patient/p"},
            "effectiveDateTime": (end - timedelta(hours=12 * (len(values) - 1 - n))).isoformat(),
            "valueQuantity": {"value": value, "unit": unit, "system": UCUM, "code": unit},
        }
        for n, value in enumerate(values)
    ]
