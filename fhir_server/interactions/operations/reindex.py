"""$reindex: what is stored already becomes findable by search parameters that were posted.

In the background of the worker that is asked, some resources at a time, each time in a transaction of its own
so that other writes need not wait; how far it is stands in the store. https://hl7.org/fhir/R4/async.html is
what its answers look like.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from fhir_server import log
from fhir_server.alerts import Written
from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.instants import microseconds
from fhir_server.posted_parameters import follow_up, in_force, known, resource_of
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search.extract import Plan, plan_of_posted, rows_of
from fhir_server.search.posted import Entry, check, compiled, takes_effect
from fhir_server.search.query import Query, Values
from fhir_server.store.base import Transaction, Version
from fhir_server.versions import content
from fhir_server.write import commit

BATCH = 100
_SECOND = 1_000_000
_SILENT = 60 * _SECOND  # after so long without progress a worker is taken to have stopped
_running: dict[str, asyncio.Task[None]] = {}  # by the key of what each indexes


class _Superseded(Exception):
    """The parameter is gone, is another now, or is indexed already."""


async def reindex(service: Service, request: Request) -> Response:
    """POST: 202 with where to ask how far it is, 200 when there is nothing to do."""
    if request.id:
        await _enter(service, request)
    entries = _of(request, (await known(service)).entries)
    now = microseconds(service.clock())
    for entry in entries:
        if entry.state != "ready" and entry.key not in _running and not _alive(entry, now):
            await _move(service, request.base, entry, state="running", done=0)
            task = asyncio.create_task(_run(service, request.base, entry))
            _running[entry.key] = task
            task.add_done_callback(partial(_forget, entry.key))
    return await progress(service, request)


def _forget(key: str, _: asyncio.Task[None]) -> None:
    _running.pop(key, None)


async def progress(service: Service, request: Request) -> Response:
    """GET: 202 while resources are being indexed; 200 when nothing is under way. Both say how far it is."""
    entries = _of(request, (await known(service)).entries)
    now = microseconds(service.clock())
    body = encode({"resourceType": "Parameters", "parameter": [_part(entry, now) for entry in entries]})
    if not entries:
        body = encode({"resourceType": "Parameters"})
    running = [entry for entry in entries if _alive(entry, now)]
    if not running:
        return Response(200, body)
    done, total = sum(each.done for each in running), sum(each.total for each in running)
    where = f"SearchParameter/{request.id}/" if request.id else ""
    headers = (
        ("content-location", f"{request.base}/{where}$reindex"),
        ("x-progress", f"{done} of {total}"),
        ("retry-after", "1"),
    )
    return Response(202, body, headers=headers)


def _alive(entry: Entry, now: int) -> bool:
    return entry.state == "running" and now - entry.at < _SILENT


def _of(request: Request, entries: Sequence[Entry]) -> list[Entry]:
    found = [entry for entry in entries if request.id in ("", entry.id)]
    if request.id and not found:
        raise FhirError("not-found", "There is no active SearchParameter of this id, or it is built in")
    return found


def _part(entry: Entry, now: int) -> dict[str, Any]:
    state = "stopped" if entry.state == "running" and not _alive(entry, now) else entry.state
    parts: list[dict[str, Any]] = [
        {"name": "reference", "valueString": f"SearchParameter/{entry.id}"},
        {"name": "code", "valueCode": entry.code},
        {"name": "state", "valueCode": state},
        {"name": "done", "valueInteger": entry.done},
        {"name": "total", "valueInteger": entry.total},
    ]
    return {"name": "parameter", "part": parts}


async def _enter(service: Service, request: Request) -> None:
    """Have a SearchParameter take effect that was stored before it could."""
    if any(entry.id == request.id for entry in (await known(service)).entries):
        return

    def work(tx: Transaction) -> None:
        found = tx.read("SearchParameter", request.id)
        tree = decode_stored(found.body) if found and found.body else None
        if tree is None or not takes_effect(tree):
            return
        if issues := check(tree):
            raise FhirError("unprocessable", issues=issues)
        written = Written("SearchParameter", request.id, None, tree)
        follow_up(tx, [written], lambda resource: _put(tx, service, request.base, resource))

    await commit(service, (), request.base, work)


async def _run(service: Service, base: str, entry: Entry) -> None:
    try:
        await _index(service, base, entry)
    except _Superseded:
        pass
    except Exception as error:  # the state says that it stopped
        log.bug(error, interaction="reindex")


async def _index(service: Service, base: str, entry: Entry) -> None:
    store = service.whole
    total = sum([await store.count(Query(type)) for type in entry.bases])
    done = 0
    for type, parameter in compiled(entry).items():
        plan = plan_of_posted((parameter,))
        query: Query | None = Query(type, count=BATCH)
        while query:
            page = await store.search(query)
            rows = await asyncio.to_thread(_rows, plan, page.versions, base)
            done += len(page.versions)
            await _move(service, base, entry, rows, done=done, total=max(done, total))
            more = page.next is not None
            query = replace(query, after=page.next, snapshot=page.snapshot) if more else None
    await _move(service, base, entry, state="ready", done=done, total=done)


def _rows(plan: Plan, versions: Iterable[Version], base: str) -> list[tuple[Version, Values]]:
    return [(version, rows_of(plan, decode_stored(version.body or b"{}"), base)) for version in versions]


async def _move(
    service: Service,
    base: str,
    entry: Entry,
    rows: Sequence[tuple[Version, Values]] = (),
    **changes: Any,
) -> None:
    """Add rows and say so, in one transaction. _Superseded where they are not wanted any more.

    What is said is at most a second old: a resource has no version for every batch.
    """
    now = microseconds(service.clock())

    def work(tx: Transaction) -> None:
        entries = in_force(tx).entries
        current = next((each for each in entries if each.key == entry.key), None)
        if current is None or current.state == "ready":
            raise _Superseded
        for version, values in rows:
            if values.rows:
                tx.add_values(version, values)
        if "state" in changes or now - current.at >= _SECOND:
            moved = [each.moved(**changes, at=now) if each is current else each for each in entries]
            _put(tx, service, base, resource_of(moved))

    await commit(service, (), base, work)


def _put(tx: Transaction, service: Service, base: str, resource: dict[str, Any]) -> None:
    before = tx.read(resource["resourceType"], resource["id"])
    number = before.version + 1 if before else 1
    updated = max(microseconds(service.clock()), before.updated if before else 0)
    made = content(resource, resource["id"], number, updated, base, posted=in_force(tx))
    method = "PUT" if before else "POST"
    tx.put(Version(resource["resourceType"], resource["id"], number, updated, method, made.body), made.values)
