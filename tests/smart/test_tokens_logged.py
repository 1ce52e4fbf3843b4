"""Access tokens in the log: who was given one, when it was refreshed or ended, and who was refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.audit import chain, tokens
from fhir_server.audit.event import Event, unpack
from fhir_server.audit.limiter import BURST
from tests.smart.office import Office
from tests.smart.signing import ec


@pytest.fixture
def office(sqlite_url: str, office_of: Callable[..., Office], monkeypatch: Any) -> Office:
    monkeypatch.setattr(tokens, "monotonic", lambda: 0.0)
    return office_of(sqlite_url, audit=True)


def log(office: Office) -> list[Event]:
    records = office.run(office.store.records(chain.KIND))
    head = chain.Head.unpack(office.run(office.store.record(chain.HEAD_KIND, chain.HEAD_KEY)))
    assert chain.verify(records, head) is None
    return [unpack(content) for each in records for _, content in chain.entries(*each)]


def said(office: Office) -> list[tuple[str, int]]:
    return [(event.what, event.status) for event in log(office)]


def test_a_token_that_is_given_and_refreshed(office: Office) -> None:
    first = office.launched("patient/*.rs launch/patient offline_access")
    assert office.refresh(first["refresh_token"]).status_code == 200
    assert said(office) == [("token-issued", 200), ("token-refreshed", 200)]
    event = log(office)[0]
    assert (event.kind, event.patients) == ("authorization", ("p1",))
    assert (event.who.client, event.who.user) == ("app", "Practitioner/1")
    everything = b"".join(record for _, record in office.run(office.store.records(chain.KIND)))
    assert first["access_token"].encode() not in everything
    assert first["refresh_token"].encode() not in everything


def test_a_code_or_a_refresh_token_that_is_used_twice(office: Office) -> None:
    code, pkce = office.code(scope="patient/*.rs offline_access")
    refresh = office.redeem(code, pkce).json()["refresh_token"]
    assert office.refresh(refresh).status_code == 200
    assert office.refresh(refresh).status_code == 400
    assert office.redeem(code, pkce).status_code == 400
    assert said(office) == [
        ("token-issued", 200),
        ("token-refreshed", 200),
        ("tokens-ended", 400),
        ("token-refused", 400),
        ("tokens-ended", 400),
        ("token-refused", 400),
    ]


def test_a_service_and_a_revocation(office: Office) -> None:
    asked = {"grant_type": "client_credentials", "scope": "system/Observation.rs"}
    assertion = {
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": ec("service").token(office.claims()),
    }
    assert office.token(asked | assertion).status_code == 200
    token = office.launched()["access_token"]
    assert office.send("POST", "/auth/revoke", {"token": token, "client_id": "app"}).status_code == 200
    assert [what for what, _ in said(office)] == ["token-issued", "token-issued", "token-revoked"]
    assert log(office)[0].who.role == "system"


def test_refusals_are_bounded(office: Office) -> None:
    for _ in range(int(BURST) + 5):
        assert office.token({"grant_type": "password"}).status_code == 400
    assert len(log(office)) == BURST
    assert log(office)[0].reason == "unsupported_grant_type"
