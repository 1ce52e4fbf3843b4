"""https://hl7.org/fhir/smart-app-launch/backend-services.html: a system signs in with a key, and every refusal."""

from __future__ import annotations

from typing import Any

import pytest

from fhir_server.smart.clients import Client
from tests.smart.office import BACK, SERVICE, SYMMETRIC, TOKEN, Office, basic
from tests.smart.signing import ec, hmac_token, jwks, rsa


def refused(answer: Any, error: str = "invalid_client", status: int = 401) -> None:
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text


@pytest.mark.parametrize("signer", [rsa("one"), ec("one")], ids=["RS384", "ES384"])
def test_a_service_gets_a_token_for_five_minutes(office: Office, signer: Any) -> None:
    office.register(Client("one", "One", "confidential-asymmetric", "system/*.rs", jwks=jwks(signer)))
    answer = office.by_assertion(
        signer.token(office.claims(Client("one", "", "public", ""))), "system/Patient.rs"
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"], body["scope"]) == ("Bearer", 300, "system/Patient.rs")
    assert office.fhir("/Patient", body["access_token"]).status_code == 200
    assert office.fhir("/Observation", body["access_token"]).status_code == 403
    office.later(seconds=300)
    assert office.fhir("/Patient", body["access_token"]).status_code == 401


def test_it_gets_what_it_asks_for_and_is_registered_for(office: Office) -> None:
    asked = "system/*.cruds user/*.rs patient/*.rs launch openid offline_access"
    assert office.backend(asked).json()["scope"] == "system/*.rs system/Observation.c"
    for nothing in ("user/*.rs", "system/Patient.d", "openid", "nonsense", None):
        refused(office.backend(nothing), "invalid_scope", 400)


def test_an_assertion_is_good_once(office: Office) -> None:
    assertion = ec("service").token(office.claims())
    assert office.by_assertion(assertion).status_code == 200
    refused(office.by_assertion(assertion))
    answers = office.together(
        *(
            office.sending(
                "POST",
                "/auth/token",
                {
                    "grant_type": "client_credentials",
                    "scope": "system/*.rs",
                    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    "client_assertion": again,
                },
            )
            for again in [ec("service").token(office.claims())] * 4
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401]


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": 600},
        {"exp": -120},
        {"aud": "http://varde.test"},
        {"aud": "http://varde.test/fhir"},
        {"aud": "https://other.example.org/auth/token"},
        {"aud": [TOKEN, "https://other.example.org"]},
        {"aud": None},
        {"iss": "other"},
        {"sub": "other"},
        {"iss": None},
        {"jti": None},
        {"jti": ""},
        {"nbf": 600},
    ],
    ids=str,
)
def test_an_assertion_that_says_something_else_is_refused(office: Office, changes: dict[str, Any]) -> None:
    now = int(office.now.timestamp())
    changes = {name: now + value if isinstance(value, int) else value for name, value in changes.items()}
    refused(office.by_assertion(ec("service").token(office.claims(**changes))))
    assert office.backend().status_code == 200


def test_an_assertion_that_somebody_else_signed_is_refused(office: Office) -> None:
    for signer in (ec("other"), rsa("service"), ec("service-2")):
        refused(office.by_assertion(signer.token(office.claims())))
    mine, claims = ec("service"), office.claims()
    refused(office.by_assertion(mine.token(claims, alg="none")))
    refused(office.by_assertion(mine.token(claims).rpartition(".")[0] + "."))
    public = mine.public["x"].encode()
    refused(office.by_assertion(hmac_token(public, {"alg": "HS256", "kid": "service", "typ": "JWT"}, claims)))
    refused(office.by_assertion(mine.token(claims, jku="https://evil.example.org/keys")))
    for nonsense in ("", "x", "x.y.z", "." * 2, "é.é.é"):
        assert office.by_assertion(nonsense).status_code in (400, 401)


def test_the_assertion_type_is_that_of_a_jwt(office: Office) -> None:
    assertion = ec("service").token(office.claims())
    saml = "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"
    for type_ in (saml, None, "jwt-bearer"):
        refused(office.by_assertion(assertion, client_assertion_type=type_))
    assert office.by_assertion(assertion).status_code == 200


def test_the_client_id_is_that_of_the_assertion(office: Office) -> None:
    assertion = ec("service").token(office.claims())
    refused(office.by_assertion(assertion, client_id="app"))
    assert office.by_assertion(assertion, client_id=SERVICE.id).status_code == 200


def test_only_clients_with_keys_act_for_themselves(office: Office) -> None:
    form = {"grant_type": "client_credentials", "scope": "system/*.rs"}
    refused(office.token({**form, "client_id": "app"}), "unauthorized_client", 400)
    refused(office.token(form, authorization=basic(SYMMETRIC)), "unauthorized_client", 400)
    refused(office.token({**form, "client_id": SERVICE.id}))
    refused(office.token(form))


def test_an_app_that_signs_acts_for_its_user_only(office: Office) -> None:
    app = Client(
        "signing", "App", "confidential-asymmetric", "patient/*.rs", (BACK,), jwks=jwks(ec("signing"))
    )
    office.register(app)
    refused(
        office.by_assertion(ec("signing").token(office.claims(app)), "patient/*.rs"), "invalid_scope", 400
    )


def test_a_new_assertion_is_as_good_after_the_store_forgot_the_old_ones(office: Office) -> None:
    assert office.backend().status_code == 200
    office.later(hours=1)
    now = int(office.now.timestamp() * 1_000_000)
    assert office.run(office.store.transact(lambda tx: tx.sweep(now))) >= 2  # the jti and the token
    assert office.backend().status_code == 200
