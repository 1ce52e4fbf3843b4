"""https://www.rfc-editor.org/rfc/rfc7009: a client says that it needs a token no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.audit import tokens as audited
from fhir_server.instants import microseconds
from fhir_server.smart import tokens
from fhir_server.smart.asked import Answer, Asked
from fhir_server.smart.authentication import authenticate
from fhir_server.smart.refusal import Refusal

if TYPE_CHECKING:
    from fhir_server.exchange import Service
    from fhir_server.store.base import Transaction


async def revoke(service: Service, asked: Asked) -> Answer:
    """An access token ends alone, a refresh token with all that came of the same approval.

    A token that is unknown is revoked already; one of another client is refused. Raises Refusal.
    """
    client, token = await authenticate(service, asked), asked.required("token")
    store, now = service.whole, microseconds(service.clock())
    found = await tokens.find(store, token, now) or await tokens.find_refresh(store, token, now)
    if found is not None and found[1].client != client.id:
        raise Refusal("unauthorized_client", "The token was given to another client")
    if found is not None:
        approval = found[1]

        def work(tx: Transaction) -> None:
            tokens.revoke(tx, token)
            audited.put(service, tx, "token-revoked", approval, asked.address)

        await store.transact(work)
        service.smart.grants.clear()
    return Answer(None)
