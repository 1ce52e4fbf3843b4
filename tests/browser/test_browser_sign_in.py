"""The pages in a real browser: what people see, without any script, in three languages."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from hashlib import sha256
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import pytest

from tests.browser.chrome import Person
from tests.browser.town import PASSWORD, Town

VERIFIER = "a-verifier-that-is-longer-than-43-characters-0"


def request(here: Town, **changes: str) -> str:
    """An authorization request to come back to a page without scripts."""
    challenge = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    asked = {
        "response_type": "code",
        "client_id": "growth",
        "redirect_uri": f"{here.app}/plain.html",
        "scope": "launch/patient patient/Observation.rs patient/Patient.r openid",
        "state": "the-state-of-the-app",
        "aud": here.base,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    return f"{here.auth}/authorize?{urlencode(asked | changes)}"


def sign_in(person: Person, name: str = "kari", password: str = PASSWORD) -> None:
    person.sees("Sign in")
    person.writes("Username", name)
    person.writes("Password", password)
    person.presses("Sign in")


def back(person: Person, here: Town) -> dict[str, str]:
    """The parameters that the browser has brought the application."""
    return dict(parse_qsl(urlsplit(person.comes_to(f"{here.app}/plain.html?")).query))


def exchange(here: Town, code: str, verifier: str = VERIFIER) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": f"{here.app}/plain.html",
        "client_id": "growth",
        "code_verifier": verifier,
    }
    return httpx.post(f"{here.auth}/token", data=form, trust_env=False, timeout=60)


def test_a_patient_signs_in_and_gives_access(person: Person, here: Town) -> None:
    person.goes_to(request(here))
    sign_in(person)
    person.sees("Give Growth charts access?")
    person.presses("Give access")
    said = back(person, here)
    assert said["state"] == "the-state-of-the-app"
    assert said["iss"] == here.base.removesuffix("/fhir")
    token = exchange(here, said["code"]).json()
    assert token["patient"] == "kari"
    assert set(token["scope"].split()) == {
        "launch/patient",
        "patient/Observation.rs",
        "patient/Patient.r",
        "openid",
    }
    assert exchange(here, said["code"]).json()["error"] == "invalid_grant", "a code counts once"


def test_a_wrong_password(person: Person, here: Town) -> None:
    person.goes_to(request(here))
    for name, password in [("kari", "not her password at all"), ("nobody", PASSWORD)]:
        sign_in(person, name, password)
        person.sees("Sign in")
        assert [each.text for each in person.all("[role=alert]")] == [
            "The username or the password is wrong."
        ]
        assert person.field("Password").get_attribute("value") == ""
    sign_in(person)
    person.sees("Give Growth charts access?")


def test_a_user_narrows_what_an_app_gets(person: Person, here: Town) -> None:
    person.goes_to(request(here, scope="launch/patient patient/Observation.rs patient/Condition.rs openid"))
    sign_in(person)
    person.sees("Give Growth charts access?")
    labels = [label.text for label in person.all("fieldset label")]
    person.unticks(next(label for label in labels if "diagnoses" in label))
    person.presses("Give access")
    token = exchange(here, back(person, here)["code"]).json()
    assert set(token["scope"].split()) == {"launch/patient", "patient/Observation.rs", "openid"}
    headers = {"authorization": f"Bearer {token['access_token']}"}
    statuses = [
        httpx.get(f"{here.base}/{type_}", headers=headers, trust_env=False, timeout=60).status_code
        for type_ in ("Observation", "Condition")
    ]
    assert statuses == [200, 403]


def test_a_user_says_no(person: Person, here: Town) -> None:
    person.goes_to(request(here))
    sign_in(person)
    person.sees("Give Growth charts access?")
    person.presses("Refuse")
    said = back(person, here)
    assert (said["error"], said["state"]) == ("access_denied", "the-state-of-the-app")
    assert "code" not in said


def test_a_clinician_chooses_the_patient(person: Person, here: Town) -> None:
    person.goes_to(request(here))
    sign_in(person, "anne")
    person.sees("Choose a patient")
    person.writes("Name", "Nord")
    person.presses("Search")
    person.sees("Choose a patient")
    assert "Kari Nordmann" in person.text
    assert "Ola Nordby" in person.text
    assert "Nord" not in person.browser.current_url
    person.presses("Ola Nordby")
    person.sees("Give Growth charts access?")
    assert "Ola Nordby" in person.text
    person.presses("Give access")
    assert exchange(here, back(person, here)["code"]).json()["patient"] == "ola"


def test_nobody_is_sent_to_an_address_that_is_not_registered(person: Person, here: Town) -> None:
    person.goes_to(request(here, redirect_uri=f"{here.app}/evil.html"))
    assert person.browser.current_url.startswith(here.auth)
    assert person.all("h1")
    assert not person.all("form input[name=password]")
    person.goes_to(request(here, code_challenge_method="plain"))
    assert back(person, here)["error"] == "invalid_request"


def test_a_code_without_its_verifier_is_nothing(person: Person, here: Town) -> None:
    person.goes_to(request(here))
    sign_in(person)
    person.sees("Give Growth charts access?")
    person.presses("Give access")
    code = back(person, here)["code"]
    challenge = urlsafe_b64encode(sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    assert exchange(here, code, challenge).json()["error"] == "invalid_grant"
    assert exchange(here, code).json()["error"] == "invalid_grant"


HPR, LEVEL = "helseid://claims/hpr/hpr_number", "helseid://claims/identity/security_level"


def test_another_provider_knows_who_it_is(person: Person, here: Town) -> None:
    """HelseID's profile over real HTTP: PAR, private_key_jwt, DPoP with a nonce, iss."""
    here.provider.person = {"sub": "d", HPR: "9144900", LEVEL: "3"}
    person.goes_to(request(here))
    person.sees("Sign in")
    person.presses("Sign in with Test-ID")
    person.sees("Sign in")
    assert "not secure enough" in person.all("[role=alert]")[0].text
    here.provider.person = {"sub": "d", HPR: "9144900", LEVEL: "4"}
    person.presses("Sign in with Test-ID")
    person.sees("Choose a patient")
    assert "Anne Lege" in person.text
    person.writes("Name", "kari")
    person.presses("Search")
    person.presses("Kari Nordmann")
    person.sees("Give Growth charts access?")
    person.presses("Give access")
    assert exchange(here, back(person, here)["code"]).json()["patient"] == "kari"


@pytest.mark.parametrize(
    ("accept", "language", "heading"),
    [
        ("nb-NO,nb;q=0.9,en;q=0.5", "nb", "Logg inn"),
        ("nn-NO,nn", "nn", "Logg inn"),
        ("de,en;q=0.2", "en", "Sign in"),
    ],
)
def test_the_language_of_the_browser(
    person: Person, here: Town, accept: str, language: str, heading: str
) -> None:
    person.speaks(accept)
    person.goes_to(request(here))
    person.sees(heading)
    assert person.language == language


def test_another_language_stays_chosen(person: Person, here: Town) -> None:
    person.goes_to(request(here))
    person.sees("Sign in")
    person.presses("Bokmål")
    person.sees("Logg inn")
    assert person.language == "nb"
    person.writes("Brukernavn", "kari")
    person.writes("Passord", PASSWORD)
    person.presses("Logg inn")
    person.waits_for("fieldset")
    assert person.language == "nb"
    person.presses("Nynorsk")
    person.waits_for("fieldset")
    assert person.language == "nn"


def test_all_of_it_works_without_scripts(person: Person, here: Town) -> None:
    with person.without_scripts():
        person.goes_to(f"{here.app}/scripted.html")
        person.sees("Not run")  # so they are off indeed
        person.goes_to(request(here))
        sign_in(person, "anne")
        person.sees("Choose a patient")
        person.writes("Name", "kari")
        person.presses("Search")
        person.presses("Kari Nordmann")
        person.sees("Give Growth charts access?")
        person.presses("Give access")
        assert exchange(here, back(person, here)["code"]).json()["patient"] == "kari"
    person.goes_to(f"{here.app}/scripted.html")
    person.sees("Run")


def test_pages_have_no_script_and_names_for_everything(person: Person, here: Town) -> None:
    """What a screen reader goes by; and no script could run if there were one."""
    person.goes_to(request(here))
    person.sees("Sign in")
    _is_accessible(person)
    sign_in(person, "anne")
    person.sees("Choose a patient")
    _is_accessible(person)
    person.writes("Name", "kari")
    person.presses("Search")
    person.sees("Choose a patient")
    _is_accessible(person)
    person.presses("Kari Nordmann")
    person.sees("Give Growth charts access?")
    _is_accessible(person)
    answer = httpx.get(request(here), follow_redirects=True, trust_env=False, timeout=60)
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def _is_accessible(person: Person) -> None:
    assert not person.all("script, [onclick], [onload], iframe, object")
    assert len(person.all("h1")) == 1
    assert person.language in ("nb", "nn", "en")
    assert person.browser.title
    for field in person.all("input:not([type=hidden])"):
        assert field.accessible_name, field.get_attribute("outerHTML")
    for button in person.all("button, a"):
        assert button.accessible_name, button.get_attribute("outerHTML")
