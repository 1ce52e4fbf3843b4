"""SMART backend services with a client that others wrote: Authlib (PyPI), its private_key_jwt and its tokens.

https://hl7.org/fhir/smart-app-launch/backend-services.html
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc.jwk import ECKey, RSAKey

from fhir_server.app import with_service
from fhir_server.demo.server import serving
from fhir_server.exchange import Service
from fhir_server.smart import clients
from fhir_server.smart.clients import Client
from fhir_server.write import Change, commit

KEYS: dict[str, Any] = {
    "RS384": RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS384"}),
    "ES384": ECKey.generate_key("P-384", {"kid": "two", "use": "sig", "alg": "ES384"}),
}
RECORD: list[dict[str, Any]] = [
    {"resourceType": "Patient", "id": "kari"},
    {
        "resourceType": "Observation",
        "id": "o1",
        "status": "final",
        "code": {"text": "SpO2"},
        "subject": {"reference": "Patient/kari"},
    },
    {
        "resourceType": "Flag",
        "id": "f1",
        "status": "active",
        "code": {"text": "x"},
        "subject": {"reference": "Patient/kari"},
    },
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("backend")
    url = f"sqlite:///{folder}/varde.db"
    keys = {"keys": [key.as_dict(private=False) for key in KEYS.values()]}
    lab = Client(
        "lab",
        "The laboratory",
        "confidential-asymmetric",
        "system/Observation.crs system/Patient.rs",
        jwks=keys,
    )

    async def work(service: Service) -> None:
        await commit(service, [Change("PUT", each["resourceType"], each["id"], each) for each in RECORD])
        await service.whole.transact(lambda tx: clients.register(tx, lab))

    asyncio.run(with_service(url, work))
    settings = {"VARDE_KEYS": str(folder / "keys")}
    with serving(url, folder / "server.log", auth=True, environment=settings) as server:
        yield server.base


def connected(
    base: str, algorithm: str, scope: str, client_id: str = "lab", key: Any = None
) -> OAuth2Session:
    """A client as the application would have it: everything it knows comes from the server's own documents."""
    found = httpx.get(f"{base}/.well-known/smart-configuration", trust_env=False, timeout=60).json()
    assert algorithm in found["token_endpoint_auth_signing_alg_values_supported"]
    assert "client_credentials" in found["grant_types_supported"]
    endpoint = found["token_endpoint"]
    signing = key or KEYS[algorithm]
    client = OAuth2Session(
        client_id, signing, token_endpoint_auth_method="private_key_jwt",
        scope=scope, token_endpoint=endpoint,
    )  # fmt: skip
    claims = {"exp": int(time.time()) + 240}  # its own default is an hour, and SMART allows five minutes
    proof = PrivateKeyJWT(endpoint, claims, {"kid": signing.kid}, algorithm)
    client.register_client_auth_method(proof)
    return client


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_a_system_connects_with_its_key(base: str, algorithm: str) -> None:
    with connected(base, algorithm, "system/Observation.crs system/Patient.rs system/Flag.rs") as client:
        token = client.fetch_token()
        assert set(token["scope"].split()) == {"system/Observation.crs", "system/Patient.rs"}, (
            "Flag is not registered"
        )
        assert token["token_type"].lower() == "bearer"
        assert token["expires_in"] <= 300
        assert "refresh_token" not in token
        assert client.get(f"{base}/Patient/kari").json()["id"] == "kari"
        found = client.get(f"{base}/Observation?patient=kari").json()
        assert "o1" in [entry["resource"]["id"] for entry in found["entry"]]
        assert client.get(f"{base}/Flag/f1").status_code == 403
        reading = {**RECORD[1], "id": None}
        del reading["id"]
        assert client.post(f"{base}/Observation", json=reading).status_code == 201
        assert client.put(f"{base}/Observation/o1", json=RECORD[1]).status_code == 403


def test_narrower_scopes_are_kept_to(base: str) -> None:
    with connected(base, "ES384", "system/Patient.r") as client:
        assert client.fetch_token()["scope"] == "system/Patient.r"
        assert client.get(f"{base}/Patient/kari").status_code == 200
        assert client.get(f"{base}/Patient").status_code == 403
        assert client.get(f"{base}/Observation/o1").status_code == 403


def test_somebody_elses_key(base: str) -> None:
    stranger = ECKey.generate_key("P-384", {"kid": "two", "use": "sig", "alg": "ES384"})
    for client_id in ("lab", "nobody"):
        client = connected(base, "ES384", "system/Patient.rs", client_id, stranger)
        with client, pytest.raises(OAuthError, match="invalid_client"):
            client.fetch_token()


def test_no_token_no_data(base: str) -> None:
    answer = httpx.get(f"{base}/Patient/kari", trust_env=False, timeout=60)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert "kari" not in answer.text
