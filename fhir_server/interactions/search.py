"""https://hl7.org/fhir/R4/http.html#search: GET with parameters, or POST to _search with a form.

Of a type, of several or all (https://hl7.org/fhir/R4/http.html#vsearch), or in a compartment.
"""

from __future__ import annotations

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service, parse_pairs
from fhir_server.posted_parameters import known
from fhir_server.search import compartments
from fhir_server.search.parse import parse
from fhir_server.search.posted import Posted
from fhir_server.search.request import Scene, Search
from fhir_server.search.run import explain, run
from profiles.definitions import load


async def search(service: Service, request: Request) -> Response:
    """200 with a searchset Bundle; what was not applied is an issue in it, or 400 with strict handling."""
    search = read_search(service, request, await known(service))
    if service.journal and any(query.type == "AuditEvent" for query in search.queries):
        await service.journal.catch_up()  # before the snapshot that several types are searched in
    if search.explain:
        return Response(200, await explain(service.store, search))
    return Response(200, await run(service.store, search, key=service.key))


def read_search(service: Service, request: Request, posted: Posted | None = None) -> Search:
    """What is asked for, by the URL and the form together; FhirError where it cannot be.

    `posted` are the search parameters of users.
    """
    pairs = parse_pairs(request.query)
    if request.body:
        pairs += parse_pairs(request.body.decode("latin-1"))
    return parse(
        scene(request),
        pairs,
        strict=request.prefer.strict,
        base=request.base,
        now=service.clock(),
        key=service.key,
        hidden=bool(request.body),
        explain=service.explains,
        posted=posted,
    )


def scene(request: Request) -> Scene:
    """Where the search is made; FhirError where nothing can be."""
    if not request.member:
        return Scene((request.type,), request.type) if request.type else Scene(load().resource_types, "")
    types = compartments.types(request.type)
    if request.member != "*":
        if request.member not in types:
            raise FhirError(
                "unknown-type", f"No {request.member} is ever in the compartment of a {request.type}"
            )
        types = (request.member,)
    path = f"{request.type}/{request.id}/{request.member}"
    return Scene(types, path, (request.type, request.id))
