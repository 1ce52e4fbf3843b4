"""https://hl7.org/fhir/R4/http.html#read, conditional: https://hl7.org/fhir/R4/http.html#cread"""

from __future__ import annotations

from datetime import UTC, datetime

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.preconditions import not_modified
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search.parse import parse
from fhir_server.search.shape import shape
from fhir_server.store.base import Version

_SHAPES = frozenset({"_summary", "_elements"})


async def read(service: Service, request: Request) -> Response:
    """The current version, as the bytes that are stored; 304, 404 where it never was, 410 when deleted."""
    return show(request, await service.store.read(request.type, request.id))


def show(request: Request, version: Version | None) -> Response:
    """A version that a client asked for, or the part of it."""
    pairs = request.pairs if request.query else []
    if request.prefer.strict and any(name not in _SHAPES for name, _ in pairs):
        raise FhirError("invalid", "A read has no parameters but _summary, _elements, _format and _pretty")
    if version is None:
        raise FhirError("not-found", f"There is no such {request.type}")
    if version.deleted:
        raise FhirError("deleted", f"This {request.type} was deleted, as version {version.version}")
    headers = request.headers
    if not_modified(version, headers.get("if-none-match"), headers.get("if-modified-since")):
        return Response(304, None, version)
    return Response(200, _shaped(request, version, pairs) if pairs else version.body, version)


def _shaped(request: Request, version: Version, pairs: list[tuple[str, str]]) -> bytes:
    """https://hl7.org/fhir/R4/search.html#summary, of one resource."""
    shapes = [pair for pair in pairs if pair[0] in _SHAPES]
    search = parse(
        version.type, shapes, strict=request.prefer.strict, base=request.base, now=datetime.now(UTC)
    )
    body = version.body or b"{}"
    if search.summary == "count":
        raise FhirError("invalid", "_summary=count is for searches")
    if not search.summary and not search.elements:
        return body
    return encode(shape(decode_stored(body), search.summary, search.elements))
