"""What a write answers, as the client prefers it.

https://hl7.org/fhir/R4/http.html#ops
"""

from __future__ import annotations

from fhir_server.errors import Issue, operation_outcome
from fhir_server.exchange import Request, Response
from fhir_server.resource_json import encode
from fhir_server.write import Outcome

_DONE = {200: "Updated", 201: "Created", 204: "Deleted"}


def answer(request: Request, outcome: Outcome) -> Response:
    """The whole resource unless the client prefers less."""
    returns = request.prefer.returns
    status, version = outcome.status, outcome.version
    located = status == 201 or request.method == "POST"
    if returns == "OperationOutcome":
        body = encode(operation_outcome([Issue("information", "informational", _said(request, outcome))]))
        return Response(200 if status == 204 else status, body, version, located)
    if status == 204 or version is None or returns == "minimal":
        return Response(status, None, version, located)
    return Response(status, version.body, version, located)


def _said(request: Request, outcome: Outcome) -> str:
    if request.method == "POST" and outcome.status == 200:
        return "Not created: the resource exists"
    version = f", version {outcome.version.version}" if outcome.version else ""
    return _DONE[outcome.status] + version
