"""https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.entries import resource_of, response_of
from fhir_server.interactions.shaping import SHAPES, Shaping
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search.parameters.date import bounds
from fhir_server.store.base import Chapter, Excerpt, Version

MOST = 1000
_PAGE = 50
_NUMBER = re.compile(r"[0-9]{1,18}")
_SORTS = {"-_lastUpdated": False, "_lastUpdated": True}
# `_beyond` is that of our own next links.
_OWN = ("_count", "_since", "_at", "_list", "_sort", "_beyond")
_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([1-9][0-9]{0,17}))?")


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the parameters say: the part of the history, and the pairs that were understood."""

    excerpt: Excerpt
    of_list: str | None
    only_total: bool
    applied: list[tuple[str, str]]


async def history(service: Service, request: Request) -> Response:
    """The versions of a resource, of a type or of all, newest first, as a Bundle with a next link."""
    asked, shaping = _read(request), Shaping(request)
    if asked.of_list is None:
        chapter = await service.store.history(request.type or None, request.id or None, asked.excerpt)
    else:
        chapter = await _of_list(service, request, asked.of_list, asked.excerpt)
    if request.id and not chapter.versions and not await service.store.read(request.type, request.id):
        raise FhirError("not-found", f"There is no such {request.type}")
    only_total = asked.only_total or shaping.only_count
    links = [_link(request, "self", asked.applied)]
    if chapter.next is not None and not only_total:
        pairs = [pair for pair in asked.applied if pair[0] != "_beyond"]
        links.append(_link(request, "next", [*pairs, ("_beyond", str(chapter.next))]))
    bundle: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "history",
        **({} if chapter.total is None else {"total": chapter.total}),
        "link": links,
    }
    if chapter.versions and not only_total:
        revived = await _revived(service, chapter.versions)
        bundle["entry"] = [
            _entry(version, request.base, shaping, version.seq in revived) for version in chapter.versions
        ]
    return Response(200, encode(bundle))


async def _of_list(service: Service, request: Request, id_: str, excerpt: Excerpt) -> Chapter:
    """Only the versions that the entries of a List refer to, https://hl7.org/fhir/R4/lifecycle.html#lists."""
    found = await service.store.read("List", id_)
    if found is None or found.body is None:
        raise FhirError("invalid", "_list must be the id of a List")
    entries = decode_stored(found.body).get("entry") or ()
    named = {_REFERENCE.fullmatch((entry["item"].get("reference") or "").removeprefix(f"{request.base}/"))
             for entry in entries}  # fmt: skip
    if len(named) > MOST:
        raise FhirError("too-costly", f"The List has more than {MOST} entries")
    everything = replace(excerpt, count=MOST, beyond=None)
    versions: dict[int, Version] = {}
    for match in filter(None, named):
        type_, of, version = match.groups()
        if request.type in ("", type_) and request.id in ("", of):
            chapter = await service.store.history(type_, of, everything)
            versions |= {v.seq: v for v in chapter.versions if version in (None, str(v.version))}
    ordered = sorted(versions, reverse=not excerpt.oldest_first)
    sign = 1 if excerpt.oldest_first else -1
    rest = [seq for seq in ordered if excerpt.beyond is None or (seq - excerpt.beyond) * sign > 0]
    page = rest[: excerpt.count]
    return Chapter(
        tuple(versions[seq] for seq in page), page[-1] if len(rest) > len(page) else None, len(ordered)
    )


def _entry(version: Version, base: str, shaping: Shaping, revived: bool) -> dict[str, Any]:
    made = 204 if version.deleted else 201 if version.version == 1 or revived else 200
    url = version.type if version.method == "POST" else f"{version.type}/{version.id}"
    return {
        **resource_of(version, base, None if version.deleted else shaping.body(version)),
        "request": {"method": version.method, "url": url},
        "response": response_of(made, version),
    }


async def _revived(service: Service, versions: tuple[Version, ...]) -> set[int]:
    """The seqs of those versions that came after a deletion: their update was a create."""
    known = {(version.type, version.id, version.version): version for version in versions}

    async def is_revived(version: Version) -> bool:
        before = known.get((version.type, version.id, version.version - 1))
        before = before or await service.store.vread(version.type, version.id, version.version - 1)
        return before is not None and before.deleted

    updates = [v for v in versions if v.method == "PUT" and v.version > 1 and not v.deleted]
    found = await asyncio.gather(*map(is_revived, updates))
    return {version.seq for version, is_one in zip(updates, found, strict=True) if is_one}


def _link(request: Request, relation: str, applied: list[tuple[str, str]]) -> dict[str, str]:
    path = "/".join(part for part in (request.base, request.type, request.id, "_history") if part)
    return {"relation": relation, "url": f"{path}?{urlencode(applied)}" if applied else path}


def _read(request: Request) -> _Asked:
    """FhirError("invalid") for a parameter with a value that it cannot have, or given twice."""
    said: dict[str, str] = {}
    for name, value in request.pairs:
        if name in said:
            raise FhirError("invalid", f"{name} is given more than once")
        if name in _OWN or name in SHAPES:
            said[name] = value
        elif request.prefer.strict:
            raise FhirError("invalid", f"A history has no such parameter; it has {', '.join(_OWN[:-1])}")
    count = _number(said, "_count", _PAGE)
    sort = said.get("_sort", "-_lastUpdated")
    if sort not in _SORTS:
        raise FhirError("invalid", "A history is sorted by _lastUpdated or -_lastUpdated")
    excerpt = Excerpt(
        count=max(1, min(count, MOST)),
        beyond=_number(said, "_beyond", None),
        since=_range(said, "_since")[0] if "_since" in said else None,
        during=_range(said, "_at") if "_at" in said else None,
        oldest_first=_SORTS[sort],
    )
    return _Asked(excerpt, said.get("_list"), count == 0, list(said.items()))


def _number(said: dict[str, str], name: str, default: Any) -> Any:
    if name not in said:
        return default
    if not _NUMBER.fullmatch(said[name]):
        raise FhirError("invalid", f"{name} must be a whole number")
    return int(said[name])


def _range(said: dict[str, str], name: str) -> tuple[int, int]:
    """The moments that a date of any precision stands for; a + may have become a blank in the URL."""
    try:
        return bounds(said[name].replace(" ", "+"))
    except (ValueError, OverflowError):
        raise FhirError("invalid", f"{name} is not a date that exists") from None
