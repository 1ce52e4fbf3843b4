"""The FHIR base as one ASGI application: find the interaction, call it, send what it answers.

https://hl7.org/fhir/R4/http.html. Plain ASGI, as most requests are a few hundred microseconds in all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from secrets import token_hex
from time import perf_counter
from typing import Any

from starlette.types import Receive, Scope, Send

from fhir_server import log, metrics, origin, provenance, resource_xml
from fhir_server.access import Grant, permits, seen_by
from fhir_server.audit.trail import Trail, who
from fhir_server.compression import WORTH, compress, decompress, takes_gzip
from fhir_server.errors import FhirError, operation_outcome
from fhir_server.exchange import Request, Response, Service, parse_pairs, traced
from fhir_server.instants import http_date
from fhir_server.interactions import binary, later
from fhir_server.interactions.bundle import bundle
from fhir_server.interactions.entries import location
from fhir_server.interactions.operations import emergency, reindex
from fhir_server.interactions.routes import ROUTES, Interaction, Place, match
from fhir_server.negotiation import (
    CONTENT_TYPE,
    FORM,
    JSON,
    JSON_PATCH,
    XML,
    XML_PATCH,
    body_format,
    response_format,
)
from fhir_server.origin import BASE, Origin
from fhir_server.preconditions import etag
from fhir_server.resource_json import decode_stored, encode, prettify
from fhir_server.smart import bearer
from fhir_server.smart.bearer import Unauthenticated

_ROUTES = {
    **ROUTES,
    "": {**ROUTES[""], "POST": ("bundle", bundle)},
    "_async/{id}": {"GET": ("async-status", later.status), "DELETE": ("async-cancel", later.cancel)},
    **{
        template: {"GET": ("reindex-status", reindex.progress), "POST": ("reindex", reindex.reindex)}
        for template in ("$reindex", "SearchParameter/{id}/$reindex")
    },
    "Patient/{id}/$break-the-glass": {"POST": ("break-the-glass", emergency.break_the_glass)},
    "_async/{id}/result": {"GET": ("async-result", later.result)},
}
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_RESOURCE, _FORM = frozenset({JSON, XML}), frozenset({FORM})
_PATCH = frozenset({JSON, XML, JSON_PATCH, XML_PATCH})
_HEADERS = {
    name.encode(): name
    for name in (
        "accept", "accept-encoding", "accept-language", "authorization", "content-encoding", "content-length",
        "content-type", "if-match", "if-modified-since", "if-none-exist", "if-none-match", "prefer",
        "x-provenance", "x-request-id", "x-security-context", *origin.HEADERS,
    )
}  # fmt: skip
# A request id is logged, so what could be a person's number is not taken over as one.
_REQUEST_ID = re.compile(r"(?!.*\d{11})[A-Za-z0-9._\-]{1,64}")
# From here on, reading, writing or compressing a body would keep the event loop from its other clients.
_LARGE = 128 * 1024

_process, _count = token_hex(6), count(1)


def _request_id() -> str:
    """One of our own: which process, and its how-manieth."""
    return f"{_process}-{next(_count)}"


# What the bearer of an Authorization header is allowed; None: everything, as access control is off.
Grants = Callable[[Service, str | None], Awaitable[Grant | None]]


class Gone(Exception):
    """The client went away before its request was complete."""


@dataclass(slots=True)
class _Call:
    """What is known of a request so far, for the answer, the log and the metrics whatever becomes of it."""

    method: str
    headers: dict[str, str]
    request_id: str
    interaction: str = "unknown"
    template: str = "unknown"
    format: str = JSON
    pretty: bool = False
    more: list[tuple[str, str]] = field(default_factory=list)
    trail: Trail | None = None
    started: float = field(default_factory=perf_counter)


class Fhir:
    """The ASGI application; `origin` says under which URL the client sees it.

    `grants` says what each request is allowed, in place of the access tokens that the service knows.
    """

    def __init__(
        self, service: Service, origin: Origin, max_body_bytes: int, grants: Grants | None = None
    ) -> None:
        self._service = service
        self._origin = origin
        self._max_body_bytes = max_body_bytes
        self._grants = grants

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = _read_headers(scope)
        asked = headers.get("x-request-id", "")
        call = _Call(scope["method"], headers, asked if _REQUEST_ID.fullmatch(asked) else _request_id())
        base = self._base(scope, headers)
        journal = self._service.journal
        if journal is None:
            await self._respond(call, base, scope, receive, send)
        else:
            call.trail = Trail(journal, call.request_id, who(None, self._client(scope, headers)))
            journal.open += 1
            try:
                await self._respond(call, base, scope, receive, send)
            finally:
                journal.open -= 1

    async def _respond(self, call: _Call, base: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._answer(call, base, scope, receive)
            content = await _content(call, response)
        except Gone:
            return
        except FhirError as error:
            if error.category == "forbidden":
                call.more.append(("www-authenticate", bearer.INSUFFICIENT))
            response, content = await _refused(call, error)
        except Exception as error:
            log.bug(error, interaction=call.interaction, request_id=call.request_id)
            text = f"The server failed; its log says more about request {call.request_id}"
            response, content = await _refused(call, FhirError("exception", text))
        if call.trail is not None:
            try:
                await call.trail.end(response.status, response.version)
            except FhirError as error:  # what cannot be logged is not shown
                response, content = await _refused(call, error)
        await _send(send, call, base, response, content)
        seconds = perf_counter() - call.started
        metrics.observe(call.interaction, response.status, seconds)
        log.request(call.method, call.template, response.status, seconds, call.request_id)

    async def _answer(self, call: _Call, base: str, scope: Scope, receive: Receive) -> Response:
        query = scope["query_string"].decode("latin-1")
        format_ = _form(call, query)
        accept = call.headers.get("accept")
        with suppress(FhirError):  # what is refused is told, if possible, in the format asked for
            call.format = response_format(accept, format_)
        path = scope["path"].removeprefix(BASE)
        public = path == "/metadata" and call.method in ("GET", "HEAD")
        grant = None if public else await self._grant(call, f"{base}{path}", scope)
        interaction, place = _route(call, path)
        if call.trail is not None:  # known before it may be refused
            call.trail.asked(call.interaction, place, query)
        if grant is not None:
            permits.check(grant, call.interaction, place.type, place.id, place.member)
        service = seen_by(self._service, grant)
        if "x-provenance" in call.headers:
            asserted = provenance.asserted(call.headers["x-provenance"], call.interaction, grant)
            service = replace(service, asserted=asserted)
        as_content = binary.is_read_as_content(call.interaction, place.type, accept, format_)
        is_form = place.template.endswith("_search")
        if not as_content and not is_form:
            call.format = response_format(accept, format_)
        body, media, resource = b"", JSON, None
        if binary.is_sent_as_content(call.interaction, place.type, call.headers.get("content-type")):
            body = await self._read_body(call.headers, receive)
            resource = await _aside(binary.of_content, body, place.id, call.headers)
        elif call.method in _WITH_BODY:
            expected = _FORM if is_form else _PATCH if call.method == "PATCH" else _RESOURCE
            media = body_format(call.headers.get("content-type"), expected)
            body = await self._read_body(call.headers, receive)
            if media == XML:
                resource = await _aside(resource_xml.decode, body)
        if is_form:
            said = _form(call, body.decode("latin-1"))
            call.format = response_format(accept, format_ if said is None else said)
        request = Request(
            call.method,
            base,
            place.type,
            place.id,
            place.version,
            query,
            call.headers,
            body,
            resource,
            media,
            place.member,
        )
        if call.trail is not None:
            if is_form:
                call.trail.asked(call.interaction, place, query, body.decode("latin-1"))
            service = traced(service, call.trail)
        if call.interaction in later.SUPPORTED and call.method != "HEAD" and request.prefer.asynchronous:
            url = f"{base}{scope['path'].removeprefix(BASE)}{'?' if query else ''}{query}"
            return await later.start(service, request, interaction, url)
        response = await interaction(service, request)
        return binary.as_content(response, accept) if as_content else response

    async def _grant(self, call: _Call, url: str, scope: Scope) -> Grant | None:
        """What the sender is allowed, None where access control is off; FhirError("login") for strangers."""
        authorization = call.headers.get("authorization")
        if self._grants is not None:
            grant = await self._grants(self._service, authorization)
        elif not self._service.smart.terms.enforced:
            return None
        else:
            proofs = tuple(value.decode("latin-1") for name, value in scope["headers"] if name == b"dpop")
            try:
                grant = await bearer.grant_of(self._service, authorization, proofs, call.method, url)
            except Unauthenticated as error:
                call.more.append(("www-authenticate", error.challenge))
                raise FhirError("login", str(error)) from None
        if call.trail is not None:
            call.trail.of(grant)
        return grant

    async def _read_body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The whole body; FhirError("too-large") as soon as it is clear, with or without Content-Length."""
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > self._max_body_bytes):
            raise self._too_large()
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Gone
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self._max_body_bytes:
                raise self._too_large()
            more = message.get("more_body", False)
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        encoding = headers.get("content-encoding")
        return await _aside(decompress, body, encoding, self._max_body_bytes) if encoding else body

    def _too_large(self) -> FhirError:
        return FhirError("too-large", f"A body may have {self._max_body_bytes} bytes")

    def _client(self, scope: Scope, headers: dict[str, str]) -> str:
        """The address of the client, which a trusted proxy may have named."""
        client = scope.get("client")
        return self._origin.client(client[0] if client else None, headers)

    def _base(self, scope: Scope, headers: dict[str, str]) -> str:
        name, port = scope.get("server") or ("localhost", None)
        client = scope.get("client")
        server = f"{name}:{port}" if port else name
        return self._origin.base(scope["scheme"], server, client[0] if client else None, headers)


async def _aside(work: Any, body: bytes, *more: Any) -> Any:
    """work(body, *more), in a thread where the body is large."""
    return await asyncio.to_thread(work, body, *more) if len(body) > _LARGE else work(body, *more)


def _read_headers(scope: Scope) -> dict[str, str]:
    """Those that matter here; one that came several times as the list it stands for."""
    headers: dict[str, str] = {}
    for raw, value in scope["headers"]:
        name = _HEADERS.get(raw)
        if name:
            text = value.decode("latin-1")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
    return headers


def _route(call: _Call, path: str) -> tuple[Interaction, Place]:
    place = match(path)
    call.template = f"{BASE}/{place.template}"
    routes = _ROUTES[place.template]
    route = routes.get("GET" if call.method == "HEAD" else call.method)
    if route is None:
        allow = ", ".join([*routes, *(["HEAD"] if "GET" in routes else [])])
        call.more.append(("allow", allow))
        raise FhirError("method-not-allowed", f"Possible here: {allow}")
    call.interaction, interaction = route
    return interaction, place


def _form(call: _Call, parameters: str) -> str | None:
    """Heed `_pretty` and return `_format`; what else is there is for the interaction to judge."""
    if "_format" not in parameters and "_pretty" not in parameters:
        return None
    try:
        said = dict(parse_pairs(parameters))
    except FhirError:
        return None
    call.pretty = call.pretty or said.get("_pretty") == "true"
    return said.get("_format")


async def _refused(call: _Call, error: FhirError) -> tuple[Response, bytes | None]:
    response = Response(error.status, encode(operation_outcome(error.issues)))
    return response, await _content(call, response)


async def _content(call: _Call, response: Response) -> bytes | None:
    """The body in the format that the client wants."""
    body = response.body
    if body is None or response.media_type:
        return body
    if call.format == XML:
        return bytes(await _aside(_as_xml, body, call.pretty))
    return prettify(body) if call.pretty else body


def _as_xml(body: bytes, pretty: bool) -> bytes:
    return resource_xml.encode(decode_stored(body), pretty)


async def _send(send: Send, call: _Call, base: str, response: Response, content: bytes | None) -> None:
    version = response.version
    headers = [
        (b"x-request-id", call.request_id.encode()),
        (b"cache-control", b"private, no-cache"),
        (b"vary", b"Accept, Accept-Encoding"),
    ]
    if content is not None:
        media_type = response.media_type
        headers.append((b"content-type", media_type.encode() if media_type else CONTENT_TYPE[call.format]))
        if len(content) >= WORTH and takes_gzip(call.headers.get("accept-encoding", "")):
            content = await _aside(compress, content)
            headers.append((b"content-encoding", b"gzip"))
    if response.status not in (204, 304):
        headers.append((b"content-length", str(len(content or b"")).encode()))
    if version is not None:
        headers.append((b"etag", etag(version.version).encode()))
        headers.append((b"last-modified", http_date(version.updated).encode()))
        if response.located:
            headers.append((b"location", f"{base}/{location(version)}".encode()))
    headers += [(name.encode(), value.encode()) for name, value in (*call.more, *response.headers)]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else content or b""})
