"""https://www.rfc-editor.org/rfc/rfc7662 and https://www.rfc-editor.org/rfc/rfc7009."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fhir_server.smart.clients import Client
from fhir_server.smart.context import Context
from tests.smart.office import BACK, BASE, HOST, SERVICE, SYMMETRIC, Office, basic
from tests.smart.signing import ec


def introspect(office: Office, token: str, authorization: str = "", **form: str) -> Any:
    headers = {"authorization": authorization} if authorization else {}
    answer = office.send("POST", "/auth/introspect", {"token": token, **form}, **headers)
    assert answer.headers["cache-control"] == "no-store"
    return answer


def own(office: Office, scope: str, **more: Any) -> dict[str, Any]:
    """Tokens of the confidential client."""
    code, pkce = office.code(SYMMETRIC, scope, **more)
    return dict(office.redeem(code, pkce, {"authorization": basic()}, client_id=None).json())


def test_a_client_is_told_what_its_tokens_stand_for(office: Office) -> None:
    context = Context("p1", "e1", need_patient_banner=True)
    tokens = own(office, "openid fhirUser offline_access patient/*.read", context=context)
    now = int(office.now.timestamp())
    said = introspect(office, tokens["access_token"], basic()).json()
    assert said == {
        "active": True,
        "scope": "openid fhirUser offline_access patient/*.read",
        "client_id": SYMMETRIC.id,
        "exp": now + 3600,
        "iat": now,
        "sub": "s-1",
        "iss": HOST,
        "aud": BASE,
        "fhirUser": f"{BASE}/Practitioner/1",
        "patient": "p1",
        "encounter": "e1",
        "need_patient_banner": True,
        "token_type": "Bearer",
    }
    lasting = introspect(office, tokens["refresh_token"], basic(), token_type_hint="refresh_token").json()
    assert (lasting["active"], lasting["exp"]) == (True, now + 90 * 24 * 3600)
    assert "token_type" not in lasting


def test_a_token_that_is_not_active_says_nothing_else(office: Office) -> None:
    tokens = own(office, "offline_access patient/*.rs")
    office.later(hours=1)
    inactive = {"active": False}
    assert introspect(office, tokens["access_token"], basic()).json() == inactive
    assert introspect(office, "unknown", basic()).json() == inactive
    assert introspect(office, office.launched()["access_token"], basic()).json() == inactive  # another's
    used = tokens["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": used}
    assert office.token(form, authorization=basic()).status_code == 200
    assert introspect(office, used, basic()).json() == inactive


def test_a_resource_server_may_look_at_all_by_its_secret_or_its_own_token(office: Office) -> None:
    office.register(replace(SYMMETRIC, introspects=True))
    office.register(replace(SERVICE, introspects=True))
    token = office.launched()["access_token"]
    assert introspect(office, token, basic()).json()["client_id"] == "app"
    mine = office.backend().json()["access_token"]
    assert introspect(office, token, f"Bearer {mine}").json()["active"] is True
    assertion = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": ec("service").token(office.claims()),
    }
    assert introspect(office, token, **assertion).json()["active"] is True


def test_strangers_and_public_clients_are_told_nothing(office: Office) -> None:
    token = office.launched()["access_token"]
    for answer, error in (
        (introspect(office, token), "invalid_client"),
        (introspect(office, token, client_id="app"), "invalid_client"),
        (introspect(office, token, f"Bearer {token}"), "invalid_client"),
        (introspect(office, token, "Bearer unknown"), "invalid_token"),
        (introspect(office, token, basic(secret="wrong")), "invalid_client"),
    ):
        assert (answer.status_code, answer.json()["error"]) == (401, error)
        assert "www-authenticate" in answer.headers
    assert introspect(office, "", basic()).status_code == 400


# -- revocation ------------------------------------------------------------------------------------


def revoke(office: Office, token: str, client: str = "app", **headers: str) -> Any:
    return office.send("POST", "/auth/revoke", {"token": token, "client_id": client}, **headers)


def test_an_access_token_is_revoked_alone(office: Office) -> None:
    tokens = office.launched("offline_access patient/*.rs")
    assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 404
    answer = revoke(office, tokens["access_token"])
    assert (answer.status_code, answer.content) == (200, b"")
    assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 401
    assert office.refresh(tokens["refresh_token"]).status_code == 200


def test_a_refresh_token_is_revoked_with_all_that_came_of_it(office: Office) -> None:
    tokens = office.launched("offline_access patient/*.rs")
    second = office.refresh(tokens["refresh_token"]).json()
    assert office.fhir("/Patient/p1", second["access_token"]).status_code == 404
    assert revoke(office, second["refresh_token"]).status_code == 200
    for each in (tokens, second):
        assert office.fhir("/Patient/p1", each["access_token"]).status_code == 401
    assert office.refresh(second["refresh_token"]).status_code == 400
    assert revoke(office, second["refresh_token"]).status_code == 200  # as often as one likes


def test_what_is_unknown_is_revoked_already_and_anothers_is_not_touched(office: Office) -> None:
    office.register(Client("other", "Other", "public", "patient/*.rs", (BACK,)))
    tokens = office.launched("offline_access patient/*.rs")
    assert revoke(office, "unknown").status_code == 200
    for token in (tokens["access_token"], tokens["refresh_token"]):
        answer = revoke(office, token, "other")
        assert (answer.status_code, answer.json()["error"]) == (400, "unauthorized_client")
    assert office.fhir("/Patient/p1", tokens["access_token"]).status_code == 404
    assert revoke(office, tokens["access_token"], "nobody").status_code == 401
    assert revoke(office, tokens["access_token"], SYMMETRIC.id).status_code == 401
