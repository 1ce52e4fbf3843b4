"""Signing in through an OpenID provider, as HelseID and Keycloak have it, and whatever may go wrong on the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey, RSAKey

from fhir_server.app import open_store
from fhir_server.exchange import Service
from fhir_server.outgoing import Outgoing
from fhir_server.smart import provider_settings, providers
from fhir_server.smart.identities import Identity
from fhir_server.smart.memory import Memory
from fhir_server.smart.provider_settings import FNR, HPR, ORGANISATION, BadProviders
from fhir_server.smart.providers import NotSignedIn
from fhir_server.write import Change, commit
from tests.smart.desk import START
from tests.smart.provider import FakeProvider
from tests.smart.signing import hmac_token, rsa

ISSUER, CALLBACK = "https://idp.example.org", "https://fhir.example.org/auth/callback/helseid"
PID, HPR_CLAIM = "helseid://claims/identity/pid", "helseid://claims/hpr/hpr_number"
LEVEL, PARENT = "helseid://claims/identity/security_level", "helseid://claims/client/claims/orgnr_parent"
DOCTOR = {
    "sub": "abc",
    "name": "D. Octor",
    PID: "13116900216",
    HPR_CLAIM: "9144900",
    LEVEL: "4",
    PARENT: "994598759",
}
PEOPLE = [
    {"resourceType": "Practitioner", "id": "doctor", "active": True, "name": [{"family": "Dahl", "given": ["Dina"]}],
     "identifier": [{"system": HPR, "value": "9144900"}]},
    {"resourceType": "Practitioner", "id": "left", "active": False, "identifier": [{"system": HPR, "value": "1"}]},
    {"resourceType": "Practitioner", "id": "twin-1", "identifier": [{"system": HPR, "value": "22"}]},
    {"resourceType": "Practitioner", "id": "twin-2", "identifier": [{"system": HPR, "value": "22"}]},
    {"resourceType": "Practitioner", "id": "clerk", "identifier": [{"system": FNR, "value": "15076500565"}]},
    {"resourceType": "Patient", "id": "kari", "name": [{"text": "Kari Nordmann"}],
     "identifier": [{"system": FNR, "value": "13116900216"}]},
    {"resourceType": "Patient", "id": "other", "identifier": [{"system": "urn:other", "value": "41018012345"}]},
    {"resourceType": "Organization", "id": "hospital", "identifier": [{"system": ORGANISATION, "value": "994598759"}]},
]  # fmt: skip
KEY = ECKey.generate_key("P-256", {"kid": "varde-1", "use": "sig"})
BROWSER = "the-secret-of-a-browser"


class Home:
    """An open store with the people on record, and an event loop."""

    def __init__(self, url: str) -> None:
        self.store = open_store(url)
        self.runner = asyncio.Runner()
        self.runner.run(self.store.open())
        service = Service(self.store, lambda: START, iter(map(str, range(99))).__next__, START)
        changes = [Change("PUT", each["resourceType"], each["id"], each) for each in PEOPLE]
        self.runner.run(commit(service, changes))

    def tidy(self) -> Home:
        """As it was, without the records of the test before."""
        self.runner.run(self.store.transact(lambda tx: tx.sweep(2**62)))
        return self

    def close(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(f"sqlite:///{tmp_path_factory.mktemp('home')}/varde.db")
    yield home
    home.close()


class House:
    """Varde, a provider, and a browser between them."""

    def __init__(self, home: Home, folder: Path, **given: Any) -> None:
        self.now = START
        key = folder / "key.json"
        key.write_text(json.dumps(KEY.as_dict(private=True)))
        key.chmod(0o600)
        (folder / "secret").write_text("s3cret of the client\n")
        (folder / "secret").chmod(0o600)
        self.provider = FakeProvider(ISSUER, "varde", CALLBACK, lambda: self.now)
        self.provider.public = KEY.as_dict(private=False)
        said = {"profile": "helseid", "issuer": ISSUER, "client_id": "varde", "key": str(key), **given}
        self.provider.par, self.provider.dpop = said["profile"] == "helseid", said["profile"] == "helseid"
        settings = provider_settings.parse({"helseid": {k: v for k, v in said.items() if v is not None}})
        outgoing = Outgoing(httpx.ASGITransport(self.provider.app))
        self.runner = home.tidy().runner
        self.service = Service(
            home.store, lambda: self.now, str, START, smart=Memory.fresh(outgoing, settings)
        )  # fmt: skip
        self.provider.person = DOCTOR

    def leave(self, browser: str = BROWSER) -> str:
        """The URL at the provider that the browser is sent to."""
        return self.runner.run(providers.leave(self.service, "helseid", CALLBACK, browser, "back"))

    def visit(self, url: str) -> list[tuple[str, str]]:
        """What the provider sends the browser back with."""

        async def get() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.provider.app)) as client:
                return await client.get(url)

        answer = self.runner.run(get())
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(f"{CALLBACK}?")
        return parse_qsl(urlsplit(answer.headers["location"]).query)

    def arrive(self, pairs: list[tuple[str, str]], browser: str = BROWSER, id_: str = "helseid") -> Identity:
        identity, back = self.runner.run(providers.arrive(self.service, id_, pairs, browser))
        assert back == "back"
        return identity

    def sign_in(self) -> Identity:
        return self.arrive(self.visit(self.leave()))

    def refused(self) -> str:
        with pytest.raises(NotSignedIn) as refused:
            self.sign_in()
        return refused.value.reason


@pytest.fixture
def house(home: Home, tmp_path: Path) -> House:
    return House(home, tmp_path)


def test_a_doctor_signs_in_through_helseid(store_url: str, tmp_path: Path) -> None:
    home = Home(store_url)
    house = House(home, tmp_path)
    expected = Identity(f"{ISSUER}|abc", "Dina Dahl", "practitioner", "Practitioner/doctor", ("hospital",))
    assert house.sign_in() == expected
    assert house.provider.log == ["configuration", "par", "authorize", "token", "jwks"]
    assert house.sign_in() == expected
    assert house.provider.log[5:] == ["par", "authorize", "token"], "the rest is remembered"
    home.close()


def test_nothing_of_the_request_is_in_the_browser_with_par(house: House) -> None:
    names = [name for name, _ in parse_qsl(urlsplit(house.leave()).query)]
    assert names == ["client_id", "request_uri"]


def test_a_nonce_that_the_provider_wants_in_the_proof(house: House) -> None:
    house.provider.asks_nonce = True
    assert house.sign_in().fhir_user == "Practitioner/doctor"
    assert house.provider.log.count("token") == 2


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({HPR_CLAIM: None}, ("patient", "Patient/kari", "Kari Nordmann")),
        ({HPR_CLAIM: None, PID: "15076500565"}, ("practitioner", "Practitioner/clerk", "D. Octor")),
        ({HPR_CLAIM: "404"}, ("patient", "Patient/kari", "Kari Nordmann")),
        ({HPR_CLAIM: "1"}, ("patient", "Patient/kari", "Kari Nordmann")),
    ],
    ids=["a patient", "a health worker without HPR", "an HPR number of nobody", "of one who left"],
)
def test_who_it_is(house: House, claims: dict[str, Any], expected: tuple[str, str, str]) -> None:
    house.provider.person = {**DOCTOR, **claims}
    identity = house.sign_in()
    assert (identity.role, identity.fhir_user, identity.name) == expected


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({HPR_CLAIM: None, PID: "01010112345"}, "unknown"),
        ({HPR_CLAIM: None, PID: "41018012345"}, "unknown"),  # known by another system's number
        ({HPR_CLAIM: None, PID: None}, "unknown"),
        ({HPR_CLAIM: "9144900|x", PID: "%"}, "unknown"),
        ({HPR_CLAIM: ["9144900"], PID: {"$ne": ""}}, "unknown"),
        ({HPR_CLAIM: "22"}, "several"),
        ({LEVEL: "3"}, "level"),
        ({LEVEL: None}, "level"),
        ({LEVEL: "high"}, "level"),
        ({LEVEL: "-4"}, "level"),
    ],
)
def test_who_does_not_come_in(house: House, claims: dict[str, Any], reason: str) -> None:
    house.provider.person = {**DOCTOR, **claims}
    assert house.refused() == reason


def test_an_organisation_that_is_not_on_record_is_none(house: House) -> None:
    house.provider.person = {**DOCTOR, PARENT: "123456785"}
    assert house.sign_in().organizations == ()


def test_the_answer_counts_once(house: House) -> None:
    pairs = house.visit(house.leave())
    house.arrive(pairs)
    with pytest.raises(NotSignedIn, match="expired"):
        house.arrive(pairs)


def test_an_answer_in_another_browser_signs_nobody_in(house: House) -> None:
    """Login CSRF: the attacker's answer in the victim's browser."""
    with pytest.raises(NotSignedIn, match="expired"):
        house.arrive(house.visit(house.leave("attacker")), "victim")
    pairs = house.visit(house.leave())
    with pytest.raises(NotSignedIn, match="expired"):
        house.arrive(pairs, "")


def test_an_answer_at_another_providers_callback(house: House) -> None:
    with pytest.raises(NotSignedIn, match="expired"):
        house.arrive(house.visit(house.leave()), id_="other")


def test_who_stays_away_too_long(house: House) -> None:
    pairs = house.visit(house.leave())
    house.now += timedelta(minutes=15, seconds=1)
    with pytest.raises(NotSignedIn, match="expired"):
        house.arrive(pairs)


@pytest.mark.parametrize(
    "change",
    [
        lambda answer: answer.update(iss="https://evil.example.org"),
        lambda answer: answer.pop("iss"),
        lambda answer: answer.update(iss=ISSUER + "/"),
    ],
    ids=["another's", "missing", "nearly"],
)
def test_mix_up(house: House, change: Any) -> None:
    """RFC 9207: the code is not taken to the token endpoint of a provider that did not give it."""
    house.provider.answers = change
    assert house.refused() == "provider"
    assert "token" not in house.provider.log


def test_a_state_of_nobody(house: House) -> None:
    for pairs in ([], [("code", "x")], [("state", "x"), ("code", "y")], [("state", ""), ("code", "y")]):
        with pytest.raises(NotSignedIn, match="expired"):
            house.arrive(pairs)
    pairs = house.visit(house.leave())
    with pytest.raises(NotSignedIn, match="expired"):
        house.arrive([*pairs, ("code", "another")])


def test_somebody_who_declines(house: House) -> None:
    def decline(answer: dict[str, str]) -> None:
        answer["error"] = "access_denied"
        del answer["code"]

    house.provider.answers = decline
    assert house.refused() == "declined"


def test_a_code_that_somebody_put_in(house: House) -> None:
    """PKCE: a code of another request is not exchanged for ours."""
    stolen = dict(house.visit(house.leave("attacker")))["code"]
    house.provider.answers = lambda answer: answer.update(code=stolen)
    assert house.refused() == "provider"


TWISTS: dict[str, Any] = {
    "another issuer": {"iss": "https://evil.example.org"},
    "another client": {"aud": "someone"},
    "several, nobody's": {"aud": ["varde", "someone"]},
    "several, another's": {"aud": ["varde", "someone"], "azp": "someone"},
    "issued to another": {"azp": "someone"},
    "no audience": {"aud": None},
    "another nonce": {"nonce": "replayed"},
    "no nonce": {"nonce": None},
    "expired": {"exp": START.timestamp() - 60},
    "no exp": {"exp": None},
    "of the future": {"iat": START.timestamp() + 61},
    "not yet": {"nbf": START.timestamp() + 61},
    "no iat": {"iat": None},
    "no sub": {"sub": None},
    "empty sub": {"sub": ""},
}


@pytest.mark.parametrize("twist", TWISTS.values(), ids=TWISTS)
def test_id_tokens_that_are_not_for_this_sign_in(house: House, twist: dict[str, Any]) -> None:
    def change(claims: dict[str, Any]) -> None:
        claims.update(twist)
        for name in [name for name, value in twist.items() if value is None]:
            del claims[name]

    house.provider.twist = change
    assert house.refused() == "provider"


def test_several_audiences_where_we_are_the_one_it_was_issued_to(house: House) -> None:
    house.provider.twist = lambda claims: claims.update(aud=["varde", "api"], azp="varde")
    assert house.sign_in().fhir_user == "Practitioner/doctor"


def test_id_tokens_that_somebody_else_signed(house: House) -> None:
    stranger = rsa("provider-1", "RS256")
    public = house.provider.key.as_pem(private=False)
    for sign in (
        lambda claims: stranger.token(claims),
        lambda claims: stranger.token(claims, jwk=stranger.public),
        lambda claims: stranger.token(claims, alg="none").rpartition(".")[0] + ".",
        lambda claims: hmac_token(public, {"alg": "HS256", "kid": "provider-1"}, claims),
        lambda claims: "not a token",
        lambda claims: "",
    ):
        house.provider.sign = sign
        assert house.refused() == "provider"


def test_the_provider_rotates_its_key(house: House) -> None:
    house.sign_in()
    house.provider.key = RSAKey.generate_key(2048, {"kid": "provider-2", "use": "sig"})
    house.now += timedelta(seconds=31)
    assert house.sign_in().fhir_user == "Practitioner/doctor"


def test_a_token_that_is_not_bound_is_refused_where_it_must_be(house: House) -> None:
    house.provider.token_answer = lambda answer: answer.update(token_type="Bearer")
    assert house.refused() == "provider"


@pytest.mark.parametrize(
    "extra",
    [
        {"issuer": "https://evil.example.org"},
        {"token_endpoint": "http://idp.example.org/token"},
        {"token_endpoint": 5},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"pushed_authorization_request_endpoint": ""},
    ],
)
def test_providers_that_publish_nonsense(house: House, extra: dict[str, Any]) -> None:
    house.provider.extra = extra
    assert house.refused() == "provider"
    assert house.provider.log == ["configuration"]


def test_a_provider_that_does_not_answer(house: House) -> None:
    down = Outgoing(httpx.MockTransport(lambda request: httpx.Response(503)))
    house.service.smart.providers._outgoing = down
    with pytest.raises(NotSignedIn, match="provider") as refused:
        house.leave()
    assert refused.value.back == "back"


KEYCLOAK = {
    "sub": "f:1:kari", "name": "K", "fhirUser": "Practitioner/doctor", "realm_access": {"roles": ["nurse"]},
}  # fmt: skip


@pytest.fixture
def keycloak(home: Home, tmp_path: Path) -> House:
    house = House(home, tmp_path, profile="keycloak", key=None, secret=str(tmp_path / "secret"))
    house.provider.secret = "s3cret%20of%20the%20client"  # RFC 6749, section 2.3.1
    house.provider.person = KEYCLOAK
    return house


def test_keycloak(keycloak: House) -> None:
    expected = Identity(f"{ISSUER}|f:1:kari", "Dina Dahl", "practitioner", "Practitioner/doctor", ())
    assert keycloak.sign_in() == expected
    assert keycloak.provider.log == ["configuration", "authorize", "token", "jwks"]
    keycloak.provider.person = {**KEYCLOAK, "fhirUser": "Patient/kari"}
    assert keycloak.sign_in().role == "patient"


def test_administrators_are_practitioners_with_the_role(keycloak: House) -> None:
    roles = {"realm_access": {"roles": ["nurse", "varde-administrator"]}}
    keycloak.provider.person = {**KEYCLOAK, **roles}
    assert keycloak.sign_in().role == "administrator"
    keycloak.provider.person = {**KEYCLOAK, **roles, "fhirUser": "Patient/kari"}
    assert keycloak.sign_in().role == "patient"


@pytest.mark.parametrize(
    "user", ["Practitioner/left", "Practitioner/nobody", "Device/varde-engine", "Practitioner", "", None,
             "https://elsewhere.example.org/Practitioner/doctor", "Practitioner/doctor/_history/1"],
)  # fmt: skip
def test_a_fhir_user_who_is_nobody_here(keycloak: House, user: Any) -> None:
    keycloak.provider.person = {**KEYCLOAK, "fhirUser": user}
    assert keycloak.refused() == "unknown"


def test_two_issuers_have_no_subject_in_common() -> None:
    one, other = (
        provider_settings.parse({"a": {"profile": "keycloak", "issuer": issuer, "audience": "x"}})["a"]
        for issuer in ("https://a.example.org", "https://b.example.org")
    )
    from fhir_server.smart.identities import subject_of

    assert subject_of(one, {"sub": "1"}) != subject_of(other, {"sub": "1"})


GOOD = {"issuer": ISSUER, "profile": "helseid", "client_id": "varde", "key": "key.json"}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"issuer": "http://idp.example.org"}, "must be https"),
        ({"key": ""}, "needs a key or a secret"),
        ({"secret": "file"}, "needs a key or a secret"),
        ({"client_id": ""}, "one must be there"),
        ({"audience": "varde"}, "must not be the client_id"),
        ({"people": []}, "whom a claim means"),
        ({"profile": "okta"}, "profile"),
        ({"clientid": "varde"}, "clientid"),
        ({"level": {"claim": "acr"}}, "level.least"),
    ],
)
def test_settings_that_do_not_fit(change: dict[str, Any], why: str) -> None:
    provider_settings.parse({"helseid": GOOD})
    with pytest.raises(BadProviders, match=why):
        provider_settings.parse({"helseid": {**GOOD, **change}})


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    for content, why in [("[]", "object of objects"), ("{", "not JSON"), ('{"a/b": {}}', "id of a provider")]:
        (tmp_path / "providers.json").write_text(content)
        with pytest.raises(BadProviders, match=why):
            provider_settings.read(tmp_path / "providers.json")
    with pytest.raises(BadProviders, match="cannot be read"):
        provider_settings.read(tmp_path / "nowhere.json")
    with pytest.raises(BadProviders, match="same issuer"):
        provider_settings.parse({"a": GOOD, "b": GOOD})
    file = tmp_path / "key.json"
    for key, mode, why in [
        (KEY.as_dict(private=True), 0o644, "read by others"),
        (KEY.as_dict(private=False), 0o600, "must be a private key with a kid"),
        ({**ECKey.generate_key("P-256", auto_kid=False).as_dict(private=True)}, 0o600, "with a kid"),
        ({"kty": "RSA"}, 0o600, "no JSON Web Key"),
        ("key", 0o600, "no JSON Web Key"),
    ]:
        file.write_text(json.dumps(key))
        file.chmod(mode)
        with pytest.raises(BadProviders, match=why):
            provider_settings.private_key(str(file))
