"""Registered applications, and the commands that register them and rotate keys."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from typer.testing import CliRunner

from fhir_server.cli import app
from fhir_server.smart import clients
from fhir_server.smart.clients import Client, ClientProblem
from fhir_server.smart.keys import RETIRED, SigningKeys, UnsafeKeys
from tests.smart.office import PUBLIC, SERVICE, SYMMETRIC, Office
from tests.smart.signing import ec, jwks, rsa

PRIVATE = {"keys": [{**ec().key.as_dict(private=True), "kid": "ec"}]}


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.org/back",
        "https://app.example.org:8443/back?x=1",
        "http://127.0.0.1:5000/back",
        "http://localhost/back",
        "http://[::1]:80/",
        "org.example.app:/back",
        "no.helse.app://back",
    ],
)
def test_a_redirect_uri_may_be(url: str) -> None:
    clients.check(replace(PUBLIC, redirect_uris=(url,)))


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.org/back",
        "https://app.example.org/back#part",
        "https://user@app.example.org/",
        "https:///back",
        "https://app.example.org:99999999/",
        "javascript:alert(1)",
        "data:text/html,x",
        "app:/back",
        "file:///etc/passwd",
        "/back",
        "",
        "https://app.example.org/a b",
        "https://app.example.org/\n",
        "https://app.example.org\\@evil.example.org/",
        "https://ápp.example.org/",
        "org.example.app:/back#x",
    ],
)
def test_a_redirect_uri_may_not_be(url: str) -> None:
    with pytest.raises(ClientProblem):
        clients.check(replace(PUBLIC, redirect_uris=(url,)))


@pytest.mark.parametrize(
    "client, said",
    [
        (replace(PUBLIC, id=""), "client_id"),
        (replace(PUBLIC, id="a b"), "client_id"),
        (replace(PUBLIC, name=" "), "name"),
        (replace(PUBLIC, kind="secretive"), "one of"),  # type: ignore[arg-type]
        (replace(PUBLIC, scope="patient/*.rs patient/Nothing.rs"), "patient/Nothing.rs"),
        (replace(PUBLIC, scope=""), "at least one scope"),
        (replace(PUBLIC, scope="system/*.rs"), "confidential-asymmetric"),
        (replace(PUBLIC, redirect_uris=()), "redirect"),
        (replace(PUBLIC, launch_url="http://app.example.org/launch"), "launch URL"),
        (replace(PUBLIC, secret="x"), "no secret"),
        (replace(PUBLIC, jwks=jwks(ec())), "no keys"),
        (replace(PUBLIC, organizations=("Organization/1",)), "Organization"),
        (replace(SYMMETRIC, secret=""), "a secret"),
        (replace(SERVICE, jwks=None), "JWK Set"),
        (replace(SERVICE, jwks_url="https://x.example.org/jwks"), "JWK Set"),
        (replace(SERVICE, jwks=None, jwks_url="http://x.example.org/jwks"), "https"),
        (replace(SERVICE, jwks=PRIVATE), "private"),
        (replace(SERVICE, jwks={"keys": []}), "key"),
        (replace(SERVICE, jwks=jwks(rsa("weak", bits=1024))), "bits"),
        (replace(SERVICE, jwks={"keys": [{k: v for k, v in ec().public.items() if k != "kid"}]}), "kid"),
        (replace(SERVICE, scope="user/*.rs"), "redirect"),
    ],
)
def test_what_does_not_fit_together_is_not_registered(client: Client, said: str) -> None:
    with pytest.raises(ClientProblem, match=said):
        clients.check(client)


def test_clients_are_listed_in_the_order_of_their_ids(office: Office) -> None:
    assert office.run(clients.everyone(office.store)) == [PUBLIC, SYMMETRIC, SERVICE]
    assert office.run(clients.find(office.store, "")) is None
    assert office.run(clients.find(office.store, "\ud800")) is None


# -- the commands ----------------------------------------------------------------------------------


def varde(store: str, *arguments: str, fails: bool = False) -> str:
    done = CliRunner().invoke(app, [*arguments], env={"VARDE_STORE": store, "COLUMNS": "200"})
    assert done.exit_code == (1 if fails else 0), done.output
    return done.output


def test_an_application_is_registered_listed_and_removed(sqlite_url: str, tmp_path: Path) -> None:
    back = ("--redirect-uri", "https://app.example.org/back")
    said = varde(sqlite_url, "client", "register", "An app", *back, "--id", "one")
    assert "client_id: one" in said and "secret" not in said
    said = varde(sqlite_url, "client", "register", "A server", *back, "--secret", "--id", "two")
    secret = said.partition("client_secret: ")[2].split()[0]
    assert len(secret) >= 43
    file = tmp_path / "jwks.json"
    file.write_text(json.dumps(jwks(ec())))
    said = varde(sqlite_url, "client", "register", "A system", "--jwks", str(file), "--organization", "o1")
    assert "scope: system/*.rs" in said and "confidential-asymmetric" in said
    listed = varde(sqlite_url, "client", "list")
    assert "one  public  An app" in listed and "redirect: https://app.example.org/back" in listed
    assert secret not in listed and clients.hashed(secret) not in listed
    assert "there is a client" in varde(
        sqlite_url, "client", "register", "B", *back, "--id", "one", fails=True
    )
    varde(sqlite_url, "client", "register", "B", *back, "--id", "one", "--replace")
    assert "one: removed" in varde(sqlite_url, "client", "remove", "one")
    assert "no such client" in varde(sqlite_url, "client", "remove", "one", fails=True)


def test_what_is_wrong_with_an_application_is_said_in_a_sentence(sqlite_url: str, tmp_path: Path) -> None:
    assert "redirect URI" in varde(sqlite_url, "client", "register", "A", fails=True)
    file = tmp_path / "jwks.json"
    file.write_text("{")
    assert "JSON" in varde(sqlite_url, "client", "register", "A", "--jwks", str(file), fails=True)
    file.write_text(json.dumps(PRIVATE))
    assert "private" in varde(sqlite_url, "client", "register", "A", "--jwks", str(file), fails=True)


# -- the signing keys ------------------------------------------------------------------------------

NOW = 1_800_000_000


def kids(keys: SigningKeys, now: int) -> list[str]:
    return [key["kid"] for key in keys.public(now)["keys"]]


def test_a_key_is_made_at_first_start_and_is_nobody_elses(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "keys"
    first, worker = SigningKeys(folder), SigningKeys(folder)
    assert kids(first, NOW) == kids(worker, NOW)
    (file,) = folder.glob("*.jwk")
    assert (folder.stat().st_mode & 0o777, file.stat().st_mode & 0o777) == (0o700, 0o600)
    assert {"d", "p", "q"} & first.public(NOW)["keys"][0].keys() == set()


def test_a_rotated_key_is_shown_until_its_tokens_have_ended(keys: Path) -> None:
    signing, worker = SigningKeys(keys), SigningKeys(keys)
    (old,) = kids(worker, NOW)
    before = worker.sign({"sub": "a"}, NOW)
    new = signing.rotate(NOW)
    assert kids(worker, NOW + 10) == [new, old]
    assert jwt.decode(before, KeySet.import_key_set(worker.public(NOW + 10)), algorithms=["RS256"]).claims
    after = jwt.decode(worker.sign({}, NOW), KeySet.import_key_set(signing.public(NOW)), algorithms=["RS256"])
    assert after.header["kid"] == new
    assert kids(worker, NOW + RETIRED - 1) == [new, old]
    assert kids(worker, NOW + RETIRED) == [new]
    last = signing.rotate(NOW + RETIRED)
    assert {file.stem for file in keys.glob("*.jwk")} == {new, last}


def test_keys_are_rotated_by_command(keys: Path, sqlite_url: str) -> None:
    (old,) = kids(SigningKeys(keys), NOW)
    said = varde(sqlite_url, "key", "rotate", "--keys", str(keys))
    assert {file.stem for file in keys.glob("*.jwk")} == {said.split()[1], old}


def test_keys_that_others_can_read_are_refused(keys: Path, sqlite_url: str) -> None:
    (file,) = keys.glob("*.jwk")
    file.chmod(0o640)
    with pytest.raises(UnsafeKeys, match="chmod 600"):
        SigningKeys(keys).public(NOW)
    assert "chmod 600" in varde(sqlite_url, "key", "rotate", "--keys", str(keys), fails=True)
    file.chmod(0o600)
    keys.chmod(0o750)
    with pytest.raises(UnsafeKeys, match="chmod 700"):
        SigningKeys(keys).sign({}, NOW)
