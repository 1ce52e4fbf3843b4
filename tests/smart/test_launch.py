"""Launches from an EHR: by a clinician on our own page, and by an EHR that announces one.

https://hl7.org/fhir/smart-app-launch/app-launch.html#launch-app-ehr-launch
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from joserfc.jwk import ECKey

from fhir_server.smart import launch, tokens
from fhir_server.smart.clients import Client
from fhir_server.smart.codes import Approval
from fhir_server.smart.terms import Terms
from tests.smart.site import BACK, Site, answered, patient
from tests.smart.test_consent import token
from tests.smart.visitor import SITE, Page, Visitor

SCOPE = "launch patient/Observation.rs"
JWKS = {"keys": [ECKey.generate_key("P-384", {"kid": "1", "use": "sig"}).as_dict(private=False)]}
EHR = Client("ehr", "EHR", "confidential-asymmetric", "system/*.cruds", jwks=JWKS, launches=True)
SYSTEM = Client("system", "System", "confidential-asymmetric", "system/*.cruds", jwks=JWKS)
CONTEXT: dict[str, Any] = {
    "patient": "p1",
    "need_patient_banner": False,
    "intent": "reconcile-medications",
    "smart_style_url": "https://ehr.example.org/style.json",
    "tenant": "ward-3",
    "fhirContext": [
        {"reference": "ImagingStudy/1"},
        {"canonical": "https://example.org/q", "type": "Questionnaire"},
    ],
}


def opened(visitor: Visitor, patient: str = "p1", client: str = "growth") -> dict[str, str]:
    """The parameters that the application is opened with."""
    page = visitor.get("/auth/launch")
    page = visitor.post(
        "/auth/launch", {**dict(page.forms[0].fields), "do": "open", "patient": patient, "client": client}
    )
    assert page.location.startswith("https://app.example.org/launch?")
    return page.said


def allowed(visitor: Visitor, page: Page) -> dict[str, Any]:
    return token(visitor, visitor.post("/auth/consent", answered(page.form("consent"), "0.see", "1.see")))


class TestLauncher:
    @pytest.fixture
    def visitor(self, site: Site) -> Visitor:
        visitor = site.visitor()
        visitor.sign_in(visitor.get("/auth/sign-in"), "anne")
        return visitor

    def test_a_clinician_opens_an_application_for_a_patient(self, either_site: Site) -> None:
        visitor = either_site.visitor()
        visitor.sign_in(visitor.get("/auth/sign-in"), "anne")
        page = visitor.send(visitor.get("/auth/launch"), "launch", name="Kari", born="", do="search")
        (form,) = [form for form in page.forms if ("patient", "p1") in form.buttons]
        page = visitor.post("/auth/launch", [*form.fields, ("patient", "p1")])
        assert "The app will open for Kari Nordmann" in page.text
        (form,) = [form for form in page.forms if ("client", "growth") in form.buttons]
        page = visitor.post("/auth/launch", [*form.fields, ("client", "growth")])
        assert page.said["iss"] == f"{SITE}/fhir"
        page = either_site.authorize(visitor, scope=SCOPE, launch=page.said["launch"])
        assert "In the record of Kari Nordmann" in page.text  # and nobody is asked for a patient
        answer = allowed(visitor, page)
        assert (answer["patient"], answer["need_patient_banner"]) == ("p1", True)
        assert answer["scope"] == SCOPE

    def test_without_a_patient(self, site: Site, visitor: Visitor) -> None:
        said = opened(visitor, patient="")
        page = site.authorize(visitor, scope="launch user/Observation.rs", launch=said["launch"])
        assert "patient" not in allowed(visitor, page)

    def test_an_application_that_needs_one_asks_then(self, site: Site, visitor: Visitor) -> None:
        page = site.authorize(visitor, scope=SCOPE, launch=opened(visitor, patient="")["launch"])
        assert page.form("patient")

    def test_the_launch_is_for_one_authorization(self, site: Site, visitor: Visitor) -> None:
        said = opened(visitor)
        first = site.authorize(visitor, scope=SCOPE, launch=said["launch"])
        second = site.authorize(visitor, scope=SCOPE, launch=said["launch"])
        assert allowed(visitor, first)["patient"] == "p1"
        again = visitor.post("/auth/consent", answered(second.form("consent"), "1.see"))
        assert again.said["error"] == "invalid_request"
        assert site.authorize(visitor, scope=SCOPE, launch=said["launch"]).said["error"] == "invalid_request"

    @pytest.mark.parametrize("given", ["unknown", "x" * 4000, "<b>"])
    def test_a_launch_that_never_was(self, site: Site, visitor: Visitor, given: str) -> None:
        page = site.authorize(visitor, scope=SCOPE, launch=given)
        assert (page.said["error"], page.said["state"]) == ("invalid_request", "state-of-the-app")

    def test_one_that_has_run_out(self, site: Site, visitor: Visitor) -> None:
        said = opened(visitor)
        site.clock.later(minutes=11)
        assert site.authorize(visitor, scope=SCOPE, launch=said["launch"]).said["error"] == "invalid_request"

    def test_one_of_another_application(self, site: Site, visitor: Visitor) -> None:
        site.register(Client("other", "Other", "public", SCOPE, (BACK,), "https://app.example.org/launch"))
        said = opened(visitor, client="other")
        assert site.authorize(visitor, scope=SCOPE, launch=said["launch"]).said["error"] == "invalid_request"

    def test_one_of_another_user(self, site: Site, visitor: Visitor) -> None:
        said, other = opened(visitor), site.visitor()
        page = site.consent(other, "bjorn", scope=SCOPE, launch=said["launch"])
        assert page.said["error"] == "access_denied"

    @pytest.mark.parametrize("username", ["kari", "randi", "admin"])
    def test_it_is_for_clinicians(self, site: Site, username: str) -> None:
        visitor = site.visitor()
        visitor.sign_in(visitor.get("/auth/sign-in"), username)
        page = visitor.get("/auth/launch")
        assert (page.status, len(page.forms)) == (403, 1)
        mark = page.form("sign-out").value("token")
        assert (
            visitor.post("/auth/launch", {"token": mark, "client": "growth", "patient": "p1"}).status == 403
        )

    @pytest.mark.parametrize("id", ["p3", "nobody", "x y"])
    def test_nobody_is_opened_whom_they_may_not_see(self, site: Site, visitor: Visitor, id: str) -> None:
        other = {
            **patient("p3", "Siri", "Nordmann"),
            "generalPractitioner": [{"reference": "Practitioner/d9"}],
        }
        site.put({"resourceType": "Practitioner", "id": "d9"}, other)
        page = visitor.get("/auth/launch")
        page = visitor.send(page, "launch", patient=id, client="growth")
        assert (page.status, page.location) == (400, "")

    def test_applications_without_a_launch_url_are_not_there(self, site: Site, visitor: Visitor) -> None:
        page = visitor.send(visitor.get("/auth/launch"), "launch", patient="p1")
        assert "Growth charts" in page.text
        assert "Phone app" not in page.text
        page = visitor.send(page, "launch", patient="p1", client="phone")
        assert page.location == ""


class TestEhr:
    """POST /auth/launch/context"""

    @pytest.fixture
    def site(self, calm: Site) -> Site:
        return calm

    @pytest.fixture
    def visitor(self, site: Site) -> Visitor:
        site.register(EHR, SYSTEM)
        return site.visitor()

    def bearer(self, site: Site, client: str = "ehr", scope: str = "system/*.cruds") -> str:
        approval = Approval(
            client, scope, f"{SITE}/fhir", client, "system", None, (), site.clock.microseconds
        )
        now = site.clock.microseconds
        issued = site.transact(lambda tx: tokens.begin(tx, tokens.new_family(), approval, Terms(), now))
        return f"Bearer {issued.access}"

    def announce(self, site: Site, visitor: Visitor, body: Any, **headers: str) -> httpx.Response:
        sent = {"authorization": self.bearer(site), "content-type": "application/json", **headers}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return visitor.request("POST", "/auth/launch/context", content=content, headers=sent)

    def test_the_application_is_told_what_the_ehr_said(self, site: Site, visitor: Visitor) -> None:
        answer = self.announce(site, visitor, {"client_id": "growth", "context": CONTEXT})
        assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
        said = answer.json()
        assert said["expires_in"] == 600
        assert dict(parse_qsl(urlsplit(said["url"]).query)) == {
            "iss": f"{SITE}/fhir",
            "launch": said["launch"],
        }
        page = site.consent(visitor, "anne", scope=SCOPE, launch=said["launch"])
        answer = allowed(visitor, page)
        assert {name: answer[name] for name in CONTEXT} == CONTEXT

    def test_a_launch_for_one_person_is_for_no_other(self, site: Site, visitor: Visitor) -> None:
        said = self.announce(site, visitor, {"client_id": "growth", "subject": "somebody"}).json()
        page = site.consent(visitor, "anne", scope="launch user/Goal.rs", launch=said["launch"])
        assert page.said["error"] == "access_denied"

    def test_a_patient_who_is_another_is_refused(self, site: Site, visitor: Visitor) -> None:
        said = self.announce(site, visitor, {"client_id": "growth", "context": {"patient": "p2"}}).json()
        page = site.consent(visitor, "kari", scope=SCOPE, launch=said["launch"])
        assert page.said["error"] == "access_denied"

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            (b"", "JSON"),
            (b"\xff", "JSON"),
            (b"[" * 100_000, "too large"),
            ([], "object"),
            ({}, "client_id"),
            ({"client_id": 1}, "client_id"),
            ({"client_id": "unknown"}, "client_id"),
            ({"client_id": "phone"}, "launch URL"),
            ({"client_id": "growth", "user": "x"}, "object with"),
            ({"client_id": "growth", "subject": "a b"}, "subject"),
            ({"client_id": "growth", "context": []}, "object"),
            ({"client_id": "growth", "context": {"patient": "Patient/p1"}}, "patient must be the id"),
            ({"client_id": "growth", "context": {"patient": "nobody"}}, "no such Patient"),
            ({"client_id": "growth", "context": {"encounter": "none"}}, "no such Encounter"),
            ({"client_id": "growth", "context": {"scope": "x"}}, "nothing else"),
            ({"client_id": "growth", "context": {"access_token": "x"}}, "nothing else"),
            ({"client_id": "growth", "context": {"need_patient_banner": "no"}}, "true or false"),
            ({"client_id": "growth", "context": {"intent": ""}}, "intent"),
            ({"client_id": "growth", "context": {"smart_style_url": "http://x"}}, "https"),
            ({"client_id": "growth", "context": {"fhirContext": []}}, "list"),
            ({"client_id": "growth", "context": {"fhirContext": ["Task/1"]}}, "objects"),
            ({"client_id": "growth", "context": {"fhirContext": [{"role": "x"}]}}, "needs a reference"),
            (
                {"client_id": "growth", "context": {"fhirContext": [{"reference": "http://x/Task/1"}]}},
                "Type/id",
            ),
            (
                {"client_id": "growth", "context": {"fhirContext": [{"reference": "Patient/1"}]}},
                "own parameters",
            ),
        ],
    )
    def test_what_is_wrong_is_said(self, site: Site, visitor: Visitor, body: Any, why: str) -> None:
        answer = self.announce(site, visitor, body)
        assert answer.status_code in (400, 413)
        assert answer.json()["error"] == "invalid_request"
        assert why in answer.json()["error_description"]

    def test_without_a_token(self, site: Site, visitor: Visitor) -> None:
        for authorization in ("", "Bearer unknown", "Basic eDp5"):
            answer = self.announce(site, visitor, {"client_id": "growth"}, authorization=authorization)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer ")

    def test_of_a_system_that_is_no_ehr(self, site: Site, visitor: Visitor) -> None:
        headers = {"authorization": self.bearer(site, "system")}
        answer = self.announce(site, visitor, {"client_id": "growth"}, **headers)
        assert (answer.status_code, answer.json()["error"]) == (403, "access_denied")

    def test_of_an_ehr_that_may_not_see_the_patient(self, site: Site, visitor: Visitor) -> None:
        headers = {"authorization": self.bearer(site, scope="system/Observation.rs")}
        answer = self.announce(
            site, visitor, {"client_id": "growth", "context": {"patient": "p1"}}, **headers
        )
        assert answer.status_code in (400, 403)

    def test_a_user_is_no_ehr(self, site: Site, visitor: Visitor) -> None:
        site.register(Client("ehr-ui", "UI", "public", "user/*.rs", (BACK,), launches=True))
        page = site.consent(visitor, "anne", client_id="ehr-ui", scope="user/Patient.rs")
        given = token(
            visitor, visitor.post("/auth/consent", answered(page.form("consent"), "0.see")), "ehr-ui"
        )
        headers = {"authorization": f"Bearer {given['access_token']}"}
        assert self.announce(site, visitor, {"client_id": "growth"}, **headers).status_code == 403


def test_a_launch_url_with_a_query_keeps_it() -> None:
    assert launch.url("https://a.example/l?x=1", "https://b.example/fhir", "t") == (
        "https://a.example/l?x=1&iss=https%3A%2F%2Fb.example%2Ffhir&launch=t"
    )
