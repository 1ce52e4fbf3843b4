"""https://hl7.org/fhir/R4/http.html#vread"""

from __future__ import annotations

import re

from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.read import show


async def vread(service: Service, request: Request) -> Response:
    """That version, as the bytes that are stored; 404, and 410 where the version is a deletion."""
    if not is_version(request.version):
        return show(request, None)
    return show(request, await service.store.vread(request.type, request.id, int(request.version)))


def is_version(text: str) -> bool:
    """Whether it could be one of our version ids: 1, 2, ..."""
    return re.fullmatch(r"[1-9][0-9]{0,17}", text) is not None
