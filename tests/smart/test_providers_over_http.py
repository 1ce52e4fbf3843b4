"""Another provider's people and tokens at the doors of a running server: the pages and the FHIR API."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from fhir_server.app import create_app, open_store
from fhir_server.outgoing import Outgoing
from fhir_server.settings import Settings
from fhir_server.write import Change, commit
from tests.smart.desk import START
from tests.smart.provider import FakeProvider
from tests.smart.test_issuers import BOUND, CLAIMS, GRANTS, proof, signed
from tests.smart.test_providers import CALLBACK, DOCTOR, HPR_CLAIM, ISSUER, KEY, LEVEL, PEOPLE

HOST = "https://fhir.example.org"


class Door:
    """A server that trusts a provider, and one browser."""

    def __init__(self, url: str, folder: Path) -> None:
        self.now = START
        self.provider = FakeProvider(ISSUER, "varde", CALLBACK, lambda: self.now)
        self.provider.public, self.provider.person = KEY.as_dict(private=False), DOCTOR
        self.provider.par = self.provider.dpop = True
        (folder / "key.json").write_text(json.dumps(KEY.as_dict(private=True)))
        (folder / "key.json").chmod(0o600)
        said = {
            "profile": "helseid", "issuer": ISSUER, "client_id": "varde", "key": str(folder / "key.json"),
            "audience": "nhn:varde", "grants": GRANTS,
        }  # fmt: skip
        (folder / "providers.json").write_text(json.dumps({"helseid": said}))
        settings = Settings(
            base_url=f"{HOST}/fhir", keys=str(folder / "keys"), providers=str(folder / "providers.json")
        )
        outgoing = Outgoing(httpx.ASGITransport(self.provider.app))
        self.app = create_app(settings, open_store(url), lambda: self.now, outgoing=outgoing)
        self.runner = asyncio.Runner()
        self._lifespan = self.app.router.lifespan_context(self.app)
        self.runner.run(self._lifespan.__aenter__())
        changes = [Change("PUT", each["resourceType"], each["id"], each) for each in PEOPLE]
        self.runner.run(commit(self.app.service, changes))
        self._http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url=HOST)

    def close(self) -> None:
        self.runner.run(self._http.aclose())
        self.runner.run(self._lifespan.__aexit__(None, None, None))
        self.runner.close()

    def get(self, url: str, **headers: str) -> httpx.Response:
        """A page of ours; or of the provider, as the same browser sees it."""
        if not url.startswith(ISSUER):
            return self.runner.run(self._http.get(url, headers={"accept-language": "en", **headers}))

        async def there() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.provider.app)) as client:
                return await client.get(url)

        return self.runner.run(there())

    def follow(self, url: str) -> httpx.Response:
        answer = self.get(url)
        while answer.has_redirect_location:
            answer = self.get(answer.headers["location"])
        return answer

    def fhir(self, path: str, claims: dict[str, Any], jti: str, **changes: Any) -> httpx.Response:
        """A request with a token of the provider and a proof for it."""
        token = signed(self, claims)  # type: ignore[arg-type]
        url = changes.pop("url", f"{HOST}/fhir{path.partition('?')[0]}")
        text = proof(token, htu=url, jti=jti, iat=int(self.now.timestamp()), **changes)
        return self.get(f"/fhir{path}", authorization=f"DPoP {token}", dpop=text)


@pytest.fixture
def door(sqlite_url: str, tmp_path: Path) -> Iterator[Door]:
    door = Door(sqlite_url, tmp_path)
    yield door
    door.close()


def test_signing_in_through_the_page(door: Door) -> None:
    page = door.get("/auth/sign-in")
    assert "HelseID" in page.text
    assert 'href="leave/helseid"' in page.text
    home = door.follow("/auth/leave/helseid")
    assert home.status_code == 200
    assert "Dina Dahl" in home.text
    assert door.get("/auth/home").status_code == 200


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({LEVEL: "3"}, "not secure enough"),
        ({HPR_CLAIM: "22"}, "more than once"),
        ({HPR_CLAIM: None, "helseid://claims/identity/pid": None}, "do not find you"),
    ],
)
def test_who_is_not_let_in_is_told_on_a_page_that_works(
    door: Door, claims: dict[str, Any], says: str
) -> None:
    door.provider.person = {**DOCTOR, **claims}
    page = door.follow("/auth/leave/helseid")
    assert page.status_code == 400
    assert says in page.text
    assert urlsplit(str(page.url)).path == "/auth/sign-in", "its links and forms lead where they should"
    assert door.get("/auth/home").headers["location"].endswith("/auth/sign-in")
    door.provider.person = DOCTOR
    assert "Dina Dahl" in door.follow("/auth/leave/helseid").text


def test_a_reason_that_somebody_made_up_is_not_shown(door: Door) -> None:
    page = door.get("/auth/sign-in?not=<b>you+have+won</b>")
    assert page.status_code == 200
    assert "won" not in page.text


def test_an_answer_that_was_planted_signs_nobody_in(door: Door) -> None:
    """Login CSRF: the attacker's answer, opened in the victim's browser."""
    away = door.get("/auth/leave/helseid").headers["location"]
    planted = door.get(away).headers["location"]
    door._http.cookies.clear()
    assert "was begun somewhere else" in door.follow(planted).text
    assert door.get("/auth/home").headers["location"].endswith("/auth/sign-in")


PATIENT = {name: value for name, value in CLAIMS.items() if name != HPR_CLAIM} | BOUND


def test_a_patients_token_sees_the_patient_alone(door: Door) -> None:
    assert door.fhir("/Patient/kari", PATIENT, "1").json()["id"] == "kari"
    assert door.fhir("/Patient/other", PATIENT, "2").status_code == 404
    found = door.fhir("/Patient?_count=10", PATIENT, "3").json()
    assert [entry["resource"]["id"] for entry in found["entry"]] == ["kari"]


def test_a_token_without_its_proof_is_nothing(door: Door) -> None:
    assert door.fhir("/Patient/kari", PATIENT, "1").status_code == 200
    again = door.fhir("/Patient/kari", PATIENT, "1")
    assert again.status_code == 401
    assert again.headers["www-authenticate"].startswith("DPoP ")
    assert door.fhir("/Patient/kari", PATIENT, "2", url=f"{HOST}/fhir/Patient/other").status_code == 401
    assert door.fhir("/Patient/kari", PATIENT, "3", htm="POST").status_code == 401
    token = signed(door, PATIENT)  # type: ignore[arg-type]
    for scheme in ("Bearer", "DPoP"):
        answer = door.get("/fhir/Patient/kari", authorization=f"{scheme} {token}")
        assert answer.status_code == 401
        assert "kari" not in answer.text
    door.now += timedelta(seconds=CLAIMS["exp"] - START.timestamp() + 61)
    assert door.fhir("/Patient/kari", PATIENT, "4").status_code == 401


def test_a_token_of_nobody_who_is_trusted(door: Door) -> None:
    assert door.fhir("/Patient/kari", {**PATIENT, "iss": "https://evil.example.org"}, "1").status_code == 401
    assert door.fhir("/Patient/kari", {**PATIENT, "aud": "varde"}, "2").status_code == 401
    assert door.fhir("/Patient/kari", {**PATIENT, "scope": []}, "3").status_code == 403
