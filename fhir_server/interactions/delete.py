"""https://hl7.org/fhir/R4/http.html#delete, conditional: https://hl7.org/fhir/R4/http.html#3.1.0.7.1

Deleting what is not there, by id or by criteria, is 204 as well: it is as the client wants it.
"""

from __future__ import annotations

from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.incoming import target_criteria
from fhir_server.interactions.outgoing import answer
from fhir_server.preconditions import parse_etags
from fhir_server.write import Change, commit


async def delete(service: Service, request: Request) -> Response:
    """204; 412 where If-Match does not hold or the criteria find several."""
    (outcome,) = await commit(service, [change(service, request)], request.base)
    return answer(request, outcome)


def change(service: Service, request: Request) -> Change:
    criteria = target_criteria(service, request, "A delete")
    if_match = parse_etags(request.headers.get("if-match"), "If-Match")
    most = service.policy.deletes
    return Change("DELETE", request.type, request.id or None, None, criteria, if_match, most=most)
