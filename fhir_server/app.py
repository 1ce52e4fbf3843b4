"""All wiring in one place: settings, store, clock, ids and routes become the application.

The only file that names a store's adapter.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fhir_server import log, metrics, vocabulary
from fhir_server.audit.checkpoint import Checkpoints
from fhir_server.audit.journal import Journal
from fhir_server.audit.made import Made, current
from fhir_server.audit.upkeep import kept_up
from fhir_server.errors import FhirError, Issue, operation_outcome
from fhir_server.exchange import Policy, Service
from fhir_server.http import Fhir, Grants
from fhir_server.imported import Imported
from fhir_server.instants import http_date, microseconds
from fhir_server.origin import BASE, Origin, networks
from fhir_server.outgoing import Outgoing
from fhir_server.preconditions import ANY
from fhir_server.published import publish
from fhir_server.settings import VERSION, Settings
from fhir_server.smart import accounts, provider_settings
from fhir_server.smart import http as smart_http
from fhir_server.smart.clients import LOOPBACK
from fhir_server.smart.keys import SigningKeys
from fhir_server.smart.memory import Memory
from fhir_server.smart.origins import Origins
from fhir_server.smart.pages import http as pages_http
from fhir_server.smart.provider_settings import Provider
from fhir_server.smart.terms import Terms
from fhir_server.store.base import Store, T, Transaction
from fhir_server.write import Change, commit

READY_SECONDS = 3
_SWEEP_SECONDS = 600
_DELETES = 1000  # by one conditional delete, where several are allowed
_DEVICE: dict[str, Any] = {
    "resourceType": "Device",
    "id": "varde-engine",
    "status": "active",
    "deviceName": [{"name": "Varde rules engine", "type": "model-name"}],
}


class Varde(FastAPI):
    """FastAPI for the lifespan and what is beside the FHIR base, which is handed on before anything else."""

    fhir: ASGIApp
    service: Service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        path = scope["path"]
        inside = (path == BASE or path.startswith(f"{BASE}/")) and path != smart_http.DISCOVERY
        await (self.fhir if inside else super().__call__)(scope, receive, _dated(send))


def _dated(send: Send) -> Send:
    """Answers with the time they are sent at; uvicorn's is up to a second old, and before Last-Modified.

    https://www.rfc-editor.org/rfc/rfc9110#section-8.8.2.1
    """

    async def send_dated(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"date", http_date(time.time_ns() // 1000).encode())]
        await send(message)

    return send_dated


def from_environment() -> Varde:
    """The application of a worker process, which has its settings in VARDE_... variables."""
    settings = Settings()
    log.configure(settings.log_level)
    return create_app(settings)


def create_app(
    settings: Settings,
    store: Store | None = None,
    clock: Callable[[], datetime] | None = None,
    new_id: Callable[[], str] | None = None,
    outgoing: Outgoing | None = None,
    grants: Grants | None = None,
) -> Varde:
    """The server; a store that is passed in is opened and closed with it all the same.

    `outgoing` is how it reaches other servers (the keys of clients, OpenID providers); `grants` stands in for
    the authorization server: what a request is allowed, by its Authorization. ValueError for settings that
    are not safe.
    """
    check_safe(settings)
    clock = clock or utc_now
    _use_imported(settings)
    service = Service(
        store or open_store(settings.store),
        clock,
        new_id or time_ordered_id,
        clock(),
        (settings.cursor_secret or secrets.token_hex()).encode(),
        policy=_policy(settings),
        explains=settings.explain_searches,
        smart=Memory.fresh(outgoing, _providers(settings), _terms(settings)),
    )

    made: Made | None = None
    if settings.auth if settings.audit is None else settings.audit:
        service, made = _logged(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            await start(service)
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(_swept(service))
                if service.journal and made:
                    checkpoints = Checkpoints(Path(settings.keys))
                    await stack.enter_async_context(kept_up(service.journal, made, checkpoints))
                yield
        finally:
            await service.store.close()

    app = Varde(title="Varde", version=VERSION, openapi_url=None, lifespan=lifespan)
    app.service = service
    origin = Origin(settings.base_url, networks(settings.trusted_proxies.split(",")))
    app.fhir = _shared(Fhir(service, origin, settings.max_body_bytes, grants), service, settings)
    if settings.auth:
        app.router.routes += smart_http.routes(service, origin, _named(settings))
        app.router.routes += pages_http.routes(service, origin)
    app.add_exception_handler(HTTPException, _outside)
    _add_operations(app, service.store)
    return app


def _use_imported(settings: Settings) -> None:
    imported = Imported(Path(settings.terminology))
    vocabulary.use_imported(imported)
    for name in imported.outdated:
        log.event("imported by an earlier version: import it again", "warning", code_system=name)


def _policy(settings: Settings) -> Policy:
    return Policy(
        _DELETES if settings.conditional_delete == "multiple" else 1,
        settings.versioned_updates,
        tuple((type_, tuple(urls)) for type_, urls in settings.profiles.items()),
        settings.claimed_profiles,
        settings.provenance,
        settings.emergency_minutes,
        settings.privacy_officer,
        frozenset(settings.demands),
    )


def _logged(service: Service) -> tuple[Service, Made]:
    """The service with a log of accesses, and AuditEvents by the time that somebody looks for them."""
    made = Made(service.store)
    journal = Journal(service.store, service.clock, made.catch_up)
    return replace(service, store=current(service.store, made), journal=journal), made


def check_safe(settings: Settings) -> None:
    """ValueError where access would be open to others, or the server could not say who it is."""
    local = settings.host in LOOPBACK
    if not settings.auth and not local:
        raise ValueError("Access control may only be off (--no-auth) on a loopback address such as 127.0.0.1")
    base = settings.base_url
    if base is not None and not (urlsplit(base).scheme in ("http", "https") and urlsplit(base).netloc):
        raise ValueError("The public base of the FHIR API is a URL such as https://fhir.example.org/fhir")
    if settings.auth and not local and base is None:
        raise ValueError(
            "Applications have to know this server by one URL: say which, --base-url https://HOST/fhir"
        )


def _make_keys(folder: Path) -> None:
    """The signing keys, at the first start; ValueError where they cannot be made or are not safe."""
    try:
        SigningKeys(folder).public(int(time.time()))
    except OSError as error:
        raise ValueError(f"The folder of the signing keys cannot be used: {error.strerror}") from None


def _terms(settings: Settings) -> Terms:
    return Terms(
        settings.auth,
        Path(settings.keys),
        settings.access_token_seconds,
        settings.backend_token_seconds,
        settings.refresh_token_days * 24 * 3600,
    )


@asynccontextmanager
async def _swept(service: Service) -> AsyncIterator[None]:
    """Records that have expired are dropped once in a while."""

    async def sweep() -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            with suppress(FhirError):  # the store is not there: later, then
                while await service.store.transact(lambda tx: tx.sweep(microseconds(service.clock()))):
                    pass

    task = asyncio.create_task(sweep())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _named(settings: Settings) -> list[str]:
    return [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]


def _shared(fhir: ASGIApp, service: Service, settings: Settings) -> ASGIApp:
    """The FHIR API for pages of registered applications, and of the origins that the settings name.

    https://hl7.org/fhir/R4/security.html#cors
    """
    if settings.auth:
        apps = smart_http.ForApps(fhir, Origins(service), _named(settings), **_CORS)
        return smart_http.OpenAt(f"{BASE}/metadata", fhir, apps)
    allowed = _named(settings)
    return CORSMiddleware(fhir, allow_origins=allowed, **_CORS) if allowed else fhir


_CORS: dict[str, Any] = {
    "allow_methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
    "allow_headers": [
        "Accept", "Authorization", "Content-Type", "DPoP", "If-Match", "If-Modified-Since", "If-None-Exist",
        "If-None-Match", "Prefer", "X-Provenance", "X-Request-Id",
    ],
    "expose_headers": [
        "Content-Location", "ETag", "Last-Modified", "Location", "Retry-After", "WWW-Authenticate",
        "X-Request-Id",
    ],
}  # fmt: skip


def open_store(url: str) -> Store:
    """The adapter for a store URL; ValueError with a plain sentence for a URL that names none."""
    # Imported when chosen: either takes a noticeable part of the time to start.
    if url.startswith("sqlite:"):
        from fhir_server.store.sqlite import SqliteStore

        return SqliteStore(url)
    if url.startswith(("mongodb://", "mongodb+srv://")):
        from fhir_server.store.mongo import MongoStore

        return MongoStore(url)
    raise ValueError(
        "The store must be sqlite:///PATH (such as sqlite:///varde-data/varde.db) or mongodb://..."
    )


async def start(service: Service) -> None:
    """Open the store, and see to it that the Device which writes the alerts is in it."""
    await service.store.open()
    try:
        await commit(service, [Change("PUT", "Device", "varde-engine", _DEVICE, if_none_match=ANY)])
    except FhirError as error:
        if error.category != "precondition-failed":  # it is there already
            raise


def _providers(settings: Settings) -> dict[str, Provider]:
    return provider_settings.read(Path(settings.providers)) if settings.providers else {}


async def prepare(settings: Settings) -> str | None:
    """Start and stop once before any worker does: what is wrong shows here, and new tables are made once.

    Varde's own definitions are put in the store, for clients to read. Where people sign in and there is
    neither a user nor an OpenID provider, a first administrator is made, whose password is returned.
    """
    networks(settings.trusted_proxies.split(","))
    Memory.fresh(None, _providers(settings))
    check_safe(settings)
    if settings.auth:
        _make_keys(Path(settings.keys))
    service = Service(open_store(settings.store), utc_now, time_ordered_id, utc_now())
    try:
        await start(service)
        await publish(service)
        return await accounts.first(service) if settings.auth and not settings.providers else None
    finally:
        await service.store.close()


def existing(url: str) -> str:
    """The store's URL; ValueError where it is a file that is not there, which opening would create."""
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).exists():
        raise ValueError(f"There is no database at {path}: is --store right?")
    return url


async def look(url: str, work: Callable[[Transaction], T]) -> T:
    """Open the store, run work that puts nothing, and close it again."""
    store = open_store(existing(url))
    await store.open()
    try:
        return await store.transact(work)
    finally:
        await store.close()


async def with_service(url: str, work: Callable[[Service], Awaitable[T]]) -> T:
    """Open the store, do work that may write, and close it again."""
    service = Service(open_store(url), utc_now, time_ordered_id, utc_now())
    try:
        await service.store.open()
        return await work(service)
    finally:
        await service.store.close()


def utc_now() -> datetime:
    return datetime.now(UTC)


def time_ordered_id() -> str:
    """A version 7 UUID (RFC 9562): new ids sort behind old ones, which keeps indexes compact."""
    milliseconds, chance = time.time_ns() // 1_000_000, _chance.getrandbits(74)
    number = milliseconds << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | (chance & 2**62 - 1)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


# Seeded by the operating system, in each process anew; asking it for every id costs a system call.
_chance = random.Random()  # noqa: S311 - ids are no secrets


def _add_operations(app: FastAPI, store: Store) -> None:
    @app.get("/health/live")
    async def live() -> Response:
        return JSONResponse({"status": "ok"})

    @app.get("/health/ready")
    async def ready() -> Response:
        try:
            await asyncio.wait_for(store.check(), READY_SECONDS)
        except (FhirError, TimeoutError):
            return JSONResponse({"status": "unavailable"}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/metrics")
    async def show_metrics() -> Response:
        return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")


async def _outside(request: Request, error: Exception) -> Response:
    """What is asked for beside the FHIR base and is not there."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    issue = Issue("error", "not-found", f"There is nothing here; the FHIR API is at {BASE}")
    headers = getattr(error, "headers", None)
    return JSONResponse(operation_outcome([issue]), status, headers, media_type="application/fhir+json")
