"""Access tokens of a trusted provider (JWT): who sends them, with which scopes, bound to which key.

https://www.rfc-editor.org/rfc/rfc9068, https://www.rfc-editor.org/rfc/rfc9449#section-7
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.access.grant import Grant, ResourceScope, Role
from fhir_server.instants import microseconds
from fhir_server.outgoing import NotReached
from fhir_server.smart import dpop, identities, jose, scopes
from fhir_server.smart.identities import NobodyHere
from fhir_server.smart.jose import Refused
from fhir_server.smart.limits import digest
from fhir_server.smart.provider_settings import Provider

if TYPE_CHECKING:
    from fhir_server.exchange import Service

REMEMBERED = 1_000_000  # microseconds for which a process takes what a token means for granted
_MOST = 5_000
# Claims of a token that somebody signed in for: https://www.rfc-editor.org/rfc/rfc9068#section-2.2.1
_SIGNED_IN = ("auth_time", "amr", "idp", "sid", "session_state", "nonce")
_TYPES = ("at+jwt", "application/at+jwt", "jwt")


@dataclass(frozen=True, slots=True)
class Presented:
    """A token as a request brings it: `scheme` is that of the Authorization header in lower case, `proofs`
    are the values of its DPoP headers, `url` is that of the request as the client sees it."""

    scheme: str
    token: str
    proofs: tuple[str, ...] = ()
    method: str = "GET"
    url: str = ""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a token means. `thumbprint` is of the key that it is bound to, "" for none; `expires` and `since`
    are microseconds since 1970 UTC."""

    grant: Grant
    thumbprint: str
    expires: int
    since: int


def looks_like_one(token: str) -> bool:
    """Whether it has the form of a JWT; our own tokens have no dots."""
    return token.count(".") == 2


async def grant_of(service: Service, presented: Presented) -> Grant:
    """What the bearer of a provider's access token is allowed. Raises Refused, whose message may be shown.

    FhirError("unavailable") where the store is not reached.
    """
    accepted = await _accepted(service, presented.token)
    if not accepted.thumbprint:
        if presented.scheme != "bearer":
            raise Refused("The access token is bound to no key: send it as Bearer")
        return accepted.grant
    if presented.scheme != "dpop":
        raise Refused("The access token is bound to a key: send it as DPoP, with a proof")
    if len(presented.proofs) != 1:
        raise Refused("A DPoP header, and only one, must have the proof")
    await dpop.check(
        service,
        presented.proofs[0],
        presented.method,
        presented.url,
        presented.token,
        accepted.thumbprint,
        service.clock(),
    )
    return accepted.grant


async def _accepted(service: Service, token: str) -> Accepted:
    """What the token means, looked up once a second."""
    now, remembered, key = microseconds(service.clock()), service.smart.accepted, digest(token)
    known = remembered.get(key)
    if known is not None and 0 <= now - known.since < REMEMBERED and now < known.expires:
        return known
    accepted = await _read(service, token, now)
    if len(remembered) >= _MOST:
        remembered.clear()
    remembered[key] = accepted
    return accepted


async def _read(service: Service, text: str, now: int) -> Accepted:
    token, seconds = jose.read(text, jose.PROVIDERS), now / 1_000_000
    provider = _issuer(service, token.claims)
    if str(token.header.get("typ", "JWT")).lower() not in _TYPES:
        raise Refused("The typ of the access token must be at+jwt or JWT")
    try:
        metadata = await service.smart.providers.metadata(provider, seconds)
    except NotReached:
        raise Refused("The issuer of the access token does not answer") from None
    await service.smart.key_sets.verify(token, metadata.jwks_uri, seconds)
    expires = _check(token.claims, provider, seconds)
    grant = await _grant(service, provider, token.claims, digest(text)[:32])
    return Accepted(grant, _thumbprint(token.claims, provider), int(expires * 1_000_000), now)


def _issuer(service: Service, claims: Mapping[str, Any]) -> Provider:
    for provider in service.smart.providers.settings.values():
        if provider.audience and provider.issuer == claims.get("iss"):
            return provider
    raise Refused("The issuer of the access token is not trusted here")


def _check(claims: Mapping[str, Any], provider: Provider, now: float) -> float:
    """When it has expired, in seconds; Refused for one that is for others, or no access token at all."""
    if provider.audience not in jose.audience(claims):
        raise Refused("The access token is for another audience")
    if claims.get("typ") in ("ID", "Refresh", "Offline", "Logout"):  # as Keycloak tells them apart
        raise Refused("This is no access token")
    return jose.check_times(claims, now, provider.most_seconds)


def _thumbprint(claims: Mapping[str, Any], provider: Provider) -> str:
    confirmation = claims.get("cnf")
    if confirmation is None and not provider.dpop:
        return ""
    thumbprint = confirmation.get("jkt") if isinstance(confirmation, dict) else None
    if not isinstance(thumbprint, str) or not thumbprint:
        raise Refused("The access token is not bound to a key in a way that is known here")
    return thumbprint


async def _grant(service: Service, provider: Provider, claims: Mapping[str, Any], token: str) -> Grant:
    client = f"{provider.issuer}|{claims.get('client_id') or claims.get('azp') or ''}"
    if not _is_of_a_person(provider, claims):
        acting = await identities.organisations(service, provider, claims)
        allowed = _scopes(provider, claims, "system", None)
        return Grant(client, allowed, "system", client, organizations=acting, token=token)
    try:
        identity = await identities.identify(service, provider, claims)
    except NobodyHere:
        raise Refused("The access token is of nobody who may come in here") from None
    patient = identity.fhir_user.partition("/")[2] if identity.role == "patient" else None
    return Grant(
        client,
        _scopes(provider, claims, identity.role, patient),
        identity.role,
        identity.subject,
        identity.fhir_user,
        patient,
        organizations=identity.organizations,
        token=token,
    )


def _is_of_a_person(provider: Provider, claims: Mapping[str, Any]) -> bool:
    """Whether a person stands behind it, or a system that acts for itself; Refused where a person signed in
    and nothing says who."""
    named = (*(match.claim for match in provider.people), provider.fhir_user)
    if any(name and identities.claim(claims, name) is not None for name in named):
        jose.required(claims, "sub")
        return True
    if any(name in claims for name in _SIGNED_IN):
        raise Refused("The access token does not say who its user is")
    return False


def _scopes(
    provider: Provider, claims: Mapping[str, Any], role: Role, patient: str | None
) -> tuple[ResourceScope, ...]:
    """The token's scopes as ours. Those of patient/ are for patients: no token tells of another's context."""
    value = claims.get("scope", "")
    said = value if isinstance(value, list) else str(value).split()
    meant = [
        provider.grants.get(str(each), str(each) if provider.smart_scopes else "") for each in said
    ]  # fmt: skip
    text = " ".join(meant)
    found = scopes.granted(text, text, role)
    return scopes.resources(found if patient else scopes.without_patient(found))
