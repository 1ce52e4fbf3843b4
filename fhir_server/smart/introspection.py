"""https://www.rfc-editor.org/rfc/rfc7662, https://hl7.org/fhir/smart-app-launch/token-introspection.html"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhir_server.instants import microseconds
from fhir_server.smart import bearer, clients, tokens
from fhir_server.smart.asked import Answer, Asked
from fhir_server.smart.authentication import authenticate
from fhir_server.smart.bearer import Unauthenticated
from fhir_server.smart.clients import Client
from fhir_server.smart.codes import Approval
from fhir_server.smart.refusal import Refusal, unknown_client
from fhir_server.smart.tokens import Access

if TYPE_CHECKING:
    from fhir_server.exchange import Service


async def introspect(service: Service, asked: Asked) -> Answer:
    """What a token stands for, told to the client it was given to, and to those registered to look.

    The caller proves who it is as at the token endpoint, or by an access token of its own in the
    Authorization header. Everything it may not know is a token that is not active. Raises Refusal.
    """
    client, token = await _caller(service, asked), asked.required("token")
    store, now = service.whole, microseconds(service.clock())
    found = await tokens.find(store, token, now)
    if found is not None and _may_know(client, found[1]):
        gone = await clients.find(store, found[1].client) is None
        return Answer({"active": False} if gone else _active(asked, *found))
    lasting = await tokens.find_refresh(store, token, now)
    if lasting is not None and _may_know(client, lasting[1]):
        kept, approval = lasting
        return Answer(_said(asked, approval, approval.scope, kept.expires))
    return Answer({"active": False})


async def _caller(service: Service, asked: Asked) -> Client:
    if not asked.authorization.lower().startswith("bearer "):
        client = await authenticate(service, asked)
        if not client.confidential:  # anybody can say that they are a public client
            raise unknown_client("Introspection is for confidential clients")
        return client
    try:
        grant = await bearer.grant_of(service, asked.authorization)
    except Unauthenticated as refused:
        raise Refusal("invalid_token", str(refused), 401) from None
    found = await clients.find(service.whole, grant.client)
    if found is None or not found.confidential:
        raise unknown_client("Introspection is for confidential clients")
    return found


def _may_know(client: Client, approval: Approval) -> bool:
    return client.introspects or client.id == approval.client


def _active(asked: Asked, access: Access, approval: Approval) -> dict[str, Any]:
    said = _said(asked, approval, access.scope, access.expires)
    return {**said, "token_type": "Bearer", "iat": access.issued // 1_000_000}


def _said(asked: Asked, approval: Approval, scope: str, expires: int) -> dict[str, Any]:
    granted = set(approval.scope.split(" "))
    said: dict[str, Any] = {
        "active": True,
        "scope": scope,
        "client_id": approval.client,
        "exp": expires // 1_000_000,
        "sub": approval.subject,
        "iss": asked.places.issuer,
        "aud": approval.base,
        **approval.context.parameters(),
    }
    if approval.user and "openid" in granted and {"fhirUser", "profile"} & granted:
        said["fhirUser"] = f"{approval.base}/{approval.user}"
    return said
