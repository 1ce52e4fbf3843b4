"""https://hl7.org/fhir/R4/http.html#search: GET with parameters, or POST to _search with a form."""

from __future__ import annotations

from fhir_server.exchange import Request, Response, Service, parse_pairs
from fhir_server.search.parse import parse
from fhir_server.search.request import Search
from fhir_server.search.run import run


async def search(service: Service, request: Request) -> Response:
    """200 with a searchset Bundle; what was not applied is an issue in it, or 400 with strict handling."""
    return Response(200, await run(service.store, read_search(service, request), key=service.key))


def read_search(service: Service, request: Request) -> Search:
    """What is asked for, by the URL and the form together; FhirError where it cannot be."""
    pairs = parse_pairs(request.query)
    if request.body:
        pairs += parse_pairs(request.body.decode("latin-1"))
    return parse(
        request.type,
        pairs,
        strict=request.prefer.strict,
        base=request.base,
        now=service.clock(),
        key=service.key,
    )
