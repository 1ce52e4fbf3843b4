"""The content of one version: stamped with id and meta, encoded once, searched through once.

https://hl7.org/fhir/R4/resource.html#Meta
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhir_server.instants import instant
from fhir_server.resource_json import encode
from fhir_server.search.extract import extract
from fhir_server.search.posted import NONE, Posted
from fhir_server.search.query import Values


@dataclass(frozen=True, slots=True)
class Content:
    """A version's content in its three forms: the tree, its bytes, and what it is found by."""

    tree: dict[str, Any]
    body: bytes
    values: Values


def content(
    resource: dict[str, Any],
    id_: str,
    version: int,
    updated: int,
    base: str,
    values: Values | None = None,
    posted: Posted = NONE,
) -> Content:
    """The content of that version of the resource; `values` come along where they are known already.

    `base` is the server's own URL, which makes an absolute reference below it a local one.
    `posted` are the search parameters of users.
    """
    tree = stamp(resource, id_, version, updated)
    type_ = tree["resourceType"]
    return Content(tree, encode(tree), values or extract(type_, tree, base, posted.plans.get(type_)))


def stamp(resource: dict[str, Any], id_: str, version: int, updated: int) -> dict[str, Any]:
    """The resource with this id and meta, each where it was or else behind resourceType; the rest as sent.

    `updated` is in microseconds since 1970 UTC. The client's own meta (profile, tag, security, ...) stays.
    """
    meta = {"versionId": str(version), "lastUpdated": instant(updated)}
    meta |= {key: value for key, value in (resource.get("meta") or {}).items() if key not in meta}
    if "id" not in resource or "meta" not in resource:
        resource = _with_places(resource)
    return {**resource, "id": id_, "meta": meta}


def _with_places(resource: dict[str, Any]) -> dict[str, Any]:
    """The resource with a place for id behind resourceType, and one for meta behind id."""
    before_meta = "id" if "id" in resource else "resourceType"
    placed: dict[str, Any] = {}
    for key, value in resource.items():
        placed[key] = value
        if key == "resourceType" and "id" not in resource:
            placed["id"] = None
        if key == before_meta and "meta" not in resource:
            placed["meta"] = None
    return placed
