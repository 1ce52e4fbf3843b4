"""A running server with access control on, registered applications, and what an application does."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import httpx

from fhir_server import log
from fhir_server.access.grant import Role
from fhir_server.app import create_app, open_store
from fhir_server.settings import Settings
from fhir_server.smart import clients, codes
from fhir_server.smart.assertions import TYPE
from fhir_server.smart.clients import Client
from fhir_server.smart.codes import hashed
from fhir_server.smart.context import NOWHERE, Context
from fhir_server.smart.jose import encoded
from tests.smart.signing import Signer, ec, jwks

log.configure("error")
HOST = "http://varde.test"
BASE = f"{HOST}/fhir"
TOKEN = f"{HOST}/auth/token"
BACK = "https://app.example.org/back"
SCOPE = "launch/patient openid fhirUser offline_access online_access patient/*.cruds user/*.cruds"


@dataclass(frozen=True)
class Person:
    """Who signed in, as sessions have it."""

    subject: str = "s-1"
    role: Role = "practitioner"
    fhir_user: str | None = "Practitioner/1"
    organizations: tuple[str, ...] = ("o1",)


@dataclass
class Pkce:
    """What an app made up for one launch."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def challenge(self) -> str:
        return encoded(hashlib.sha256(self.verifier.encode()).digest())


PUBLIC = Client(
    "app", "An app", "public", SCOPE, (BACK, "org.example.app:/back"), "https://app.example.org/launch"
)
SECRET = "a secret: with % and + in it"
SYMMETRIC = Client(
    "app/with:secret",
    "An app on a server",
    "confidential-symmetric",
    SCOPE,
    (BACK,),
    secret=clients.hashed(SECRET),
)
SERVICE = Client(
    "service", "A hospital's system", "confidential-asymmetric", "system/*.rs system/Observation.c",
    jwks=jwks(ec("service")), organizations=("o1",),
)  # fmt: skip


class Office:
    """Synchronous, so that tests read like a conversation; a test sets the clock."""

    def __init__(self, url: str, keys: Path, **settings: Any) -> None:
        self.now = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
        self.keys = keys
        self.store = open_store(url)
        chosen = {"keys": str(keys), "audit": False, **settings}
        self.app = create_app(Settings(**chosen), self.store, lambda: self.now)
        self._runner = asyncio.Runner()
        self._lifespan = self.app.router.lifespan_context(self.app)
        self.run(self._lifespan.__aenter__())
        self.service = self.app.service
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=HOST)
        for client in (PUBLIC, SYMMETRIC, SERVICE):
            self.register(client)

    def close(self) -> None:
        self.run(self._http.aclose())
        self.run(self._lifespan.__aexit__(None, None, None))
        self._runner.close()

    def run(self, coroutine: Any) -> Any:
        return self._runner.run(coroutine)

    def together(self, *coroutines: Any) -> list[Any]:
        async def run() -> list[Any]:
            return await asyncio.gather(*coroutines)

        return self.run(run())

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)

    def register(self, client: Client) -> None:
        self.run(self.store.transact(lambda tx: clients.register(tx, client)))

    def remove(self, client: Client) -> None:
        self.run(self.store.transact(lambda tx: clients.remove(tx, client.id)))

    def keep(self, kind: str, key: str, content: bytes = b"") -> None:
        self.run(self.store.transact(lambda tx: tx.keep(kind, key, content)))

    def forget(self, kind: str, key: str) -> None:
        self.run(self.store.transact(lambda tx: tx.forget(kind, key)))

    # -- what a browser or an app sends ----------------------------------------------------------

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.run(self.sending(method, path, body, **headers))

    async def sending(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        form = {"data": body} if isinstance(body, dict) else {"content": body}
        answer = await self._http.request(method, path, **form, headers=sent)
        assert answer.status_code != 500, answer.text
        return answer

    def fhir(
        self, path: str, token: str | None = None, method: str = "GET", **headers: str
    ) -> httpx.Response:
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return self.send(method, f"/fhir{path}", **headers)

    def token(self, form: dict[str, Any], **headers: str) -> httpx.Response:
        """A request to the token endpoint, whose answer nobody may keep, whatever it is."""
        answer = self.send("POST", "/auth/token", form, **headers)
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        assert answer.headers["content-type"] == "application/json"
        return answer

    # -- a launch --------------------------------------------------------------------------------

    def code(
        self,
        client: Client = PUBLIC,
        scope: str = "patient/*.rs",
        person: Person = Person(),
        context: Context = Context("p1"),  # noqa: B008
        pkce: Pkce | None = None,
        **more: Any,
    ) -> tuple[str, Pkce]:
        """What comes of the pages: a person has signed in and approved."""
        pkce, moment = pkce or Pkce(), int(self.now.timestamp() * 1_000_000) - 5_000_000
        issued = codes.issue(
            self.service, client, client.redirect_uris[0], pkce.challenge, scope, person, BASE,
            context=context, auth_time=moment, **more,
        )  # fmt: skip
        return self.run(issued), pkce

    def redeem(
        self, code: str, pkce: Pkce, headers: dict[str, str] | None = None, /, **changes: Any
    ) -> httpx.Response:
        """The code for tokens; a parameter that is changed to None is left out."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": BACK,
            "code_verifier": pkce.verifier,
            "client_id": PUBLIC.id,
            **changes,
        }
        return self.token(
            {name: value for name, value in form.items() if value is not None}, **(headers or {})
        )

    def launched(self, scope: str = "patient/*.rs", **more: Any) -> dict[str, Any]:
        """The token response of a launch of the public app."""
        code, pkce = self.code(scope=scope, **more)
        answer = self.redeem(code, pkce)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def refresh(self, token: str, **changes: Any) -> httpx.Response:
        return self.token(
            {"grant_type": "refresh_token", "refresh_token": token, "client_id": PUBLIC.id, **changes}
        )

    # -- a backend service -----------------------------------------------------------------------

    def claims(self, client: Client = SERVICE, **changes: Any) -> dict[str, Any]:
        claims = {
            "iss": client.id,
            "sub": client.id,
            "aud": TOKEN,
            "exp": int(self.now.timestamp()) + 240,
            "jti": secrets.token_urlsafe(12),
            **changes,
        }
        return {name: value for name, value in claims.items() if value is not None}

    def by_assertion(
        self, assertion: str, scope: str | None = "system/Observation.rs", **changes: Any
    ) -> httpx.Response:
        form = {
            "grant_type": "client_credentials",
            "scope": scope,
            "client_assertion_type": TYPE,
            "client_assertion": assertion,
            **changes,
        }
        return self.token({name: value for name, value in form.items() if value is not None})

    def backend(
        self, scope: str | None = "system/Observation.rs", signer: Signer | None = None
    ) -> httpx.Response:
        return self.by_assertion((signer or ec("service")).token(self.claims()), scope)


def basic(client: Client = SYMMETRIC, secret: str = SECRET) -> str:
    pair = f"{quote_plus(client.id)}:{quote_plus(secret)}"
    return f"Basic {b64encode(pair.encode()).decode()}"


__all__ = ["BACK", "BASE", "HOST", "NOWHERE", "Office", "Person", "Pkce", "basic", "hashed"]
