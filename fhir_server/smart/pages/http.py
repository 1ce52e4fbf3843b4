"""The pages over HTTP: requests become visits, answers become responses with the headers that keep them safe.

https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html,
https://www.w3.org/TR/CSP3/, https://www.rfc-editor.org/rfc/rfc9700#section-4
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from fhir_server import log, metrics
from fhir_server.audit.limiter import Limiter
from fhir_server.errors import FhirError
from fhir_server.exchange import parse_pairs
from fhir_server.instants import microseconds
from fhir_server.origin import Origin
from fhir_server.smart import bearer, sessions
from fhir_server.smart.authorize import Refused, Unusable
from fhir_server.smart.bearer import Unauthenticated
from fhir_server.smart.clients import LOOPBACK
from fhir_server.smart.http import address_of, places_of
from fhir_server.smart.launch import LaunchProblem
from fhir_server.smart.limits import TooMany
from fhir_server.smart.pages import apps, authorization, choose, consent, ehr, launcher, noted, sign_in, steps
from fhir_server.smart.pages.layout import STYLE
from fhir_server.smart.pages.refusals import refused
from fhir_server.smart.pages.steps import Lost
from fhir_server.smart.pages.visit import Answer, Forged, Pairs, Visit
from fhir_server.smart.pages.words import LANGUAGES, Words
from fhir_server.smart.pages.words import choose as choose_language

if TYPE_CHECKING:
    from fhir_server.exchange import Service

View = Callable[[Visit], Awaitable[Answer]]

LARGEST = 64 * 1024  # bytes of a form
VIEWS: dict[str, dict[str, View]] = {
    "authorize": {"GET": authorization.authorize, "POST": authorization.authorize},
    "sign-in": {"GET": sign_in.show, "POST": sign_in.sign_in},
    "sign-out": {"GET": sign_in.sign_out, "POST": sign_in.sign_out},
    "home": {"GET": sign_in.home},
    "password": {"GET": sign_in.show_password, "POST": sign_in.change_password},
    "password-done": {"GET": sign_in.show_changed},
    "patient": {"GET": choose.show_patient, "POST": choose.choose_patient},
    "encounter": {"GET": choose.show_encounter, "POST": choose.choose_encounter},
    "consent": {"GET": consent.show, "POST": consent.decide},
    "launch": {"GET": launcher.show, "POST": launcher.open_app},
    "leave/{part}": {"GET": sign_in.leave},
    "callback/{part}": {"GET": sign_in.arrive},
    "apps": {"GET": apps.show, "POST": apps.revoke},
}
_COOKIES = ("visit", "session", "language")
_YEAR = 365 * 24 * 60 * 60


class TooLarge(Exception):
    """A form beyond LARGEST."""


class Mistyped(Exception):
    """What cannot be read: no form, or not UTF-8."""


def routes(service: Service, origin: Origin) -> list[Route]:
    """All pages, their style sheet, and the end point where an EHR announces a launch."""
    site = Site(service, origin)

    async def home(request: Request) -> Response:
        return RedirectResponse(places_of(request, origin).of("home"), 303)

    pages = [Route(f"/auth/{name}", site.page(name), methods=[*views]) for name, views in VIEWS.items()]
    return [
        *pages,
        *(Route(path, home, methods=["GET"]) for path in ("/auth", "/auth/")),
        Route("/auth/style.css", _style, methods=["GET"]),
        Route("/auth/launch/context", site.context, methods=["POST"]),
    ]


async def _style(request: Request) -> Response:
    headers = {"cache-control": f"public, max-age={_YEAR}, immutable", "x-content-type-options": "nosniff"}
    return Response(STYLE, media_type="text/css; charset=utf-8", headers=headers)


class Site:
    """The pages of one server."""

    def __init__(self, service: Service, origin: Origin) -> None:
        self._service = service
        self._origin = origin
        self._failures = Limiter()

    def page(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of one page; HEAD is GET without the content, which the server leaves out."""
        views = VIEWS[name]

        async def endpoint(request: Request) -> Response:
            started = perf_counter()
            view = views["GET" if request.method == "HEAD" else request.method]
            answer, visit = await self._answer(request, view)
            response = _response(visit, answer)
            seconds = perf_counter() - started
            metrics.observe(f"auth-{name}", response.status_code, seconds)
            log.request(request.method, f"/auth/{name}", response.status_code, seconds, "")
            return response

        return endpoint

    async def context(self, request: Request) -> Response:
        """POST of an EHR (ehr.announce), answered as OAuth's endpoints are."""
        try:
            grant = await bearer.grant_of(self._service, request.headers.get("authorization"))
            said = await ehr.announce(
                self._service, grant, places_of(request, self._origin), await _read(request)
            )
        except Unauthenticated as error:
            return _json({"error": "invalid_token"}, 401, {"www-authenticate": error.challenge})
        except LaunchProblem as error:
            return _json({"error": "invalid_request", "error_description": str(error)}, 400)
        except TooLarge:
            return _json({"error": "invalid_request", "error_description": "The body is too large"}, 413)
        except FhirError as error:
            name = {403: "access_denied", 503: "temporarily_unavailable"}.get(error.status, "server_error")
            return _json({"error": name, "error_description": str(error)}, error.status)
        return _json(said, 201)

    async def _answer(self, request: Request, view: View) -> tuple[Answer, Visit]:
        visit = self._visit(request)
        try:
            if not _is_safe(visit):
                raise Lost("refused.insecure")
            await self._fill(request, visit)
            answer = await view(visit)
            if answer.page is not None:
                await noted.before_it_is_shown(visit)
            return answer, visit
        except Refused as error:
            return steps.refusal(visit, error), visit
        except Unusable as error:
            return refused(visit, f"refused.{error.reason}"), visit
        except Lost as error:
            return refused(visit, error.reason), visit
        except Forged:
            if visit.session is None and visit.given("request"):  # it ended while they were reading
                return visit.go("consent", visit.given("request")), visit
            return refused(visit, "refused.forged"), visit
        except ClientDisconnect:
            return Answer(400), visit
        except TooMany as error:
            return refused(visit, "refused.busy", error.seconds), visit
        except TooLarge:
            return refused(visit, "refused.too-large"), visit
        except Mistyped:
            return refused(visit, "refused.repeated"), visit
        except FhirError as error:
            reason = "refused.unavailable" if error.category == "unavailable" else "refused.bug"
            return refused(visit, reason), visit
        except Exception as error:
            log.bug(error, interaction="page")
            return refused(visit, "refused.bug"), visit

    def _visit(self, request: Request) -> Visit:
        """What is known before anything is looked up; enough to say what went wrong."""
        places = places_of(request, self._origin)
        accept = request.headers.get("accept-language", "")
        return Visit(
            service=self._service,
            method=request.method,
            issuer=places.issuer,
            base=places.fhir,
            query=(),
            form=(),
            words=Words(choose_language(accept=accept)),
            now=microseconds(self._service.clock()),
            address=address_of(request, self._origin),
            accept=accept,
            part=request.path_params.get("part", ""),
            failures=self._failures,
        )

    async def _fill(self, request: Request, visit: Visit) -> None:
        """With what was sent, who is signed in, and the language that they want."""
        visit.query = _pairs(request.scope["query_string"])
        cookies = {name: request.cookies.get(_cookie(visit, name), "") for name in _COOKIES}
        visit.visit = cookies["visit"]
        if visit.asked("language") in LANGUAGES:
            visit.cookies["language"] = visit.asked("language")
        visit.prefer(visit.asked("language"), cookies["language"])
        if request.method == "POST":
            visit.form = _pairs(await _body(request))
        if cookies["session"]:
            visit.session = await sessions.find(self._service.store, cookies["session"], visit.now)
        if visit.session:
            visit.prefer(visit.session.person.language)
        elif cookies["session"]:
            visit.cookies["session"] = None


def _json(content: dict[str, Any], status: int, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse(
        content, status, {"cache-control": "no-store", "pragma": "no-cache", **(headers or {})}
    )


async def _body(request: Request) -> bytes:
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/x-www-form-urlencoded":
        raise Mistyped
    return await _read(request)


async def _read(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise TooLarge
    return b"".join(parts)


def _pairs(raw: bytes) -> Pairs:
    try:
        return parse_pairs(raw.decode("ascii"))
    except (UnicodeDecodeError, FhirError):
        raise Mistyped from None


def _cookie(visit: Visit, name: str) -> str:
    """__Host-: set by this host alone, over https, for all of it; no other can plant one."""
    return f"__Host-varde-{name}" if _is_secure(visit) else f"varde-{name}"


def _is_secure(visit: Visit) -> bool:
    return visit.issuer.startswith("https:")


def _is_safe(visit: Visit) -> bool:
    """Whether nobody between the browser and us can read along."""
    return _is_secure(visit) or urlsplit(visit.issuer).hostname in LOOPBACK


def _response(visit: Visit, answer: Answer) -> Response:
    headers = {
        "cache-control": "no-store",
        "content-security-policy": _policy(answer),
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
        "pragma": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
    if answer.location:
        headers["location"] = answer.location
    if answer.wait:
        headers["retry-after"] = str(answer.wait)
    if answer.page is not None:
        headers["content-language"] = visit.words.language
    content = answer.page.encode() if answer.page is not None else b""
    response = Response(content, answer.status, headers, media_type="text/html" if content else None)
    _set_cookies(response, visit)
    return response


def _policy(answer: Answer) -> str:
    """No scripts, no frames, no pictures; forms lead here, and to the application that is asked about."""
    to = " ".join(("'self'", *answer.leads_to))
    return (
        f"default-src 'none'; style-src 'self'; form-action {to}; frame-ancestors 'none'; base-uri 'none'"
    )  # fmt: skip


def _set_cookies(response: Response, visit: Visit) -> None:
    secure = _is_secure(visit)
    for name, value in visit.cookies.items():
        response.set_cookie(
            _cookie(visit, name),
            value or "",
            max_age=0 if value is None else _YEAR if name == "language" else None,
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )
