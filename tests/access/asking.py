"""Requests with different grants to one application in this process, without an authorization server."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx

from fhir_server import log
from fhir_server.access.grant import Grant, ResourceScope
from fhir_server.app import create_app, open_store
from fhir_server.exchange import Service
from fhir_server.settings import Settings

log.configure("error")


def scopes(*texts: str) -> tuple[ResourceScope, ...]:
    """`patient/Observation.rs?category=x`, as a SMART scope is written."""
    made = []
    for text in texts:
        plain, _, query = text.partition("?")
        level, _, rest = plain.partition("/")
        type, _, may = rest.partition(".")
        criteria = tuple(tuple(pair.split("=", 1)) for pair in query.split("&")) if query else ()
        made.append(ResourceScope(level, type, may, criteria))
    return tuple(made)


def patient(id: str, *texts: str) -> Grant:
    """Of a patient's own app."""
    return Grant("app", scopes(*(texts or ("patient/*.cruds",))), "patient", id, f"Patient/{id}", id)


def nurse(id: str, *texts: str, **more: Any) -> Grant:
    """Of a practitioner's app."""
    return Grant(
        "ehr", scopes(*(texts or ("user/*.cruds",))), "practitioner", id, f"Practitioner/{id}", **more
    )


def backend(*texts: str, **more: Any) -> Grant:
    """Of a service without a user."""
    return Grant("backend", scopes(*(texts or ("system/*.cruds",))), "system", **more)


class Clock:
    """Moves a millisecond with each look."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now


class Server:
    """The application, asked by whoever `grant` says; None: by nobody whose access is controlled."""

    def __init__(self, store_url: str, clock: Clock | None = None) -> None:
        ids = count(1)
        self.store = open_store(store_url)
        self._grant: Grant | None = None
        app = create_app(
            Settings(auth=False), self.store, clock or Clock(), lambda: f"n{next(ids)}", grants=self._grants
        )
        self._runner = asyncio.Runner()
        self._lifespan = app.router.lifespan_context(app)
        self._runner.run(self._lifespan.__aenter__())
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://varde.test/fhir", timeout=60
        )

    async def _grants(self, service: Service, authorization: str | None) -> Grant | None:
        return self._grant

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def run(self, work: Any) -> Any:
        """The outcome of what is awaited."""
        return self._runner.run(work)

    def ask(
        self, grant: Grant | None, method: str, path: str, body: Any = None, **headers: str
    ) -> httpx.Response:
        self._grant = grant
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("content-type", "application/fhir+json")
        content = None if body is None else json.dumps(body).encode()
        answer = self._runner.run(self._http.request(method, self._url(path), content=content, headers=sent))
        assert answer.status_code != 500, answer.text
        return answer

    def _url(self, path: str) -> str:
        return path if path.startswith("http") else f"http://varde.test/fhir{path}"

    def get(self, grant: Grant | None, path: str, **headers: str) -> httpx.Response:
        return self.ask(grant, "GET", path, **headers)

    def found(self, grant: Grant | None, path: str) -> list[str]:
        """What a search finds and includes, as Type/id in its order."""
        answer = self.get(grant, path)
        assert answer.status_code == 200, answer.text
        return [
            f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            for entry in answer.json().get("entry", ())
            if entry["resource"]["resourceType"] != "OperationOutcome"
        ]

    def put(self, resource: dict[str, Any]) -> httpx.Response:
        """Store it, with access control off."""
        type, id = resource["resourceType"], resource["id"]
        answer = self.ask(None, "PUT", f"/{type}/{id}", resource)
        assert answer.status_code in (200, 201), answer.text
        return answer
