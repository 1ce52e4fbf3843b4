"""What a client sends to be stored: decoded, of the type that the URL says, and valid.

https://hl7.org/fhir/R4/http.html#Status-Codes, https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fhir_server.alerts import check_plan
from fhir_server.conformance import check_definition, check_size
from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request, Service
from fhir_server.search.parse import parse_criteria
from fhir_server.search.query import Query
from fhir_server.write import Change
from profiles.structure import validate

ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_WITH_THRESHOLDS = frozenset({"CarePlan", "Goal"})
_LARGE = 32_000  # bytes of a body: some 30 ms, at worst
_MANY = 500  # items of one element


async def read_change(
    make: Callable[[Service, Request], Change], service: Service, request: Request
) -> Change:
    """The change that `make` reads from a request: in a thread where the resource is much to look through."""
    if not is_much(request):
        return make(service, request)
    return replace(await asyncio.to_thread(make, service, request), much=True)


def is_much(request: Request) -> bool:
    """Whether reading and judging what is sent could hold up everybody else; a profile is compiled for it."""
    if len(request.body) > _LARGE or request.type == "StructureDefinition":
        return True
    resource = request.resource
    return isinstance(resource, dict) and any(
        type(value) is list and len(value) > _MANY for value in resource.values()
    )


def read_resource(request: Request) -> dict[str, Any]:
    """The resource of a request, validated.

    FhirError("malformed") where it is no resource of the type in the URL, "unprocessable" with every problem
    where it breaks the definitions or a plan's thresholds make no sense.
    """
    resource = request.content
    if not isinstance(resource, dict):
        raise FhirError("malformed", "A resource must be a JSON object")
    type_ = resource.get("resourceType")
    if type_ != request.type:
        said = "has no resourceType" if type_ is None else "has another resourceType"
        raise FhirError(
            "malformed", f"The resource {said}, the URL is for {request.type}", expression=request.type
        )
    problems = check_size(resource) if type_ == "StructureDefinition" else []
    problems = problems or _problems(resource)
    if type_ in _WITH_THRESHOLDS and not problems:
        problems = check_plan(resource)
    if type_ == "StructureDefinition" and not problems:
        problems = check_definition(resource)
    if any(problem.severity in ("error", "fatal") for problem in problems):
        raise FhirError("unprocessable", issues=problems)
    return resource


def _problems(resource: dict[str, Any]) -> list[Issue]:
    return [Issue(p.severity, p.code, p.diagnostics, p.expression, p.rule) for p in validate(resource)]


def read_criteria(service: Service, request: Request, text: str) -> Query:
    """The search that makes an interaction conditional; FhirError("invalid") where it could not select."""
    return parse_criteria(request.type, text, base=request.base, now=service.clock())


def target_criteria(service: Service, request: Request, what: str) -> Query | None:
    """None where the URL names an id, else the search in it, which says what the interaction is of."""
    if request.id:
        return None
    if not request.pairs:
        raise FhirError("invalid", f"{what} needs an id or search criteria in the URL")
    return read_criteria(service, request, request.query)
