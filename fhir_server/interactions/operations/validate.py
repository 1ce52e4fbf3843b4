"""$validate: everything that is right or wrong with a resource, without storing it.

https://hl7.org/fhir/R4/resource-operation-validate.html; at system, type and instance level, by GET and POST,
with Parameters or with the bare resource.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.conformance import THREADS, knowledge
from fhir_server.errors import FhirError, Issue, operation_outcome
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.read import current
from fhir_server.resource_json import encode
from profiles.context import Context
from profiles.validation import validate_thoroughly

_MODES: Final = ("create", "update", "delete", "profile")
_KNOWN: Final = ("resource", "mode", "profile")
_MOST_PROFILES: Final = 20


@dataclass(frozen=True, slots=True)
class _Asked:
    resource: Any = None
    mode: str | None = None
    profiles: tuple[str, ...] = ()


async def validate(service: Service, request: Request) -> Response:
    """200 with an OperationOutcome whatever is found: without errors in it, the resource is valid."""
    asked = _read(request)
    stored = await current(service, request) if request.id else None
    issues = _of_mode(asked, request)
    resource = asked.resource if asked.resource is not None else stored
    if resource is None and asked.mode != "delete":
        raise FhirError("invalid", "There is nothing to validate: send a resource, or name a stored one")
    if resource is not None:
        known = await knowledge(service)
        loop = asyncio.get_running_loop()
        context = known.context(resource, request.base, service.store, service.policy.demands)
        issues += await loop.run_in_executor(THREADS, _judge, context, asked.profiles)
        issues += _of_type(resource, request)
    all_good = Issue("information", "informational", "No problems were found")
    return Response(200, encode(operation_outcome(issues or [all_good])))


def _judge(context: Context, profiles: tuple[str, ...]) -> list[Issue]:
    found = validate_thoroughly(context, profiles)
    return [Issue(p.severity, p.code, p.diagnostics, p.expression, p.rule) for p in found]


def _of_mode(asked: _Asked, request: Request) -> list[Issue]:
    """https://hl7.org/fhir/R4/valueset-resource-validation-mode.html"""
    if asked.mode == "delete":
        if not request.id:
            raise FhirError("invalid", "mode=delete asks about a stored resource: name it in the URL")
        said = "It can be deleted: references to it would remain and lead nowhere"
        return [Issue("information", "informational", said)]
    if asked.mode == "create" and request.id:
        said = "It exists already: create gives a new resource an id of its own"
        return [Issue("error", "business-rule", said)]
    return []


def _of_type(resource: Any, request: Request) -> list[Issue]:
    if not isinstance(resource, dict):
        return []
    type_, issues = resource.get("resourceType"), []
    if request.type and isinstance(type_, str) and type_ != request.type:
        said = f"The resource is of another type than the URL, which is for {request.type}"
        issues.append(Issue("error", "invalid", said))
    if request.id and resource.get("id", request.id) != request.id:
        issues.append(Issue("error", "invalid", "The id of the resource is another than that of the URL"))
    return issues


def _read(request: Request) -> _Asked:
    """What is asked for; FhirError("invalid" or "not-supported") where that is not clear."""
    parts: list[dict[str, Any]] = [{"name": n, "valueUri": value} for n, value in request.pairs]
    resource = None
    if request.method == "POST" and (request.body or request.resource is not None):
        body = request.content
        if _is_call(body, request):
            parts += [part for part in body.get("parameter") or () if isinstance(part, dict)]
        else:
            resource = body
    texts: dict[str, list[str]] = {"mode": [], "profile": []}
    for part in parts:
        name = part.get("name")
        if name == "resource" and "resource" in part and resource is None:
            resource = part["resource"]
            continue
        value = next((part[key] for key in part if key.startswith("value")), None)
        if name not in texts or not isinstance(value, str):
            shown = name[:64] if isinstance(name, str) else "without a name"
            raise FhirError("not-supported", f"There is no parameter {shown} like this: {', '.join(_KNOWN)}")
        texts[name].append(value)
    return _checked(resource, texts)


def _is_call(body: Any, request: Request) -> bool:
    """Whether a Parameters resource holds the parameters, and is not what is to be validated."""
    if not isinstance(body, dict) or body.get("resourceType") != "Parameters":
        return False
    parameters = body.get("parameter")
    listed = parameters if isinstance(parameters, list) else []
    named = [part.get("name") for part in listed if isinstance(part, dict)]
    return bool(named) and all(name in _KNOWN for name in named)


def _checked(resource: Any, texts: dict[str, list[str]]) -> _Asked:
    if len(texts["mode"]) > 1 or any(mode not in _MODES for mode in texts["mode"]):
        raise FhirError("invalid", f"mode is one of {', '.join(_MODES)}")
    if len(texts["profile"]) > _MOST_PROFILES:
        raise FhirError("invalid", f"At most {_MOST_PROFILES} profiles at a time")
    return _Asked(resource, next(iter(texts["mode"]), None), tuple(texts["profile"]))
