"""Whatever is sent to the authorization server: never a 500, never a token, never a way to somebody else's page."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from fhir_server.smart.assertions import TYPE
from fhir_server.smart.context import Context
from tests.smart.office import BACK, PUBLIC, Office, basic
from tests.smart.signing import ec
from tests.smart.site import APP, PHONE, Site, asked
from tests.smart.visitor import SITE, VERIFIER, Page, Visitor

CHEAP = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
JUNK = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "",
            " ",
            "\0",
            "null",
            "[]",
            "{}",
            "../",
            "%00",
            "a" * 5000,
            "é",
            "\ud7ff",
            "' or 1=1 --",
            "<script>",
            "\r\nX: y",
        ]
    ),
)
GOOD = object()  # the value with which it would be granted


def values(*others: Any) -> st.SearchStrategy[Any]:
    """The right value, none, one that somebody might try, or junk."""
    return st.one_of(st.just(GOOD), st.none(), st.sampled_from(others or ("",)), JUNK)


ALL_GOOD = dict.fromkeys(("grant_type", "code", "redirect_uri", "code_verifier", "client_id"), GOOD)
TRIED: dict[str, tuple[Any, ...]] = {
    "grant_type": ("refresh_token", "client_credentials", "password", "implicit", "Authorization_Code"),
    "code": ("of another client",),
    "redirect_uri": (BACK + "/", BACK.upper(), "org.example.app:/back", "https://evil.example.org/"),
    "code_verifier": ("the challenge", "a" * 43, "a" * 129),
    "client_id": ("app/with:secret", "service", "nobody", "APP"),
    "refresh_token": ("x",),
    "scope": ("system/*.cruds",),
    "client_secret": ("x",),
    "client_assertion": ("a.b.c", "e30.e30."),
    "client_assertion_type": (TYPE,),
    "authorization": (basic(), "Basic !", "Bearer x", "Basic " + "A" * 3000, "Basic", "DPoP x"),
}
CHANGED = st.sampled_from(sorted(TRIED)).flatmap(lambda name: st.tuples(st.just(name), values(*TRIED[name])))
FORM = st.lists(CHANGED, max_size=2).map(lambda changes: {**ALL_GOOD, **dict(changes)})


@settings(CHEAP, max_examples=80)
@example(ALL_GOOD)
@given(FORM)
def test_the_token_endpoint_gives_a_token_for_what_is_right_alone(
    office: Office, form: dict[str, Any]
) -> None:
    office.later(seconds=1)
    code, pkce = office.code()
    theirs, _ = office.code(client=PUBLIC)
    good = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": pkce.verifier,
        "client_id": PUBLIC.id,
    }
    tried = {"of another client": theirs, "the challenge": pkce.challenge}
    given_ = dict(form)
    header = given_.pop("authorization", None)
    headers = {"authorization": header} if isinstance(header, str) else {}
    sent = {
        name: good.get(name, "x") if value is GOOD else tried.get(value, value)
        for name, value in given_.items()
        if value is not None
    }
    body = urlencode(sent, errors="surrogatepass")
    answer = office.send(
        "POST", "/auth/token", body, content_type="application/x-www-form-urlencoded", **_ascii(headers)
    )
    right = all(given_[name] is GOOD for name in ALL_GOOD)
    event(f"{answer.status_code} {answer.json().get('error')}")
    if answer.status_code == 200:
        assert right, sent
    else:
        assert 400 <= answer.status_code < 500
        assert answer.json()["error"]
        assert "access_token" not in answer.text
    if form == ALL_GOOD:
        assert answer.status_code == 200


@settings(CHEAP, max_examples=60)
@given(
    st.binary(max_size=200),
    st.sampled_from(["application/x-www-form-urlencoded", "application/json", "text/xml", ""]),
)
def test_any_bytes_at_any_endpoint(office: Office, body: bytes, media: str) -> None:
    for name in ("token", "introspect", "revoke"):
        answer = office.send("POST", f"/auth/{name}", body, content_type=media)
        assert 400 <= answer.status_code < 500
        assert "access_token" not in answer.text


CLAIM = st.one_of(
    st.none(), JUNK, st.integers(-(10**20), 10**20), st.floats(), st.booleans(), st.lists(JUNK, max_size=2)
)


@settings(CHEAP, max_examples=60)
@given(
    st.dictionaries(st.sampled_from(["iss", "sub", "aud", "exp", "iat", "nbf", "jti"]), CLAIM, max_size=1),
    st.dictionaries(
        st.sampled_from(["alg", "typ", "kid", "jku", "crit", "b64", "jwk", "x5u"]), CLAIM, max_size=1
    ),
)
def test_assertions_with_anything_in_them(
    office: Office, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    office.later(seconds=1)
    right = office.claims()
    payload = json.dumps({**right, **claims}).encode()
    head = {"alg": "ES384", "kid": "service", "typ": "JWT"}
    answer = office.token(
        {
            "grant_type": "client_credentials",
            "scope": "system/Observation.rs",
            "client_assertion_type": TYPE,
            "client_assertion": ec("service").sign({**head, **header}, payload),
        }
    )
    event(str(answer.status_code))
    if answer.status_code == 200:
        # What may differ and still be right: a jti of one's own, times within bounds, a typ in other letters.
        assert {**right, **claims}["iss"] == {**right, **claims}["sub"] == "service"
        assert {**right, **claims}["aud"] in (right["aud"], [right["aud"]])
        assert {**head, **header}["alg"] == "ES384"
        assert not {"jku", "crit", "b64", "jwk", "x5u"} & header.keys()
    else:
        assert answer.status_code in (400, 401)
        assert "access_token" not in answer.text


REDIRECTS = [
    BACK + "/", BACK + "#x", BACK + "?x=y", BACK.replace("https", "http"), BACK.upper(), " " + BACK, BACK + "\n",
    "https://app.example.org.evil.example/back", "https://app.example.org@evil.example/back", "//evil.example/back",
    "https://evil.example/https://app.example.org/back", "javascript:alert(1)", "data:text/html,x", PHONE.redirect_uris[0],
    "https://app.example.org/other?kept=1", "https://app.example.org/back/../evil", "https://app.example.org\\.evil.example",
]  # fmt: skip
CHANGES = st.dictionaries(
    st.sampled_from([*asked(), "nonce", "prompt", "max_age", "launch", "request", "request_uri", "response_mode", "resource", "login_hint", "ui_locales"]),
    st.one_of(st.none(), JUNK, st.sampled_from(["none", "login", "plain", "token", "query", "fragment", "phone", "0", "-1"])),
    max_size=3,
)  # fmt: skip


@settings(CHEAP, max_examples=90)
@given(
    CHANGES,
    st.one_of(st.none(), st.sampled_from(REDIRECTS)),
    st.lists(st.sampled_from(list(asked())), max_size=1),
    st.booleans(),
    st.booleans(),
)
def test_authorize_sends_nobody_to_a_strangers_page(
    site: Site, changes: dict[str, Any], redirect: str | None, twice: list[str], post: bool, known: bool
) -> None:
    site.clock.later(seconds=1)
    said: dict[str, Any] = {
        **asked(),
        **changes,
        **({"redirect_uri": redirect} if redirect is not None else {}),
    }
    pairs = [(name, value) for name, value in said.items() if value is not None]
    pairs += [(name, said[name]) for name in twice if said.get(name) is not None]
    visitor = _signed_in(site) if known else site.visitor()
    query = urlencode(pairs, errors="surrogatepass")
    if post:
        media = {"content-type": "application/x-www-form-urlencoded"}
        page = Page(visitor.request("POST", "/auth/authorize", content=query, headers=media))
    else:
        page = Page(visitor.request("GET", f"/auth/authorize?{query}"))
    assert page.status < 500
    event(f"{page.status} {page.location[:28]}")
    assert "code" not in page.said
    if page.location and not page.location.startswith(f"{SITE}/auth/"):
        _is_registered(page.location, said)
        assert page.said["error"]
        assert page.said["iss"] == SITE


def _is_registered(location: str, said: dict[str, Any]) -> None:
    uris = {APP.id: APP.redirect_uris, PHONE.id: PHONE.redirect_uris}[said["client_id"]]
    assert said["redirect_uri"] in uris
    asked_for, sent = urlsplit(said["redirect_uri"]), urlsplit(location)
    assert (sent.scheme, sent.netloc, sent.path, sent.fragment) == (
        asked_for.scheme, asked_for.netloc, asked_for.path, "",
    )  # fmt: skip
    assert set(parse_qsl(asked_for.query)) <= set(parse_qsl(sent.query))


def _signed_in(site: Site) -> Visitor:
    """The same person for all, signed in once."""
    if not hasattr(site, "known"):
        visitor = site.visitor()
        site.consent(visitor)
        site.known = visitor  # type: ignore[attr-defined]
    return site.known  # type: ignore[attr-defined,no-any-return]


PAGES = [
    "sign-in", "sign-out", "home", "password", "password-done", "patient", "encounter", "consent", "launch", "apps",
    "leave/x", "callback/x", "leave/%2e%2e", "callback/%00", "nothing", "style.css", "launch/context",
]  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(["request", "token", "username", "password", "language", "state", "code", "iss", "not", "patient", "scope",
                     "decision", "do", "name", "born", "after", "client", "current", "new", "repeat", "encounter"]),
    JUNK,
    max_size=4,
)  # fmt: skip


@settings(CHEAP, max_examples=90)
@given(
    st.sampled_from(PAGES),
    FIELDS,
    FIELDS,
    st.sampled_from(["GET", "POST", "PUT", "OPTIONS"]),
    st.booleans(),
)
def test_any_page_with_anything(
    site: Site, name: str, query: dict[str, str], form: dict[str, str], method: str, known: bool
) -> None:
    site.clock.later(seconds=1)
    visitor = _signed_in(site) if known else site.visitor()
    url = f"/auth/{name}?{urlencode(query, errors='surrogatepass')}"
    media = {"content-type": "application/x-www-form-urlencoded"}
    content = urlencode(form, errors="surrogatepass") if method == "POST" else None
    page = Page(visitor.request(method, url, content=content, headers=media if content else {}))
    assert page.status < 500
    assert not page.location or page.location.startswith(f"{SITE}/auth/")
    for value in (*query.values(), *form.values()):
        assert "<script>" not in page.answer.text or value != "<script>"


def test_a_public_client_may_refresh_without_saying_who_it_is(office: Office) -> None:
    """RFC 6749, section 6: the token says it; npm fhirclient leaves client_id out. A confidential one proves it."""
    first = office.launched("patient/*.rs offline_access")
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    second = office.token(form)
    assert second.status_code == 200, second.text
    again = office.token(form)
    assert again.json()["error"] == "invalid_grant", "a refresh token counts once"
    assert office.fhir("/Patient/p1", second.json()["access_token"]).status_code == 401, "and ends the family"
    assert office.token({**form, "refresh_token": "unknown"}).status_code == 401
    assert office.token({**form, "grant_type": "client_credentials"}).status_code == 401


def test_a_confidential_client_never_refreshes_without_proof(office: Office) -> None:
    from tests.smart.office import SYMMETRIC

    code, pkce = office.code(client=SYMMETRIC, scope="patient/*.rs offline_access", context=Context("p1"))
    redeemed = office.redeem(code, pkce, {"authorization": basic()}, client_id=None)
    form = {"grant_type": "refresh_token", "refresh_token": redeemed.json()["refresh_token"]}
    assert office.token(form).json()["error"] == "invalid_client"
    assert office.token(form, authorization=basic()).status_code == 200


def _ascii(headers: dict[str, str]) -> dict[str, str]:
    return {name: quote(value, safe=" =!+/") for name, value in headers.items()}


__all__ = ["VERIFIER"]
