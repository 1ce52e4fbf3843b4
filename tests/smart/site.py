"""A server with access control, people who can sign in and applications that are registered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher

from fhir_server import log
from fhir_server.app import create_app, open_store
from fhir_server.exchange import Service
from fhir_server.outgoing import Outgoing
from fhir_server.settings import Settings
from fhir_server.smart import clients, users
from fhir_server.smart.clients import Client
from fhir_server.store.base import Transaction
from fhir_server.write import Change, commit
from tests.smart.visitor import CHALLENGE, SITE, Form, Page, Visitor

log.configure("error")
# As strong as it takes to tell passwords apart: the tests sign in hundreds of times.
QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
BACK = "https://app.example.org/back"
SCOPE = "launch/patient patient/Observation.rs openid fhirUser"
APP = Client(
    "growth",
    "Growth charts",
    "public",
    "launch launch/patient launch/encounter openid fhirUser profile offline_access online_access"
    " patient/*.cruds user/*.cruds",
    (BACK, "https://app.example.org/other?kept=1"),
    "https://app.example.org/launch",
)
PHONE = Client(
    "phone", "Phone app", "public", "launch/patient patient/*.rs openid", ("org.example.phone:/back",)
)
PEOPLE: dict[str, dict[str, Any]] = {
    "anne": {"name": "Anne Lege", "role": "practitioner", "fhir_user": "Practitioner/d1"},
    "bjorn": {"name": "Bjørn Sykepleier", "role": "practitioner", "fhir_user": "Practitioner/d2"},
    "kari": {"name": "Kari Nordmann", "role": "patient", "fhir_user": "Patient/p1"},
    "randi": {"name": "Randi Nordmann", "role": "related", "fhir_user": "RelatedPerson/r1"},
    "admin": {"name": "Administrator", "role": "administrator"},
}


def patient(
    id: str, given: str, family: str, born: str = "1952-03-27", gender: str = "female"
) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id,
        "name": [{"use": "official", "given": [given], "family": family}],
        "birthDate": born,
        "gender": gender,
        "generalPractitioner": [{"reference": "Practitioner/d1"}],
    }


RECORD: list[dict[str, Any]] = [
    {"resourceType": "Practitioner", "id": "d1", "active": True, "name": [{"text": "Anne Lege"}]},
    {"resourceType": "Practitioner", "id": "d2", "active": True, "name": [{"text": "Bjørn Sykepleier"}]},
    patient("p1", "Kari", "Nordmann"),
    patient("p2", "Ola", "Nordmann", "1948-11-02", "male"),
    {"resourceType": "RelatedPerson", "id": "r1", "active": True, "patient": {"reference": "Patient/p1"}},
]


class Clock:
    """Moves a millisecond with each look, and further when told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def later(self, **how: float) -> None:
        self.now += timedelta(**how)

    @property
    def microseconds(self) -> int:
        return int(self.now.timestamp() * 1_000_000)


class Site:
    """Synchronous, so that tests read like a conversation."""

    def __init__(self, url: str, keys: Path, outgoing: Outgoing | None = None, **settings: Any) -> None:
        self.clock, self.store = Clock(), open_store(url)
        ids = count(1)
        settings = {"base_url": f"{SITE}/fhir", "keys": str(keys), **settings}
        self.app = create_app(Settings(**settings), self.store, self.clock, lambda: f"n{next(ids)}", outgoing)
        self.service = Service(self.store, self.clock, lambda: f"s{next(ids)}", self.clock())
        self.runner = asyncio.Runner()
        self._lifespan = self.app.router.lifespan_context(self.app)
        self.runner.run(self._lifespan.__aenter__())
        self._visitors: list[Visitor] = []

    def close(self) -> None:
        for visitor in self._visitors:
            visitor.close()
        self.runner.run(self._lifespan.__aexit__(None, None, None))
        self.runner.close()

    def visitor(self, address: str = "192.0.2.7") -> Visitor:
        visitor = Visitor(self.app, self.runner, address)
        self._visitors.append(visitor)
        return visitor

    def transact(self, work: Callable[[Transaction], Any]) -> Any:
        return self.runner.run(self.store.transact(work))

    def put(self, *resources: dict[str, Any]) -> None:
        changes = [Change("PUT", each["resourceType"], each["id"], each) for each in resources]
        self.runner.run(commit(self.service, changes))

    def register(self, *apps: Client) -> None:
        for app in apps:
            self.transact(lambda tx, app=app: clients.register(tx, app))

    def add(self, username: str, **more: Any) -> None:
        """One of PEOPLE, or another with all that a user needs."""
        about = {**PEOPLE.get(username, {}), **more}
        about.setdefault("password", f"{username} has a password")
        user = users.new_user(username, now=self.clock.microseconds, **about)
        self.transact(lambda tx: users.add(tx, user))

    def authorize(self, visitor: Visitor, **changes: str) -> Page:
        """An authorization request as the app makes it, with other values; "" leaves a parameter out."""
        return visitor.get("/auth/authorize", params=asked(**changes))

    def consent(self, visitor: Visitor, username: str = "kari", **changes: str) -> Page:
        """The consent page that a person gets to who signs in for the app."""
        return visitor.sign_in(self.authorize(visitor, **changes), username)


def asked(**changes: str) -> dict[str, str]:
    request = {
        "response_type": "code",
        "client_id": APP.id,
        "redirect_uri": BACK,
        "scope": SCOPE,
        "state": "state-of-the-app",
        "aud": f"{SITE}/fhir",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in request.items() if value != ""}


def answered(form: Form, *scopes: str, decision: str = "allow", **more: str) -> list[tuple[str, str]]:
    """The consent form with only these boxes ticked."""
    kept = [pair for pair in form.fields if pair[0] not in ("scope", *more)]
    return [*kept, *(("scope", each) for each in scopes), ("decision", decision), *more.items()]
