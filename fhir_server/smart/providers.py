"""Signing in through an OpenID provider: where the browser is sent, and what is made of its coming back.

https://openid.net/specs/openid-connect-core-1_0.html#CodeFlowAuth, https://www.rfc-editor.org/rfc/rfc9700,
https://www.rfc-editor.org/rfc/rfc9126 (PAR), https://www.rfc-editor.org/rfc/rfc9207 (iss in the answer)
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from fhir_server import log
from fhir_server.instants import microseconds
from fhir_server.outgoing import Answer, NotReached, Outgoing, check_url
from fhir_server.smart import assertions, dpop, identities, jose, provider_settings
from fhir_server.smart.identities import Identity, NobodyHere
from fhir_server.smart.jose import Refused
from fhir_server.smart.limits import digest
from fhir_server.smart.provider_settings import Provider

if TYPE_CHECKING:
    from fhir_server.exchange import Service
    from fhir_server.store.base import Transaction

LASTS = timedelta(minutes=15)  # from leaving for the provider to coming back
_KIND = "leaving"
_FRESH = 3600.0  # seconds for which what a provider publishes of itself is used
_ASSERTION_SECONDS = 30  # HelseID accepts up to 60
_ALGORITHMS = {"P-256": "ES256", "P-384": "ES384"}


REASONS = ("provider", "declined", "expired", "level", "unknown", "several")


class NotSignedIn(Exception):
    """Somebody who left for a provider and is not signed in. `reason` is one of:

    "provider" (it does not answer, or not as it must), "declined" (by the person or the provider), "expired"
    (left too long ago, in another browser, or come back before), "level", "unknown" and "several" (see
    NobodyHere). `back` is what `leave` was given, where that is known.
    """

    def __init__(self, reason: str, back: str = "") -> None:
        self.reason, self.back = reason, back
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What a provider publishes of itself that we use."""

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    pushed_authorization_request_endpoint: str = ""
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class Left:
    """Somebody on the way to a provider: what their coming back must fit to. `browser` is hashed."""

    provider: str
    browser: str
    nonce: str
    verifier: str
    redirect_uri: str
    back: str


class Providers:
    """The providers by their id, with what they publish of themselves as it was fetched, in this process."""

    def __init__(self, settings: Mapping[str, Provider], outgoing: Outgoing) -> None:
        self.settings = dict(settings)
        self._outgoing = outgoing
        self._metadata: dict[str, tuple[float, Metadata]] = {}
        self._keys = {
            id_: provider_settings.private_key(each.key) for id_, each in self.settings.items() if each.key
        }
        self._secrets = {
            id_: provider_settings.secret(each.secret) for id_, each in self.settings.items() if each.secret
        }

    @property
    def choices(self) -> tuple[tuple[str, str], ...]:
        """(id, name) of those that people sign in through, for the sign-in page."""
        return tuple((id_, each.name) for id_, each in self.settings.items() if each.signs_in)

    async def metadata(self, provider: Provider, now: float) -> Metadata:
        """Raises NotReached where it cannot be had, or is another issuer's."""
        at, known = self._metadata.get(provider.issuer, (0.0, None))
        if known is not None and 0 <= now - at < _FRESH:
            return known
        answer = await self._outgoing.get(f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration")
        metadata = _read_metadata(answer, provider)
        self._metadata[provider.issuer] = (now, metadata)
        return metadata

    async def send(
        self, id_: str, url: str, form: dict[str, str], now: datetime, key: ECKey | None = None
    ) -> dict[str, Any]:
        """POST a form as the client that we are to the provider; the JSON object it answers with.

        `key`: the tokens shall be bound to it. A provider may ask for its nonce in the proof, once
        (RFC 9449, section 8). Raises NotReached.
        """
        nonce = ""
        for _ in range(2):
            sent, headers = self._authenticated(id_, form, now)
            if key is not None:
                headers["dpop"] = dpop.proof(key, "POST", url, now, nonce)
            answer = await self._outgoing.post(url, sent, headers)
            content = answer.json()
            if not isinstance(content, dict):
                raise NotReached("The answer is no JSON object")
            if answer.status in (200, 201):
                return content
            nonce = answer.headers.get("dpop-nonce", "")
            if key is None or content.get("error") != "use_dpop_nonce" or not nonce:
                break
        raise NotReached(f"The answer has status {answer.status} ({str(content.get('error'))[:60]!r})")

    def _authenticated(
        self, id_: str, form: dict[str, str], now: datetime
    ) -> tuple[dict[str, str], dict[str, str]]:
        """The form and the headers with what proves who we are."""
        provider = self.settings[id_]
        if id_ in self._keys:
            assertion = _assertion(provider, self._keys[id_], now)
            said = {"client_assertion_type": assertions.TYPE, "client_assertion": assertion}
            return {**form, "client_id": provider.client_id, **said}, {}
        pair = f"{quote(provider.client_id, safe='')}:{quote(self._secrets[id_], safe='')}"
        return form, {"authorization": f"Basic {b64encode(pair.encode()).decode()}"}


async def leave(service: Service, id_: str, redirect_uri: str, browser: str, back: str = "") -> str:
    """The URL of the provider to send a browser to; KeyError for an id that is none.

    `redirect_uri` is our callback for this provider alone, `browser` a secret that only this browser has (in
    a cookie), `back` whatever shall be known again when it comes back. Raises NotSignedIn("provider").
    """
    providers, now = service.smart.providers, service.clock()
    provider = providers.settings[id_]
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    left = Left(id_, digest(browser), nonce, verifier, redirect_uri, back)
    asked = _request(provider, left, state)
    try:
        metadata = await providers.metadata(provider, now.timestamp())
        pushed = metadata.pushed_authorization_request_endpoint
        if provider.par and not pushed:
            raise NotReached("It does not say where authorization requests are pushed")
        if provider.par:
            answer = await providers.send(id_, pushed, asked, now)
            asked = {"client_id": provider.client_id, "request_uri": str(answer.get("request_uri"))}
    except NotReached as problem:
        raise _failed(id_, problem, back) from None
    await service.store.transact(lambda tx: _keep(tx, state, left, now))
    endpoint = metadata.authorization_endpoint
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"


async def arrive(
    service: Service, id_: str, pairs: Sequence[tuple[str, str]], browser: str
) -> tuple[Identity, str]:
    """Who has come back to the callback of a provider with these parameters, and the `back` of their leaving.

    Each leaving is good for one arrival, in the browser that left, at the callback of the provider that it
    left for, within LASTS. Raises NotSignedIn; FhirError("unavailable") where the store is not reached.
    """
    said = dict(pairs)
    if len(said) < len(pairs) or not said.get("state"):
        raise NotSignedIn("expired")
    left = await service.store.transact(lambda tx: _take(tx, said["state"], service.clock()))
    if left is None or left.provider != id_ or not hmac.compare_digest(left.browser, digest(browser)):
        raise NotSignedIn("expired")
    provider = service.smart.providers.settings.get(id_)
    if provider is None:
        raise NotSignedIn("expired", left.back)
    try:
        claims = await _claims(service, provider, left, said)
        return await identities.identify(service, provider, claims), left.back
    except (NotReached, Refused) as problem:
        raise _failed(id_, problem, left.back) from None
    except NobodyHere as nobody:
        raise NotSignedIn(nobody.reason, left.back) from None


async def _claims(
    service: Service, provider: Provider, left: Left, said: Mapping[str, str]
) -> Mapping[str, Any]:
    """The claims of the id_token that the code of the answer is exchanged for."""
    providers, now = service.smart.providers, service.clock()
    metadata = await providers.metadata(provider, now.timestamp())
    needed = metadata.authorization_response_iss_parameter_supported
    if said.get("iss", "" if needed else provider.issuer) != provider.issuer:
        raise Refused("The answer is not from the provider that was asked")
    if "error" in said or not said.get("code"):
        raise NotSignedIn("declined", left.back)
    form = {
        "grant_type": "authorization_code",
        "code": said["code"],
        "redirect_uri": left.redirect_uri,
        "code_verifier": left.verifier,
    }
    key = dpop.new_key() if provider.dpop else None
    answer = await providers.send(left.provider, metadata.token_endpoint, form, now, key)
    if key is not None and str(answer.get("token_type")).lower() != "dpop":
        raise Refused("The provider has not bound its token")
    token = jose.read(str(answer.get("id_token")), jose.PROVIDERS)
    await service.smart.key_sets.verify(token, metadata.jwks_uri, now.timestamp())
    check_id_token(token.claims, provider, left.nonce, now)
    return token.claims


def check_id_token(claims: Mapping[str, Any], provider: Provider, nonce: str, now: datetime) -> None:
    """https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation; raises Refused."""
    if jose.required(claims, "iss", 2048) != provider.issuer:
        raise Refused("The id_token is another issuer's")
    audience = jose.audience(claims)
    if provider.client_id not in audience:
        raise Refused("The id_token is for another client")
    if claims.get("azp", provider.client_id if len(audience) == 1 else None) != provider.client_id:
        raise Refused("The id_token was issued to another client")
    jose.check_times(claims, now.timestamp())
    if jose.number(claims, "iat") is None:
        raise Refused("The id_token has no iat")
    if not hmac.compare_digest(jose.required(claims, "nonce").encode(), nonce.encode()):
        raise Refused("The id_token is for another sign-in")
    jose.required(claims, "sub")


def _request(provider: Provider, left: Left, state: str) -> dict[str, str]:
    return {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": left.redirect_uri,
        "scope": " ".join(provider.scopes),
        "state": state,
        "nonce": left.nonce,
        "code_challenge": jose.encoded(sha256(left.verifier.encode()).digest()),
        "code_challenge_method": "S256",
    }


def _assertion(provider: Provider, key: RSAKey | ECKey, now: datetime) -> str:
    """Who we are to a provider (private_key_jwt); `aud` is the issuer, whom no other server takes it for."""
    default = _ALGORITHMS[key.curve_name] if isinstance(key, ECKey) else "PS256"
    algorithm, moment = str(key.alg or default), int(now.timestamp())
    claims = {
        "iss": provider.client_id,
        "sub": provider.client_id,
        "aud": provider.issuer,
        "iat": moment,
        "nbf": moment,
        "exp": moment + _ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(24),
    }
    header = {"typ": "JWT", "alg": algorithm, "kid": str(key.kid)}
    return jwt.encode(header, claims, key, algorithms=[algorithm])


def _read_metadata(answer: Answer, provider: Provider) -> Metadata:
    content = answer.json()
    if answer.status != 200 or not isinstance(content, dict) or content.get("issuer") != provider.issuer:
        raise NotReached("What is published there is not of this issuer")
    try:
        metadata = msgspec.convert(content, Metadata)
    except msgspec.ValidationError:
        raise NotReached("An endpoint is missing") from None
    endpoints = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
    for url in (*endpoints, metadata.pushed_authorization_request_endpoint):
        if url:
            check_url(url)
    return metadata


def _keep(tx: Transaction, state: str, left: Left, now: datetime) -> None:
    tx.keep(_KIND, digest(state), msgspec.json.encode(left), microseconds(now + LASTS))


def _take(tx: Transaction, state: str, now: datetime) -> Left | None:
    """Who left with this state, once."""
    content = tx.record(_KIND, digest(state), now=microseconds(now))
    tx.forget(_KIND, digest(state))
    return msgspec.json.decode(content, type=Left) if content else None


def _failed(id_: str, problem: Exception, back: str) -> NotSignedIn:
    log.event("provider failed", "warning", provider=id_, problem=str(problem))
    return NotSignedIn("provider", back)
