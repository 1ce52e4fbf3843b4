"""What a client asks of an operation: the Parameters of a POST, or those in the URL of a GET.

https://hl7.org/fhir/R4/operations.html#request
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Request
from fhir_server.interactions.operations.values import Part, grouped
from fhir_server.resource_json import decode
from profiles.structure import validate

_MOST_SHOWN = 64


class Asked:
    """The parameters of one request by name; every one of them is taken, or refused."""

    def __init__(self, request: Request, known: Collection[str]) -> None:
        """Raises FhirError("malformed", "unprocessable" or "not-supported")."""
        self._parts = grouped(_of_body(request) if request.method == "POST" else _of_url(request))
        if request.method == "POST" and request.pairs:
            raise FhirError("invalid", "The parameters of a POST are in its body, not in its URL")
        for name in self._parts:
            if name not in known:
                possible = ", ".join(known)
                raise FhirError("not-supported", f"There is no parameter {name[:_MOST_SHOWN]}: {possible}")

    def all(self, name: str) -> list[Part]:
        return self._parts.get(name, [])

    def texts(self, name: str) -> list[str]:
        """The values of a parameter that is text."""
        found = [_value(part, name) for part in self.all(name)]
        if not all(isinstance(text, str) for text in found):
            raise FhirError("invalid", f"{name} is text")
        return found

    def text(self, name: str) -> str | None:
        """The value of one that may come once."""
        found = self.texts(name)
        if len(found) > 1:
            raise FhirError("invalid", f"{name} comes once")
        return found[0] if found else None

    def flag(self, name: str, default: bool) -> bool:
        values = [_value(part, name) for part in self.all(name)]
        if not values:
            return default
        if len(values) > 1 or str(values[0]).lower() not in ("true", "false"):
            raise FhirError("invalid", f"{name} is true or false")
        return str(values[0]).lower() == "true"

    def resource(self, name: str, type: str) -> dict[str, Any] | None:
        found = self.all(name)
        if not found:
            return None
        resource = found[0].get("resource")
        if len(found) > 1 or not isinstance(resource, dict) or type not in ("", resource.get("resourceType")):
            raise FhirError("invalid", f"{name} is one resource{f' of type {type}' if type else ''}")
        return resource


def _value(part: Part, name: str) -> Any:
    values = [value for key, value in part.items() if key.startswith("value")]
    if len(values) != 1:
        raise FhirError("invalid", f"{name} has no value")
    return values[0]


def _of_url(request: Request) -> Sequence[Part]:
    return [{"name": name, "valueString": value} for name, value in request.pairs]


def _of_body(request: Request) -> Sequence[Part]:
    resource = decode(request.body) if request.resource is None else request.resource
    if not isinstance(resource, dict) or resource.get("resourceType") != "Parameters":
        raise FhirError("malformed", "An operation takes a resource of type Parameters")
    problems = [Issue(p.severity, p.code, p.diagnostics, p.expression) for p in validate(resource)]
    if any(problem.severity in ("error", "fatal") for problem in problems):
        raise FhirError("unprocessable", issues=problems)
    return resource.get("parameter") or ()
