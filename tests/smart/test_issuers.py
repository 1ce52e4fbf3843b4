"""Access tokens of a trusted provider: RFC 9068, bound to a key as RFC 9449 has it, as HelseID asks of an API."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.access.grant import Grant, ResourceScope
from fhir_server.smart import dpop, issuers, jose
from fhir_server.smart.issuers import Presented
from fhir_server.smart.jose import Refused, encoded
from tests.smart.desk import START
from tests.smart.signing import Signer, ec, hmac_token, rsa
from tests.smart.test_providers import DOCTOR, HPR_CLAIM, ISSUER, LEVEL, PARENT, PID, Home, House, home

NOW = int(START.timestamp())
URL = "https://fhir.example.org/fhir/Patient"
APP = ECKey.generate_key("P-256", auto_kid=False)
CLAIMS = {
    **DOCTOR, "iss": ISSUER, "aud": "nhn:varde", "client_id": "app", "iat": NOW, "nbf": NOW, "exp": NOW + 600,
    "scope": ["nhn:varde/les"], "jti": "1", "auth_time": NOW,
}  # fmt: skip
BOUND = {"cnf": {"jkt": jose.thumbprint(APP.as_dict(private=False))}}
SYSTEM = {name: value for name, value in CLAIMS.items() if name not in {*DOCTOR, "auth_time"} | {"sub"}} | {
    PARENT: "994598759"
}
__all__ = ["home"]  # the fixture
GRANTS = {"nhn:varde/les": "user/*.rs system/Observation.rs patient/*.rs", "nhn:varde/skriv": "user/Task.u"}


@pytest.fixture
def house(home: Home, tmp_path: Path) -> House:
    return House(home, tmp_path, audience="nhn:varde", grants=GRANTS)


@pytest.fixture
def keycloak(home: Home, tmp_path: Path) -> House:
    return House(home, tmp_path, profile="keycloak", client_id="", key=None, audience="varde")


def signed(house: House, claims: Any, **headers: Any) -> str:
    header = {"alg": "RS256", "kid": house.provider.key.kid, "typ": "at+jwt", **headers}
    header = {name: value for name, value in header.items() if value is not None}
    return jwt.encode(header, claims, house.provider.key, algorithms=["RS256"])


def proof(token: str, key: ECKey = APP, header: Any = (), **claims: Any) -> str:
    """A DPoP proof as a client makes it."""
    said = {"jti": "p1", "htm": "GET", "htu": URL, "iat": NOW, "ath": dpop.hashed(token), **claims}
    said = {name: value for name, value in said.items() if value is not None}
    head = {"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False), **dict(header)}
    return Signer(key, "ES256", "").sign(head, json.dumps(said).encode())


def present(house: House, token: str, *proofs: str, scheme: str = "dpop", **request: str) -> Grant:
    presented = Presented(scheme, token, proofs, **{"method": "GET", "url": URL, **request})
    return house.runner.run(issuers.grant_of(house.service, presented))


def refused(house: House, token: str, *proofs: str, scheme: str = "dpop", **request: str) -> str:
    with pytest.raises(Refused) as why:
        present(house, token, *proofs, scheme=scheme, **request)
    return str(why.value)


def test_a_doctors_token_from_helseid(store_url: str, tmp_path: Path) -> None:
    home = Home(store_url)
    house = House(home, tmp_path, audience="nhn:varde", grants=GRANTS)
    token = signed(house, CLAIMS | BOUND)
    grant = present(house, token, proof(token))
    assert grant == Grant(
        client=f"{ISSUER}|app",
        scopes=(ResourceScope("user", "*", "rs"),),
        role="practitioner",
        subject=f"{ISSUER}|abc",
        user="Practitioner/doctor",
        organizations=("hospital",),
        token=grant.token,
    )
    assert grant.token and grant.token not in token
    home.close()


def test_a_patients_token(house: House) -> None:
    claims = {name: value for name, value in CLAIMS.items() if name != HPR_CLAIM}
    token = signed(house, claims | BOUND)
    grant = present(house, token, proof(token))
    assert (grant.role, grant.user, grant.patient) == ("patient", "Patient/kari", "kari")
    assert {scope.level for scope in grant.scopes} == {"user", "patient"}


def test_a_systems_token(house: House) -> None:
    token = signed(house, SYSTEM | BOUND)
    grant = present(house, token, proof(token))
    assert (grant.role, grant.user, grant.patient, grant.organizations) == (
        "system",
        None,
        None,
        ("hospital",),
    )
    assert grant.scopes == (ResourceScope("system", "Observation", "rs"),)


def test_a_user_of_whom_nothing_is_said_is_no_system(house: House) -> None:
    for trace in ({"auth_time": NOW}, {"amr": ["pwd"]}, {"idp": "bankid"}, {"sid": "1"}):
        assert "who its user is" in refused(house, signed(house, SYSTEM | BOUND | trace))


def test_scopes_that_mean_nothing_here_grant_nothing(house: House) -> None:
    for scope in ([], ["user/*.cruds"], ["nhn:other/les"], "system/*.rs user/*.rs", [5, None], None, {}):
        token = signed(house, {**CLAIMS, **BOUND, "scope": scope})
        assert present(house, token, proof(token, jti=str(scope))).scopes == ()


def test_scopes_as_text_and_of_smart(keycloak: House) -> None:
    claims = {
        "iss": ISSUER, "aud": ["account", "varde"], "azp": "app", "sub": "kari", "fhirUser": "Patient/kari",
        "iat": NOW, "exp": NOW + 300, "typ": "Bearer", "scope": "openid email patient/Observation.rs user/Flag.read",
    }  # fmt: skip
    grant = present(keycloak, signed(keycloak, claims, typ="JWT"), scheme="bearer")
    assert grant.scopes == (
        ResourceScope("patient", "Observation", "rs"),
        ResourceScope("user", "Flag", "rs"),
    )
    assert (grant.client, grant.patient) == (f"{ISSUER}|app", "kari")
    for kind in ("ID", "Refresh", "Offline"):
        assert refused(keycloak, signed(keycloak, {**claims, "typ": kind}), scheme="bearer") == (
            "This is no access token"
        )
    token = signed(keycloak, claims)
    assert "bound to no key" in refused(keycloak, token, proof(token))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"iss": "https://evil.example.org"}, "not trusted here"),
        ({"iss": None}, "not trusted here"),
        ({"aud": "varde"}, "another audience"),
        ({"aud": ["nhn:other"]}, "another audience"),
        ({"aud": None}, "no aud"),
        ({"exp": NOW - 60}, "expired"),
        ({"exp": None}, "no number"),
        ({"exp": NOW + 3600 + 61, "iat": None}, "no number"),
        ({"exp": NOW + 3601}, "more than 3600 seconds"),
        ({"nbf": NOW + 61}, "nbf of the token is in the future"),
        ({"iat": NOW + 61}, "iat of the token is in the future"),
        ({"sub": None}, "needs sub"),
        ({LEVEL: "3"}, "nobody who may come in"),
        ({HPR_CLAIM: "22"}, "nobody who may come in"),
        ({HPR_CLAIM: None, PID: "01010112345"}, "nobody who may come in"),
        ({"cnf": None}, "not bound to a key"),
        ({"cnf": {}}, "not bound to a key"),
        ({"cnf": {"jkt": ""}}, "not bound to a key"),
        ({"cnf": {"x5t#S256": "abc"}}, "not bound to a key"),
        ({"cnf": "abc"}, "not bound to a key"),
    ],
)
def test_tokens_that_do_not_do(house: House, change: dict[str, Any], why: str) -> None:
    token = signed(house, {**CLAIMS, **BOUND, **change})
    assert why in refused(house, token, proof(token))


def test_signatures_that_do_not_do(house: House) -> None:
    claims, stranger = CLAIMS | BOUND, rsa("provider-1", "RS256")
    public = house.provider.key.as_pem(private=False)
    for token in (
        stranger.token(claims, typ="at+jwt"),
        stranger.token(claims, typ="at+jwt", jwk=stranger.public),
        stranger.token(claims, typ="at+jwt", jku="https://evil.example.org/jwks"),
        hmac_token(public, {"alg": "HS256", "kid": "provider-1", "typ": "at+jwt"}, claims),
        signed(house, claims, typ="dpop+jwt"),
        signed(house, claims, typ="logout+jwt"),
        signed(house, claims)[:-6] + "AAAAAA",
        "a.b.c",
    ):
        refused(house, token, proof(token))


def test_a_bound_token_is_no_bearer_token(house: House) -> None:
    token = signed(house, CLAIMS | BOUND)
    assert "send it as DPoP" in refused(house, token, scheme="bearer")
    assert "send it as DPoP" in refused(house, token, proof(token), scheme="bearer")


OTHER = ECKey.generate_key("P-256", auto_kid=False)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda token: proof(token, OTHER), "bound to another key"),
        (lambda token: proof(token, header={"jwk": APP.as_dict(private=False)}, key=OTHER), "signature"),
        (lambda token: proof(token, header={"jwk": APP.as_dict(private=True)}), "is private"),
        (lambda token: proof(token, header={"jwk": None}), "must be an RSA or EC key"),
        (lambda token: proof(token, header={"typ": "JWT"}), "typ of the proof"),
        (lambda token: proof(token, header={"alg": "none"}), "must be signed by one of"),
        (lambda token: proof(token, header={"alg": "HS256"}), "must be signed by one of"),
        (lambda token: proof(token, header={"jku": "https://evil.example.org"}), "header jku"),
        (lambda token: proof(token, htm="POST"), "another request"),
        (lambda token: proof(token, htm=None), "needs htm"),
        (lambda token: proof(token, htu="https://other.example.org/fhir/Patient"), "another request"),
        (lambda token: proof(token, htu="http://fhir.example.org/fhir/Patient"), "another request"),
        (lambda token: proof(token, htu=f"{URL}/1"), "another request"),
        (lambda token: proof(token, htu="https://[::1"), "no URL"),
        (lambda token: proof(token, htu=None), "needs htu"),
        (lambda token: proof("another token"), "another token"),
        (lambda token: proof(token, ath=None), "needs ath"),
        (lambda token: proof(token, iat=NOW - 61), "iat of the proof"),
        (lambda token: proof(token, iat=NOW + 61), "iat of the proof"),
        (lambda token: proof(token, iat=None), "iat of the proof"),
        (lambda token: proof(token, jti=None), "needs jti"),
        (lambda token: token, "not accepted|must be an RSA or EC key|typ of the proof"),
        (lambda token: "", "no signed JWT"),
    ],
)
def test_proofs_that_do_not_do(house: House, make: Any, why: str) -> None:
    token = signed(house, CLAIMS | BOUND)
    with pytest.raises(Refused, match=why):
        present(house, token, make(token))
    present(house, token, proof(token))


def test_a_proof_there_must_be_and_only_one(house: House) -> None:
    token = signed(house, CLAIMS | BOUND)
    assert "only one" in refused(house, token)
    assert "only one" in refused(house, token, proof(token, jti="a"), proof(token, jti="b"))


def test_a_proof_counts_once(store_url: str, tmp_path: Path) -> None:
    home = Home(store_url)
    house = House(home, tmp_path, audience="nhn:varde", grants=GRANTS)
    token = signed(house, CLAIMS | BOUND)
    text = proof(token)
    present(house, token, text)
    assert "used before" in refused(house, token, text)
    house.now += timedelta(seconds=60)
    assert "used before" in refused(house, token, text), "for as long as its iat is near enough"
    house.now += timedelta(seconds=1)
    assert "iat of the proof" in refused(house, token, text)
    present(house, token, proof(token, jti="p2", iat=NOW + 61))
    home.close()


@pytest.mark.parametrize(
    ("htu", "url"),
    [
        (URL, f"{URL}?identifier=x"),
        ("https://FHIR.example.org:443/fhir/Patient", URL),
        (f"{URL}?a=b#c", URL),
        ("http://127.0.0.1:8080/fhir/Patient", "http://127.0.0.1:8080/fhir/Patient?_count=1"),
    ],
)
def test_the_url_of_a_proof_in_its_normal_form(house: House, htu: str, url: str) -> None:
    token = signed(house, CLAIMS | BOUND)
    present(house, token, proof(token, htu=htu), url=url)


def test_proofs_with_rsa_and_other_curves() -> None:
    assert {"PS256", "RS256", "ES256", "ES384"} <= jose.PROVIDERS
    for signer in (rsa("x", "PS256"), ec("x", "ES384")):
        jose.check_public(signer.public)


def test_what_a_token_means_is_looked_up_once_a_second(house: House) -> None:
    claims = CLAIMS | BOUND
    token = signed(house, claims)
    present(house, token, proof(token))
    house.service.smart.key_sets._sets.clear()
    asked = len(house.provider.log)
    present(house, token, proof(token, jti="p2"))
    assert len(house.provider.log) == asked
    house.now += timedelta(seconds=1)
    present(house, token, proof(token, jti="p3"))
    assert house.provider.log[asked:] == ["jwks"]


def test_a_token_ends_when_it_says_whatever_is_remembered(house: House) -> None:
    token = signed(house, {**CLAIMS, **BOUND, "iat": NOW - 100, "exp": NOW - 59})
    present(house, token, proof(token))
    house.now += timedelta(seconds=1)
    assert "expired" in refused(house, token, proof(token, jti="p2", iat=NOW + 1))


def test_memory_is_bounded(house: House) -> None:
    for number in range(issuers._MOST + 3):
        house.service.smart.accepted[str(number)] = issuers.Accepted(Grant("c", (), "system"), "", 0, 0)
    token = signed(house, CLAIMS | BOUND)
    present(house, token, proof(token))
    assert len(house.service.smart.accepted) == 1


def test_only_what_looks_like_one_is_read() -> None:
    assert issuers.looks_like_one("a.b.c")
    assert not issuers.looks_like_one(encoded(b"x" * 32))
