"""Which codes of LOINC and SNOMED CT name the same measurement at home.

A plan may say SpO2 with one code and a device with another; a reading must not slip past its threshold for
that. The rows are the measurements of digital home follow-up.
"""

from __future__ import annotations

LOINC = "http://loinc.org"
SNOMED_CT = "http://snomed.info/sct"
Coding = tuple[str, str]

_SAME: tuple[tuple[Coding, ...], ...] = (
    ((LOINC, "8867-4"), (SNOMED_CT, "364075005")),  # heart rate
    ((LOINC, "85354-9"), (SNOMED_CT, "75367002")),  # blood pressure panel
    ((LOINC, "8480-6"), (SNOMED_CT, "271649006")),  # systolic
    ((LOINC, "8462-4"), (SNOMED_CT, "271650006")),  # diastolic
    ((LOINC, "59408-5"), (LOINC, "2708-6"), (SNOMED_CT, "431314004")),  # SpO2
    ((LOINC, "8310-5"), (SNOMED_CT, "276885007")),  # body temperature
    ((LOINC, "29463-7"), (SNOMED_CT, "27113001")),  # body weight
    ((LOINC, "9279-1"), (SNOMED_CT, "86290005")),  # respiratory rate
    ((LOINC, "15074-8"), (SNOMED_CT, "434912009")),  # glucose in blood, moles per volume
    ((LOINC, "67775-7"), (SNOMED_CT, "1104441000000107")),  # ACVPU
)
_CLASS = {coding: frozenset(row) for row in _SAME for coding in row}


def same_measure(coding: Coding) -> frozenset[Coding]:
    """Every (system, code) that names the same measurement, the given one among them."""
    return _CLASS.get(coding) or frozenset((coding,))
