"""A request for a page and its answer, as the pages see them: no more of HTTP than they need."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fhir_server.audit.event import Event
from fhir_server.audit.limiter import Limiter
from fhir_server.smart import sessions
from fhir_server.smart.pages.html import Html, element
from fhir_server.smart.pages.words import Words, choose
from fhir_server.smart.sessions import Session

if TYPE_CHECKING:
    from fhir_server.exchange import Service

Pairs = Sequence[tuple[str, str]]


class Forged(Exception):
    """A form that did not come from a page of ours, or from one that is no longer good."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A page, or with `location` a redirect (303: whatever came before, what follows is a GET).

    `cookies` are set to what they say, and removed where that is None. `leads_to` are the origins that its
    forms may lead on to besides our own (CSP form-action counts the redirects after a form as well).
    `wait`: seconds for Retry-After.
    """

    status: int = 200
    page: Html | None = None
    location: str = ""
    cookies: Mapping[str, str | None] = field(default_factory=dict)
    leads_to: Sequence[str] = ()
    wait: int = 0
    json: bytes | None = None


@dataclass(slots=True)
class Visit:
    """`query` and `form` are the parameters in order, decoded; `issuer` is our URL without a slash
    at its end, `base` that of the FHIR API.

    `visit` is the random cookie of the browser, made now where there was none; `now` is in microseconds since
    1970 UTC; `address` is the network address of the browser. `wishes` are the languages that were asked for,
    most wanted first, and `accept` the Accept-Language of the browser.
    `part` is the last part of the path, where that says which of several.
    `events` are for the log of accesses, before a page is shown; `failures` says how many of the attempts
    to sign in are written to it.
    """

    service: Service
    method: str
    issuer: str
    base: str
    query: Pairs
    form: Pairs
    words: Words
    now: int
    address: str
    visit: str = ""
    session: Session | None = None
    accept: str = ""
    part: str = ""
    wishes: Sequence[str] = ()
    cookies: dict[str, str | None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    failures: Limiter = field(default_factory=Limiter)

    def asked(self, name: str) -> str:
        """The parameter of the URL, or ""."""
        return _one(self.query, name)

    def given(self, name: str) -> str:
        """The field of the form, or ""."""
        return _one(self.form, name)

    def prefer(self, *languages: str) -> None:
        """Speak one of these, where nothing else was wished for before."""
        self.wishes = (*self.wishes, *languages)
        self.words = Words(choose(*self.wishes, accept=self.accept))

    def url(self, path: str) -> str:
        """The URL of a page of ours."""
        return f"{self.issuer}/auth/{path}"

    def go(self, page: str, request: str = "") -> Answer:
        """To another page of ours, which goes on with an authorization request."""
        return Answer(303, location=self.url(at(page, request)))

    @property
    def up(self) -> str:
        """From the address of this page to that of the others."""
        return "../" if self.part else ""

    def token(self, form: str) -> Html:
        """The hidden field that every form carries: sessions.token."""
        if not self.visit:
            self.visit = self.cookies["visit"] = secrets.token_urlsafe(32)
        return hidden("token", sessions.token(self.session, self.visit, form))

    def check(self, form: str) -> None:
        """Raises Forged unless the form that was sent is one that `token` marked for this browser."""
        if not sessions.is_token(self.given("token"), self.session, self.visit, form):
            raise Forged


def at(page: str, request: str = "", **more: str) -> str:
    """The address of a page beside this one, for an authorization request."""
    said = {name: value for name, value in {"request": request, **more}.items() if value}
    return f"{page}?{urlencode(said)}" if said else page


def hidden(name: str, value: str) -> Html:
    return element("input", type="hidden", name=name, value=value)


def _one(pairs: Pairs, name: str) -> str:
    values = [value for key, value in pairs if key == name]
    return values[0] if len(values) == 1 else ""
