"""https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.instants import microseconds
from fhir_server.interactions.entries import resource_of, response_of
from fhir_server.resource_json import encode
from fhir_server.store.base import Version

MOST = 1000
_PAGE = 50
_NUMBER = re.compile(r"[0-9]{1,18}")
_MOMENT = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+\- ]\d\d:\d\d)?)?)?)?", re.ASCII)


async def history(service: Service, request: Request) -> Response:
    """The versions of a resource, of a type or of all, newest first, as a Bundle with a next link."""
    asked = _read_parameters(request)
    count = min(asked.get("_count", _PAGE), MOST)
    chapter = await service.store.history(
        request.type or None,
        request.id or None,
        count=max(1, count),
        before=asked.get("_before"),
        since=asked.get("_since"),
    )
    if request.id and not chapter.versions and not await service.store.read(request.type, request.id):
        raise FhirError("not-found", f"There is no such {request.type}")
    applied = {name: value for name, value in request.pairs if name in asked}
    links = [_link(request, "self", applied)]
    if chapter.next is not None and count:
        links.append(_link(request, "next", applied | {"_before": str(chapter.next)}))
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "history",
        "total": chapter.total,
        "link": links,
    }
    if chapter.versions and count:
        bundle["entry"] = [_entry(version, request.base) for version in chapter.versions]
    return Response(200, encode(bundle))


def _entry(version: Version, base: str) -> dict[str, Any]:
    made = 204 if version.deleted else 201 if version.version == 1 else 200
    url = version.type if version.method == "POST" else f"{version.type}/{version.id}"
    return {
        **resource_of(version, base),
        "request": {"method": version.method, "url": url},
        "response": response_of(made, version),
    }


def _link(request: Request, relation: str, applied: dict[str, str]) -> dict[str, str]:
    path = "/".join(part for part in (request.base, request.type, request.id, "_history") if part)
    return {"relation": relation, "url": f"{path}?{urlencode(applied)}" if applied else path}


def _read_parameters(request: Request) -> dict[str, int]:
    """`_count`, the `_before` of our own next links, and `_since` in microseconds."""
    asked = {}
    for name, value in request.pairs:
        if name in asked:
            raise FhirError("invalid", f"{name} is given more than once")
        if name in ("_count", "_before") and _NUMBER.fullmatch(value):
            asked[name] = int(value)
        elif name == "_since" and _MOMENT.fullmatch(value):
            asked[name] = _parse_moment(value)
        elif name in ("_count", "_before", "_since"):
            raise FhirError("invalid", f"{name} has not the form that a history asks for")
        elif request.prefer.strict:
            raise FhirError("invalid", "A history has no such parameter; it has _count and _since")
    return asked


def _parse_moment(text: str) -> int:
    """The start of a moment of any precision; a + that became a blank in the URL counts as one."""
    text = text.replace(" ", "+")
    padded = text + "-01-01"[3 * text.count("-") :] if "T" not in text else text
    try:
        moment = datetime.fromisoformat(padded)
        return microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise FhirError("invalid", "_since is not a date that exists") from None
