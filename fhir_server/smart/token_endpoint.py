"""The token endpoint: codes, refresh tokens and signed assertions for access tokens.

https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-access-token,
https://hl7.org/fhir/smart-app-launch/backend-services.html, https://www.rfc-editor.org/rfc/rfc6749#section-3.2
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fhir_server.audit import tokens as audited
from fhir_server.instants import microseconds
from fhir_server.smart import codes, scopes, tokens
from fhir_server.smart.asked import Answer, Asked
from fhir_server.smart.authentication import authenticate
from fhir_server.smart.clients import Client
from fhir_server.smart.codes import Approval
from fhir_server.smart.refusal import Refusal
from fhir_server.smart.tokens import Issued

if TYPE_CHECKING:
    from fhir_server.exchange import Service
    from fhir_server.store.base import Transaction

GRANTS = ("authorization_code", "refresh_token", "client_credentials")
_SAID = {
    "invalid_grant": "The code or token is unknown, has expired, was used or was not given to this client",
    "invalid_scope": "A scope is not one that was granted before",
}


async def token(service: Service, asked: Asked) -> Answer:
    """The token response (never cached, see smart/http.py). Raises Refusal."""
    grant_type = asked.required("grant_type")
    if grant_type not in GRANTS:
        raise Refusal("unsupported_grant_type", f"A grant_type is one of {', '.join(GRANTS)}")
    client = await authenticate(service, asked)
    if grant_type == "authorization_code":
        return await _for_code(service, asked, client)
    if grant_type == "refresh_token":
        return await _for_refresh_token(service, asked, client)
    return await _for_client(service, asked, client)


async def _for_code(service: Service, asked: Asked, client: Client) -> Answer:
    """RFC 6749, section 4.1.3, and RFC 7636, section 4.6. A code is spent by the first who brings it."""
    code, verifier = asked.required("code"), asked.required("code_verifier")
    redirect_uri = asked.required("redirect_uri")
    now, family, terms = microseconds(service.clock()), tokens.new_family(), service.smart.terms

    def use(tx: Transaction) -> Issued | None:
        found = codes.take(tx, code, family, now)
        if found is None:
            return None
        if found.family is not None:  # somebody has it who should not: RFC 6749, section 4.1.2
            tokens.end(tx, found.family)
            audited.put(service, tx, "tokens-ended", found.approval, asked.address, status=400)
            return None
        good = found.approval.client == client.id and found.redirect_uri == redirect_uri
        if not good or not codes.is_answered(found.challenge, verifier):
            return None
        audited.put(service, tx, "token-issued", found.approval, asked.address)
        return tokens.begin(tx, family, found.approval, terms, now)

    issued = await service.whole.transact(use)
    if issued is None:
        service.smart.grants.clear()  # some may have been revoked
        raise Refusal("invalid_grant", _SAID["invalid_grant"])
    body = _body(issued)
    if "openid" in issued.scope.split(" "):
        body["id_token"] = await asyncio.to_thread(_id_token, service, asked, issued, now)
    return Answer(body)


async def _for_refresh_token(service: Service, asked: Asked, client: Client) -> Answer:
    """RFC 6749, section 6, with rotation: RFC 9700, section 4.14.2."""
    refresh, scope = asked.required("refresh_token"), asked.form.get("scope")
    now, terms = microseconds(service.clock()), service.smart.terms

    def use(tx: Transaction) -> Issued | str:
        before = tokens.approval_of(tx, refresh, now)
        outcome = tokens.renew(tx, refresh, client, scope, terms, now)
        if isinstance(outcome, Issued):
            audited.put(service, tx, "token-refreshed", outcome.approval, asked.address)
        elif before is not None and tokens.approval_of(tx, refresh, now) is None:
            audited.put(service, tx, "tokens-ended", before, asked.address, status=400)
        return outcome

    outcome = await service.whole.transact(use)
    if isinstance(outcome, str):
        service.smart.grants.clear()
        raise Refusal(outcome, _SAID[outcome])
    return Answer(_body(outcome))


async def _for_client(service: Service, asked: Asked, client: Client) -> Answer:
    """https://hl7.org/fhir/smart-app-launch/backend-services.html#obtain-access-token"""
    if client.kind != "confidential-asymmetric":
        raise Refusal("unauthorized_client", "client_credentials are for clients that sign an assertion")
    granted = scopes.granted(asked.form.get("scope", ""), client.scope, "system")
    granted = tuple(scope for scope in granted if scope.resource is not None)
    if not granted:
        raise Refusal("invalid_scope", "There is no system/ scope that this client is registered for")
    now, terms = microseconds(service.clock()), service.smart.terms
    approval = Approval(
        client.id,
        scopes.printed(granted),
        asked.places.fhir,
        client.id,
        "system",
        None,
        client.organizations,
        now,
    )
    family = tokens.new_family()

    def give(tx: Transaction) -> Issued:
        audited.put(service, tx, "token-issued", approval, asked.address)
        return tokens.begin(tx, family, approval, terms, now)

    return Answer(_body(await service.whole.transact(give)))


def _body(issued: Issued) -> dict[str, Any]:
    """https://hl7.org/fhir/smart-app-launch/app-launch.html#response-5"""
    body: dict[str, Any] = {
        "access_token": issued.access,
        "token_type": "Bearer",
        "expires_in": issued.seconds,
        "scope": issued.scope,
        **issued.approval.context.parameters(),
    }
    if issued.refresh is not None:
        body["refresh_token"] = issued.refresh
    return body


def _id_token(service: Service, asked: Asked, issued: Issued, now: int) -> str:
    """https://openid.net/specs/openid-connect-core-1_0.html#IDToken, with SMART's fhirUser."""
    approval, seconds = issued.approval, now // 1_000_000
    claims: dict[str, Any] = {
        "iss": asked.places.issuer,
        "sub": approval.subject,
        "aud": approval.client,
        "iat": seconds,
        "exp": seconds + issued.seconds,
        "auth_time": approval.auth_time // 1_000_000,
    }
    if approval.nonce is not None:
        claims["nonce"] = approval.nonce
    if approval.user and {"fhirUser", "profile"} & set(issued.scope.split(" ")):
        claims["fhirUser"] = f"{approval.base}/{approval.user}"
    return service.smart.keys.sign(claims, seconds)
