"""https://hl7.org/fhir/smart-app-launch/client-confidential-asymmetric.html: who may claim to be a client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from fhir_server.smart import assertions
from fhir_server.smart.jose import Refused
from tests.smart.desk import START, Desk
from tests.smart.signing import Signer, ec, hmac_token, jwks, rsa

TOKEN = "https://fhir.example.org/auth/token"
KEYS = "https://app.example.org/jwks"
NOW = START.timestamp()


@dataclass(frozen=True)
class App:
    id: str = "app"
    jwks: Any = None
    jwks_url: str | None = None


INLINE, BY_URL = App(jwks=jwks(rsa(), ec())), App(jwks_url=KEYS)
CLAIMS = {"iss": "app", "sub": "app", "aud": TOKEN, "exp": NOW + 240, "iat": NOW, "jti": "one"}


@pytest.fixture
def desk(sqlite_url: str) -> Iterator[Desk]:
    desk = Desk(sqlite_url)
    yield desk
    desk.close()


@pytest.fixture
def either(store_url: str) -> Iterator[Desk]:
    desk = Desk(store_url)
    yield desk
    desk.close()


def present(desk: Desk, text: str, app: App = INLINE, url: str = TOKEN) -> None:
    desk.run(assertions.verify(desk.service, app, text, url, desk.now))


@pytest.mark.parametrize("signer", [rsa(), ec()], ids=["RS384", "ES384"])
@pytest.mark.parametrize("app", [INLINE, BY_URL], ids=["inline", "by URL"])
def test_a_client_proves_who_it_is(desk: Desk, signer: Signer, app: App) -> None:
    desk.network.pages[KEYS] = jwks(rsa(), ec())
    present(desk, signer.token(CLAIMS), app)
    present(desk, signer.token({**CLAIMS, "jti": "two", "aud": [TOKEN]}, typ="jwt"), app)
    present(desk, signer.token({**CLAIMS, "jti": "three"}, without=("typ",)), app)


def test_an_assertion_counts_once(either: Desk) -> None:
    text = rsa().token(CLAIMS)
    present(either, text)
    for again in (text, ec().token({**CLAIMS, "exp": NOW + 100})):
        with pytest.raises(Refused, match="jti has been used before"):
            present(either, again)
    either.later(299.9)  # the last moment at which its exp is not over
    with pytest.raises(Refused, match="used before"):
        present(either, text)
    either.later(0.2)
    with pytest.raises(Refused, match="expired"):
        present(either, text)
    present(
        either, rsa().token({**CLAIMS, "exp": NOW + 500, "iat": NOW + 290})
    )  # the jti is forgotten by now


def test_of_many_at_once_one_counts(either: Desk) -> None:
    text = rsa().token(CLAIMS)
    results = either.together(8, lambda: assertions.verify(either.service, INLINE, text, TOKEN, either.now))
    assert sorted(str(result) for result in results) == ["None"] + 7 * ["The jti has been used before"]


def test_another_client_may_use_the_same_jti(desk: Desk) -> None:
    present(desk, rsa().token(CLAIMS))
    present(desk, rsa().token({**CLAIMS, "iss": "b", "sub": "b"}), App("b", jwks(rsa())))


def test_what_is_refused_does_not_use_the_jti(desk: Desk) -> None:
    for text in (rsa("stranger").token(CLAIMS, kid="rsa"), rsa().token({**CLAIMS, "aud": "x"})):
        with pytest.raises(Refused):
            present(desk, text)
    present(desk, rsa().token(CLAIMS))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iss": "other"}, "iss and the sub"),
        ({"sub": "other"}, "iss and the sub"),
        ({"iss": "other", "sub": "other"}, "iss and the sub"),
        ({"iss": None}, "needs iss"),
        ({"sub": ["app"]}, "needs sub"),
        ({"aud": "https://fhir.example.org/auth/token/"}, "aud of the assertion"),
        ({"aud": "https://fhir.example.org"}, "aud of the assertion"),
        ({"aud": "https://other.example.org/auth/token"}, "aud of the assertion"),
        ({"aud": [TOKEN, "https://other.example.org/auth/token"]}, "aud of the assertion"),
        ({"aud": []}, "no aud"),
        ({"aud": None}, "no aud"),
        ({"aud": {"url": TOKEN}}, "no aud"),
        ({"exp": NOW - 60}, "expired"),
        ({"exp": None}, "no number"),
        ({"exp": NOW + 361, "iat": NOW + 61}, "future"),
        ({"exp": NOW + 301}, "more than 300 seconds"),
        ({"exp": NOW + 240, "iat": NOW - 61}, "more than 300 seconds"),
        ({"iat": NOW + 61}, "iat of the token is in the future"),
        ({"nbf": NOW + 61}, "nbf of the token is in the future"),
        ({"jti": None}, "needs jti"),
        ({"jti": ""}, "needs jti"),
        ({"jti": 7}, "needs jti"),
        ({"jti": "a" * 256}, "needs jti"),
    ],
)
def test_claims_that_do_not_do(desk: Desk, change: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        present(desk, rsa().token({**CLAIMS, **change}))


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "jti"])
def test_claims_that_are_needed(desk: Desk, name: str) -> None:
    with pytest.raises(Refused):
        present(desk, rsa().token({key: value for key, value in CLAIMS.items() if key != name}))


def test_signatures_that_do_not_do(desk: Desk) -> None:
    payload = json.dumps(CLAIMS).encode()
    secret = json.dumps(rsa().public).encode()
    for text in [
        rsa("stranger").token(CLAIMS),  # a key that nobody registered
        rsa("stranger").token(CLAIMS, kid="rsa"),  # or one by the name of one that is
        rsa().sign({"alg": "ES384", "kid": "rsa"}, payload),
        rsa().token(CLAIMS, without=("kid",)),
        rsa().token(CLAIMS, kid=7),
        rsa().token(CLAIMS, typ="at+jwt"),
        rsa().token(CLAIMS, typ=7),
        rsa().token(CLAIMS, alg="none"),
        rsa("rsa", "RS256").token(CLAIMS),
        hmac_token(secret, {"alg": "HS256", "kid": "rsa"}, CLAIMS),
        hmac_token(rsa().key.as_pem(private=False), {"alg": "HS256", "kid": "rsa"}, CLAIMS),
        rsa("stranger").token(CLAIMS, jwk=rsa("stranger").public),
        rsa().token(CLAIMS, crit=["exp"]),
        rsa().token(CLAIMS, b64=False),
        rsa().token(CLAIMS, x5u="https://attacker.example/cert"),
        rsa().token({**CLAIMS, "more": "a" * 20_000}),
        rsa().token(CLAIMS) + ".",
        "",
    ]:
        with pytest.raises(Refused):
            present(desk, text)
    present(desk, rsa().token(CLAIMS))


def test_jku_must_be_the_registered_url_and_is_never_fetched(desk: Desk) -> None:
    theirs = "https://attacker.example/jwks"
    desk.network.pages |= {KEYS: jwks(rsa()), theirs: jwks(rsa("stranger"))}
    for app in (INLINE, BY_URL):
        with pytest.raises(Refused, match="jku"):
            present(desk, rsa("stranger").token(CLAIMS, jku=theirs), app)
    with pytest.raises(Refused, match="jku"):
        present(desk, rsa().token(CLAIMS, jku=KEYS), INLINE)
    with pytest.raises(Refused, match="jku"):
        present(desk, rsa().token(CLAIMS, jku=None), INLINE)
    present(desk, rsa().token(CLAIMS, jku=KEYS), BY_URL)
    assert desk.network.asked == [KEYS]


def test_a_client_without_keys_proves_nothing(desk: Desk) -> None:
    for app in (
        App(),
        App(jwks={"keys": []}),
        App(jwks={"keys": [{"kty": "oct", "k": "AAAA", "kid": "rsa"}]}),
    ):
        with pytest.raises(Refused):
            present(desk, rsa().token(CLAIMS), app)


def test_who_an_assertion_says_it_is_from(desk: Desk) -> None:
    assert assertions.client_id(rsa("stranger").token(CLAIMS)) == "app"
    for text in ("", "a.b.c", rsa().token({}), rsa().token({"sub": 1}), rsa().token(CLAIMS, alg="none")):
        with pytest.raises(Refused):
            assertions.client_id(text)


def test_refusals_say_nothing_of_what_the_token_says(desk: Desk) -> None:
    secret = "Kari-Nordmann"
    for change in ({"iss": secret}, {"aud": secret}, {"jti": secret}, {"exp": secret}):
        with pytest.raises(Refused) as refused:
            present(desk, rsa("stranger").token({**CLAIMS, **change}, kid=secret))
        assert secret not in str(refused.value)
