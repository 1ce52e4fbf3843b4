"""https://hl7.org/fhir/R4/http.html#transaction: a batch or a transaction, posted to the base."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import msgspec

from fhir_server import log
from fhir_server.access import View, permits, view
from fhir_server.errors import FhirError, Issue, inside, operation_outcome
from fhir_server.exchange import Request, Response, Service, traced
from fhir_server.instants import http_date
from fhir_server.interactions import create, delete, patch, update
from fhir_server.interactions.entries import full_url, location, response_of, status_line
from fhir_server.interactions.incoming import is_much, read_criteria
from fhir_server.interactions.operations import meta
from fhir_server.interactions.outgoing import answer
from fhir_server.interactions.read import show
from fhir_server.interactions.routes import (
    CHANGING,
    OF_ANYTHING,
    OPERATIONS,
    ROUTES,
    SEARCHES,
    Place,
    match,
)
from fhir_server.interactions.search import read_search
from fhir_server.interactions.vread import is_version
from fhir_server.references import conditional, is_urn_uuid, plain, references
from fhir_server.resource_json import encode
from fhir_server.search.parameters.date import bounds
from fhir_server.store.base import Transaction
from fhir_server.write import Change, commit
from profiles.structure import validate
from rules.plans import time_of

# From here on, reading the entries would keep the event loop from its other clients.
_MANY = 50
# Entries of a batch under way at a time: enough to fill the store's group commits.
_TOGETHER = 128
_ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2, "GET": 3, "HEAD": 3}
_CHANGES = {"POST": create.change, "PUT": update.change, "PATCH": patch.change, "DELETE": delete.change}
_CHANGING = {
    "{type}/{id}/$meta-add": meta.add_change,
    "{type}/{id}/$meta-delete": meta.delete_change,
}
_HEADERS = {
    "ifMatch": "if-match",
    "ifNoneMatch": "if-none-match",
    "ifModifiedSince": "if-modified-since",
    "ifNoneExist": "if-none-exist",
}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry as the request that it stands for; `index` is its place in the Bundle."""

    index: int
    place: Place
    request: Request
    full_url: str | None

    @property
    def where(self) -> str:
        return f"Bundle.entry[{self.index}]"

    @property
    def writes(self) -> bool:
        template = self.place.template
        return self.request.method in _CHANGES and template not in OPERATIONS and template not in OF_ANYTHING

    @property
    def changes_by_operation(self) -> bool:
        return self.place.template in CHANGING


async def bundle(service: Service, request: Request) -> Response:
    """200 with a Bundle whose entries answer those sent, in their order; FhirError where all is refused."""
    resource = request.content
    if resource.get("resourceType") != "Bundle":
        raise FhirError("malformed", "The base takes a Bundle; other resources go to their type's own URL")
    kind, entries = resource.get("type"), resource.get("entry", [])
    if kind not in ("batch", "transaction"):
        raise FhirError("invalid", "The base takes a batch or a transaction", expression="Bundle.type")
    if not isinstance(entries, list):
        raise FhirError("malformed", "Bundle.entry must be an array", expression="Bundle.entry")
    if service.trail:
        service.trail.is_bundle(kind)
    answers = await (_batch if kind == "batch" else _transaction)(service, request, entries)
    body: dict[str, Any] = {"resourceType": "Bundle", "type": f"{kind}-response"}
    if answers:
        body["entry"] = answers
    return Response(200, encode(body))


async def _transaction(service: Service, request: Request, sent: list[Any]) -> list[dict[str, Any]]:
    if len(sent) < _MANY and not any(map(_is_much, sent)):
        entries, changes = _read_transaction(service, request, sent)
    else:
        entries, changes = await asyncio.to_thread(_read_transaction, service, request, sent)
    reads = [entry for entry in entries if not entry.writes]

    def hold_reads(tx: Transaction) -> None:
        seen = view(service, tx)
        for entry in reads:
            _check_read(seen, entry)

    outcomes = await commit(service, changes, request.base, hold_reads)
    answers: dict[int, dict[str, Any]] = {}
    for entry, outcome in zip((entry for entry in entries if entry.writes), outcomes, strict=True):
        answered = meta.answer if entry.changes_by_operation else answer
        answers[entry.index] = _answered(entry, answered(entry.request, outcome))
    for entry in reads:
        try:
            answers[entry.index] = await _run(service, entry)
        except FhirError as error:  # the writes stand: whatever happened since is this entry's own
            answers[entry.index] = _failed(inside(error, entry.where))
    return [answers[index] for index in range(len(sent))]


def _read_transaction(
    service: Service, request: Request, sent: list[Any]
) -> tuple[list[Entry], list[Change]]:
    """The entries and the changes they ask for; every entry's problems are told at once."""
    entries, changes = [], []
    errors: list[FhirError] = []
    full_urls = _full_urls(sent)
    for index, item in enumerate(sent):
        try:
            entry = _read_entry(service, request, index, item)
            entries.append(entry)
            if entry.writes:
                changes.append(_change(service, entry, full_urls))
            elif entry.place.template in SEARCHES:
                read_search(service, entry.request)  # after the commit it is too late to refuse it
        except FhirError as error:
            errors.append(inside(error, f"Bundle.entry[{index}]"))
    if errors:
        raise FhirError(errors[0].category, issues=[issue for error in errors for issue in error.issues])
    return entries, changes


def _is_much(item: Any) -> bool:
    """Whether the resource of an entry is much to look through, or a profile, which is compiled."""
    resource = item.get("resource") if isinstance(item, dict) else None
    type_ = resource.get("resourceType") if isinstance(resource, dict) else None
    return is_much(Request("POST", "", str(type_), resource=resource))


def _full_urls(sent: list[Any]) -> Counter[str]:
    urls = (item.get("fullUrl") for item in sent if isinstance(item, dict))
    return Counter(plain(url) for url in urls if isinstance(url, str))


def _change(service: Service, entry: Entry, full_urls: Counter[str]) -> Change:
    made = _CHANGING[entry.place.template] if entry.changes_by_operation else _CHANGES[entry.request.method]
    change = made(service, entry.request)
    if entry.full_url and full_urls[plain(entry.full_url)] > 1:
        raise FhirError("invalid", "Another entry has the same fullUrl", expression=f"{entry.where}.fullUrl")
    change = replace(change, full_url=entry.full_url, where=entry.where)
    if edit := change.edit:
        return replace(
            change, edit=lambda change, tree: _linked(service, entry, edit(change, tree), full_urls)
        )
    return _linked(service, entry, change, full_urls)


def _linked(service: Service, entry: Entry, change: Change, full_urls: Counter[str]) -> Change:
    """The change with the searches behind its conditional references."""
    searches = []
    for reference in set(references(change.resource or {})):
        found = conditional(reference)
        if found:
            of_type = replace(entry.request, type=match(found[0]).type)
            searches.append((reference, read_criteria(service, of_type, found[1])))
        elif is_urn_uuid(reference) and plain(reference) not in full_urls:
            # It would be stored as a reference that never leads anywhere, and a reading be judged for nobody.
            raise FhirError("invalid", "A urn:uuid reference is the fullUrl of no entry")
    return replace(change, references=tuple(searches))


def _check_read(tx: Transaction | View, entry: Entry) -> None:
    """A transaction whose read would fail is refused while it still can be."""
    place = entry.place
    match place.template:
        case "{type}/{id}":
            found = tx.read(place.type, place.id)
        case "{type}/{id}/_history/{version}" if is_version(place.version):
            found = tx.vread(place.type, place.id, int(place.version))
        case "{type}/{id}/_history" if tx.read(place.type, place.id):
            return
        case "{type}/{id}/_history" | "{type}/{id}/_history/{version}":
            found = None
        case _:
            return
    try:
        show(entry.request, found)
    except FhirError as error:
        raise inside(error, entry.where) from None


async def _batch(service: Service, request: Request, sent: list[Any]) -> list[dict[str, Any]]:
    """Each entry by itself, in the order of a transaction; what fails fails alone."""
    entries: list[Entry] = []
    answers: dict[int, dict[str, Any]] = {}
    full_urls = _full_urls(sent)
    for index, item in enumerate(sent):
        try:
            entry = _read_entry(service, request, index, item)
            _refuse_links(entry, full_urls)
            entries.append(entry)
        except FhirError as refused:
            answers[index] = _failed(inside(refused, f"Bundle.entry[{index}]"))
    failures = 0
    for group in _groups(entries):
        for entry, result in zip(group, await _together(service, group), strict=True):
            if isinstance(result, BaseException):
                error = _as_error(result)
                failures += error.category == "unavailable"
                result = _failed(inside(error, entry.where))
            answers[entry.index] = result
    if entries and failures == len(entries):
        raise FhirError("unavailable", "The store cannot be reached")
    return [answers[index] for index in range(len(sent))]


def _refuse_links(entry: Entry, full_urls: Counter[str]) -> None:
    """Entries of a batch know nothing of each other: the link would be stored and never lead anywhere."""
    resource = entry.request.resource
    if isinstance(resource, dict):
        for reference in references(resource):
            if reference.lower().startswith("urn:") and plain(reference) in full_urls:
                raise FhirError(
                    "invalid", "Entries of a batch cannot refer to each other; a transaction's can"
                )


def _groups(entries: list[Entry]) -> list[list[Entry]]:
    """The entries by method, deletes first and reads last; Observations in the order they were taken in."""
    ordered = sorted(entries, key=lambda entry: (_ORDER[entry.request.method], _taken(entry)))
    return [list(group) for _, group in groupby(ordered, key=lambda entry: _ORDER[entry.request.method])]


async def _together(service: Service, group: list[Entry]) -> list[dict[str, Any] | BaseException]:
    """Several at a time; they reach the store in the order of the group."""
    window = asyncio.Semaphore(_TOGETHER)

    async def run(entry: Entry) -> dict[str, Any]:
        async with window:
            return await _run(service, entry)

    return await asyncio.gather(*map(run, group), return_exceptions=True)


def _taken(entry: Entry) -> int:
    """When the reading of an entry was taken, 0 for other entries; it is not validated yet."""
    resource = entry.request.resource
    if entry.place.type != "Observation" or not isinstance(resource, dict):
        return 0
    said = {name: resource.get(name) for name in ("effectiveDateTime", "effectiveInstant", "issued")}
    return time_of(said) or 0


def _as_error(error: BaseException) -> FhirError:
    if isinstance(error, FhirError):
        return error
    if not isinstance(error, Exception):
        raise error
    log.bug(error, interaction="batch")
    return FhirError("exception", "The server failed at this entry")


def _read_entry(service: Service, request: Request, index: int, item: Any) -> Entry:
    """FhirError where the entry is no request that a Bundle may carry, or one that is not granted."""
    if isinstance(item, dict) and "request" not in item:
        raise FhirError("invalid", "An entry of a batch or transaction needs a request")
    _check_envelope(index, item)
    asked = item["request"]
    method = asked["method"]
    path, _, query = asked["url"].removeprefix(request.base).partition("?")
    place = match(path)
    possible = ROUTES.get(place.template, {}) if not place.template.endswith("_search") else {}
    if method not in _ORDER or _read_as(method) not in possible:
        raise FhirError("method-not-allowed", f"{method} is not possible here")
    interaction = possible[_read_as(method)][0]
    permits.check(service.grant, interaction, place.type, place.id, place.member)
    headers = {name: asked[key] for key, name in _HEADERS.items() if key in asked}
    if "if-modified-since" in headers:  # an instant here, an HTTP date where it is a header
        headers["if-modified-since"] = http_date(bounds(headers["if-modified-since"])[0])
    if "prefer" in request.headers:
        headers["prefer"] = request.headers["prefer"]
    # An empty string is no resource and no body to decode either: read_resource says so.
    resource = item.get("resource", "") if method in ("POST", "PUT", "PATCH") else None
    as_request = Request(
        method,
        request.base,
        place.type,
        place.id,
        place.version,
        query,
        headers,
        resource=resource,
        member=place.member,
    )
    return Entry(index, place, as_request, item.get("fullUrl"))


def _check_envelope(index: int, item: Any) -> None:
    """The entry without its resource, which is validated where it goes."""
    if isinstance(item, dict):
        item = {key: value for key, value in item.items() if key != "resource"}
    problems = validate({"resourceType": "Bundle", "type": "batch", "entry": [item]})
    if problems:
        where = f"Bundle.entry[{index}]"
        raise FhirError(
            "unprocessable",
            issues=[
                Issue(p.severity, p.code, p.diagnostics, p.expression.replace("Bundle.entry[0]", where))
                for p in problems
            ],
        )


def _read_as(method: str) -> str:
    return "GET" if method == "HEAD" else method


async def _run(service: Service, entry: Entry) -> dict[str, Any]:
    name, interaction = ROUTES[entry.place.template][_read_as(entry.request.method)]
    if service.trail is None:
        return _answered(entry, await interaction(service, entry.request))
    request, part = entry.request, service.trail.part()
    part.asked(name, entry.place, request.query)
    try:
        response = await interaction(traced(service, part), request)
    except FhirError as error:
        await part.end(error.status)
        raise
    await part.end(response.status, response.version)
    return _answered(entry, response)


def _answered(entry: Entry, response: Response) -> dict[str, Any]:
    """An entry of the response; a resource that was written is in it only where the client prefers so."""
    request, version = entry.request, response.version
    said = response_of(response.status, version)
    if response.located and version:
        said["location"] = location(version)
    answered: dict[str, Any] = {"response": said}
    body = msgspec.Raw(response.body) if response.body and request.method != "HEAD" else None
    if body and entry.writes and request.prefer.returns == "OperationOutcome":
        said["outcome"] = body
    elif body and (
        not entry.writes or entry.changes_by_operation or request.prefer.returns == "representation"
    ):
        answered = (
            ({"fullUrl": full_url(version, request.base)} if version else {}) | {"resource": body} | answered
        )
    return answered


def _failed(error: FhirError) -> dict[str, Any]:
    return {"response": {"status": status_line(error.status), "outcome": operation_outcome(error.issues)}}
