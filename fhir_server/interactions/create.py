"""https://hl7.org/fhir/R4/http.html#create, conditional: https://hl7.org/fhir/R4/http.html#ccreate"""

from __future__ import annotations

from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.incoming import read_change, read_criteria, read_resource
from fhir_server.interactions.outgoing import answer
from fhir_server.write import Change, commit


async def create(service: Service, request: Request) -> Response:
    """201; with If-None-Exist 200 where one exists, and 412 where several do."""
    (outcome,) = await commit(service, [await read_change(change, service, request)], request.base)
    return answer(request, outcome)


def change(service: Service, request: Request) -> Change:
    """An id that the client sends along is ignored, as the specification says."""
    condition = request.headers.get("if-none-exist")
    criteria = None if condition is None else read_criteria(service, request, condition.removeprefix("?"))
    return Change("POST", request.type, resource=read_resource(request), criteria=criteria)
