"""https://hl7.org/fhir/R4/terminologycapabilities.html: what the terminology operations know and heed."""

from __future__ import annotations

from typing import Any

from fhir_server.exchange import Request, Response, Service
from fhir_server.resource_json import encode
from fhir_server.search.query import Query
from fhir_server.settings import VERSION
from fhir_server.vocabulary import decoded, imported

_EXPANSION = (
    "activeOnly", "check-system-version", "check-valueset-version", "count", "default-valueset-version",
    "designation", "displayLanguage", "exclude-system", "excludeNested", "excludeNotForUI", "filter",
    "force-system-version", "force-valueset-version", "includeDefinition", "includeDesignations", "offset",
    "property", "system-version", "tx-resource", "useSupplement", "valueSetVersion", "versionsMatch",
)  # fmt: skip
_MOST_SYSTEMS = 1000


async def terminology_capabilities(service: Service, request: Request) -> Response:
    """The TerminologyCapabilities; the code systems in it are those stored and imported now."""
    found = await service.whole.search(Query("CodeSystem", count=_MOST_SYSTEMS))
    systems: dict[str, list[str]] = {}
    for version in found.versions:
        resource = decoded(version.body or b"{}")
        if resource.get("url") and resource.get("content") != "supplement":
            systems.setdefault(resource["url"], []).append(resource.get("version", ""))
    for system in imported():
        systems.setdefault(system.url, []).append(system.version or "")
    return Response(
        200, encode(_statement(request.base, service.started.isoformat(timespec="seconds"), systems))
    )


def _statement(base: str, started: str, systems: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "resourceType": "TerminologyCapabilities",
        "url": f"{base}/metadata?mode=terminology",
        "version": VERSION,
        "name": "VardeTerminologyCapabilities",
        "title": "Varde terminology capabilities",
        "status": "active",
        "date": started,
        "kind": "instance",
        "software": {"name": "Varde", "version": VERSION},
        "implementation": {"description": "Varde, for digital home follow-up", "url": base},
        **(
            {"codeSystem": [_system(url, versions) for url, versions in sorted(systems.items())]}
            if systems
            else {}
        ),
        "expansion": {
            "hierarchical": True,
            "paging": True,
            "incomplete": True,
            "parameter": [{"name": name} for name in _EXPANSION],
            "textFilter": "Every word of the filter begins a word of the code, a display or a designation",
        },
        "codeSearch": "explicit",
        "validateCode": {"translations": True},
        "translation": {"needsMap": True},
        "closure": {"translation": False},
    }


def _system(url: str, versions: list[str]) -> dict[str, Any]:
    said = sorted({version for version in versions if version})
    return {"uri": url, **({"version": [{"code": version} for version in said]} if said else {})}
