"""The authorization endpoint: the request is checked and kept, and the person is taken to its pages.

https://www.rfc-editor.org/rfc/rfc6749#section-3.1
"""

from __future__ import annotations

from fhir_server.smart import authorize as requests
from fhir_server.smart import clients, limits, pending
from fhir_server.smart.authorize import Unusable
from fhir_server.smart.pages.visit import Answer, Visit


async def authorize(visit: Visit) -> Answer:
    """GET, or POST of a form: on to the first page; an error to the application, or a page that says it.

    A POST comes from another site, and so without cookies: who is signed in shows on the page that follows.
    """
    limits.admit(visit.service, "authorize", visit.address)
    pairs = visit.form if visit.method == "POST" else visit.query
    client = await clients.find(visit.service.store, requests.client_of(pairs))
    if client is None:
        raise Unusable("client")
    asked = requests.read(pairs, client, visit.base)
    name = await visit.service.store.transact(lambda tx: pending.begin(tx, asked, visit.now))
    return visit.go("consent", name)
