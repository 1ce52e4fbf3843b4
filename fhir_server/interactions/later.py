"""https://hl7.org/fhir/R4/async.html: `Prefer: respond-async` for what may take its time.

202 with a status URL; there 202 while it runs, then a manifest that names the result. What is under way is
kept in files, as any worker may be asked; it ends with the server. Finished answers are kept for an hour, and
given to those who asked: to everybody else there is nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any

from fhir_server import log
from fhir_server.access import identity
from fhir_server.errors import FhirError, operation_outcome
from fhir_server.exchange import Request, Response, Service
from fhir_server.instants import instant, microseconds
from fhir_server.resource_json import decode, decode_stored, encode

# By the name of the interaction: those that read, and Bundles.
_KINDS = ("search-type", "search-system", "search-compartment")
SUPPORTED = frozenset({*_KINDS, "history-system", "history-type", "history-instance", "bundle"})
FOLDER = "VARDE_LATER_FOLDER"  # where several workers share it
MOST = 100
_KEPT_SECONDS = 3600
_KEY = re.compile("[A-Za-z0-9_-]{20,40}").fullmatch
_running: set[asyncio.Task[None]] = set()

Interaction = Callable[[Service, Request], Awaitable[Response]]


async def start(service: Service, request: Request, interaction: Interaction, url: str) -> Response:
    """202 with the URL of the status; FhirError("unavailable") where too much is under way."""
    if await asyncio.to_thread(_clean) >= MOST:
        raise FhirError("unavailable", "Too many requests are being answered later; try again")
    key = secrets.token_urlsafe(18)
    time_ = instant(microseconds(service.clock()))
    about = {"pid": os.getpid(), "request": url, "time": time_, "owner": _owner(service)}
    await asyncio.to_thread(_write, _path(key), encode(about))
    task = asyncio.create_task(_run(service, request, interaction, key, about))
    _running.add(task)
    task.add_done_callback(_running.discard)
    headers = (("content-location", f"{request.base}/_async/{key}"), ("preference-applied", "respond-async"))
    return Response(202, headers=headers)


async def status(service: Service, request: Request) -> Response:
    """202 while it runs; then the manifest, or the error with the status that it has."""
    about = await _about(service, request)
    if "status" not in about:
        return Response(202, headers=(("x-progress", "in progress"), ("retry-after", "1")))
    if about["status"] >= 400:
        return Response(about["status"], encode(about["body"]))
    manifest = {
        "transactionTime": about["time"],
        "request": about["request"],
        "requiresAccessToken": False,
        "output": [
            {"type": about["body"]["resourceType"], "url": f"{request.base}/_async/{request.id}/result"}
        ],
        "error": [],
    }
    expires = formatdate(about["done"] + _KEPT_SECONDS, usegmt=True)
    return Response(200, encode(manifest), headers=(("expires", expires),), media_type="application/json")


async def result(service: Service, request: Request) -> Response:
    """What the request would have been answered at once, in the format asked for now."""
    about = await _about(service, request)
    if "status" not in about:
        raise FhirError("not-found", "There is no result yet; ask for the status")
    return Response(about["status"], encode(about["body"]))


async def cancel(service: Service, request: Request) -> Response:
    """202: what is under way is forgotten, and so is its result. A Bundle may have been carried out."""
    await _about(service, request)
    await asyncio.to_thread(_path(request.id).unlink, missing_ok=True)
    return Response(202)


async def _run(
    service: Service, request: Request, interaction: Interaction, key: str, about: dict[str, Any]
) -> None:
    try:
        response = await interaction(service, request)
        if service.trail:
            await service.trail.end(response.status, response.version)
        answered = {"status": response.status, "body": decode_stored(response.body or b"{}")}
    except FhirError as error:
        if service.trail:
            with suppress(FhirError):
                await service.trail.end(error.status)
        answered = {"status": error.status, "body": operation_outcome(error.issues)}
    except Exception as error:
        log.bug(error, interaction="respond-async")
        failed = FhirError("exception", "The server failed")
        answered = {"status": failed.status, "body": operation_outcome(failed.issues)}
    path, content = _path(key), encode({**about, **answered, "done": int(time.time())})

    def finish() -> None:
        if path.exists():  # it was not cancelled meanwhile
            _write(path, content)

    await asyncio.to_thread(finish)


async def _about(service: Service, request: Request) -> dict[str, Any]:
    """What is known of the request behind a status URL; FhirError("not-found"), also where others asked."""
    unknown = FhirError("not-found", "Nothing is being answered here, or no longer")
    if not _KEY(request.id):
        raise unknown
    try:
        about = decode(await asyncio.to_thread(_path(request.id).read_bytes))
    except FileNotFoundError:
        raise unknown from None
    if about["owner"] != _owner(service):
        raise unknown
    if "status" not in about and not _is_alive(about["pid"]):
        lost = FhirError("exception", "The server was stopped before this was answered; ask again")
        return {**about, "status": lost.status, "body": operation_outcome(lost.issues)}
    return about


def _owner(service: Service) -> str:
    return hashlib.sha256(identity(service.grant)).hexdigest()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _write(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def _clean() -> int:
    """Drop what is old; how many are left."""
    oldest = time.time() - _KEPT_SECONDS
    left = 0
    for path in _folder().iterdir():
        try:
            old = path.stat().st_mtime < oldest
        except FileNotFoundError:
            continue
        if old:
            path.unlink(missing_ok=True)
        else:
            left += 1
    return left


def _path(key: str) -> Path:
    return _folder() / key


@cache
def _folder() -> Path:
    """The folder that `varde serve` gave its workers, or one of this process."""
    given = os.environ.get(FOLDER)
    if given:
        return Path(given)
    _own.append(tempfile.TemporaryDirectory(prefix="varde-later-"))
    return Path(_own[0].name)


_own: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends
