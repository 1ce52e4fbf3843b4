"""https://hl7.org/fhir/smart-app-launch/conformance.html: what apps ask first, from any page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.smart.clients import Client
from fhir_server.smart.discovery import CAPABILITIES
from profiles.structure import validate
from tests.smart.office import BACK, BASE, HOST, Office

PAGE = "https://app.example.org"  # where the redirect URI of the registered app is
STRANGER = "https://evil.example.org"
DISCOVERY = "/fhir/.well-known/smart-configuration"


def test_the_smart_configuration_has_what_the_guide_requires(office: Office) -> None:
    answer = office.send("GET", DISCOVERY, accept="application/fhir+xml")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    said = answer.json()
    assert said["issuer"] == HOST
    for name, path in (
        ("authorization_endpoint", "authorize"),
        ("token_endpoint", "token"),
        ("introspection_endpoint", "introspect"),
        ("revocation_endpoint", "revoke"),
        ("jwks_uri", "jwks"),
    ):
        assert said[name] == f"{HOST}/auth/{path}"
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert {"authorization_code", "client_credentials"} <= set(said["grant_types_supported"])
    assert said["response_types_supported"] == ["code"]
    assert {"client_secret_basic", "private_key_jwt"} <= set(said["token_endpoint_auth_methods_supported"])
    assert said["token_endpoint_auth_signing_alg_values_supported"] == ["ES384", "RS384"]
    assert said["capabilities"] == list(CAPABILITIES)
    for needed in ("launch-ehr", "launch-standalone", "permission-v1", "permission-v2", "sso-openid-connect"):
        assert needed in said["capabilities"]
    assert office.send("GET", "/.well-known/smart-configuration").json() == said


def test_every_scope_that_is_named_can_be_asked_for(office: Office) -> None:
    from fhir_server.smart.scopes import read

    named = office.send("GET", DISCOVERY).json()["scopes_supported"]
    assert all(read(scope) for scope in named)


def test_the_openid_configuration_has_what_openid_requires(office: Office) -> None:
    said = office.send("GET", "/.well-known/openid-configuration").json()
    assert said["issuer"] == HOST
    assert said["jwks_uri"] == f"{HOST}/auth/jwks"
    assert said["subject_types_supported"] == ["public"]
    assert said["id_token_signing_alg_values_supported"] == ["RS256"]
    assert office.send("GET", "/.well-known/oauth-authorization-server").json() == said


def test_documents_are_read_and_not_written(office: Office) -> None:
    for path in (DISCOVERY, "/.well-known/openid-configuration", "/auth/jwks"):
        assert office.send("HEAD", path).status_code == 200
        answer = office.send("POST", path, b"")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_the_public_url_is_that_of_the_settings(sqlite_url: str, office_of: Callable[..., Office]) -> None:
    office = office_of(sqlite_url, base_url="https://fhir.example.no/fhir")
    said = office.send("GET", DISCOVERY).json()
    assert said["token_endpoint"] == "https://fhir.example.no/auth/token"
    assert said["issuer"] == "https://fhir.example.no"


def test_another_name_for_the_base_has_the_issuer_at_its_root(
    sqlite_url: str, office_of: Callable[..., Office]
) -> None:
    office = office_of(sqlite_url, base_url="https://example.no/r4")
    assert office.send("GET", DISCOVERY).json()["issuer"] == "https://example.no"


def test_the_capability_statement_says_where_to_sign_in(office: Office) -> None:
    statement = office.fhir("/metadata").json()
    assert validate(statement) == []
    security = statement["rest"][0]["security"]
    assert security["cors"] is True
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    (uris,) = security["extension"]
    assert uris["url"] == "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
    assert {each["url"]: each["valueUri"] for each in uris["extension"]} == {
        name: f"{HOST}/auth/{name}" for name in ("authorize", "token", "introspect", "revoke")
    }


def test_a_server_without_access_control_says_nothing_of_it(
    sqlite_url: str, office_of: Callable[..., Office]
) -> None:
    office = office_of(sqlite_url, auth=False)
    assert "security" not in office.fhir("/metadata").json()["rest"][0]
    for path in (DISCOVERY, "/.well-known/openid-configuration", "/auth/token", "/auth/jwks"):
        assert office.send("GET", path).status_code == 404
    assert office.fhir("/Patient").status_code == 200


# -- pages of other origins ------------------------------------------------------------------------


def preflight(office: Office, path: str, origin: str, method: str, headers: str = "authorization") -> Any:
    asked = {"access_control_request_method": method, "access_control_request_headers": headers}
    return office.send("OPTIONS", path, origin=origin, **asked)


@pytest.mark.parametrize(
    "path", [DISCOVERY, "/.well-known/openid-configuration", "/auth/jwks", "/fhir/metadata"]
)
def test_what_is_public_can_be_read_from_any_page(office: Office, path: str) -> None:
    assert office.send("GET", path, origin=STRANGER).headers["access-control-allow-origin"] == "*"
    answer = preflight(office, path, STRANGER, "GET", "x-requested-with")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "*")


def test_pages_of_registered_apps_can_use_the_api_and_get_tokens(office: Office) -> None:
    for path, method in (("/fhir/Patient/p1", "PUT"), ("/fhir/Patient", "GET"), ("/auth/token", "POST")):
        answer = preflight(office, path, PAGE, method, "authorization, content-type")
        assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert office.send("GET", "/fhir/Patient", origin=PAGE).headers["access-control-allow-origin"] == PAGE
    code, pkce = office.code()
    answer = office.redeem(code, pkce, {"origin": PAGE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [STRANGER, "null", "http://app.example.org", f"{PAGE}.evil.example.org"])
def test_pages_of_nobody_we_know_cannot(office: Office, origin: str) -> None:
    for path, method in (("/fhir/Patient/p1", "PUT"), ("/auth/token", "POST")):
        answer = preflight(office, path, origin, method)
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers
    for path in ("/fhir/Patient", "/auth/token"):
        assert "access-control-allow-origin" not in office.send("GET", path, origin=origin).headers


def test_a_client_that_is_registered_while_the_server_runs_is_known_soon(office: Office) -> None:
    page = "https://new.example.org"
    assert preflight(office, "/fhir/Patient", page, "GET").status_code == 400
    office.register(Client("new", "New", "public", "patient/*.rs", (f"{page}/back",)))
    office.later(seconds=5)
    assert preflight(office, "/fhir/Patient", page, "GET").status_code == 200


def test_the_settings_name_further_origins(sqlite_url: str, office_of: Callable[..., Office]) -> None:
    office = office_of(sqlite_url, cors_origins=f"https://a.example.org, {STRANGER}")
    for path in ("/fhir/Patient", "/auth/token"):
        assert preflight(office, path, STRANGER, "POST").status_code == 200


def test_the_rest_of_the_server_is_for_no_other_page(office: Office) -> None:
    assert BACK.startswith(PAGE) and BASE.startswith(HOST)
    for path in ("/auth/authorize", "/auth/sign-in", "/metrics"):
        answer = office.send("GET", path, origin=PAGE)
        assert "access-control-allow-origin" not in answer.headers
