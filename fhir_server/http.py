"""The FHIR base as one ASGI application: find the interaction, call it, send what it answers.

https://hl7.org/fhir/R4/http.html. Plain ASGI, as most requests are a few hundred microseconds in all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from time import perf_counter

from starlette.types import Receive, Scope, Send

from fhir_server import log, metrics
from fhir_server.errors import FhirError, operation_outcome
from fhir_server.exchange import Request, Response, Service, parse_pairs
from fhir_server.instants import http_date
from fhir_server.interactions.bundle import bundle
from fhir_server.interactions.entries import location
from fhir_server.interactions.routes import ROUTES, Interaction, Place, match
from fhir_server.negotiation import CONTENT_TYPE, check_accept, check_content_type
from fhir_server.preconditions import etag
from fhir_server.resource_json import encode, prettify

BASE = "/fhir"
_ROUTES = {**ROUTES, "": {"POST": ("bundle", bundle)}}
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_HEADERS = {
    name.encode(): name
    for name in (
        "accept", "content-encoding", "content-length", "content-type", "host", "if-match",
        "if-modified-since", "if-none-exist", "if-none-match", "prefer", "x-request-id",
    )
}  # fmt: skip
_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d+)?|\[[0-9A-Fa-f:.]+\](:\d+)?")
# A request id is logged, so what could be a person's number is not taken over as one.
_REQUEST_ID = re.compile(r"(?!.*\d{11})[A-Za-z0-9._\-]{1,64}")


_process, _count = token_hex(6), count(1)


def _request_id() -> str:
    """One of our own: which process, and its how-manieth."""
    return f"{_process}-{next(_count)}"


class Gone(Exception):
    """The client went away before its request was complete."""


@dataclass(slots=True)
class _Call:
    """What is known of a request so far, for the log and the metrics whatever becomes of it."""

    method: str
    request_id: str
    interaction: str = "unknown"
    template: str = "unknown"
    pretty: bool = False
    allow: str = ""


class Fhir:
    """The ASGI application. `base_url` is the public base; None derives it from each request."""

    def __init__(self, service: Service, base_url: str | None, max_body_bytes: int) -> None:
        self._service = service
        self._base_url = base_url.rstrip("/") if base_url else None
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        headers = _read_headers(scope)
        asked = headers.get("x-request-id", "")
        call = _Call(scope["method"], asked if _REQUEST_ID.fullmatch(asked) else _request_id())
        base = self._base_url or _base(scope, headers)
        try:
            response = await self._answer(call, base, headers, scope, receive)
        except Gone:
            return
        except FhirError as error:
            response = Response(error.status, encode(operation_outcome(error.issues)))
        except Exception as error:
            log.bug(error, interaction=call.interaction, request_id=call.request_id)
            response = _unexpected(call)
        await _send(send, call, base, response)
        seconds = perf_counter() - started
        metrics.observe(call.interaction, response.status, seconds)
        log.request(call.method, call.template, response.status, seconds, call.request_id)

    async def _answer(
        self, call: _Call, base: str, headers: dict[str, str], scope: Scope, receive: Receive
    ) -> Response:
        query = scope["query_string"].decode("latin-1")
        format_ = _form(call, query)
        interaction, place = _route(call, scope["path"].removeprefix(BASE))
        is_form = place.template == "{type}/_search"
        if not is_form:
            check_accept(headers.get("accept"), format_)
        body = b""
        if call.method in _WITH_BODY:
            check_content_type(headers.get("content-type"), headers.get("content-encoding"), is_form)
            body = await self._read_body(headers, receive)
        if is_form:
            said = _form(call, body.decode("latin-1"))
            check_accept(headers.get("accept"), format_ if said is None else said)
        request = Request(call.method, base, place.type, place.id, place.version, query, headers, body)
        return await interaction(self._service, request)

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
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self) -> FhirError:
        return FhirError("too-large", f"A body may have {self._max_body_bytes} bytes")


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
        call.allow = ", ".join([*routes, *(["HEAD"] if "GET" in routes else [])])
        raise FhirError("method-not-allowed", f"Possible here: {call.allow}")
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


def _base(scope: Scope, headers: dict[str, str]) -> str:
    """The base as the client sees it; a Host that could break out of a URL is not believed."""
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        name, port = scope.get("server") or ("localhost", None)
        host = f"{name}:{port}" if port else name
    return f"{scope['scheme']}://{host}{BASE}"


def _unexpected(call: _Call) -> Response:
    error = FhirError("exception", f"The server failed; its log says more about request {call.request_id}")
    return Response(error.status, encode(operation_outcome(error.issues)))


async def _send(send: Send, call: _Call, base: str, response: Response) -> None:
    body, version = response.body, response.version
    headers = [(b"x-request-id", call.request_id.encode()), (b"cache-control", b"private, no-cache")]
    if body is not None:
        if call.pretty:
            body = prettify(body)
        headers.append((b"content-type", CONTENT_TYPE))
    if response.status not in (204, 304):
        headers.append((b"content-length", str(len(body or b"")).encode()))
    if version is not None:
        headers.append((b"etag", etag(version.version).encode()))
        headers.append((b"last-modified", http_date(version.updated).encode()))
        if response.located:
            headers.append((b"location", f"{base}/{location(version)}".encode()))
    if call.allow:
        headers.append((b"allow", call.allow.encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if call.method == "HEAD" else body or b""})
