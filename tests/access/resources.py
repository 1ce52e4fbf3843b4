"""Resources as short as they can be, and valid."""

from __future__ import annotations

from typing import Any

V = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


def of(type: str, id: str, /, **more: Any) -> dict[str, Any]:
    return {"resourceType": type, "id": id, **more}


def ref(reference: str) -> dict[str, str]:
    return {"reference": reference}


def reading(id: str, patient: str, code: str = "pulse", **more: Any) -> dict[str, Any]:
    return of(
        "Observation",
        id,
        **{
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "subject": ref(f"Patient/{patient}"),
            "effectiveDateTime": "2026-11-20",
            **more,
        },
    )


def team(id: str, patient: str, *members: str, status: str = "active") -> dict[str, Any]:
    return of(
        "CareTeam",
        id,
        status=status,
        subject=ref(f"Patient/{patient}"),
        participant=[{"member": ref(member)} for member in members],
    )
