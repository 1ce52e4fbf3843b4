"""The part of a resource that a reader asks for, outside of searches.

https://hl7.org/fhir/R4/search.html#summary, https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from fhir_server.exchange import Request
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search.parse import parse
from fhir_server.search.shape import shape
from fhir_server.store.base import Version

SHAPES = frozenset({"_summary", "_elements"})


class Shaping:
    """`_summary` and `_elements` of a request; FhirError("invalid") for values that they cannot have."""

    def __init__(self, request: Request) -> None:
        self._request = request
        self._pairs = [pair for pair in request.pairs if pair[0] in SHAPES] if request.query else []
        self._searches: dict[str, Any] = {}
        self.only_count = ("_summary", "count") in self._pairs
        if self._pairs:
            self._read(request.type or "Basic")

    def body(self, version: Version) -> bytes:
        """What is asked for of a version that is no deletion."""
        body = version.body or b"{}"
        return encode(self.part(decode_stored(body))) if self._pairs else body

    def part(self, resource: dict[str, Any]) -> dict[str, Any]:
        """What is asked for of a resource."""
        if not self._pairs or self.only_count:
            return resource
        search = self._read(resource["resourceType"])
        if not (search.summary or search.elements):
            return resource
        return shape(resource, search.summary, search.elements)

    def _read(self, type_: str) -> Any:
        """As a search of the type understands it."""
        if type_ not in self._searches:
            request = self._request
            self._searches[type_] = parse(
                type_, self._pairs, strict=request.prefer.strict, base=request.base, now=datetime.now(UTC)
            )
        return self._searches[type_]
