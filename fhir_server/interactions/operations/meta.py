"""$meta, $meta-add and $meta-delete: the profiles, tags and security labels of resources.

https://hl7.org/fhir/R4/resource-operation-meta.html. Adding and deleting make a new version, through the one
write path: who reads the history sees who was labelled when.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.asked import Asked
from fhir_server.interactions.vread import is_version
from fhir_server.preconditions import parse_etags, present
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search.query import Match, Or, Query
from fhir_server.store.base import Version
from fhir_server.write import Change, Outcome, commit
from profiles.definitions import load

Meta = dict[str, Any]
# How many labelled resources are looked through for the labels of a type or of all.
_MOST: Final = 100_000
_PAGE: Final = 1000
_LABELLED: Final = Or((Match("uri", "_profile"), Match("token", "_security"), Match("token", "_tag")))
_LISTS: Final = ("profile", "security", "tag")


async def meta(service: Service, request: Request) -> Response:
    """The labels of a resource, of all resources of a type, or of all that are there."""
    Asked(request, ())
    if not request.id:
        return _answer(await _used(service, request.type))
    if request.version:
        known = is_version(request.version)
        found = await service.store.vread(request.type, request.id, int(request.version)) if known else None
    else:
        found = await service.store.read(request.type, request.id)
    return _answer(_meta_of(present(found, request.type)))


async def meta_add(service: Service, request: Request) -> Response:
    """The labels of the resource with those given added."""
    (outcome,) = await commit(service, [add_change(service, request)], request.base)
    return answer(request, outcome)


async def meta_delete(service: Service, request: Request) -> Response:
    """The labels of the resource without those given."""
    (outcome,) = await commit(service, [delete_change(service, request)], request.base)
    return answer(request, outcome)


def add_change(service: Service, request: Request) -> Change:
    return _change(request, _added)


def delete_change(service: Service, request: Request) -> Change:
    return _change(request, _without)


def answer(request: Request, outcome: Outcome) -> Response:
    """The labels that the resource has now."""
    version = outcome.version
    return replace(_answer(_meta_of(version) if version else {}), version=version)


def _change(request: Request, combine: Callable[[Meta, Meta], Meta]) -> Change:
    given = _given(request)

    def edit(change: Change, tree: dict[str, Any]) -> Change:
        combined = combine(tree.get("meta") or {}, given)
        return replace(change, resource={**tree, "meta": combined})

    etags = parse_etags(request.headers.get("if-match"), "If-Match")
    return Change("PATCH", request.type, request.id, if_match=etags, edit=edit)


def _given(request: Request) -> Meta:
    """The parameter `meta`."""
    parts = Asked(request, ("meta",)).all("meta")
    value = parts[0].get("valueMeta") if len(parts) == 1 else None
    if not isinstance(value, dict):
        raise FhirError("invalid", "One parameter is needed, meta, of type Meta", expression="Parameters")
    return value


def _added(before: Meta, given: Meta) -> Meta:
    return {**before, **_united([before, given])}


def _without(before: Meta, given: Meta) -> Meta:
    """Labels are the same if system and code are."""
    kept = dict(before)
    for name in _LISTS:
        gone = set(map(_identity, given.get(name, ())))
        left = [label for label in before.get(name, ()) if _identity(label) not in gone]
        if left:
            kept[name] = left
        else:
            kept.pop(name, None)
    return kept


def _united(metas: Iterable[Meta]) -> Meta:
    """Each label once, as it came first."""
    labels: dict[str, dict[Any, Any]] = {name: {} for name in _LISTS}
    for one in metas:
        for name in _LISTS:
            for label in one.get(name, ()):
                labels[name].setdefault(_identity(label), label)
    return {name: list(found.values()) for name, found in labels.items() if found}


def _identity(label: Any) -> Any:
    return (label.get("system"), label.get("code")) if isinstance(label, dict) else label


async def _used(service: Service, type_: str) -> Meta:
    """The labels of all resources of a type, or of every type."""
    metas: list[Meta] = []
    seen = 0
    for each in (type_,) if type_ else load().resource_types:
        query: Query | None = Query(each, _LABELLED, count=_PAGE)
        while query:
            page = await service.store.search(query)
            seen += len(page.versions)
            if seen > _MOST:
                raise FhirError("too-costly", f"More than {_MOST} resources have labels; ask for one type")
            metas = [_united([*metas, *map(_meta_of, page.versions)])]
            more = page.next is not None
            query = replace(query, after=page.next, snapshot=page.snapshot) if more else None
    return metas[0] if metas else {}


def _meta_of(version: Version) -> Meta:
    found: Meta = decode_stored(version.body or b"{}").get("meta") or {}
    return found


def _answer(found: Meta) -> Response:
    """https://hl7.org/fhir/R4/resource-operation-meta.html: an empty Meta has no form, so it is left out."""
    result: dict[str, Any] = {"resourceType": "Parameters"}
    if found:
        result["parameter"] = [{"name": "return", "valueMeta": found}]
    return Response(200, encode(result))
