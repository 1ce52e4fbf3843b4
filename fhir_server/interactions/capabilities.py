"""https://hl7.org/fhir/R4/http.html#capabilities: what is really there, and nothing else."""

from __future__ import annotations

import asyncio
from datetime import datetime
from functools import cache
from typing import Any

from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations import DEFINED
from fhir_server.interactions.terminology_capabilities import terminology_capabilities
from fhir_server.resource_json import encode
from fhir_server.search import parameters
from fhir_server.settings import VERSION
from profiles.definitions import load

_OF_A_RESOURCE = (
    "read", "vread", "update", "patch", "delete", "history-instance", "history-type", "create", "search-type",
)  # fmt: skip


async def capabilities(service: Service, request: Request) -> Response:
    """The CapabilityStatement; its date is the server's start. With mode=terminology the other one."""
    if ("mode", "terminology") in request.pairs:
        return await terminology_capabilities(service, request)
    resources = await asyncio.to_thread(_resources)  # the first time, every search parameter is compiled
    return Response(200, encode(_statement(request.base, service.started, resources)))


@cache
def _resources() -> list[dict[str, Any]]:
    return [_resource(type_) for type_ in load().resource_types]


def _statement(base: str, started: datetime, resources: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": started.isoformat(timespec="seconds"),
        "kind": "instance",
        "software": {"name": "Varde", "version": VERSION},
        "implementation": {"description": "Varde, for digital home follow-up", "url": base},
        "fhirVersion": "4.0.1",
        "format": ["application/fhir+json", "application/fhir+xml", "json", "xml"],
        "patchFormat": ["application/json-patch+json", "application/xml-patch+xml"],
        "rest": [
            {
                "mode": "server",
                "resource": resources,
                "interaction": [{"code": code} for code in ("transaction", "batch", "history-system")],
                "operation": _operations(""),
            }
        ],
    }


def _operations(type_: str) -> list[dict[str, Any]]:
    return [{"name": name, "definition": url} for name, url in DEFINED.get(type_, {}).items()]


def _resource(type_: str) -> dict[str, Any]:
    searchable = parameters.of(type_).values()
    resource = {
        "type": type_,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "interaction": [{"code": code} for code in _OF_A_RESOURCE],
        "versioning": "versioned-update",
        "readHistory": True,
        "updateCreate": True,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "single",
        "referencePolicy": ["literal", "logical"],
        "searchInclude": [f"{type_}:{p.code}" for p in searchable if p.type == "reference"],
        "searchParam": [{"name": p.code, "definition": p.url, "type": p.type} for p in searchable],
        "operation": _operations(type_),
    }
    return {name: value for name, value in resource.items() if value}
