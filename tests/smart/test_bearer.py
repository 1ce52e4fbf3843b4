"""https://www.rfc-editor.org/rfc/rfc6750: nothing that is not public is there without a token that is good."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server import access
from fhir_server.app import create_app, prepare
from fhir_server.settings import Settings
from fhir_server.smart import bearer, tokens
from fhir_server.smart.context import Context
from tests.smart.office import PUBLIC, Office
from tests.smart.signing import hmac_token

NONE = 'Bearer realm="varde"'
INVALID = 'Bearer realm="varde", error="invalid_token", error_description="'
PATHS = (
    ("GET", "/Patient/p1"),
    ("HEAD", "/Patient/p1"),
    ("GET", "/Patient"),
    ("POST", "/Patient"),
    ("PUT", "/Patient/p1"),
    ("PATCH", "/Patient/p1"),
    ("DELETE", "/Patient/p1"),
    ("GET", "/Patient/p1/_history/1"),
    ("GET", "/_history"),
    ("GET", ""),
    ("POST", ""),
    ("POST", "/_search"),
    ("GET", "/Patient/p1/Observation"),
    ("GET", "/Patient/p1/$everything"),
    ("GET", "/CodeSystem/$lookup"),
    ("POST", "/$cql"),
    ("GET", "/$reindex"),
    ("GET", "/_async/x"),
    ("GET", "/_async/x/result"),
    ("GET", "/Nothing"),
    ("GET", "/%00/.."),
    ("POST", "/metadata"),
    ("GET", "/metadata/"),
    ("GET", "//metadata"),
    ("GET", "/metadata/Patient"),
    ("OPTIONS", "/Patient"),
)


@pytest.mark.parametrize("method, path", PATHS)
def test_without_a_token_it_is_401_and_says_how_to_get_in(office: Office, method: str, path: str) -> None:
    answer = office.fhir(path, method=method)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, NONE)
    if method != "HEAD":
        outcome = answer.json()
        assert outcome["resourceType"] == "OperationOutcome"
        assert outcome["issue"][0]["code"] == "login"
    answer = office.fhir(path, "unknown", method=method)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith(INVALID)


def test_what_everybody_may_know_needs_no_token(office: Office) -> None:
    for path in (
        "/fhir/metadata",
        "/fhir/metadata?mode=terminology",
        "/fhir/.well-known/smart-configuration",
    ):
        assert office.send("GET", path).status_code == 200
    for path in ("/.well-known/smart-configuration", "/.well-known/openid-configuration", "/auth/jwks"):
        assert office.send("GET", path).status_code == 200
    assert office.send("GET", "/health/live").status_code == 200
    assert office.send("HEAD", "/fhir/metadata").status_code == 200


def test_refusals_come_in_the_format_that_is_asked_for(office: Office) -> None:
    answer = office.fhir("/Patient/p1", accept="application/fhir+xml")
    assert (answer.status_code, answer.content[:1]) == (401, b"<")


def forged(claims: Any = None, alg: str = "none") -> str:
    parts = [
        {"alg": alg, "typ": "JWT"},
        claims or {"sub": "s-1", "scope": "user/*.cruds", "exp": 9_999_999_999},
    ]
    text = ".".join(urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts)
    return f"{text}."


def test_forged_tokens_are_refused(office: Office) -> None:
    public = office.send("GET", "/auth/jwks").json()["keys"][0]
    confused = hmac_token(
        public["n"].encode(), {"alg": "HS256", "kid": public["kid"]}, {"scope": "user/*.cruds", "sub": "s-1"}
    )
    good = office.launched()["access_token"]
    for token in (
        forged(),
        f"{forged()}x",
        forged(alg="HS256"),
        confused,
        good[:-1],
        f"{good}A",
        good.swapcase(),
        f"{good} {good}",
        f"{good},{good}",
        "a" * 20_000,
        "",
        "é",
    ):
        answer = office.send("GET", "/fhir/Patient/p1", authorization=f"Bearer {token}".encode("latin-1"))
        assert answer.status_code == 401, token
        assert '"' not in answer.headers["www-authenticate"].replace('="', "").replace('",', "")[:-1]
    assert office.fhir("/Patient/p1", good).status_code == 404


def test_a_token_is_sent_in_the_header_and_as_bearer(office: Office) -> None:
    token = office.launched()["access_token"]
    assert office.send("GET", "/fhir/Patient/p1", authorization=f"bearer  {token}").status_code == 404
    for authorization in (f"Basic {token}", token, f"DPoP {token}", f"Token {token}"):
        assert office.send("GET", "/fhir/Patient/p1", authorization=authorization).status_code == 401
    assert office.fhir(f"/Patient/p1?access_token={token}").status_code == 401


def test_a_token_ends_when_it_was_said_to(office: Office) -> None:
    token = office.launched()["access_token"]
    office.later(seconds=3599)
    assert office.fhir("/Patient/p1", token).status_code == 404
    office.later(seconds=1)  # although its grant was looked up a second ago
    assert office.fhir("/Patient/p1", token).status_code == 401


def test_lifetimes_are_settings(sqlite_url: str, office_of: Callable[..., Office]) -> None:
    office = office_of(sqlite_url, access_token_seconds=60, backend_token_seconds=90, refresh_token_days=1)
    tokens = office.launched("patient/*.rs offline_access")
    assert tokens["expires_in"] == 60
    assert office.backend().json()["expires_in"] == 90
    office.later(days=1)
    assert office.refresh(tokens["refresh_token"]).status_code == 400


def test_the_tokens_of_a_client_end_with_it(office: Office) -> None:
    token = office.launched()["access_token"]
    office.remove(PUBLIC)
    assert office.fhir("/Patient/p1", token).status_code == 401


def test_the_tokens_of_a_user_can_all_be_ended(office: Office) -> None:
    first, second = office.launched("patient/*.rs offline_access"), office.launched()
    assert office.fhir("/Patient/p1", first["access_token"]).status_code == 404
    assert office.run(tokens.end_all(office.service, subject="nobody")) == 0
    assert office.run(tokens.end_all(office.service, subject="s-1")) == 2
    for launched in (first, second):
        assert office.fhir("/Patient/p1", launched["access_token"]).status_code == 401
    assert office.refresh(first["refresh_token"]).status_code == 400


def test_a_type_that_is_not_granted_is_403(office: Office) -> None:
    token = office.launched("user/Patient.rs")["access_token"]
    for method, path in (("GET", "/Observation"), ("GET", "/Observation/1"), ("DELETE", "/Patient/p1")):
        answer = office.fhir(path, token, method)
        assert (answer.status_code, answer.json()["issue"][0]["code"]) == (403, "forbidden")
        assert answer.headers["www-authenticate"] == 'Bearer realm="varde", error="insufficient_scope"'


def test_the_grant_is_what_the_token_stands_for(office: Office) -> None:
    launched = office.launched("openid user/Patient.r patient/Observation.read", context=Context("p1", "e1"))
    grant = office.run(bearer.grant_of(office.service, f"Bearer {launched['access_token']}"))
    assert grant.scopes == (
        access.grant.ResourceScope("user", "Patient", "r"),
        access.grant.ResourceScope("patient", "Observation", "rs"),
    )
    assert (grant.client, grant.subject, grant.user, grant.role) == (
        "app",
        "s-1",
        "Practitioner/1",
        "practitioner",
    )
    assert (grant.patient, grant.encounter, grant.organizations) == ("p1", "e1", ("o1",))
    assert grant.token and grant.token not in launched["access_token"]


def test_a_token_is_looked_up_once_a_second(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    find = tokens.find

    async def counted(store: Any, token: str, now: int) -> Any:
        looked.append(token)
        return await find(store, token, now)

    monkeypatch.setattr(tokens, "find", counted)
    token = office.launched()["access_token"]
    for _ in range(5):
        office.fhir("/Patient/p1", token)
    assert len(looked) == 1
    office.later(seconds=1)
    office.fhir("/Patient/p1", token)
    assert len(looked) == 2


def test_what_another_worker_revokes_is_refused_within_a_second(
    office: Office, sqlite_url: str, office_of: Callable[..., Office]
) -> None:
    other = office_of(sqlite_url)
    launched = office.launched("patient/*.rs offline_access")
    assert other.fhir("/Patient/p1", launched["access_token"]).status_code == 404
    form = {"token": launched["refresh_token"], "client_id": "app"}
    assert office.send("POST", "/auth/revoke", form).status_code == 200
    assert office.fhir("/Patient/p1", launched["access_token"]).status_code == 401
    other.later(seconds=1)
    assert other.fhir("/Patient/p1", launched["access_token"]).status_code == 401


# -- off, and safe ---------------------------------------------------------------------------------


def test_access_control_is_on_unless_it_is_turned_off_on_a_loopback_address() -> None:
    assert Settings().auth
    for host in ("0.0.0.0", "::", "192.0.2.1", "fhir.example.org"):
        with pytest.raises(ValueError, match="loopback"):
            create_app(Settings(auth=False, host=host))
        with pytest.raises(ValueError, match="base-url"):
            create_app(Settings(host=host))
    for host in ("127.0.0.1", "::1", "localhost"):
        create_app(Settings(auth=False, host=host, store="sqlite:///never/made.db"))


def test_keys_that_others_can_read_keep_the_server_from_starting(office: Office, sqlite_url: str) -> None:
    office.keys.chmod(0o755)
    with pytest.raises(ValueError, match="chmod 700"):
        office.run(prepare(Settings(keys=str(office.keys), store=sqlite_url)))
