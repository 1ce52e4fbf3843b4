"""Authorization requests: what an application asks for, checked before any person is asked anything.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1, https://www.rfc-editor.org/rfc/rfc7636,
https://www.rfc-editor.org/rfc/rfc9700, https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-authorization-code
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from fhir_server.smart.clients import Client
from fhir_server.smart.codes import is_challenge

LONGEST = 4096  # characters of one parameter
_VISIBLE = re.compile(r"[\x20-\x7e]+")  # what RFC 6749 lets a state be
_PROMPTS = frozenset(("none", "login", "consent", "select_account"))
# What OpenID Connect lets a client say, and what a server that does not support it must answer.
_NOT_SUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


class Unusable(Exception):
    """A request that says nothing reliable about where to send an answer: the person is told, `reason` says
    what ("client", "redirect" or "repeated"), and nobody is sent anywhere."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Refused(Exception):
    """A request that is answered with an error (RFC 6749 §4.1.2.1) to the application's redirect URI."""

    def __init__(self, error: str, description: str, redirect_uri: str, state: str = "") -> None:
        self.error = error
        self.redirect_uri = redirect_uri
        self.state = state
        super().__init__(description)


@dataclass(frozen=True, slots=True)
class Asked:
    """An authorization request that is well-formed, from a client that is known, to a redirect URI of its.

    `challenge` is the S256 code_challenge, `launch` the token of a launch from an EHR, `max_age` in seconds.
    """

    client: str
    redirect_uri: str
    scope: tuple[str, ...]
    state: str
    challenge: str
    nonce: str = ""
    launch: str = ""
    prompt: tuple[str, ...] = ()
    max_age: int | None = None
    login_hint: str = ""
    locales: str = ""

    def refused(self, error: str, description: str) -> Refused:
        return Refused(error, description, self.redirect_uri, self.state)


def client_of(pairs: Sequence[tuple[str, str]]) -> str:
    """The client_id of a request; Unusable where there is none, or several."""
    ids = [value for name, value in pairs if name == "client_id"]
    if len(ids) > 1:
        raise Unusable("repeated")
    if not ids or not ids[0] or len(ids[0]) > LONGEST:
        raise Unusable("client")
    return ids[0]


def read(pairs: Sequence[tuple[str, str]], client: Client, base: str) -> Asked:
    """The request, checked; `base` is the URL of our FHIR API. Unusable and Refused, in this order."""
    redirect_uri = _redirect(pairs, client)
    count = Counter(name for name, _ in pairs)
    said = {name: value for name, value in pairs if value}
    state = said.get("state", "") if count["state"] == 1 else ""
    if len(state) > LONGEST or not _VISIBLE.fullmatch(state):
        state = ""

    def refuse(error: str, description: str) -> Refused:
        return Refused(error, description, redirect_uri, state)

    if any(number > 1 for number in count.values()):
        raise refuse("invalid_request", "A parameter is there more than once")
    if any(len(value) > LONGEST for value in said.values()):
        raise refuse("invalid_request", f"A parameter has more than {LONGEST} characters")
    for name, error in _NOT_SUPPORTED.items():
        if name in said:
            raise refuse(error, f"The parameter {name} is not supported")
    wrong = _wrong(said, state, base)
    if wrong:
        raise refuse(*wrong)
    return Asked(
        client=client.id,
        redirect_uri=redirect_uri,
        scope=tuple(dict.fromkeys(said["scope"].split())),
        state=state,
        challenge=said["code_challenge"],
        nonce=said.get("nonce", ""),
        launch=said.get("launch", ""),
        prompt=tuple(said.get("prompt", "").split()),
        max_age=int(said["max_age"]) if "max_age" in said else None,
        login_hint=said.get("login_hint", "")[:128],
        locales=said.get("ui_locales", ""),
    )


def _redirect(pairs: Sequence[tuple[str, str]], client: Client) -> str:
    uris = [value for name, value in pairs if name == "redirect_uri"]
    if len(uris) > 1:
        raise Unusable("repeated")
    if not uris or uris[0] not in client.redirect_uris:
        raise Unusable("redirect")
    return uris[0]


def _wrong(said: Mapping[str, str], state: str, base: str) -> tuple[str, str] | None:
    """(error, description) of the first thing that is not as it must be."""
    if "response_type" not in said:
        return "invalid_request", "response_type is missing; it must be code"
    if said["response_type"] != "code":
        return "unsupported_response_type", "response_type must be code"
    if said.get("response_mode", "query") != "query":
        return "invalid_request", "response_mode must be query"
    if not state:
        return "invalid_request", "state is missing, or not visible ASCII characters"
    return _wrong_challenge(said) or _wrong_audience(said, base) or _wrong_scope(said) or _wrong_prompt(said)


def _wrong_challenge(said: Mapping[str, str]) -> tuple[str, str] | None:
    if "code_challenge" not in said:
        return "invalid_request", "code_challenge is missing: PKCE is required"
    if said.get("code_challenge_method") != "S256":
        return "invalid_request", "code_challenge_method must be S256"
    if not is_challenge(said["code_challenge"]):
        return "invalid_request", "code_challenge must be the base64url of a SHA-256, 43 characters"
    return None


def _wrong_audience(said: Mapping[str, str], base: str) -> tuple[str, str] | None:
    """`aud` by SMART; `resource` (RFC 8707) may say it as well, but nothing else."""
    if "aud" not in said:
        return "invalid_request", "aud is missing; it must be the base URL of the FHIR API"
    if any(said[name].rstrip("/") != base for name in ("aud", "resource") if name in said):
        return "invalid_request", "aud must be the base URL of the FHIR API"
    return None


def _wrong_scope(said: Mapping[str, str]) -> tuple[str, str] | None:
    scopes = said.get("scope", "").split()
    if not scopes:
        return "invalid_scope", "scope is missing"
    if not all(_VISIBLE.fullmatch(scope) for scope in scopes):
        return "invalid_scope", "scope has characters that no scope has"
    if "launch" in said and "launch" not in scopes:
        return "invalid_scope", "The parameter launch goes with the scope launch"
    return None


def _wrong_prompt(said: Mapping[str, str]) -> tuple[str, str] | None:
    prompts = said.get("prompt", "").split()
    if not _PROMPTS.issuperset(prompts) or ("none" in prompts and len(prompts) > 1):
        return "invalid_request", "prompt must be none, or login, consent and select_account"
    if "max_age" in said and not re.fullmatch(r"[0-9]{1,9}", said["max_age"]):
        return "invalid_request", "max_age must be a number of seconds"
    return None


def response(redirect_uri: str, issuer: str, **parameters: str) -> str:
    """Where to send the browser with the answer, which says who gives it (RFC 9207)."""
    given = {name: value for name, value in parameters.items() if value} | {"iss": issuer}
    return f"{redirect_uri}{'&' if '?' in redirect_uri else '?'}{urlencode(given)}"


def refusal(refused: Refused, issuer: str) -> str:
    """Where to send the browser with the error."""
    said = {"error": refused.error, "error_description": str(refused), "state": refused.state}
    return response(refused.redirect_uri, issuer, **said)


def origin_of(uri: str) -> str:
    """The origin of a URL, or the scheme of one that has none, as a source of a Content-Security-Policy.

    "" where it is nothing that could stand in one.
    """
    parts = urlsplit(uri)
    if parts.scheme in ("http", "https"):
        source = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        return source if re.fullmatch(r"https?://[A-Za-z0-9.\-_\[\]:]+", source) else ""
    return f"{parts.scheme}:" if re.fullmatch(r"[a-z][a-z0-9+.\-]*", parts.scheme) else ""
