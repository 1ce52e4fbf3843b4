"""https://hl7.org/fhir/smart-app-launch/app-launch.html#obtain-access-token: codes for tokens, and every refusal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from fhir_server import log
from fhir_server.errors import FhirError
from fhir_server.smart.clients import Client
from fhir_server.smart.context import Context
from fhir_server.smart.limits import RATES, Rate
from tests.smart.office import BACK, BASE, HOST, PUBLIC, SECRET, SYMMETRIC, Office, Person, Pkce, basic
from tests.smart.signing import ec, jwks

PATIENT = Person("s-2", "patient", "Patient/p1", ())


def refused(answer: Any, error: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert "access_token" not in answer.json()
    assert answer.json()["error_description"]


# -- what is given ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "mongodb"])
def test_a_launch_gives_a_token_that_reads(
    kind: str, request: pytest.FixtureRequest, office_of: Callable[..., Office]
) -> None:
    office = office_of(request.getfixturevalue(f"{kind}_url"))
    tokens = office.launched("launch/patient patient/Patient.rs patient/Observation.read offline_access")
    assert set(tokens) == {"access_token", "token_type", "expires_in", "scope", "patient", "refresh_token"}
    assert (tokens["token_type"], tokens["expires_in"], tokens["patient"]) == ("Bearer", 3600, "p1")
    assert tokens["scope"] == "launch/patient patient/Patient.rs patient/Observation.read offline_access"
    assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 404
    second = office.refresh(tokens["refresh_token"]).json()
    assert office.fhir("/Patient?_id=p1", second["access_token"]).json()["total"] == 0
    refused(office.refresh(tokens["refresh_token"]), "invalid_grant")  # it was used
    assert office.fhir("/Patient/p1", second["access_token"]).status_code == 401
    code, pkce = office.code()
    third = office.redeem(code, pkce).json()
    assert office.fhir("/Patient/p1", third["access_token"]).status_code == 404
    refused(office.redeem(code, pkce), "invalid_grant")
    assert office.fhir("/Patient/p1", third["access_token"]).status_code == 401
    assert office.backend().status_code == 200


def test_the_context_of_the_launch_comes_with_the_token(office: Office) -> None:
    context = Context(
        "p1", "e1", ({"reference": "ImagingStudy/1"},), False, "order", "https://ehr.example.org/style", "t1"
    )
    tokens = office.launched("patient/*.rs", context=context)
    told = {name: value for name, value in tokens.items() if name not in ("access_token", "token_type")}
    assert told == {
        "expires_in": 3600,
        "scope": "patient/*.rs",
        "patient": "p1",
        "encounter": "e1",
        "fhirContext": [{"reference": "ImagingStudy/1"}],
        "need_patient_banner": False,
        "intent": "order",
        "smart_style_url": "https://ehr.example.org/style",
        "tenant": "t1",
    }


def test_an_app_gets_what_was_asked_granted_and_allowed_and_is_told(office: Office) -> None:
    office.register(
        Client("small", "Small", "public", "openid patient/Observation.rs user/Patient.r", (BACK,))
    )
    small = Client("small", "Small", "public", "openid patient/Observation.rs user/Patient.r", (BACK,))
    asked = "openid offline_access patient/*.cruds user/*.rs system/*.rs nonsense user/Nothing.rs"
    code, pkce = office.code(small, asked)
    tokens = office.redeem(code, pkce, client_id="small").json()
    assert tokens["scope"] == "openid patient/Observation.rs user/Patient.r"
    assert "refresh_token" not in tokens


def test_scopes_of_a_patient_need_one(office: Office) -> None:
    tokens = office.launched("user/Patient.rs patient/*.rs", context=Context())
    assert tokens["scope"] == "user/Patient.rs"
    assert "patient" not in tokens


def test_a_patient_is_their_own_context(office: Office) -> None:
    assert office.launched("patient/*.rs", person=PATIENT, context=Context())["patient"] == "p1"
    with pytest.raises(ValueError):
        office.code(person=PATIENT, context=Context("p2"))
    with pytest.raises(ValueError):
        office.code(person=Person("s-3", "patient", None), context=Context("p2"))


def test_an_id_token_says_who_signed_in(office: Office) -> None:
    tokens = office.launched("openid fhirUser patient/*.rs", nonce="n-1")
    keys = office.send("GET", "/auth/jwks").json()
    assert [set(key) for key in keys["keys"]] == [{"kty", "n", "e", "kid", "alg", "use"}]
    token = jwt.decode(tokens["id_token"], KeySet.import_key_set(keys), algorithms=["RS256"])
    assert token.header == {"alg": "RS256", "typ": "JWT", "kid": keys["keys"][0]["kid"]}
    now = int(office.now.timestamp())
    assert token.claims == {
        "iss": HOST,
        "sub": "s-1",
        "aud": "app",
        "iat": now,
        "exp": now + 3600,
        "auth_time": now - 5,
        "nonce": "n-1",
        "fhirUser": f"{BASE}/Practitioner/1",
    }


def test_an_id_token_says_no_more_than_was_asked(office: Office) -> None:
    tokens = office.launched("openid patient/*.rs")
    keys = KeySet.import_key_set(office.send("GET", "/auth/jwks").json())
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["RS256"]).claims
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "auth_time"}
    assert "id_token" not in office.launched("fhirUser patient/*.rs")


def test_confidential_clients_prove_who_they_are(office: Office) -> None:
    code, pkce = office.code(SYMMETRIC)
    answer = office.redeem(code, pkce, {"authorization": basic()}, client_id=None)
    assert answer.status_code == 200, answer.text
    signed = Client("signed", "S", "confidential-asymmetric", "patient/*.rs", (BACK,), jwks=jwks(ec()))
    office.register(signed)
    code, pkce = office.code(signed)
    assertion = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": ec().token(office.claims(signed)),
    }
    assert office.redeem(code, pkce, client_id=None, **assertion).status_code == 200


# -- what is refused -------------------------------------------------------------------------------


def test_a_wrong_or_missing_verifier_is_refused(office: Office) -> None:
    for verifier in ("x" * 43, Pkce().verifier, "short", "a b" * 20, "é" * 43, "x" * 129):
        code, pkce = office.code()
        refused(office.redeem(code, pkce, code_verifier=verifier), "invalid_grant")
        refused(office.redeem(code, pkce), "invalid_grant")  # the code is spent
    code, pkce = office.code()
    refused(office.redeem(code, pkce, code_verifier=None), "invalid_request")


def test_the_challenge_is_no_verifier(office: Office) -> None:
    """What `plain` would be: whoever saw the authorization request could redeem the code."""
    code, pkce = office.code()
    refused(office.redeem(code, pkce, code_verifier=pkce.challenge), "invalid_grant")


def test_a_challenge_that_is_not_s256_is_never_kept(office: Office) -> None:
    class Plain(Pkce):
        @property
        def challenge(self) -> str:
            return "plain verifier of more than 43 characters, as it is"

    with pytest.raises(ValueError):
        office.code(pkce=Plain())


def test_a_code_is_good_once_and_a_replay_revokes_what_came_of_it(office: Office) -> None:
    code, pkce = office.code(scope="patient/*.rs offline_access")
    tokens = office.redeem(code, pkce).json()
    assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 404
    office.later(hours=1, seconds=-1)
    refused(office.redeem(code, pkce), "invalid_grant")
    assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 401
    refused(office.refresh(tokens["refresh_token"]), "invalid_grant")


def test_of_many_who_redeem_a_code_at_once_one_gets_tokens_that_are_worth_nothing(office: Office) -> None:
    code, pkce = office.code()
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": BACK,
        "code_verifier": pkce.verifier,
        "client_id": "app",
    }
    answers = office.together(*(office.sending("POST", "/auth/token", form) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 7
    token = next(answer for answer in answers if answer.status_code == 200).json()["access_token"]
    assert office.fhir("/Patient/p1", token).status_code == 401


def test_a_code_of_another_redirect_uri_or_client_is_refused_and_spent(office: Office) -> None:
    office.register(Client("other", "Other", "public", "patient/*.rs", (BACK,)))
    for change in (
        {"redirect_uri": "org.example.app:/back"},
        {"redirect_uri": f"{BACK}/"},
        {"redirect_uri": f"{BACK}?x=1"},
        {"client_id": "other"},
    ):
        code, pkce = office.code()
        refused(office.redeem(code, pkce, **change), "invalid_grant")
        refused(office.redeem(code, pkce), "invalid_grant")


def test_a_code_lasts_a_minute(office: Office) -> None:
    (first, pkce), (second, other) = office.code(), office.code()
    office.later(seconds=59)
    assert office.redeem(first, pkce).status_code == 200
    office.later(seconds=1)
    refused(office.redeem(second, other), "invalid_grant")
    refused(office.redeem("never issued", other), "invalid_grant")


@pytest.mark.parametrize("missing", ["grant_type", "code", "redirect_uri"])
def test_a_parameter_that_is_missing_is_named(office: Office, missing: str) -> None:
    code, pkce = office.code()
    answer = office.redeem(code, pkce, **{missing: None})
    refused(answer, "invalid_request")
    assert missing in answer.json()["error_description"]
    refused(office.redeem(code, pkce, **{missing: ""}), "invalid_request")


def test_other_grant_types_are_refused(office: Office) -> None:
    for grant_type in ("password", "implicit", "urn:ietf:params:oauth:grant-type:token-exchange"):
        refused(office.token({"grant_type": grant_type, "client_id": "app"}), "unsupported_grant_type")


def test_what_is_no_form_is_refused(office: Office) -> None:
    path, form = "/auth/token", {"content-type": "application/x-www-form-urlencoded"}
    for headers, body in (
        ({"content-type": "application/json"}, b"{}"),
        ({}, b"grant_type=refresh_token"),
        (form, b"grant_type=refresh_token&grant_type=refresh_token"),
        (form, b"grant_type=%ff"),
        (form, "grant_type=é".encode()),
        (form, b"&".join(b"a%d=1" % n for n in range(1100))),
    ):
        refused(office.send("POST", path, body, **headers), "invalid_request")
    refused(office.send("POST", path, b"a=" + b"x" * 70_000, **form), "invalid_request", 413)
    answer = office.send("GET", f"{path}?grant_type=refresh_token")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize(
    "authorization",
    [
        basic(secret="wrong"),
        basic(secret=""),
        basic(PUBLIC),
        basic(Client("nobody", "", "public", "")),
        "Basic !!!",
        "Basic",
        "Basic /w==",
    ],
)
def test_a_client_that_is_not_who_it_says_is_401(office: Office, authorization: str) -> None:
    code, pkce = office.code(SYMMETRIC)
    answer = office.redeem(code, pkce, {"authorization": authorization}, client_id=None)
    refused(answer, "invalid_client", 401)
    assert answer.headers["www-authenticate"] == 'Basic realm="varde"'


def test_a_confidential_client_cannot_pass_for_a_public_one(office: Office) -> None:
    code, pkce = office.code(SYMMETRIC)
    refused(office.redeem(code, pkce, client_id=SYMMETRIC.id), "invalid_client", 401)
    refused(office.redeem(code, pkce, client_id=SYMMETRIC.id, client_secret=SECRET), "invalid_client", 401)
    refused(office.redeem(code, pkce, {"authorization": basic()}, client_id="app"), "invalid_client", 401)
    refused(office.redeem(code, pkce, client_id="nobody"), "invalid_client", 401)
    refused(office.redeem(code, pkce, client_id=None), "invalid_client", 401)
    answer = office.redeem(code, pkce, {"authorization": basic()}, client_id=None)
    assert answer.status_code == 200  # a client that is refused spends nobody's code


def test_a_client_proves_itself_in_one_way_only(office: Office) -> None:
    code, pkce = office.code(SYMMETRIC)
    answer = office.redeem(code, pkce, {"authorization": basic()}, client_id=None, client_assertion="x.y.z")
    refused(answer, "invalid_request")


def test_who_asks_too_often_is_told_when_to_come_back(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RATES, "token", Rate(2, 0.1))
    form = {"grant_type": "refresh_token", "refresh_token": "x", "client_id": "app"}
    assert [office.token(form).status_code for _ in range(3)] == [400, 400, 429]
    answer = office.token(form)
    assert (answer.headers["retry-after"], answer.json()["error"]) == ("10", "temporarily_unavailable")
    office.later(seconds=10)
    assert office.token(form).status_code == 400


# -- refresh ---------------------------------------------------------------------------------------


def test_a_refresh_token_is_rotated_and_the_context_comes_again(office: Office) -> None:
    first = office.launched("patient/*.rs offline_access", context=Context("p1", "e1"))
    second = office.refresh(first["refresh_token"]).json()
    assert (second["patient"], second["encounter"], second["scope"]) == ("p1", "e1", first["scope"])
    assert second["refresh_token"] != first["refresh_token"]
    assert second["access_token"] != first["access_token"]
    third = office.refresh(second["refresh_token"]).json()
    assert office.fhir("/Patient/p1", third["access_token"]).status_code == 404


def test_a_refresh_token_that_was_used_ends_the_family(office: Office) -> None:
    first = office.launched("patient/*.rs offline_access")
    second = office.refresh(first["refresh_token"]).json()
    refused(office.refresh(first["refresh_token"]), "invalid_grant")
    refused(office.refresh(second["refresh_token"]), "invalid_grant")
    for tokens in (first, second):
        assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 401


def test_scopes_can_be_narrowed_by_a_refresh_and_never_widened(office: Office) -> None:
    tokens = office.launched("patient/Observation.rs user/Patient.cruds offline_access")
    for more in (
        "patient/*.rs",
        "patient/Observation.cruds",
        "patient/Observation.rs user/Observation.rs",
        "system/*.rs",
        "openid",
        "patient/Observation.rs nonsense",
        " ",
    ):
        refused(office.refresh(tokens["refresh_token"], scope=more), "invalid_scope")
    chosen = "patient/Observation.s?code=http://loinc.org|59408-5 user/Patient.read"
    narrow = office.refresh(tokens["refresh_token"], scope=chosen).json()
    assert narrow["scope"] == chosen
    again = office.refresh(narrow["refresh_token"]).json()  # what was granted once is still granted
    assert again["scope"] == "patient/Observation.rs user/Patient.cruds offline_access"


def test_what_the_registration_takes_back_a_refresh_does_not_give(office: Office) -> None:
    tokens = office.launched("patient/Observation.rs patient/Patient.rs offline_access")
    office.register(Client("app", "App", "public", "patient/Patient.rs offline_access", (BACK,)))
    assert office.refresh(tokens["refresh_token"]).json()["scope"] == "patient/Patient.rs offline_access"


def test_a_refresh_token_in_the_wrong_hands_ends_the_family(office: Office) -> None:
    office.register(Client("other", "Other", "public", "patient/*.rs offline_access", (BACK,)))
    tokens = office.launched("patient/*.rs offline_access")
    refused(office.refresh(tokens["refresh_token"], client_id="other"), "invalid_grant")
    refused(office.refresh(tokens["refresh_token"]), "invalid_grant")
    assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 401


def test_a_refresh_token_ends_when_nobody_uses_it(office: Office) -> None:
    tokens = office.launched("patient/*.rs offline_access")
    office.later(days=89)
    second = office.refresh(tokens["refresh_token"]).json()
    office.later(days=89)
    third = office.refresh(second["refresh_token"]).json()
    office.later(days=90)
    refused(office.refresh(third["refresh_token"]), "invalid_grant")
    refused(office.refresh(third["access_token"]), "invalid_grant")


def test_after_a_year_the_person_has_to_sign_in_again(office: Office) -> None:
    tokens = office.launched("patient/*.rs offline_access")
    for _ in range(4):
        office.later(days=89)
        tokens = office.refresh(tokens["refresh_token"]).json()
    office.later(days=10)
    refused(office.refresh(tokens["refresh_token"]), "invalid_grant")


def test_an_online_refresh_token_lasts_as_long_as_the_session(office: Office) -> None:
    office.keep("session", "k1")
    tokens = office.launched("patient/*.rs online_access", session="k1")
    second = office.refresh(tokens["refresh_token"]).json()
    office.forget("session", "k1")
    refused(office.refresh(second["refresh_token"]), "invalid_grant")
    assert "refresh_token" not in office.launched("patient/*.rs online_access")  # there is no session
    assert "refresh_token" not in office.launched("patient/*.rs", session="k1")


def test_an_access_token_is_never_refreshed_with(office: Office) -> None:
    tokens = office.launched("patient/*.rs offline_access")
    refused(office.refresh(tokens["access_token"]), "invalid_grant")
    refused(office.refresh("unknown"), "invalid_grant")
    assert office.fhir("/Patient/p1", tokens["refresh_token"]).status_code == 401


# -- what is kept ----------------------------------------------------------------------------------


def test_no_code_token_or_secret_is_in_the_store(office: Office) -> None:
    code, pkce = office.code(SYMMETRIC, "patient/*.rs offline_access")
    tokens = office.redeem(code, pkce, {"authorization": basic()}, client_id=None).json()
    kept = b""
    for kind in ("code", "token", "refresh", "family", "client"):
        rows = office.run(office.store.records(kind))
        assert rows
        kept += b"".join(key.encode() + content for key, content in rows)
    for secret in (code, tokens["access_token"], tokens["refresh_token"], SECRET, pkce.verifier):
        assert secret.encode() not in kept


def test_nothing_that_gives_access_is_logged(
    office: Office, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log.configure("debug")
    try:
        code, pkce = office.code(SYMMETRIC, "patient/*.rs openid offline_access")
        tokens = office.redeem(code, pkce, {"authorization": basic()}, client_id=None).json()
        office.redeem(code, pkce, {"authorization": basic()}, client_id=None)
        office.redeem(code, pkce, {"authorization": basic(secret="another secret")}, client_id=None)
        office.fhir("/Patient/p1", tokens["access_token"])
        office.send("POST", "/auth/revoke", {"token": tokens["refresh_token"]}, authorization=basic())
        office.send("POST", "/auth/introspect", {"token": tokens["access_token"]}, authorization=basic())

        async def broken(*_: Any) -> None:
            raise RuntimeError(f"{SECRET} {pkce.verifier}")

        monkeypatch.setattr("fhir_server.smart.token_endpoint.authenticate", broken)
        with pytest.raises(AssertionError, match="server_error"):
            office.redeem(code, pkce)
        log._lines._write()
    finally:
        log.configure("error")
    said = capfd.readouterr().err
    assert said.count("/auth/token") >= 3 and "RuntimeError" in said
    secrets = (code, pkce.verifier, pkce.challenge, SECRET, "another secret", basic(), tokens["id_token"])
    for secret in (*secrets, tokens["access_token"], tokens["refresh_token"], "s-1"):
        assert secret not in said


def test_a_store_that_is_gone_is_503_and_says_no_more(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: Any, **__: Any) -> None:
        raise FhirError("unavailable", "The database cannot be used: its name")

    monkeypatch.setattr(office.store, "record", gone)
    answer = office.refresh("x")
    refused(answer, "temporarily_unavailable", 503)
    assert "database" not in answer.text
    assert office.fhir("/Patient/p1", "x").status_code == 503
