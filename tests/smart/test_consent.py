"""Consent: what is asked in which words, what is left when something is unticked, and what comes of it.

https://hl7.org/fhir/smart-app-launch/app-launch.html, https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from fhir_server.smart import scopes
from fhir_server.smart.clients import Client
from fhir_server.smart.pages.scope_rows import chosen, gives_something, rows
from fhir_server.smart.pages.words import Words
from tests.smart.site import BACK, Site, answered, asked, patient
from tests.smart.visitor import SITE, VERIFIER, Page, Visitor

STATE = "state-of-the-app"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def token(visitor: Visitor, page: Page, client: str = "growth", **more: str) -> dict[str, Any]:
    """The answer of the token endpoint to the code that a page led to."""
    form = {
        "grant_type": "authorization_code",
        "code": page.said["code"],
        "redirect_uri": BACK,
        "client_id": client,
        "code_verifier": VERIFIER,
        **more,
    }
    answer: dict[str, Any] = json.loads(visitor.post("/auth/token", form).answer.content)
    return answer


def tick(visitor: Visitor, page: Page, *boxes: str, **more: str) -> Page:
    return visitor.post("/auth/consent", answered(page.form("consent"), *boxes, **more))


class TestRows:
    """A scope in the words of the page, and what unticking leaves of it."""

    @pytest.mark.parametrize(
        ("scope", "said"),
        [
            ("patient/Observation.rs", ["See readings and observations"]),
            ("patient/Observation.read", ["See readings and observations"]),
            ("patient/Observation.s", ["Search readings and observations"]),
            ("patient/Observation.c", ["Add readings and observations"]),
            ("patient/CarePlan.cud", ["Add, change and delete care plans"]),
            ("patient/CarePlan.write", ["Add, change and delete care plans"]),
            ("patient/CarePlan.cruds", ["See care plans", "Add, change and delete care plans"]),
            ("user/*.rs", ["See all information"]),
            ("user/Basic.rs", ["See information of type Basic"]),
            ("openid", ["Know who you are"]),
            ("fhirUser openid profile", ["Know who you are"]),
            ("offline_access", ["Keep the access when you are not using the app"]),
            ("online_access", ["Keep the access for as long as you are signed in"]),
            ("launch launch/patient", []),
        ],
    )
    def test_words(self, scope: str, said: list[str]) -> None:
        assert [row.text for row in rows(scopes.parse(scope), Words("en"))] == said

    def test_a_restriction_is_said(self) -> None:
        scope = f"patient/Observation.rs?category={CATEGORY}|vital-signs&status=final"
        (row,) = rows(scopes.parse(scope), Words("en"))
        assert row.more == "only where category = vital signs and status = final"

    @pytest.mark.parametrize(
        ("asked", "ticked", "left"),
        [
            ("patient/CarePlan.cruds", ["0.see", "0.do"], "patient/CarePlan.cruds"),
            ("patient/CarePlan.cruds", ["0.see"], "patient/CarePlan.rs"),
            ("patient/CarePlan.cruds", ["0.do"], "patient/CarePlan.cud"),
            ("patient/CarePlan.*", ["0.see"], "patient/CarePlan.read"),
            ("patient/CarePlan.*", ["0.do"], "patient/CarePlan.write"),
            ("patient/CarePlan.*", ["0.see", "0.do"], "patient/CarePlan.*"),
            ("patient/CarePlan.read", ["0.see"], "patient/CarePlan.read"),
            ("patient/CarePlan.read", ["0.do"], ""),
            ("patient/CarePlan.rs patient/Goal.rs", ["1.see"], "patient/Goal.rs"),
            (
                "patient/Goal.crs?lifecycle-status=active",
                ["0.see"],
                "patient/Goal.rs?lifecycle-status=active",
            ),
            ("openid fhirUser offline_access", ["identity"], "openid fhirUser"),
            ("openid fhirUser offline_access", ["offline_access"], "offline_access"),
            ("launch/patient patient/Goal.rs", [], "launch/patient"),
            ("patient/Goal.rs", ["7.see", "0.x", "patient/Goal.rs", "*"], ""),
        ],
    )
    def test_what_is_left(self, asked: str, ticked: list[str], left: str) -> None:
        assert scopes.printed(chosen(scopes.parse(asked), ticked)) == left

    def test_what_is_left_is_never_more_than_was_asked(self) -> None:
        asked = scopes.parse("patient/Goal.r user/Task.s openid")
        ticked = [f"{number}.{half}" for number in range(9) for half in ("see", "do")] + [
            "identity",
            "offline_access",
        ]
        assert chosen(asked, ticked) == asked

    def test_context_alone_gives_nothing(self) -> None:
        assert not gives_something(scopes.parse("launch/patient offline_access"))
        assert gives_something(scopes.parse("openid"))


def test_on_either_store_a_patient_gives_access_to_their_own_record(either_site: Site) -> None:
    visitor = either_site.visitor()
    page = either_site.consent(visitor, "kari")
    assert "In your own record" in page.text
    page = tick(visitor, page, "1.see", "identity")
    assert page.location.startswith(f"{BACK}?")
    assert sorted(page.said) == ["code", "iss", "state"]
    assert (page.said["state"], page.said["iss"]) == (STATE, SITE)
    answer = token(visitor, page)
    assert answer["scope"] == "launch/patient patient/Observation.rs openid fhirUser"
    assert answer["patient"] == "p1"
    assert answer["id_token"]


def test_what_was_unticked_is_not_in_the_token(site: Site) -> None:
    visitor = site.visitor()
    page = site.consent(
        visitor, scope="launch/patient patient/Goal.cruds patient/Task.rs openid offline_access"
    )
    answer = token(visitor, tick(visitor, page, "1.see"))
    assert answer["scope"] == "launch/patient patient/Goal.rs"
    assert "id_token" not in answer
    assert "refresh_token" not in answer


def test_nothing_is_granted_that_was_not_asked_or_is_not_registered(site: Site) -> None:
    site.register(Client("small", "Small", "public", "patient/Goal.rs openid", (BACK,)))
    visitor = site.visitor()
    page = site.consent(visitor, client_id="small", scope="patient/*.cruds user/*.rs system/*.rs openid")
    assert [box for box in page.form("consent").boxes if box != "yes"] == ["0.see", "identity"]
    page = tick(visitor, page, "0.see", "0.do", "1.see", "1.do", "2.see", "identity", "offline_access")
    assert token(visitor, page, "small")["scope"] == "patient/Goal.rs openid"


class TestRefused:
    def test_denied(self, site: Site) -> None:
        visitor = site.visitor()
        page = tick(visitor, site.consent(visitor), "1.see", "identity", decision="deny")
        assert page.location.startswith(f"{BACK}?")
        assert (page.said["error"], page.said["state"], page.said["iss"]) == ("access_denied", STATE, SITE)
        assert "code" not in page.said

    def test_nothing_ticked(self, site: Site) -> None:
        visitor = site.visitor()
        assert tick(visitor, site.consent(visitor)).said["error"] == "access_denied"

    def test_no_decision(self, site: Site) -> None:
        visitor = site.visitor()
        page = tick(visitor, site.consent(visitor), "1.see", decision="")
        assert page.said["error"] == "access_denied"

    @pytest.mark.parametrize("decision", ["allow", "deny"])
    def test_a_form_that_is_sent_again(self, site: Site, decision: str) -> None:
        visitor = site.visitor()
        page = site.consent(visitor)
        assert tick(visitor, page, "1.see", decision=decision).said["state"] == STATE
        again = tick(visitor, page, "1.see")
        assert (again.status, again.location) == (410, "")

    def test_two_that_are_sent_at_the_same_time_give_one_code(self, either_site: Site) -> None:
        import asyncio

        site, visitor = either_site, either_site.visitor()
        form = answered(site.consent(visitor).form("consent"), "1.see")

        async def both() -> list[Any]:
            data = dict(form)
            post = visitor._http.post
            return await asyncio.gather(*(post("/auth/consent", data=data) for _ in range(4)))

        answers = site.runner.run(both())
        assert sorted(answer.status_code for answer in answers) == [303, 410, 410, 410]

    def test_the_mark_of_another_request(self, site: Site) -> None:
        visitor = site.visitor()
        one, other = site.consent(visitor), site.authorize(visitor, scope="patient/*.cruds")
        form = one.form("consent")
        data = [*answered(other.form("consent"), "0.see", token=form.value("token"))]
        assert visitor.post("/auth/consent", data).status == 403

    def test_a_request_of_another_user(self, site: Site) -> None:
        visitor, other = site.visitor(), site.visitor()
        name = site.consent(visitor, "kari").form("consent").value("request")
        site.consent(other, "anne", scope="user/Observation.rs")
        page = other.get(f"/auth/consent?request={name}")
        assert (page.status, page.forms[:1] == [], page.location) == (403, False, "")
        assert "Another user began this request" in page.text
        assert not [form for form in page.forms if form.action == "consent"]

    def test_whoever_signs_in_afterwards_in_the_same_browser(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.consent(visitor, "kari")
        visitor.sign_in(visitor.get("/auth/sign-in"), "anne")
        assert tick(visitor, page, "1.see").status == 403

    def test_a_request_that_never_was(self, site: Site) -> None:
        visitor = site.visitor()
        site.consent(visitor)
        for name in ("", "x", "x" * 5000, "\x00", "%"):
            assert visitor.get("/auth/consent", params={"request": name}).status == 410

    def test_a_client_that_was_removed_meanwhile(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.consent(visitor)
        site.transact(lambda tx: tx.forget("client", "growth"))
        assert tick(visitor, page, "1.see").status == 410

    def test_a_patient_whose_record_is_not_here(self, site: Site) -> None:
        site.add("nora", name="Nora", role="patient", fhir_user="Patient/nowhere")
        page = site.consent(site.visitor(), "nora", scope="patient/Observation.rs")
        assert page.said["error"] == "invalid_scope"


class TestNamesAreNoMarkup:
    """Names come from whoever registers an application or writes a Patient."""

    @pytest.fixture
    def site(self, calm: Site) -> Site:
        return calm

    NAME = "<script>alert(1)</script><b onclick=x>\"'&\u202egro.elpmaxe"

    def test_of_an_app(self, site: Site) -> None:
        site.register(Client("evil", self.NAME, "public", "patient/*.rs openid", (BACK,), BACK))
        visitor = site.visitor()
        page = site.consent(visitor, client_id="evil", scope="patient/*.rs openid")
        assert "Give <script>alert(1)</script><b onclick=x>\"'&gro.elpmaxe access?" in page.text
        tick(visitor, page, "0.see")
        assert "<script>" in visitor.get("/auth/apps").text

    def test_of_a_patient(self, site: Site) -> None:
        site.put(patient("p9", "Eva", self.NAME))
        visitor = site.visitor()
        page = site.consent(visitor, "anne")
        page = visitor.send(page, "patient", name="Eva", do="search")
        assert "<script>alert(1)</script>" in page.text
        page = visitor.send(page, "patient", patient="p9")
        assert "<script>alert(1)</script>" in page.text

    def test_of_a_user(self, site: Site) -> None:
        site.add("eve", name=self.NAME, role="practitioner", fhir_user="Practitioner/d1")
        visitor = site.visitor()
        visitor.sign_in(visitor.get("/auth/sign-in"), "eve")
        assert "Signed in as <script>" in visitor.get("/auth/home").text

    def test_of_what_was_typed(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.consent(visitor, "anne")
        page = visitor.send(page, "patient", name=self.NAME, born=self.NAME[:20], do="search")
        assert page.form("patient").value("name").startswith("<script>alert(1)</script>")

    def test_of_a_scope(self, site: Site) -> None:
        page = site.consent(site.visitor(), scope="patient/Observation.rs?code=<b>x</b>")
        assert "only where code = <b>x</b>" in page.text


class TestRemembered:
    def test_who_wants_to_is_not_asked_again(self, site: Site) -> None:
        visitor = site.visitor()
        page = tick(visitor, site.consent(visitor), "1.see", remember="yes")
        assert page.said["code"]
        page = site.authorize(visitor)
        assert page.said["code"]
        assert token(visitor, page)["scope"] == "launch/patient patient/Observation.rs"

    def test_others_are(self, site: Site) -> None:
        visitor = site.visitor()
        tick(visitor, site.consent(visitor), "1.see")
        assert "Give Growth charts access" in site.authorize(visitor).text

    @pytest.mark.parametrize(
        "changes", [{"scope": "launch/patient patient/*.rs openid fhirUser"}, {"prompt": "consent"}]
    )
    def test_who_is_asked_for_something_else_is(self, site: Site, changes: dict[str, str]) -> None:
        visitor = site.visitor()
        tick(visitor, site.consent(visitor), "1.see", remember="yes")
        assert "Give Growth charts access" in site.authorize(visitor, **changes).text

    def test_another_person_is(self, site: Site) -> None:
        visitor = site.visitor()
        tick(visitor, site.consent(visitor, scope="user/Goal.rs"), "0.see", remember="yes")
        visitor.sign_in(visitor.get("/auth/sign-in"), "bjorn")
        assert "Give Growth charts access" in site.authorize(visitor, scope="user/Goal.rs").text

    def test_an_app_whose_address_others_could_take_always_asks(self, site: Site) -> None:
        """https://www.rfc-editor.org/rfc/rfc8252#section-8.6"""
        visitor = site.visitor()
        phone = {"client_id": "phone", "redirect_uri": "org.example.phone:/back", "scope": "patient/Goal.rs"}
        page = site.consent(visitor, **phone)
        assert "yes" not in page.form("consent").boxes
        assert tick(visitor, page, "0.see", remember="yes").location.startswith(
            "org.example.phone:/back?code="
        )
        assert "Give Phone app access" in site.authorize(visitor, **phone).text

    def test_it_is_forgotten_after_a_year(self, site: Site) -> None:
        visitor = site.visitor()
        tick(visitor, site.consent(visitor), "1.see", remember="yes")
        site.clock.later(days=366)
        assert "Give Growth charts access" in site.consent(visitor).text


class TestApps:
    def test_show_what_was_given(self, site: Site) -> None:
        visitor = site.visitor()
        assert visitor.sign_in(visitor.get("/auth/sign-in"), "kari").status == 200
        assert "No app has access" in visitor.get("/auth/apps").text
        tick(visitor, site.authorize(visitor), "1.see", remember="yes")
        page = visitor.get("/auth/apps")
        for said in (
            "Growth charts",
            "See readings and observations",
            "2026-11-22",
            "You will not be asked again",
        ):
            assert said in page.text
        assert "Know who you are" not in page.text

    def test_taking_it_back_ends_tokens_and_what_was_remembered(self, site: Site) -> None:
        visitor, other = site.visitor(), site.visitor()
        scope = "patient/Observation.rs offline_access"
        page = tick(visitor, site.consent(visitor, scope=scope), "0.see", "offline_access", remember="yes")
        answer = token(visitor, page)
        randi = token(other, tick(other, site.consent(other, "randi", scope=scope), "0.see"))
        page = visitor.send(visitor.get("/auth/apps"), "apps")
        assert "The access has been taken back" in page.text
        assert "No app has access" in page.text
        for given, status in ((answer, 401), (randi, 200)):
            headers = {"authorization": f"Bearer {given['access_token']}"}
            assert (
                visitor.request("GET", "/fhir/Observation?patient=p1", headers=headers).status_code == status
            )
        form = {
            "grant_type": "refresh_token",
            "refresh_token": answer["refresh_token"],
            "client_id": "growth",
        }
        assert json.loads(visitor.post("/auth/token", form).answer.content)["error"] == "invalid_grant"
        assert "Give Growth charts access" in site.authorize(visitor, scope=scope).text

    def test_taking_it_back_before_the_code_is_used(self, either_site: Site) -> None:
        visitor, other = either_site.visitor(), either_site.visitor()
        page = tick(visitor, either_site.consent(visitor), "1.see")
        theirs = tick(other, either_site.consent(other, "randi"), "1.see")
        visitor.send(visitor.get("/auth/apps"), "apps")
        assert token(visitor, page)["error"] == "invalid_grant"
        assert token(other, theirs)["patient"] == "p1"

    def test_nobody_sees_or_ends_what_others_gave(self, site: Site) -> None:
        visitor, other = site.visitor(), site.visitor()
        answer = token(visitor, tick(visitor, site.consent(visitor), "1.see"))
        page = other.sign_in(other.get("/auth/sign-in"), "anne")
        page = other.get("/auth/apps")
        assert "No app has access" in page.text
        mark = other.get("/auth/home")
        other.post("/auth/apps", {"client": "growth", "token": mark.form("sign-out").value("token")})
        headers = {"authorization": f"Bearer {answer['access_token']}"}
        assert visitor.request("GET", "/fhir/Observation?patient=p1", headers=headers).status_code == 200


def test_where_the_form_may_lead_is_only_the_app(site: Site) -> None:
    page = site.consent(site.visitor())
    policy = page.answer.headers["content-security-policy"]
    assert "form-action 'self' https://app.example.org;" in policy
    page = site.consent(site.visitor(), client_id="phone", redirect_uri="org.example.phone:/back")
    assert "form-action 'self' org.example.phone:;" in page.answer.headers["content-security-policy"]


def test_parameters_are_asked_of_the_request_not_of_the_form(site: Site) -> None:
    visitor = site.visitor()
    form = answered(site.consent(visitor).form("consent"), "1.see")
    page = visitor.post("/auth/consent", [*form, *asked(redirect_uri="https://evil.example").items()])
    assert page.location.startswith(f"{BACK}?")
