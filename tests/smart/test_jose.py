"""RFC 7515 and RFC 8725: a signed token is believed only for a key that we hold, used as what it is."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.smart import jose
from fhir_server.smart.jose import CLIENTS, PROVIDERS, Refused
from tests.smart.signing import Signer, ec, hmac_token, rsa

CLAIMS = {"iss": "app", "exp": 1_000_300}


def verified(text: str, *signers: Signer, algorithms: frozenset[str] = CLIENTS) -> Any:
    token = jose.read(text, algorithms)
    jose.verify(token, [signer.public for signer in signers])
    return token.claims


@pytest.mark.parametrize("signer", [rsa(), ec()], ids=["RS384", "ES384"])
def test_both_algorithms_of_smart(signer: Signer) -> None:
    assert verified(signer.token(CLAIMS), rsa(), ec()) == CLAIMS


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "RS512"])
def test_providers_sign_with_others_too(algorithm: str) -> None:
    signer = rsa(algorithm, algorithm)
    assert verified(signer.token(CLAIMS), signer, algorithms=PROVIDERS) == CLAIMS
    with pytest.raises(Refused, match="must be signed by one of ES384, RS384"):
        verified(signer.token(CLAIMS), signer)


def test_es256_of_providers() -> None:
    signer = ec("p256", "ES256", "P-256")
    assert verified(signer.token(CLAIMS), signer, algorithms=PROVIDERS) == CLAIMS


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", "", None, 0])
@pytest.mark.parametrize("signature", ["", "AA"], ids=["unsigned", "with rubbish"])
def test_none_is_no_algorithm(name: Any, signature: str) -> None:
    header, payload, _ = rsa().token(CLAIMS, alg=name).split(".")
    with pytest.raises(Refused):
        verified(f"{header}.{payload}.{signature}", rsa())


def test_a_public_key_is_no_secret() -> None:
    """RFC 8725, section 2.1: RS384's public key, in every form it is published in, as the secret of HS256."""
    key = rsa().key
    forms = [key.as_pem(private=False), key.as_der(private=False), json.dumps(rsa().public).encode()]
    for secret in [*forms, forms[0].strip(), base64.urlsafe_b64decode(rsa().public["n"] + "==")]:
        for algorithm in ("HS256", "HS384", "HS512"):
            text = hmac_token(secret, {"alg": algorithm, "kid": "rsa"}, CLAIMS)
            with pytest.raises(Refused, match="must be signed by one of"):
                verified(text, rsa(), algorithms=PROVIDERS)


def test_a_symmetric_key_in_a_set_verifies_nothing() -> None:
    token = jose.read(rsa().token(CLAIMS), CLIENTS)
    with pytest.raises(Refused, match="No registered key"):
        jose.verify(token, [{"kty": "oct", "k": "c2VjcmV0", "kid": "rsa", "alg": "RS384"}])


@pytest.mark.parametrize(
    ("signer", "says"), [(rsa("one"), "ES384"), (ec("one"), "RS384")], ids=["RSA as EC", "EC as RSA"]
)
def test_a_key_is_used_as_what_it_is(signer: Signer, says: str) -> None:
    text = signer.sign({"alg": says, "kid": "one"}, json.dumps(CLAIMS).encode())
    with pytest.raises(Refused, match="No registered key"):
        verified(text, signer)


def test_a_key_for_one_algorithm_or_use_serves_no_other() -> None:
    token = jose.read(rsa().token(CLAIMS), CLIENTS)
    for change in ({"alg": "RS256"}, {"use": "enc"}, {"key_ops": ["encrypt"]}, {"kid": "other"}):
        with pytest.raises(Refused, match="No registered key"):
            jose.verify(token, [{**rsa().public, **change}])
    curve = jose.read(ec().token(CLAIMS), CLIENTS)
    with pytest.raises(Refused, match="No registered key"):
        jose.verify(curve, [ec("ec", "ES384", "P-256").public])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("jku", "https://attacker.example/jwks"),
        ("x5u", "https://attacker.example/cert"),
        ("jwk", rsa("attacker").public),
        ("x5c", ["MIIB"]),
        ("crit", ["exp"]),
        ("crit", []),
        ("b64", False),
        ("b64", True),
        ("zip", "DEF"),
        ("enc", "A256GCM"),
    ],
)
def test_no_header_chooses_the_key_or_the_reading(name: str, value: Any) -> None:
    with pytest.raises(Refused, match=f"the header {name}, which is not accepted"):
        verified(rsa().token(CLAIMS, **{name: value}), rsa())


def test_b64_false_with_crit_as_rfc_7797_has_it() -> None:
    with pytest.raises(Refused, match="crit"):
        verified(rsa().token(CLAIMS, b64=False, crit=["b64"]), rsa())


def test_what_was_changed_is_refused() -> None:
    header, payload, signature = rsa().token(CLAIMS).split(".")
    other = jose.encoded(json.dumps({**CLAIMS, "iss": "other"}).encode())
    for text in (f"{header}.{other}.{signature}", f"{header}.{payload}.{jose.encoded(bytes(256))}"):
        with pytest.raises(Refused, match="signature"):
            verified(text, rsa())
    with pytest.raises(Refused, match="signature"):
        verified(rsa("stranger").sign({"alg": "RS384", "kid": "rsa"}, b"{}"), rsa())


def test_a_signature_of_zeros_is_none() -> None:
    """CVE-2022-21449: r = s = 0 verified anything."""
    header, payload, _ = ec().token(CLAIMS).split(".")
    with pytest.raises(Refused, match="signature"):
        verified(f"{header}.{payload}.{jose.encoded(bytes(96))}", ec())


@pytest.mark.parametrize(
    "text",
    [
        "", ".", "..", "...", "a.b.c", "é.é.é", "{}", "e30.e30", "e30.e30.e30.e30",
        "e30.e30.e30.e30.e30", "W10.e30.AA", " e30.e30.AA",
    ],
)  # fmt: skip
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(Refused):
        jose.read(text, CLIENTS)


def test_huge_tokens_are_not_looked_at() -> None:
    text = rsa().token({"iss": "a" * 20_000})
    with pytest.raises(Refused, match="longer than 16384"):
        jose.read(text, CLIENTS)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b'"a"',
        b"null",
        b'{"exp":1,"exp":2}',
        b'{"exp":NaN}',
        b'{"exp":Infinity}',
        b"\xff",
        b"{",
        b"[" * 9000,
    ],
)
def test_the_payload_is_one_json_object(payload: bytes) -> None:
    with pytest.raises(Refused, match="payload of the token is no"):
        jose.read(rsa().token(payload), CLIENTS)


def test_a_header_that_says_alg_twice() -> None:
    _, payload, signature = rsa().token(CLAIMS).split(".")
    header = jose.encoded(b'{"alg":"RS384","alg":"none"}')
    with pytest.raises(Refused, match="header of the token is no JSON object"):
        jose.read(f"{header}.{payload}.{signature}", CLIENTS)


def test_base64url_has_one_spelling() -> None:
    header, payload, signature = rsa().token(CLAIMS).split(".")
    for other in (
        signature + "=",
        signature + "==",
        signature[:5] + "\n" + signature[5:],
        signature[:-1] + "_",
    ):
        with pytest.raises(Refused):
            verified(f"{header}.{payload}.{other}", rsa())


@settings(derandomize=True, max_examples=150, deadline=None, database=None)
@given(st.integers(0, 10_000), st.sampled_from([chr(code) for code in range(33, 127)]))
def test_no_other_character_anywhere(place: int, character: str) -> None:
    text = ec().token(CLAIMS)
    place %= len(text)
    if text[place] != character:
        with pytest.raises(Refused):
            verified(text[:place] + character + text[place + 1 :], ec())


@settings(derandomize=True, max_examples=100, deadline=None, database=None)
@given(st.text(max_size=80))
def test_any_text_is_refused_not_raised_upon(text: str) -> None:
    with pytest.raises(Refused):
        jose.read(text, PROVIDERS)


NOW = 1_000_000.0


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW + 300},
        {"exp": NOW + 300, "iat": NOW},
        {"exp": NOW - 59},
        {"exp": NOW + 60, "iat": NOW + 60, "nbf": NOW + 60},
        {"exp": NOW + 1.5, "iat": NOW - 200.25},
    ],
)
def test_times_within_the_skew(claims: dict[str, Any]) -> None:
    assert jose.check_times(claims, NOW, 300) == claims["exp"] + 60


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({}, "has no exp"),
        ({"exp": NOW - 60}, "has expired"),
        ({"exp": NOW + 61, "nbf": NOW + 61}, "nbf of the token is in the future"),
        ({"exp": NOW + 61, "iat": NOW + 61}, "iat of the token is in the future"),
        ({"exp": NOW + 361}, "valid for more than 300 seconds"),
        ({"exp": NOW + 200, "iat": NOW - 101}, "valid for more than 300 seconds"),
        ({"exp": str(NOW + 60)}, "no number"),
        ({"exp": True}, "no number"),
        ({"exp": None}, "no number"),
        ({"exp": [NOW]}, "no number"),
        ({"exp": NOW + 60, "iat": "now"}, "no number"),
        ({"exp": NOW + 60, "nbf": None}, "no number"),
        ({"exp": 10**400}, "no number"),
        ({"exp": 1e999}, "no number"),
    ],
)
def test_times_beyond_it(claims: dict[str, Any], why: str) -> None:
    with pytest.raises(Refused, match=why):
        jose.check_times(claims, NOW, 300)


def test_keys_that_may_be_registered() -> None:
    for signer in (rsa(), ec(), ec("p256", "ES256", "P-256")):
        jose.check_public(signer.public)
    for key, why in [
        (rsa().key.as_dict(private=True), "is private"),
        (ec().key.as_dict(private=True), "is private"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "must be an RSA or EC key"),
        ({**rsa().public, "n": rsa().public["n"][:100]}, "2048 to 8192 bits"),
        ({**rsa().public, "n": "A" * 4000}, "2048 to 8192 bits"),
        ({**rsa().public, "e": "AQ"}, "broken"),
        ({**rsa().public, "n": 5}, "broken"),
        ({"kty": "RSA", "e": "AQAB"}, "broken"),
        ({**ec().public, "x": ec().public["y"]}, "broken"),
        ({**ec().public, "crv": "P-999"}, "broken"),
        (ec("p521", "ES384", "P-521").public, "P-256 or P-384"),
        ("key", "must be an RSA or EC key"),
    ]:
        with pytest.raises(Refused, match=why):
            jose.check_public(key)


def test_the_thumbprint_of_rfc_7638() -> None:
    """The example of section 3.1."""
    key = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    assert jose.thumbprint(key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
