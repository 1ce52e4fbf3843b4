"""Which application asks: public ones say so, confidential ones prove it.

https://hl7.org/fhir/smart-app-launch/client-authentication.html,
https://www.rfc-editor.org/rfc/rfc6749#section-2.3
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from fhir_server.instants import microseconds
from fhir_server.smart import assertions, clients, limits, tokens
from fhir_server.smart.asked import Asked
from fhir_server.smart.clients import Client
from fhir_server.smart.jose import Refused
from fhir_server.smart.refusal import Refusal, unknown_client

if TYPE_CHECKING:
    from fhir_server.exchange import Service


async def authenticate(service: Service, asked: Asked) -> Client:
    """The client that the request is from. Raises Refusal (invalid_client 401, invalid_request 400)."""
    basic = asked.authorization.lower().startswith("basic ")
    signed = "client_assertion" in asked.form or "client_assertion_type" in asked.form
    if basic and signed:
        raise Refusal("invalid_request", "A client proves who it is in one way, not in several")
    if "client_secret" in asked.form:
        raise unknown_client("The secret of a client goes into the Authorization header (Basic)")
    if signed:
        return await _asymmetric(service, asked)
    if basic:
        return await _symmetric(service, asked)
    client_id = asked.form.get("client_id") or await _refreshing(service, asked)
    client = await _client(service, asked, client_id)
    if client is None:
        raise unknown_client("There is no such client, or it did not say who it is")
    if client.confidential:
        raise unknown_client(f"This client is {client.kind}, and has to prove who it is")
    return client


async def _refreshing(service: Service, asked: Asked) -> str:
    """Whose refresh token it is: a public client need not say (RFC 6749, section 6), and some do not."""
    token = asked.form.get("refresh_token", "")
    if asked.form.get("grant_type") != "refresh_token" or not token:
        return ""
    return await tokens.client_of(service.whole, token, microseconds(service.clock())) or ""


async def _symmetric(service: Service, asked: Asked) -> Client:
    """https://hl7.org/fhir/smart-app-launch/client-confidential-symmetric.html"""
    client_id, secret = _basic(asked.authorization)
    client = await _client(service, asked, client_id)
    if client is None or client.kind != "confidential-symmetric" or not clients.has_secret(client, secret):
        raise unknown_client("There is no such client with that secret")
    _check_same(asked, client_id)
    return client


async def _asymmetric(service: Service, asked: Asked) -> Client:
    """https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html"""
    if asked.form.get("client_assertion_type") != assertions.TYPE:
        raise unknown_client(f"The client_assertion_type must be {assertions.TYPE}")
    assertion = asked.form.get("client_assertion", "")
    try:
        client_id = assertions.client_id(assertion)
        client = await _client(service, asked, client_id)
        if client is None or client.kind != "confidential-asymmetric":
            raise unknown_client("There is no such client with keys")
        _check_same(asked, client_id)
        await assertions.verify(service, client, assertion, asked.places.of("token"), service.clock())
    except Refused as refused:
        raise unknown_client(str(refused)) from None
    return client


async def _client(service: Service, asked: Asked, client_id: str) -> Client | None:
    """Counts the request, whoever it is from."""
    try:
        limits.admit(service, "token", asked.address, client_id)
    except limits.TooMany as many:
        raise Refusal("temporarily_unavailable", str(many), 429, retry=many.seconds) from None
    return await clients.find(service.whole, client_id)


def _basic(authorization: str) -> tuple[str, str]:
    """client_id and secret, each encoded as in a form before they are put together (RFC 6749, 2.3.1)."""
    try:
        text = b64decode(authorization[6:].strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise unknown_client("The Authorization header is not that of Basic authentication") from None
    name, _, secret = text.partition(":")
    return unquote_plus(name), unquote_plus(secret)


def _check_same(asked: Asked, client_id: str) -> None:
    if asked.form.get("client_id", client_id) != client_id:
        raise unknown_client("The client_id is not that of the client that proved who it is")
