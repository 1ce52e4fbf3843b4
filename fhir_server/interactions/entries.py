"""Bundles that the server makes: entries around stored bytes, which are not read again."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import msgspec

from fhir_server.instants import instant
from fhir_server.preconditions import etag
from fhir_server.store.base import Version


def location(version: Version) -> str:
    """Relative to the base: Patient/1/_history/2."""
    return f"{version.type}/{version.id}/_history/{version.version}"


def status_line(status: int) -> str:
    """As Bundle.entry.response.status: 201 Created."""
    return f"{status} {HTTPStatus(status).phrase}"


def response_of(status: int, version: Version | None) -> dict[str, Any]:
    """Bundle.entry.response for a version that is there now."""
    response = {"status": status_line(status)}
    if version is not None:
        response |= {"etag": etag(version.version), "lastModified": instant(version.updated)}
    return response


def full_url(version: Version, base: str) -> str:
    return f"{base}/{version.type}/{version.id}"


def resource_of(version: Version, base: str, body: bytes | None) -> dict[str, Any]:
    """The fullUrl and the resource of an entry, the latter only where there is one."""
    entry: dict[str, Any] = {"fullUrl": full_url(version, base)}
    if body is not None:
        entry["resource"] = msgspec.Raw(body)
    return entry
