"""Signing in through another provider from our sign-in page, and coming back to what one came for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey

from fhir_server.outgoing import Outgoing
from tests.smart.provider import FakeProvider
from tests.smart.site import APP, PEOPLE, RECORD, Site
from tests.smart.test_providers import DOCTOR, HPR_CLAIM, ISSUER
from tests.smart.test_providers import PEOPLE as KNOWN
from tests.smart.visitor import SITE, Page, Visitor

CALLBACK = f"{SITE}/auth/callback/helseid"
SESSION = "__Host-varde-session"
KEY = ECKey.generate_key("P-256", {"kid": "varde-1", "use": "sig"})


class Village(Site):
    """A site whose people sign in through a provider as HelseID is one."""

    def __init__(self, url: str, folder: Path) -> None:
        key, settings = folder / "key.json", folder / "providers.json"
        key.write_text(json.dumps(KEY.as_dict(private=True)))
        key.chmod(0o600)
        about = {
            "profile": "helseid",
            "name": "HelseID",
            "issuer": ISSUER,
            "client_id": "varde",
            "key": str(key),
        }
        settings.write_text(json.dumps({"helseid": about}))
        self.provider = FakeProvider(ISSUER, "varde", CALLBACK, lambda: self.clock.now)
        self.provider.public, self.provider.person = KEY.as_dict(private=False), DOCTOR
        self.provider.par = self.provider.dpop = True
        outgoing = Outgoing(httpx.ASGITransport(self.provider.app))
        super().__init__(url, folder / "keys", outgoing=outgoing, providers=str(settings))

    def through(self, visitor: Visitor, page: Page, back: Visitor | None = None) -> Page:
        """The link on the sign-in page, the provider's page, and the way back; maybe in another browser."""
        (href,) = (
            said["href"] or "" for tag, said in page.elements if tag == "a" and said.get("class") == "way"
        )
        left = visitor.get(f"/auth/{href}")
        assert left.location.startswith(f"{ISSUER}/authorize?")
        return (back or visitor).get(self.returned(left.location))

    def returned(self, url: str) -> str:
        async def go() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.provider.app)) as client:
                return await client.get(url)

        location: str = self.runner.run(go()).headers["location"]
        assert location.startswith(CALLBACK)
        return location.removeprefix(SITE)


@pytest.fixture
def village(sqlite_url: str, tmp_path: Path, quick: None) -> Iterator[Village]:
    village = Village(sqlite_url, tmp_path)
    village.put(*RECORD, *KNOWN)
    village.register(APP)
    for username in PEOPLE:
        village.add(username)
    yield village
    village.close()


def test_the_way_there_and_back_to_the_application(village: Village) -> None:
    visitor = village.visitor()
    page = village.authorize(visitor, scope="user/Observation.rs openid")
    assert "Sign in with HelseID" in page.text
    page = village.through(visitor, page)
    assert "Give Growth charts access" in page.text
    assert "Signed in as Dina Dahl" in page.text


def test_without_an_application(village: Village) -> None:
    visitor = village.visitor()
    page = village.through(visitor, visitor.get("/auth/sign-in"))
    assert "Signed in as Dina Dahl" in page.text
    assert "Change the password" not in page.text


def test_each_sign_in_has_a_session_of_its_own(village: Village) -> None:
    visitor = village.visitor()
    visitor.plant(SESSION, "planted")
    village.through(visitor, visitor.get("/auth/sign-in"))
    first = visitor.cookies[SESSION]
    assert first != "planted"
    village.through(visitor, visitor.get("/auth/sign-in"))
    assert visitor.cookies[SESSION] != first
    other = village.visitor()
    other.plant(SESSION, first)
    assert other.get("/auth/home").form("sign-in")


def test_coming_back_in_another_browser_signs_nobody_in(village: Village) -> None:
    """Who is sent a link to somebody else's coming back must not be signed in as them."""
    visitor, other = village.visitor(), village.visitor()
    other.get("/auth/sign-in")
    page = village.through(visitor, visitor.get("/auth/sign-in"), other)
    assert page.status == 400
    assert "begun somewhere else" in page.text
    assert SESSION not in other.cookies


def test_coming_back_twice(village: Village) -> None:
    visitor = village.visitor()
    left = visitor.get("/auth/leave/helseid")
    back = village.returned(left.location)
    assert visitor.get(back).status == 200
    assert visitor.get(back).status == 400


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({HPR_CLAIM: "22"}, "We find you more than once"),
        ({HPR_CLAIM: "404", "helseid://claims/identity/pid": "01010112345"}, "We do not find you here"),
        ({"helseid://claims/identity/security_level": "3"}, "not secure enough"),
        ({"nonce": "of another"}, "did not answer as it should"),
    ],
)
def test_who_does_not_come_in_is_told_why_and_can_try_again(
    village: Village, claims: dict[str, str], said: str
) -> None:
    village.provider.person = {**DOCTOR, **claims}
    visitor = village.visitor()
    page = village.through(visitor, village.authorize(visitor, scope="user/Observation.rs"))
    assert page.status == 400
    assert said in page.text
    assert SESSION not in visitor.cookies
    assert "Sign in to continue to Growth charts" in page.text
    village.provider.person = DOCTOR
    assert "Give Growth charts access" in village.through(visitor, page).text


def test_what_the_provider_refused(village: Village) -> None:
    visitor = village.visitor()
    left = visitor.get("/auth/leave/helseid")
    query = urlsplit(village.returned(left.location)).query
    state = next(part for part in query.split("&") if part.startswith("state="))
    page = visitor.get(f"/auth/callback/helseid?{state}&error=access_denied&iss={ISSUER}")
    assert page.status == 400
    assert "You were not signed in" in page.text


@pytest.mark.parametrize("path", ["leave/other", "leave/%00", "leave/helseid%2f.."])
def test_a_provider_that_is_none(village: Village, path: str) -> None:
    assert village.visitor().get(f"/auth/{path}").status == 404


@pytest.mark.parametrize("path", ["callback/other", "callback/helseid", "callback/helseid?state=x&code=y"])
def test_coming_back_without_having_left(village: Village, path: str) -> None:
    page = village.visitor().get(f"/auth/{path}")
    assert (page.status, page.location) == (400, "")


def test_a_provider_that_does_not_answer(village: Village) -> None:
    village.provider.extra = {"issuer": "https://another.example.org"}
    page = village.visitor().get("/auth/leave/helseid")
    assert page.status == 400
    assert "did not answer as it should" in page.text
