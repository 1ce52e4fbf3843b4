"""https://hl7.org/fhir/R4/http.html#read, conditional: https://hl7.org/fhir/R4/http.html#cread"""

from __future__ import annotations

from typing import Any

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.shaping import SHAPES, Shaping
from fhir_server.preconditions import not_modified, present
from fhir_server.resource_json import decode_stored
from fhir_server.store.base import Version


async def read(service: Service, request: Request) -> Response:
    """The current version, as the bytes that are stored; 304, 404 where it never was, 410 when deleted."""
    return show(request, await service.store.read(request.type, request.id))


async def current(service: Service, request: Request) -> dict[str, Any]:
    """The resource that the URL names; FhirError("not-found" or "deleted")."""
    body = present(await service.store.read(request.type, request.id), request.type).body
    assert body is not None
    return decode_stored(body)


def show(request: Request, version: Version | None) -> Response:
    """A version that a client asked for, or the part of it."""
    pairs = request.pairs if request.query else []
    if request.prefer.strict and any(name not in SHAPES for name, _ in pairs):
        raise FhirError("invalid", "A read has no parameters but _summary, _elements, _format and _pretty")
    version = present(version, request.type)
    headers = request.headers
    if not_modified(version, headers.get("if-none-match"), headers.get("if-modified-since")):
        return Response(304, None, version)
    shaping = Shaping(request)
    if shaping.only_count:
        raise FhirError("invalid", "_summary=count is for searches and histories")
    return Response(200, shaping.body(version), version)
