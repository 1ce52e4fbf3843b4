"""https://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

import re

from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.read import show

_OURS = re.compile(r"[1-9][0-9]{0,17}")


async def vread(service: Service, request: Request) -> Response:
    """That version, as the bytes that are stored; 404, and 410 where the version is a deletion."""
    if not _OURS.fullmatch(request.version):
        return show(request, None)
    return show(request, await service.store.vread(request.type, request.id, int(request.version)))
