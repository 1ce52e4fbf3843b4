"""What is measured at home: codes, units and decimals of each measure.

https://hl7.org/fhir/R4/observation-vitalsigns.html
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure; `text` is its Norwegian name, `decimals` what the equipment shows.

    `vital_sign` is the LOINC code that R4's profile of vital signs wants beside a more exact one.
    """

    loinc: str
    snomed: str
    display: str
    text: str
    unit: str
    ucum: str
    decimals: int
    vital_sign: str = ""

    @property
    def concept(self) -> dict[str, Any]:
        return {
            "coding": [
                {"system": LOINC, "code": self.loinc, "display": self.display},
                *([{"system": LOINC, "code": self.vital_sign}] if self.vital_sign else []),
                {"system": SNOMED, "code": self.snomed},
            ],
            "text": self.text,
        }

    def quantity(self, value: float | Decimal | str) -> dict[str, Any]:
        """A Quantity in the measure's unit, written with the decimals that the equipment shows."""
        return quantity(value, self.unit, self.ucum, self.decimals)


def quantity(value: float | Decimal | str, unit: str, ucum: str, decimals: int) -> dict[str, Any]:
    """A UCUM Quantity with exactly so many decimals (an integer for none)."""
    exact = round(Decimal(value), decimals)
    return {"value": exact if decimals else int(exact), "unit": unit, "system": UCUM, "code": ucum}


MEASURES: dict[str, Measure] = {
    "spo2": Measure(
        "59408-5",
        "431314004",
        "Oxygen saturation in Arterial blood by Pulse oximetry",
        "Oksygenmetning",
        "%",
        "%",
        0,
        vital_sign="2708-6",
    ),
    "pulse": Measure("8867-4", "364075005", "Heart rate", "Puls", "slag/min", "/min", 0),
    "temperature": Measure("8310-5", "276885007", "Body temperature", "Kroppstemperatur", "°C", "Cel", 1),
    "weight": Measure("29463-7", "27113001", "Body weight", "Vekt", "kg", "kg", 1),
    "pressure": Measure(
        "85354-9", "75367002", "Blood pressure panel with all children optional", "Blodtrykk", "", "", 0
    ),
    "systolic": Measure(
        "8480-6", "271649006", "Systolic blood pressure", "Overtrykk (systolisk)", "mmHg", "mm[Hg]", 0
    ),
    "diastolic": Measure(
        "8462-4", "271650006", "Diastolic blood pressure", "Undertrykk (diastolisk)", "mmHg", "mm[Hg]", 0
    ),
    "glucose": Measure(
        "15074-8", "434912009", "Glucose [Moles/volume] in Blood", "Blodsukker", "mmol/L", "mmol/L", 1
    ),
}
