"""SMART's JavaScript client (npm fhirclient) in a browser: EHR launch and standalone launch, to the end."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.browser.chrome import Person
from tests.browser.test_browser_sign_in import sign_in
from tests.browser.town import Town

pytestmark = pytest.mark.usefixtures("script")
KARIS = {"found": [93, 92], "all": ["k1", "k2", "k3"], "another": 404, "name": "Nordmann", "patient": "kari"}


def result(person: Person, here: Town) -> dict[str, Any]:
    """What the application has found out."""
    person.comes_to(f"{here.app}/index.html")
    said: dict[str, Any] = json.loads(person.waits_for("#out"))
    assert "failed" not in said, said
    return said


def test_an_ehr_launch(person: Person, here: Town) -> None:
    person.goes_to(f"{here.auth}/home")
    sign_in(person, "anne")
    person.sees("Your sign-in")
    person.presses("Open an app for a patient")
    person.writes("Name", "kari")
    person.presses("Search")
    person.presses("Kari Nordmann")
    person.presses("Growth charts")
    person.sees("Give Growth charts access?")
    assert "Kari Nordmann" in person.text
    person.presses("Give access")
    said = result(person, here)
    assert KARIS.items() <= said.items()
    assert said["fhirUser"] == f"{here.base}/Practitioner/anne" or said["fhirUser"] == "Practitioner/anne"
    assert said["banner"] is True
    assert said["refreshed"] is True
    assert said["after"] == [93, 92]


def test_a_standalone_launch_of_a_patients_app(person: Person, here: Town) -> None:
    scope = "launch/patient patient/Patient.r patient/Observation.rs openid fhirUser offline_access"
    person.goes_to(f"{here.app}/launch.html?{urlencode({'iss': here.base, 'scope': scope})}")
    sign_in(person)
    person.sees("Give Growth charts access?")
    person.presses("Give access")
    said = result(person, here)
    assert KARIS.items() <= said.items()
    assert said["fhirUser"].endswith("Patient/kari")
    assert said["refreshed"] is True
    assert said["after"] == [93, 92]


def test_a_standalone_launch_by_a_clinician_who_chooses(person: Person, here: Town) -> None:
    scope = "launch/patient patient/Patient.r patient/Observation.rs openid fhirUser"
    person.goes_to(f"{here.app}/launch.html?{urlencode({'iss': here.base, 'scope': scope})}")
    sign_in(person, "anne")
    person.sees("Choose a patient")
    person.writes("Date of birth", "02.11.1948")
    person.presses("Search")
    person.presses("Ola Nordby")
    person.sees("Give Growth charts access?")
    person.presses("Give access")
    said = result(person, here)
    assert (said["patient"], said["found"], said["all"]) == ("ola", [82, 81], ["o1", "o2"])
    assert "refreshed" not in said, "no refresh token without offline_access"


def test_an_app_that_was_given_less_finds_less(person: Person, here: Town) -> None:
    scope = "launch/patient patient/Patient.r patient/Observation.rs openid fhirUser offline_access"
    person.goes_to(f"{here.app}/launch.html?{urlencode({'iss': here.base, 'scope': scope})}")
    sign_in(person)
    person.sees("Give Growth charts access?")
    labels = [label.text for label in person.all("fieldset label")]
    person.unticks(next(label for label in labels if "readings" in label))
    person.presses("Give access")
    said = result(person, here)
    assert (said["name"], said["found"], said["all"]) == ("Nordmann", 403, 403)
    assert "patient/Observation" not in said["scope"]
