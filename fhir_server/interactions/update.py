"""https://hl7.org/fhir/R4/http.html#update, conditional: https://hl7.org/fhir/R4/http.html#cond-update

A content equal to the current one makes a new version all the same: the client's write is in the history.
"""

from __future__ import annotations

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.incoming import ID, read_change, read_resource, target_criteria
from fhir_server.interactions.outgoing import answer
from fhir_server.preconditions import parse_etags
from fhir_server.write import Change, commit


async def update(service: Service, request: Request) -> Response:
    """200, or 201 where the resource was not there; 412 where If-Match or If-None-Match does not hold."""
    (outcome,) = await commit(service, [await read_change(change, service, request)], request.base)
    return answer(request, outcome)


def change(service: Service, request: Request) -> Change:
    """To the id in the URL, or to the one resource that the URL's criteria find."""
    criteria = target_criteria(service, request, "An update")
    if request.id and not ID.fullmatch(request.id):
        raise FhirError("invalid", "The id in the URL is not a valid id: [A-Za-z0-9-.], 1 to 64 of them")
    resource = read_resource(request)
    theirs = resource.get("id")
    if request.id and theirs != request.id:
        said = "The resource has no id" if theirs is None else "The resource's id is not the one in the URL"
        raise FhirError("invalid", said, expression=f"{request.type}.id")
    return Change(
        "PUT",
        request.type,
        theirs,
        resource,
        criteria,
        parse_etags(request.headers.get("if-match"), "If-Match"),
        parse_etags(request.headers.get("if-none-match"), "If-None-Match"),
        versioned=service.policy.versioned_updates,
    )
