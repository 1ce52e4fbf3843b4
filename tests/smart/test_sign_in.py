"""Sign-in, sessions, passwords and sign-out, as a browser and as somebody who has none of our cookies sees them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from fhir_server import log
from tests.smart.site import PEOPLE, Site, answered
from tests.smart.visitor import Page, Visitor

SESSION, VISIT = "__Host-varde-session", "__Host-varde-visit"
WRONG = "The username or the password is wrong."


def signed_in(site: Site, username: str = "anne", address: str = "192.0.2.7") -> Visitor:
    visitor = site.visitor(address)
    page = visitor.sign_in(visitor.get("/auth/sign-in"), username)
    assert PEOPLE.get(username, {"name": ""})["name"] in page.text
    assert page.form("sign-out")
    return visitor


def is_signed_in(visitor: Visitor) -> bool:
    return "Signed in as" in visitor.get("/auth/home").text


def test_on_either_store_somebody_signs_in_and_out(either_site: Site) -> None:
    visitor = signed_in(either_site)
    page = visitor.get("/auth/home")
    assert "Signed in as Anne Lege" in page.text
    secret = visitor.cookies[SESSION]
    assert "You are signed out" in visitor.send(page, "sign-out").text
    assert SESSION not in visitor.cookies
    visitor.plant(SESSION, secret)
    assert not is_signed_in(visitor)


def test_an_unknown_user_and_a_wrong_password_get_the_same_answer(site: Site) -> None:
    answers = []
    for username, password in (
        ("anne", "wrong"),
        ("nobody", "wrong"),
        ("anne", ""),
        ("x" * 2000, "y" * 2000),
    ):
        visitor = site.visitor()
        page = visitor.sign_in(visitor.get("/auth/sign-in"), username, password or " ")
        assert (page.status, SESSION in visitor.cookies) == (401, False)
        body = re.sub(r'value="[^"]*"', "", page.answer.text)
        answers.append((body, sorted(page.answer.headers)))
        assert WRONG in page.text
    assert all(answer == answers[0] for answer in answers)


def test_the_password_does_not_come_back(site: Site) -> None:
    visitor = site.visitor()
    page = visitor.sign_in(visitor.get("/auth/sign-in"), "anne", "a secret attempt")
    assert "a secret attempt" not in page.answer.text
    assert page.form("sign-in").value("username") == "anne"


class TestSession:
    def test_cookies_are_for_this_site_alone_and_no_script_sees_them(self, site: Site) -> None:
        visitor = site.visitor()
        form = visitor.get("/auth/sign-in").form("sign-in")
        data = {"token": form.value("token"), "username": "anne", "password": "anne has a password"}
        answer = visitor.request("POST", "/auth/sign-in", data=data)
        cookie = next(line for line in answer.headers.get_list("set-cookie") if line.startswith(SESSION))
        said = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert said == {"httponly", "path=/", "samesite=lax", "secure"}

    def test_each_sign_in_has_a_new_one_whatever_the_browser_brought(self, site: Site) -> None:
        visitor = site.visitor()
        visitor.plant(SESSION, "planted-by-somebody-else")
        visitor.sign_in(visitor.get("/auth/sign-in"), "anne")
        assert visitor.cookies[SESSION] != "planted-by-somebody-else"
        first = visitor.cookies[SESSION]
        visitor.sign_in(visitor.get("/auth/sign-in"), "anne")
        assert visitor.cookies[SESSION] != first
        other = site.visitor()
        other.plant(SESSION, first)
        assert not is_signed_in(other)
        other.plant(SESSION, "planted-by-somebody-else")
        assert not is_signed_in(other)

    def test_ends_when_nobody_uses_it(self, site: Site) -> None:
        visitor = signed_in(site)
        site.clock.later(minutes=29)
        assert is_signed_in(visitor)
        site.clock.later(minutes=29)
        assert is_signed_in(visitor)
        site.clock.later(minutes=31)
        assert not is_signed_in(visitor)
        assert SESSION not in visitor.cookies

    def test_ends_after_twelve_hours_in_any_case(self, site: Site) -> None:
        visitor = signed_in(site)
        for _ in range(35):
            site.clock.later(minutes=20)
            assert is_signed_in(visitor)
        site.clock.later(minutes=21)
        assert not is_signed_in(visitor)

    def test_a_form_of_a_session_that_ended_leads_to_sign_in_and_on(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.consent(visitor, "kari", scope="user/Observation.rs openid")
        visitor.send(visitor.get("/auth/home"), "sign-out")  # in another tab
        page = visitor.post("/auth/consent", answered(page.form("consent"), "0.see"))
        page = visitor.sign_in(page, "kari")
        assert "Give Growth charts access" in page.text

    def test_a_form_without_a_request_of_an_expired_session_does_nothing(self, site: Site) -> None:
        visitor = signed_in(site)
        page = visitor.get("/auth/apps")
        site.clock.later(minutes=31)
        assert visitor.send(page, "sign-out").status == 403

    def test_an_expired_request_is_gone(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.authorize(visitor)
        site.clock.later(minutes=16)
        page = visitor.sign_in(page, "kari")
        assert page.status == 410
        assert "Start again in the app" in page.text


class TestForged:
    """https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html"""

    @pytest.fixture
    def site(self, calm: Site) -> Site:
        return calm

    FORMS = {
        "sign-in": {"username": "anne", "password": "anne has a password"},
        "sign-out": {},
        "password": {"current": "anne has a password", "new": "x" * 12, "repeat": "x" * 12},
        "launch": {"client": "growth"},
        "apps": {"client": "growth"},
        "patient": {"patient": "p1"},
        "encounter": {"encounter": "-"},
        "consent": {"decision": "allow"},
    }

    @pytest.mark.parametrize("action", list(FORMS))
    @pytest.mark.parametrize("token", [None, "", "0" * 64, "æ", "other-form", "other-browser"])
    def test_refused(self, site: Site, action: str, token: str | None) -> None:
        visitor = signed_in(site)
        if token == "other-form":
            token = visitor.get("/auth/home").form("sign-out").value("token")
            if action == "sign-out":
                token = visitor.get("/auth/password").form("password").value("token")
        if token == "other-browser":
            other = signed_in(site)
            page = other.get(f"/auth/{action}")
            token = next((form.value("token") for form in page.forms if form.action == action), "x")
        data = dict(self.FORMS[action]) | ({} if token is None else {"token": token})
        page = visitor.post(f"/auth/{action}", data)
        assert (page.status, page.location) == (403, "")
        assert is_signed_in(visitor)

    def test_sign_in_needs_the_browser_that_got_the_form(self, site: Site) -> None:
        token = site.visitor().get("/auth/sign-in").form("sign-in").value("token")
        visitor = site.visitor()
        data = {"token": token, "username": "anne", "password": "anne has a password"}
        assert visitor.post("/auth/sign-in", data).status == 403
        assert SESSION not in visitor.cookies

    def test_without_any_cookie(self, site: Site) -> None:
        visitor = site.visitor()
        token = visitor.get("/auth/sign-in").form("sign-in").value("token")
        visitor.plant(VISIT, "")
        data = {"token": token, "username": "anne", "password": "anne has a password"}
        assert visitor.post("/auth/sign-in", data).status == 403


class TestLockOut:
    def try_(self, visitor: Visitor, username: str, password: str = "wrong") -> Page:
        return visitor.sign_in(visitor.get("/auth/sign-in"), username, password)

    @pytest.mark.parametrize("username", ["anne", "nobody"])
    def test_after_many_tries_the_right_password_has_to_wait_too(self, site: Site, username: str) -> None:
        visitor = site.visitor()
        for _ in range(5):
            assert self.try_(visitor, username).status == 401
        self.try_(visitor, username)
        page = self.try_(visitor, username, f"{username} has a password")
        assert page.status == 429
        assert int(page.answer.headers["retry-after"]) > 0
        assert "Wait 1 minute" in page.text
        assert SESSION not in visitor.cookies

    def test_the_wait_ends_and_others_do_not_wait(self, site: Site) -> None:
        visitor = site.visitor()
        for _ in range(7):
            self.try_(visitor, "anne")
        assert is_signed_in(signed_in(site, "bjorn"))
        assert is_signed_in(signed_in(site, "anne", "198.51.100.9"))
        site.clock.later(minutes=20)
        assert is_signed_in(signed_in(site, "anne"))

    def test_a_name_that_is_written_otherwise_is_no_other(self, site: Site) -> None:
        visitor = site.visitor()
        for username in ("anne", "ANNE", " Anne", "anne ", "aNNe", "ann\uff45"):
            self.try_(visitor, username)
        assert self.try_(visitor, "anne", "anne has a password").status == 429


class TestPassword:
    NEW = "a password of my own"

    @pytest.fixture
    def fresh(self, site: Site) -> Iterator[Visitor]:
        site.add("fresh", name="Fresh", role="practitioner", fhir_user="Practitioner/d1", temporary=True)
        yield site.visitor()

    def change(self, visitor: Visitor, page: Page, current: str, new: str, repeat: str | None = None) -> Page:
        return visitor.send(
            page, "password", current=current, new=new, repeat=new if repeat is None else repeat
        )

    def test_one_that_somebody_else_chose_has_to_be_changed_first(self, site: Site, fresh: Visitor) -> None:
        page = fresh.sign_in(site.authorize(fresh, scope="user/Observation.rs"), "fresh")
        assert "Somebody else set your password" in page.text
        for elsewhere in ("home", "apps", "launch"):
            assert "Somebody else set your password" in fresh.get(f"/auth/{elsewhere}").text
        page = self.change(fresh, page, "fresh has a password", self.NEW)
        assert "Give Growth charts access" in page.text

    def test_a_request_cannot_go_round_it(self, site: Site, fresh: Visitor) -> None:
        page = fresh.sign_in(site.authorize(fresh, scope="user/Observation.rs"), "fresh")
        name = page.form("password").value("request")
        page = fresh.get(f"/auth/consent?request={name}")
        assert "Somebody else set your password" in page.text

    @pytest.mark.parametrize(
        ("current", "new", "repeat", "said"),
        [
            ("anne has a password", "x" * 11, "x" * 11, "at least 12"),
            ("anne has a password", "x" * 257, "x" * 257, "at most 256"),
            ("anne has a password", NEW, "another", "not the same"),
            ("anne has a password", "anne has a password", "anne has a password", "another one"),
            ("wrong", NEW, NEW, "is not right"),
        ],
    )
    def test_refused(self, site: Site, current: str, new: str, repeat: str, said: str) -> None:
        visitor = signed_in(site)
        page = self.change(visitor, visitor.get("/auth/password"), current, new, repeat)
        assert page.status == 400
        assert said in page.text
        assert is_signed_in(signed_in(site))

    def test_changing_it_ends_all_other_sessions(self, site: Site) -> None:
        visitor, other = signed_in(site), signed_in(site)
        before = visitor.cookies[SESSION]
        page = self.change(visitor, visitor.get("/auth/password"), "anne has a password", self.NEW)
        assert "has been changed" in page.text
        assert visitor.cookies[SESSION] != before
        assert is_signed_in(visitor)
        assert not is_signed_in(other)
        again = site.visitor()
        assert again.sign_in(again.get("/auth/sign-in"), "anne").status == 401
        assert "Signed in as" in again.sign_in(again.get("/auth/sign-in"), "anne", self.NEW).text

    def test_guesses_at_the_current_one_are_counted(self, site: Site) -> None:
        visitor = signed_in(site)
        for _ in range(7):
            page = self.change(visitor, visitor.get("/auth/password"), "wrong", self.NEW)
        assert page.status == 429


class TestPages:
    @pytest.fixture
    def site(self, calm: Site) -> Site:
        return calm

    PAGES = ("sign-in", "home", "apps", "launch", "password", "sign-out")

    @pytest.mark.parametrize("name", PAGES)
    @pytest.mark.parametrize(
        ("language", "said"), [("nb", "Logget inn"), ("nn", "Logga inn"), ("en", "Signed in")]
    )
    def test_are_there_in_each_language(self, site: Site, name: str, language: str, said: str) -> None:
        visitor = signed_in(site)
        visitor.headers = {"accept-language": language}
        page = visitor.get(f"/auth/{name}")
        assert page.status == 200
        assert said in page.text
        assert page.has("html", lang=language)

    def test_a_language_that_was_chosen_stays(self, site: Site) -> None:
        visitor = site.visitor()
        assert visitor.get("/auth/sign-in?language=nn").has("html", lang="nn")
        assert visitor.get("/auth/sign-in").has("html", lang="nn")
        assert visitor.get("/auth/sign-in?language=xx").has("html", lang="nn")

    def test_a_user_has_a_language(self, site: Site) -> None:
        site.add("nils", name="Nils", role="practitioner", fhir_user="Practitioner/d1", language="nn")
        assert signed_in(site, "nils").get("/auth/home").has("html", lang="nn")

    @pytest.mark.parametrize("name", ["home", "apps", "launch", "password", "sign-out"])
    def test_lead_to_sign_in_who_is_not(self, site: Site, name: str) -> None:
        assert site.visitor().get(f"/auth/{name}").form("sign-in")

    def test_the_style_sheet(self, site: Site) -> None:
        answer = site.visitor().request("GET", "/auth/style.css")
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert "http" not in answer.text and "@import" not in answer.text and "url(" not in answer.text

    def test_a_page_that_is_none(self, site: Site) -> None:
        assert site.visitor().get("/auth/nothing").status == 404


def test_nothing_that_was_typed_is_logged(site: Site, capfd: pytest.CaptureFixture[str]) -> None:
    log.configure("info")
    visitor = signed_in(site)
    visitor.send(visitor.get("/auth/launch"), "launch", name="Nordmann", born="27.03.1952", do="search")
    log.configure("error")
    log._lines._write()
    output = capfd.readouterr()
    assert "/auth/launch" in output.err
    for secret in ("anne has a password", "Nordmann", "1952", visitor.cookies[SESSION]):
        assert secret not in output.out + output.err


@pytest.mark.parametrize("name", ["x\r\nset-cookie: a=b", "x&y=z#", "\u2028", "<b>", "%0d%0a", "x" * 5000])
def test_what_names_a_request_adds_nothing_to_an_address_or_a_header(site: Site, name: str) -> None:
    visitor = signed_in(site)
    page = visitor.get("/auth/password", params={"request": name})
    data = {"current": "anne has a password", "new": "another one of hers", "repeat": "another one of hers"}
    answer = visitor.request(
        "POST", "/auth/password", data={**dict(page.form("password").fields), **data, "request": name}
    )
    assert (answer.status_code, "a" in visitor.cookies) == (303, False)
    assert dict(parse_qsl(urlsplit(answer.headers["location"]).query)) == {"request": name}
    assert visitor.get(answer.headers["location"]).status == 410


def test_the_bare_address_leads_to_the_pages(site: Site) -> None:
    for path in ("/auth", "/auth/"):
        assert site.visitor().get(path).form("sign-in")
