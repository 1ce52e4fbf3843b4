"""What the alerts say, read from the Flags that a search finds.

https://hl7.org/fhir/R4/flag.html, http://hl7.org/fhir/StructureDefinition/flag-priority
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from fhir_server.demo.people import Person

PRIORITY = "http://hl7.org/fhir/StructureDefinition/flag-priority"
ZONES = {"PH": "red", "PM": "yellow", "PL": "technical"}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to tell: a new alert, one that changed its zone, or one that is over ("resolved")."""

    moment: datetime
    person: Person
    zone: str
    text: str
    flag: str


def zone(flag: dict[str, Any]) -> str:
    """red, yellow or technical, by the priority that the Flag carries."""
    for extension in flag.get("extension", ()):
        if extension["url"] == PRIORITY:
            for coding in extension["valueCodeableConcept"]["coding"]:
                if coding.get("code") in ZONES:
                    return ZONES[coding["code"]]
    return "technical"  # an alert without a priority is nothing that a plan calls for


@dataclass(slots=True)
class Watch:
    """Knows each Flag's zone so far, so that more of the same is not told twice."""

    zones: dict[str, str] = field(default_factory=dict)

    def news(self, flags: list[dict[str, Any]], person: Person, moment: datetime) -> list[Alert]:
        """What these Flags, changed by one reading, say that was not known."""
        found = []
        for flag in flags:
            now = zone(flag) if flag["status"] == "active" else "resolved"
            if self.zones.get(flag["id"]) != now:
                self.zones[flag["id"]] = now
                found.append(Alert(moment, person, now, flag["code"].get("text", ""), flag["id"]))
        return found
