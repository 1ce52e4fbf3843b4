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
from typing import TYPE_CHECKING

from fhir_server.access.confined import Confined
from fhir_server.access.grant import Grant
from fhir_server.instants import microseconds

if TYPE_CHECKING:
    from fhir_server.exchange import Service

__all__ = ["Grant", "identity", "seen_by"]


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
