"""Clients that prove who they are with a signed assertion (private_key_jwt).

https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html, https://www.rfc-editor.org/rfc/rfc7523
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from fhir_server.instants import microseconds
from fhir_server.smart import jose
from fhir_server.smart.jose import Refused, Token, required
from fhir_server.smart.jwks import public_keys
from fhir_server.smart.limits import digest

if TYPE_CHECKING:
    from fhir_server.exchange import Service
    from fhir_server.store.base import Transaction

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST = 300.0  # seconds
_KIND = "jti"


class Registered(Protocol):
    """What is known of a client: its keys inline (a JWK Set) or by URL."""

    @property
    def id(self) -> str: ...
    @property
    def jwks(self) -> Mapping[str, Any] | None: ...
    @property
    def jwks_url(self) -> str | None: ...


def client_id(assertion: str) -> str:
    """Who the assertion says made it, to look the client up by; Refused where it cannot be an assertion.

    Nothing is verified: what is returned is a claim.
    """
    return required(_read(assertion).claims, "sub")


async def verify(service: Service, client: Registered, assertion: str, token_url: str, now: datetime) -> None:
    """Raises Refused unless the client signed this assertion for this token endpoint, now and only once.

    A header `jku` is accepted where it is the URL that the client has registered, as SMART says; it is
    never fetched for the token's sake. FhirError("unavailable") where the store is not reached.
    """
    token = _read(assertion)
    _check_key_url(token, client)
    if str(token.header.get("typ", "JWT")).upper() != "JWT":
        raise Refused("The typ of the assertion must be JWT")
    claims = token.claims
    if required(claims, "iss") != client.id or required(claims, "sub") != client.id:
        raise Refused("The iss and the sub of the assertion must both be the client_id")
    if jose.audience(claims) != (token_url,):
        raise Refused("The aud of the assertion must be the URL of the token endpoint, and nothing else")
    ends, jti = jose.check_times(claims, now.timestamp(), LONGEST), required(claims, "jti")
    if client.jwks_url:
        await service.smart.key_sets.verify(token, client.jwks_url, now.timestamp())
    else:
        jose.verify(token, public_keys(client.jwks))
    await use_once(service, jti, client.id, now, ends)


async def use_once(service: Service, jti: str, by: str, now: datetime, ends: float) -> None:
    """Raises Refused where `by` has used this jti before; it is remembered until `ends` (seconds).

    In a transaction: of two that come at the same time, whichever worker they come to, one is refused.
    """
    key, moment = digest(by, jti), microseconds(now)

    def use(transaction: Transaction) -> bool:
        if transaction.record(_KIND, key, now=moment) is not None:
            return False
        transaction.keep(_KIND, key, b"", int(ends * 1_000_000) + 1)
        return True

    if not await service.store.transact(use):
        raise Refused("The jti has been used before")


def _read(assertion: str) -> Token:
    return jose.read(assertion, jose.CLIENTS, frozenset({"jku"}))


def _check_key_url(token: Token, client: Registered) -> None:
    """https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html#authentication-jwt-header-values"""
    if token.kid is None:
        raise Refused("The assertion needs a kid")
    if "jku" in token.header and (client.jwks_url is None or token.header["jku"] != client.jwks_url):
        raise Refused("The jku of the assertion is not the URL that the client has registered")
