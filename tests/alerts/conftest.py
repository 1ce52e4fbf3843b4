"""A follow-up service in a few words: a patient with a plan, readings in, alerts out, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from fhir_server.app import create_app, open_store
from fhir_server.resource_json import decode, encode
from fhir_server.settings import Settings
from profiles.structure import validate
from tests.http.conftest import Clock, Fhir
from tests.rules.build import ZONE, care_plan, observation

ADVICE = {"yellow": "Hvil, og mål igjen om en time.", "red": "Ring oppfølgingstjenesten nå."}


def activity(zone: str, text: str, **translations: str) -> dict[str, Any]:
    """A zone's self-care measure, with the text in other languages."""
    detail: dict[str, Any] = {"status": "scheduled", "description": text}
    if translations:
        detail["_description"] = {
            "extension": [
                {
                    "url": "http://hl7.org/fhir/StructureDefinition/translation",
                    "extension": [
                        {"url": "lang", "valueCode": language},
                        {"url": "content", "valueString": translated},
                    ],
                }
                for language, translated in translations.items()
            ]
        }
    return {"extension": [{"url": ZONE, "valueCode": zone}], "detail": detail}


class Ward:
    """One patient `p` and what follows from the readings."""

    def __init__(self, fhir: Fhir, clock: Clock) -> None:
        self.fhir, self.clock = fhir, clock
        self.put({"resourceType": "CareTeam", "id": "team", "status": "active"})
        self.patient()

    def put(self, resource: dict[str, Any], status: tuple[int, ...] = (200, 201)) -> dict[str, Any]:
        answer = self.fhir.put(f"/{resource['resourceType']}/{resource['id']}", encode(resource))
        assert answer.status_code in status, answer.text
        return decode(answer.content)

    def patient(self, *languages: str, id: str = "p") -> None:
        spoken = [
            {"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": language}]}}
            for language in languages
        ]
        self.put({"resourceType": "Patient", "id": id, **({"communication": spoken} if spoken else {})})

    def plan(self, *targets: dict[str, Any], id: str = "plan", **more: Any) -> dict[str, Any]:
        more.setdefault("careTeam", [{"reference": "CareTeam/team"}])
        more.setdefault("activity", [activity(zone, text) for zone, text in ADVICE.items()])
        return self.put(care_plan(*targets, id=id, **more))

    def read(
        self, measure: str, value: Any, time: str, *, patient: str = "p", unit: str | None = None, **more: Any
    ) -> str:
        """Post a reading (a day means 08:00) and give its id."""
        time = time if "T" in time or time == "" else f"{time}T08:00:00+01:00"
        resource = {**observation(measure, value, time, patient=patient, unit=unit), **more}
        if not time:
            del resource["effectiveDateTime"]
        answer = self.fhir.post("/Observation", encode(resource))
        assert answer.status_code == 201, answer.text
        return str(decode(answer.content)["id"])

    def amend(self, id: str, **changes: Any) -> None:
        current = decode(self.fhir.get(f"/Observation/{id}").content)
        self.put({**current, **changes})

    def found(self, type: str, **criteria: str) -> list[dict[str, Any]]:
        query = "&".join(f"{name.replace('_', '-')}={value}" for name, value in criteria.items())
        answer = self.fhir.get(f"/{type}?_count=200&{query}")
        assert answer.status_code == 200, answer.text
        resources = [entry["resource"] for entry in decode(answer.content).get("entry", ())]
        for resource in resources:
            assert validate(resource) == [], resource
        return resources

    def flags(self, status: str = "active") -> list[dict[str, Any]]:
        return self.found("Flag", patient="p", status=status)

    def flag(self, status: str = "active") -> dict[str, Any]:
        (flag,) = self.flags(status)
        return flag

    def zones(self) -> list[str]:
        """The zones (or technical) of the active Flags."""
        return sorted(zone_of(flag) for flag in self.flags())

    def messages(self, to: str = "CareTeam/team") -> list[str]:
        """What was said to somebody, oldest first."""
        return [
            message["payload"][0]["contentString"]
            for message in self.found("Communication", patient="p", _sort="_lastUpdated")
            if {"reference": to} in message.get("recipient", ())
        ]

    def tasks(self) -> list[tuple[str, str]]:
        return sorted((task["status"], task["priority"]) for task in self.found("Task", patient="p"))


def zone_of(flag: dict[str, Any]) -> str:
    if flag["category"][0]["coding"][0]["code"] == "technical":
        return "technical"
    return next(c["code"] for c in flag["code"]["coding"] if c["system"].endswith("/dho-zone"))


def details_of(flag: dict[str, Any]) -> list[str]:
    """The ids of the Observations concerned."""
    return [
        extension["valueReference"]["reference"].removeprefix("Observation/")
        for extension in flag["extension"]
        if extension["url"].endswith("/flag-detail")
    ]


@pytest.fixture
def ward(store_url: str) -> Iterator[Ward]:
    ids = count(1)
    clock = Clock()
    clock.now = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
    store = open_store(store_url)
    fhir = Fhir(create_app(Settings(auth=False), store, clock, lambda: f"n{next(ids)}"), store)
    yield Ward(fhir, clock)
    fhir.close()
