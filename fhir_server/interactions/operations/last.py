"""The newest readings of each kind: https://hl7.org/fhir/R4/observation-operation-lastn.html

Two readings are of one kind if they have a coding of their code in common, or each has one in common with a
third: a device may send LOINC, another LOINC and SNOMED CT. Without codings the text is its kind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.resource_json import decode, decode_stored
from fhir_server.search import bundle
from fhir_server.search.parse import parse
from fhir_server.search.query import Sort
from fhir_server.search.request import Scene, Search
from fhir_server.search.run import prepared
from fhir_server.store.base import Found, Store, Version

_AT_ONCE = 1000
_MOST = 1000  # of max
_ROUNDS = 50
_NEWEST = (Sort("date", "date", "low", descending=True),)

Key = tuple[str, str]


async def lastn(service: Service, request: Request) -> Response:
    """200 with a searchset Bundle, the kinds in the order of their newest, each newest first."""
    pairs = list(request.pairs) or _of_parameters(request)
    search, most = _read(service, request, pairs)
    search = await prepared(service.store, search)
    groups, snapshot = await _groups(service.store, search, most)
    versions = tuple(version for group in groups for version in group)
    found = Found(versions, None, snapshot)
    applied = replace(search, applied=(*search.applied, ("max", str(most))))
    return Response(200, bundle.searchset(applied, found, key=service.key, total=len(versions)))


def _of_parameters(request: Request) -> list[tuple[str, str]]:
    """The same in a POST, as Parameters."""
    if request.method != "POST":
        return []
    resource = request.resource if request.resource is not None else decode(request.body)
    pairs = []
    for part in resource.get("parameter", ()) if isinstance(resource, dict) else ():
        values = [value for key, value in part.items() if key.startswith("value")]
        if len(values) != 1 or not isinstance(values[0], str | int):
            raise FhirError("invalid", "Each parameter has a name and one value, as in the URL")
        pairs.append((str(part.get("name")), str(values[0])))
    return pairs


def _read(service: Service, request: Request, pairs: list[tuple[str, str]]) -> tuple[Search, int]:
    numbers = [value for name, value in pairs if name == "max"]
    if len(numbers) > 1 or not all(n.isascii() and n.isdigit() and 0 < len(n) < 6 for n in numbers):
        raise FhirError("invalid", "max is a whole number, once")
    most = int(numbers[0]) if numbers else 1
    if not 0 < most <= _MOST:
        raise FhirError("invalid", f"max is between 1 and {_MOST}")
    filters = [pair for pair in pairs if pair[0] != "max"]
    for name, _ in filters:
        if name.startswith(("_sort", "_count", "_cursor", "_include", "_revinclude", "_summary", "_total")):
            raise FhirError("not-supported", "$lastn has an order and a number of results of its own")
    if not any(name.partition(":")[0].partition(".")[0] in ("subject", "patient") for name, _ in filters):
        raise FhirError("invalid", "$lastn needs to know of whom: patient or subject")
    scene = Scene(("Observation",), "Observation/$lastn")
    strict = request.prefer.strict
    return parse(scene, filters, strict=strict, base=request.base, now=service.clock()), most


async def _groups(store: Store, search: Search, most: int) -> tuple[list[list[Version]], int]:
    """The newest of each kind.

    All readings are looked at, since the oldest may say that two kinds are one.
    """
    kinds = _Kinds()
    query = replace(search.query, sort=_NEWEST, count=_AT_ONCE)
    found = await store.search(query)
    snapshot = found.snapshot
    for _ in range(_ROUNDS):
        await asyncio.to_thread(kinds.add_all, found.versions, most)
        if found.next is None:
            return kinds.groups(most), snapshot
        found = await store.search(replace(query, after=found.next, snapshot=snapshot))
    raise FhirError("not-supported", "$lastn over so many readings: narrow it by category, code or date")


class _Kinds:
    """Readings by kind; two kinds become one when a reading is of both."""

    def __init__(self) -> None:
        self._leader: dict[Key, Key] = {}
        self._members: dict[Key, list[tuple[int, Version]]] = {}
        self._seen = 0

    def _find(self, key: Key) -> Key:
        while (leader := self._leader.setdefault(key, key)) != key:
            key = leader
        return key

    def add_all(self, versions: Sequence[Version], most: int) -> None:
        for version in versions:
            self._add(version, most)

    def _add(self, version: Version, most: int) -> None:
        """Newest first: a kind that is complete takes no more, but may still turn out to be another."""
        keys = list(_keys(decode_stored(version.body or b"{}")))
        first = self._find(keys[0])
        for key in keys[1:]:
            other = self._find(key)
            if other != first:
                self._leader[other] = first
                joined = [*self._members.pop(first, ()), *self._members.pop(other, ())]
                self._members[first] = sorted(joined, key=lambda each: each[0])[:most]
        self._seen += 1
        members = self._members.setdefault(first, [])
        if len(members) < most:
            members.append((self._seen, version))

    def groups(self, most: int) -> list[list[Version]]:
        ordered = sorted(self._members.values(), key=lambda members: members[0][0])
        return [[version for _, version in members[:most]] for members in ordered]


_TEXT = "\0text"  # where the system of a coding would be


def _keys(resource: dict[str, Any]) -> Iterator[Key]:
    code = resource.get("code", {})
    codings = [each for each in code.get("coding", ()) if each.get("code")]
    for each in codings:
        yield each.get("system", ""), each["code"]
    if not codings:
        yield _TEXT, code.get("text", "")
