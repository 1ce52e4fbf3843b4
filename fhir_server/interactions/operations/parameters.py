"""What goes into an operation and what comes out of it.

https://hl7.org/fhir/R4/operations.html#request, https://hl7.org/fhir/R4/parameters.html
"""

from __future__ import annotations

from typing import Any

from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request, Response
from fhir_server.resource_json import encode
from profiles.problems import Problem
from profiles.structure import validate


def read_parameters(request: Request, *, bare: str | None = None) -> dict[str, Any]:
    """The Parameters of a request, valid in structure; those in the URL come as valueString.

    `bare` (parameter name): a resource that is no Parameters is taken as the value of that parameter.
    FhirError("malformed") for another resource, "unprocessable" for one that breaks the definitions.
    """
    given = [{"name": name, "valueString": value} for name, value in request.pairs]
    if request.method != "POST" or (request.resource is None and not request.body):
        return {"resourceType": "Parameters", "parameter": given}
    resource = request.content
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise FhirError("malformed", "The body of an operation is a Parameters resource")
    type_ = resource["resourceType"]
    if type_ != "Parameters" and not bare:
        raise FhirError("malformed", "The body of an operation is a Parameters resource, not another one")
    problems = [
        Issue(p.severity, p.code, p.diagnostics, p.expression)
        for p in validate(resource)
        if not _of_another_version(p)
    ]
    # "There are more problems than these" would hide those that matter.
    if any(p.severity in ("error", "fatal") or p.code == "informational" for p in problems):
        raise FhirError("unprocessable", issues=problems)
    if type_ != "Parameters":
        return {"resourceType": "Parameters", "parameter": [*given, {"name": bare, "resource": resource}]}
    return {"resourceType": "Parameters", "parameter": [*given, *resource.get("parameter", [])]}


def _of_another_version(problem: Problem) -> bool:
    """Resources that come along may be of a later FHIR: what R4 does not have is not looked at."""
    inside = ".resource." in problem.expression
    rules = ("required", "code-invalid", "invariant")
    unknown = "is not an element" in problem.diagnostics or problem.code in rules
    return inside and unknown


def resources_named(parameters: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The resources given as parameters of this name."""
    found = (part.get("resource") for part in parameters.get("parameter", []) if part.get("name") == name)
    return [resource for resource in found if isinstance(resource, dict)]


def answer(resource: dict[str, Any]) -> Response:
    """200 with what an operation came to."""
    return Response(200, encode(resource))
