"""https://hl7.org/fhir/R4/http.html#capabilities: what is really there, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.exchange import Policy, Request, Response, Service
from fhir_server.interactions.operations import DEFINED, META, META_OF_ONE, OF_ALL
from fhir_server.interactions.shaping import SHAPES, Shaping
from fhir_server.interactions.terminology_capabilities import terminology_capabilities
from fhir_server.posted_parameters import known
from fhir_server.resource_json import encode
from fhir_server.search import compartments, parameters
from fhir_server.search.posted import NONE, Posted
from fhir_server.settings import VERSION
from fhir_server.smart.terms import Places
from profiles.definitions import load

_OF_A_RESOURCE = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip


_WRITING = frozenset({"update", "patch", "delete", "create"})
_WRITES = ("updateCreate", "conditionalCreate", "conditionalUpdate", "conditionalDelete")
_MODES = ("full", "normative", "terminology")
_DEFINITIONS = "http://hl7.org/fhir/"


async def capabilities(service: Service, request: Request) -> Response:
    """The CapabilityStatement, whose date is the server's start; with mode=terminology the other one.

    What we have to say is normative, all of it: mode=normative is mode=full.
    """
    pairs = dict(request.pairs)
    mode = pairs.pop("mode", "full")
    if mode not in _MODES:
        raise FhirError("invalid", f"mode must be one of {', '.join(_MODES)}")
    if request.prefer.strict and pairs.keys() - SHAPES:
        raise FhirError("invalid", "The capabilities have no parameters but mode, _summary and _elements")
    if mode == "terminology":
        return await terminology_capabilities(service, request)
    # The first time, every search parameter is compiled.
    resources = await asyncio.to_thread(_resources, service.policy)
    if service.journal:
        resources = list(map(_as_logged, resources))
    posted = (await _posted(service)).ready
    if posted:
        resources = [_with_posted(resource, posted.get(resource["type"], {})) for resource in resources]
    statement = _statement(request.base, service.started, resources)
    if service.smart.terms.enforced:
        statement["rest"][0]["security"] = _security(Places(request.base))
    return Response(200, encode(Shaping(request).part(statement)))


async def _posted(service: Service) -> Posted:
    """The parameters of users; while the store is gone, those last known: what we are can be said anyhow."""
    try:
        return await known(service)
    except FhirError as error:
        if error.category != "unavailable":
            raise
        last: Posted = service.knows.get("posted", NONE)
        return last


@cache
def _resources(policy: Policy) -> list[dict[str, Any]]:
    return [_resource(type_, policy) for type_ in load().resource_types]


def _as_logged(resource: dict[str, Any]) -> dict[str, Any]:
    """What is said of a resource type where the server alone writes AuditEvents."""
    if resource["type"] != "AuditEvent":
        return resource
    reading = [each for each in resource["interaction"] if each["code"] not in _WRITING]
    return {name: value for name, value in resource.items() if not name.startswith(_WRITES)} | {
        "interaction": reading
    }


def _with_posted(resource: dict[str, Any], posted: Mapping[str, parameters.Parameter]) -> dict[str, Any]:
    """What is said of a resource type, with the parameters that users posted and that are indexed."""
    more: dict[str, list[Any]] = {
        "searchInclude": [f"{resource['type']}:{p.name}" for p in posted.values() if p.type == "reference"],
        "searchParam": list(map(_parameter, posted.values())),
    }
    return {**resource, **{name: [*resource[name], *added] for name, added in more.items()}}


def _about(type_: str, base: str, started: datetime) -> dict[str, Any]:
    return {
        "resourceType": type_,
        "status": "active",
        "date": started.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "Varde", "version": VERSION},
        "implementation": {"description": "Varde, for digital home follow-up", "url": base},
    }


def _statement(base: str, started: datetime, resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        **_about("CapabilityStatement", base, started),
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": [
            "application/json-patch+json",
            "application/xml-patch+xml",
            "application/fhir+json",
            "application/fhir+xml",
        ],
        "rest": [
            {
                "mode": "server",
                "resource": resources,
                "interaction": [
                    {"code": code} for code in ("transaction", "batch", "history-system", "search-system")
                ],
                "searchParam": [
                    {"name": "_list", "type": "special", "documentation": "What a List has as an item"},
                    {"name": "_has", "type": "special", "documentation": "What others refer to, also nested"},
                    {"name": "_filter", "type": "special", "documentation": "All operators but ew"},
                    {"name": "_type", "type": "special", "documentation": "Of the whole server's resources"},
                ],
                "operation": _operations(""),
                "compartment": [
                    f"{_DEFINITIONS}CompartmentDefinition/{c.lower()}" for c in compartments.NAMES
                ],
            }
        ],
    }


def _security(places: Places) -> dict[str, Any]:
    """As SMART 1.0 has it, where some clients still look: hl7.org/fhir/smart-app-launch/1.0.0/conformance"""
    endpoints = ("authorize", "token", "introspect", "revoke")
    return {
        "extension": [
            {
                "url": "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris",
                "extension": [{"url": name, "valueUri": places.of(name)} for name in endpoints],
            }
        ],
        "cors": True,
        "service": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/restful-security-service",
                        "code": "SMART-on-FHIR",
                    }
                ],
                "text": "SMART App Launch 2.2; see .well-known/smart-configuration",
            }
        ],
    }


def _operations(type_: str) -> list[dict[str, Any]]:
    found = {**DEFINED.get(type_, {}), **META, **OF_ALL, **(META_OF_ONE if type_ else {})}
    return [{"name": name, "definition": url} for name, url in found.items()]


@cache
def _referring() -> dict[str, list[str]]:
    """Type -> the reference parameters, of all types, that can refer to it."""
    found: dict[str, list[str]] = {type_: [] for type_ in load().resource_types}
    for type_ in found:
        for parameter in parameters.of(type_).values():
            for target in parameter.targets if parameter.type == "reference" else ():
                found[target].append(f"{type_}:{parameter.code}")
    return found


def _parameter(parameter: parameters.Parameter) -> dict[str, Any]:
    modifiers = sorted(parameters.modifiers(parameter))
    said = {"documentation": f"Modifiers: {', '.join(modifiers)}"} if modifiers else {}
    return {"name": parameter.name, "definition": parameter.url, "type": parameter.type, **said}


def _resource(type_: str, policy: Policy) -> dict[str, Any]:
    searchable = parameters.of(type_).values()
    resource = {
        "type": type_,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "interaction": [{"code": code} for code in _OF_A_RESOURCE],
        "versioning": "versioned-update" if policy.versioned_updates else "versioned",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "multiple" if policy.deletes > 1 else "single",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": [
            *(f"{type_}:{p.code}" for p in searchable if p.type == "reference"),
            f"{type_}:*",
            "*",
        ],
        "searchRevInclude": _referring()[type_],
        "searchParam": [_parameter(parameter) for parameter in searchable],
        "operation": _operations(type_),
    }
    return {name: value for name, value in resource.items() if value}
