"""The endpoints that applications call, as Starlette routes: discovery, tokens, introspection, revocation.

https://www.rfc-editor.org/rfc/rfc6749#section-3.2, https://hl7.org/fhir/smart-app-launch/conformance.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from time import perf_counter
from typing import Any

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from fhir_server import log, metrics
from fhir_server.audit.tokens import refused
from fhir_server.errors import FhirError
from fhir_server.exchange import Service
from fhir_server.origin import BASE, Origin
from fhir_server.smart import discovery
from fhir_server.smart.asked import Answer, Asked, read_form
from fhir_server.smart.bearer import REALM
from fhir_server.smart.introspection import introspect
from fhir_server.smart.origins import Origins
from fhir_server.smart.refusal import Refusal
from fhir_server.smart.revocation import revoke
from fhir_server.smart.terms import Places
from fhir_server.smart.token_endpoint import token

SMART = "/.well-known/smart-configuration"
WELL_KNOWN = (SMART, "/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
DISCOVERY = f"{BASE}{SMART}"  # where SMART looks for it
LARGEST = 64 * 1024  # bytes of a form
_FORM = "application/x-www-form-urlencoded"
_NEVER_KEPT = {"cache-control": "no-store", "pragma": "no-cache"}
Endpoint = Callable[[Service, Asked], Awaitable[Answer]]


def routes(service: Service, origin: Origin, allowed: Iterable[str]) -> list[Route]:
    """Those of the authorization server that no person sees. `allowed`: origins that the settings name."""
    apps = Origins(service)

    async def smart(request: Request) -> Response:
        return JSONResponse(discovery.smart_configuration(places_of(request, origin)))

    async def openid(request: Request) -> Response:
        return JSONResponse(discovery.openid_configuration(places_of(request, origin)))

    async def jwks(_: Request) -> Response:
        now = int(service.clock().timestamp())
        return JSONResponse(await asyncio.to_thread(service.smart.keys.public, now))

    documents = [(path, smart if path == SMART else openid) for path in WELL_KNOWN]
    public = [(DISCOVERY, smart), *documents, ("/auth/jwks", jwks)]
    asked: list[tuple[str, Endpoint]] = [("token", token), ("introspect", introspect), ("revoke", revoke)]
    return [
        *(Route(path, for_everyone(_page(endpoint))) for path, endpoint in public),
        *(
            Route(f"/auth/{name}", ForApps(_Form(service, origin, name, endpoint), apps, allowed))
            for name, endpoint in asked
        ),
    ]


def places_of(request: Request, origin: Origin) -> Places:
    """The server's URLs as this client sees them."""
    name, port = request.scope.get("server") or ("localhost", None)
    server = f"{name}:{port}" if port else name
    client = request.client.host if request.client else None
    return Places(origin.base(request.scope["scheme"], server, client, _headers(request)))


def address_of(request: Request, origin: Origin) -> str:
    """The network address of the client, which a trusted proxy may have named."""
    return origin.client(request.client.host if request.client else None, _headers(request))


def _headers(request: Request) -> dict[str, str]:
    return {name: ", ".join(request.headers.getlist(name)) for name in set(request.headers)}


def for_everyone(app: ASGIApp) -> ASGIApp:
    """As pages of any origin may read it: it holds nothing that is not public."""
    return CORSMiddleware(app, allow_origins=["*"], allow_methods=["GET", "HEAD"], allow_headers=["*"])


class ForApps(CORSMiddleware):
    """As pages of registered applications may use it, and those of the origins that the settings name."""

    def __init__(self, app: ASGIApp, apps: Origins, allowed: Iterable[str], **options: Any) -> None:
        options = {"allow_methods": ["POST"], "allow_headers": ["Authorization", "Content-Type"], **options}
        super().__init__(app, allow_origins=list(allowed), **options)
        self._apps = apps

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and any(name == b"origin" for name, _ in scope["headers"]):
            await self._apps.refresh()
        await super().__call__(scope, receive, send)

    def is_allowed_origin(self, origin: str) -> bool:
        return super().is_allowed_origin(origin) or origin in self._apps


class OpenAt:
    """An application that is for apps, but at one path for everyone."""

    def __init__(self, path: str, app: ASGIApp, others: ASGIApp) -> None:
        self._path = path
        self._open = for_everyone(app)
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._open if scope["path"] == self._path else self._others)(scope, receive, send)


def _page(endpoint: Callable[[Request], Awaitable[Response]]) -> ASGIApp:
    """GET and HEAD of a document."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if request.method not in ("GET", "HEAD"):
            await Response(status_code=405, headers={"allow": "GET, HEAD"})(scope, receive, send)
            return
        await (await endpoint(request))(scope, receive, send)

    return app


class _Form:
    """An endpoint that is sent a form and answers in JSON that nobody keeps."""

    def __init__(self, service: Service, origin: Origin, name: str, endpoint: Endpoint) -> None:
        self._service = service
        self._origin = origin
        self._path = f"/auth/{name}"
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started, request = perf_counter(), Request(scope, receive)
        try:
            answer = await self._answer(request)
        except ClientDisconnect:
            return
        response = _response(answer)
        await response(scope, receive, send)
        seconds = perf_counter() - started
        metrics.observe(self._path.removeprefix("/"), answer.status, seconds)
        log.request(request.method, self._path, answer.status, seconds, "")

    async def _answer(self, request: Request) -> Answer:
        try:
            asked = await self._read(request)
            try:
                return await self._endpoint(self._service, asked)
            except Refusal as refusal:
                what = f"{self._path.removeprefix('/auth/')}-refused"
                await refused(self._service, what, asked.address, refusal.status, refusal.error)
                raise
        except Refusal as refusal:
            headers = {"retry-after": str(refusal.retry)} if refusal.retry else {}
            if refusal.status == 401:
                scheme = "Bearer" if refusal.error == "invalid_token" else "Basic"
                headers["www-authenticate"] = f'{scheme} realm="{REALM}"'
            return Answer(refusal.body, refusal.status, headers)
        except FhirError as error:  # the store is not there
            status = error.status if error.category == "unavailable" else 500
            return _broken("temporarily_unavailable" if status == 503 else "server_error", status)
        except Exception as error:
            log.bug(error, interaction=self._path)
            return _broken("server_error", 500)

    async def _read(self, request: Request) -> Asked:
        if request.method != "POST":
            raise Refusal("invalid_request", "This endpoint is called by POST", 405)
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
            raise Refusal("invalid_request", f"The content-type must be {_FORM}")
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > LARGEST:
                raise Refusal("invalid_request", f"The body has more than {LARGEST} bytes", 413)
        authorization = ", ".join(request.headers.getlist("authorization"))
        places, address = places_of(request, self._origin), address_of(request, self._origin)
        return Asked(places, read_form(body), authorization, address)


def _broken(error: str, status: int) -> Answer:
    return Answer({"error": error, "error_description": "The server cannot answer now"}, status)


def _response(answer: Answer) -> Response:
    headers = {**_NEVER_KEPT, **answer.headers}
    if answer.status == 405:
        headers["allow"] = "POST"
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    return JSONResponse(answer.body, answer.status, headers)
