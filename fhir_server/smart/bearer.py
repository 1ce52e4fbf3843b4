"""From the Authorization header of a request to what it is allowed.

https://www.rfc-editor.org/rfc/rfc6750, https://hl7.org/fhir/smart-app-launch/app-launch.html#step-6-fhir-api
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhir_server.access.emergency import with_emergencies
from fhir_server.access.grant import Grant
from fhir_server.instants import microseconds
from fhir_server.smart import clients, issuers, scopes, tokens
from fhir_server.smart.codes import hashed
from fhir_server.smart.jose import Refused

if TYPE_CHECKING:
    from fhir_server.exchange import Service

REALM = "varde"
# With a 403: the token is good, and what it stands for does not reach so far (RFC 6750, section 3.1).
INSUFFICIENT = f'Bearer realm="{REALM}", error="insufficient_scope"'
# For so long (microseconds) a process takes a token's grant for granted: another one may have revoked it.
TRUSTED = 1_000_000
_REMEMBERED = 10_000
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750, section 2.1


class Unauthenticated(Exception):
    """No token, or none that is good; `challenge` is the WWW-Authenticate to send with the 401."""

    def __init__(self, description: str, error: str | None = None, scheme: str = "bearer") -> None:
        super().__init__(description)
        said = f', error="{error}", error_description="{_plain(description)}"' if error else ""
        self.challenge = f'{"DPoP" if scheme == "dpop" else "Bearer"} realm="{REALM}"{said}'


async def grant_of(
    service: Service,
    authorization: str | None,
    proofs: tuple[str, ...] = (),
    method: str = "GET",
    url: str = "",
) -> Grant:
    """What the bearer of the token is allowed now; Unauthenticated without a good one.

    `proofs` are the values of the DPoP headers, `url` that of the request without its query, as the client
    sees it: tokens of another issuer may be bound to a key. FhirError("unavailable") where the store cannot
    be asked.
    """
    scheme, token = _token(authorization)
    if issuers.looks_like_one(token):
        grant = await _of_another(service, issuers.Presented(scheme, token, proofs, method, url))
        return await with_emergencies(service.whole, grant, microseconds(service.clock()))
    if scheme != "bearer":
        raise Unauthenticated("This access token is sent as Bearer", "invalid_token")
    now, remembered = microseconds(service.clock()), service.smart.grants
    key = hashed(token)
    known = remembered.get(key)
    if known is not None and 0 <= now - known[1] < TRUSTED and now < known[2]:
        return known[0]
    found = await _look_up(service, token, now)
    if found is None:
        remembered.pop(key, None)
        raise Unauthenticated("The access token is unknown, has expired or was revoked", "invalid_token")
    if len(remembered) >= _REMEMBERED:
        remembered.clear()
    grant, expires = found
    remembered[key] = (grant, now, expires)
    return grant


async def _of_another(service: Service, presented: issuers.Presented) -> Grant:
    """By an access token that a trusted provider issued."""
    try:
        return await issuers.grant_of(service, presented)
    except Refused as refused:
        raise Unauthenticated(str(refused), "invalid_token", presented.scheme) from None


async def _look_up(service: Service, token: str, now: int) -> tuple[Grant, int] | None:
    found = await tokens.find(service.whole, token, now)
    if found is None:
        return None
    access, approval = found
    if await clients.find(service.whole, approval.client) is None:
        return None
    grant = Grant(
        approval.client,
        scopes.resources(scopes.parse(access.scope)),
        approval.role,
        approval.subject,
        approval.user,
        approval.context.patient,
        approval.context.encounter,
        approval.organizations,
        token=access.name,
    )
    return await with_emergencies(service.whole, grant, now), access.expires


def _token(authorization: str | None) -> tuple[str, str]:
    """Scheme (bearer or dpop) and token."""
    if not authorization:
        raise Unauthenticated("An access token is needed")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() not in ("bearer", "dpop"):
        raise Unauthenticated("An access token is needed: Authorization: Bearer ...")
    token = token.strip()
    if not _TOKEN.fullmatch(token) or len(token) > 16_384:
        raise Unauthenticated("The Authorization header has no access token", "invalid_token")
    return scheme.lower(), token


def _plain(text: str) -> str:
    """As an error_description may be (RFC 6750, section 3)."""
    return re.sub(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]", "'", text)
