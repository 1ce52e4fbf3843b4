"""Who may see and do what: a grant, what of it holds for a type, and the store as it is seen through it.

    service = seen_by(service, grant)    # for each request; then interaction(service, request)

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html. kinds.py says whose data a type is,
predicate.py what a grant gives of it, withheld.py what is hidden all the same, confined.py adds that to
everything that is asked of the store, writing.py holds writes to it, permits.py refuses what is not granted
at all (403).
"""

from __future__ import annotations

import hmac
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from fhir_server.access.confined import Confined, View
from fhir_server.access.grant import Grant
from fhir_server.access.writing import Held, Open
from fhir_server.instants import microseconds
from fhir_server.store.base import Transaction

if TYPE_CHECKING:
    from fhir_server.exchange import Service

__all__ = ["Grant", "View", "as_server", "guarding", "identity", "seen_by", "view"]


def seen_by(service: Service, grant: Grant | None) -> Service:
    """The service as a request with this grant has it; with None, where access control is off, as it is.

    Its store shows what may be seen, and the cursors that it seals are good for this grant only.
    """
    if grant is None:
        return service
    whole = service.whole
    store = Confined(whole, grant, lambda: microseconds(service.clock()), service.knows)
    return replace(
        service,
        store=store,
        behind=whole,
        grant=grant,
        key=hmac.digest(service.key, identity(grant), "sha256"),
        explains=service.explains and grant.role in ("administrator", "system"),
    )


def identity(grant: Grant | None) -> bytes:
    """What pages and results belong to: who asks, through what, for what; not with which token, since one is
    followed by the next while the pages are turned."""
    return repr(replace(grant, token="") if grant else None).encode(errors="surrogatepass")


def as_server(service: Service) -> Service:
    """The service as the server itself has it, for what it writes of its own accord while it answers."""
    return replace(service, store=service.whole, behind=None, grant=None)


def view(service: Service, tx: Transaction) -> Transaction | View:
    """What a transaction has, as the requester sees it: to read and to search."""
    if service.grant is None:
        return tx
    return View(tx, service.grant, microseconds(service.clock()))


def guarding(service: Service, tx: Transaction, now: datetime, base: str) -> Open:
    """What holds the changes of a transaction to the grant of who asks."""
    if service.grant is None:
        return Open(tx)
    return Held(tx, service.grant, microseconds(now), base)
