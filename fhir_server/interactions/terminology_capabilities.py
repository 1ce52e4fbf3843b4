"""https://hl7.org/fhir/R4/terminologycapabilities.html: what the terminology operations know and heed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.shaping import Shaping
from fhir_server.resource_json import encode
from fhir_server.search.query import Query
from fhir_server.settings import VERSION
from fhir_server.vocabulary import decoded, imported
from profiles.definitions import load
from terminology.filters import OF_HIERARCHY, OF_LARGE, OF_LARGE_HIERARCHY, OF_PROPERTIES
from terminology.units import UNITS
from terminology.versions import order

Resource = dict[str, Any]
_EXPANSION = (
    "activeOnly", "check-system-version", "check-valueset-version", "count", "default-valueset-version",
    "designation", "displayLanguage", "exclude-system", "excludeNested", "excludeNotForUI",
    "excludePostCoordinated", "filter", "force-system-version", "force-valueset-version", "includeDefinition",
    "includeDesignations", "offset", "property", "system-version", "tx-resource", "useSupplement",
    "valueSetVersion", "versionsMatch",
)  # fmt: skip
_MOST_SYSTEMS = 1000
_BY_DEFINITION = ("concept", "code", "display", "definition", "designation")


async def terminology_capabilities(service: Service, request: Request) -> Response:
    """The TerminologyCapabilities; the code systems in it are those known now, FHIR's own among them."""
    found = await service.whole.search(Query("CodeSystem", count=_MOST_SYSTEMS))
    stored = [decoded(version.body) for version in found.versions if version.body]
    statement = _statement(request.base, service.started.isoformat(timespec="seconds"), _systems(stored))
    return Response(200, encode(Shaping(request).part(statement)))


def _systems(stored: Iterable[Resource]) -> dict[str, dict[str, Resource]]:
    """By URL and version, what is said of each; a supplement is no code system, and one without codes none
    that could be asked."""
    systems: dict[str, dict[str, Resource]] = {UNITS.url: {"": {"compositional": True}}}
    for resource in stored:
        if resource.get("url") and resource.get("content") not in ("supplement", "not-present"):
            _add(systems, resource, _filters(resource, OF_HIERARCHY, OF_PROPERTIES, _BY_DEFINITION))
    for system in imported():
        _add(systems, system.resource, _filters(system.resource, OF_LARGE_HIERARCHY, OF_LARGE, ()))
    for resource in load().code_systems.values():
        _add(systems, resource, ())
    return systems


def _add(systems: dict[str, dict[str, Resource]], resource: Resource, filters: Iterable[Resource]) -> None:
    said: Resource = {"compositional": False}
    if resource.get("language"):
        said["language"] = [resource["language"]]
    listed = list(filters)
    if listed:
        said["filter"] = listed
    names = [part["code"] for part in resource.get("property", ())]
    if names:
        said["property"] = names
    systems.setdefault(resource["url"], {}).setdefault(resource.get("version", ""), said)


def _filters(
    resource: Resource, of_hierarchy: Iterable[str], of_properties: Iterable[str], usual: Iterable[str]
) -> Iterator[Resource]:
    """Which filters of a value set are understood of a code system."""
    ops = {name: list(of_properties) for name in usual}
    ops["concept"] = [*of_hierarchy, *ops.get("concept", ())]
    ops |= {part["code"]: list(of_properties) for part in resource.get("property", ())}
    for code, listed in ops.items():
        yield {"code": code, "op": [op for op in listed if op in _R4]}


# R5 has two more, child-of and descendent-leaf, which are understood as well.
_R4 = frozenset({"=", "is-a", "descendent-of", "is-not-a", "regex", "in", "not-in", "generalizes", "exists"})


def _statement(base: str, started: str, systems: Mapping[str, dict[str, Resource]]) -> Resource:
    return {
        "resourceType": "TerminologyCapabilities",
        "url": f"{base}/metadata?mode=terminology",
        "version": VERSION,
        "name": "VardeTerminologyCapabilities",
        "title": "Varde terminology capabilities",
        "status": "active",
        "date": started,
        "description": "The code systems that are stored, imported or of FHIR, and what can be asked.",
        "kind": "instance",
        "software": {"name": "Varde", "version": VERSION},
        "implementation": {"description": "Varde, for digital home follow-up", "url": base},
        "codeSystem": [_system(url, versions) for url, versions in sorted(systems.items())],
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


def _system(url: str, versions: Mapping[str, Resource]) -> Resource:
    """The latest version is the one that is meant where none is named."""
    latest = max(versions, key=order)
    listed = [
        {**({"code": version} if version else {}), "isDefault": version == latest, **said}
        for version, said in sorted(versions.items())
        if version or len(versions) == 1  # of several, each has a code
    ]
    return {"uri": url, "version": listed, "subsumption": url != UNITS.url}
