"""Authorization requests: what is refused, where the refusal goes, and that nothing in it can do harm.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1, https://www.rfc-editor.org/rfc/rfc9700#section-4
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.smart import authorize
from fhir_server.smart.authorize import Refused, Unusable
from tests.smart.site import APP, BACK, Site, answered, asked
from tests.smart.visitor import SITE, Page

STATE = "state-of-the-app"


def test_a_request_leads_to_sign_in(site: Site) -> None:
    page = site.authorize(site.visitor())
    assert page.status == 200
    assert "Sign in to continue to Growth charts" in page.text


def test_a_request_may_be_posted(site: Site) -> None:
    page = site.visitor().post("/auth/authorize", asked())
    assert "Sign in to continue to Growth charts" in page.text


def test_head_is_as_get(site: Site) -> None:
    answer = site.visitor().request("HEAD", "/auth/authorize", params=asked())
    assert (answer.status_code, answer.content) == (303, b"")


class TestToldToThePerson:
    """Nothing of such a request can be relied on: nobody is sent anywhere."""

    @pytest.fixture
    def site(self, calm: Site) -> Site:
        return calm

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"client_id": ""}, "not registered"),
            ({"client_id": "unknown"}, "not registered"),
            ({"client_id": "x" * 5000}, "not registered"),
            ({"client_id": "\x00"}, "not registered"),
            ({"redirect_uri": ""}, "not registered with"),
            ({"redirect_uri": "https://evil.example/"}, "not registered with"),
            ({"redirect_uri": BACK + "/"}, "not registered with"),
            ({"redirect_uri": BACK + "?x=1"}, "not registered with"),
            ({"redirect_uri": BACK.upper()}, "not registered with"),
            ({"redirect_uri": BACK.replace("https", "http")}, "not registered with"),
            ({"redirect_uri": "https://app.example.org/back/../evil"}, "not registered with"),
            ({"redirect_uri": "https://app.example.org@evil.example/back"}, "not registered with"),
            ({"redirect_uri": "https://app.example.org/%62ack"}, "not registered with"),
            ({"redirect_uri": "https://app.example.org/back\r\nx: y"}, "not registered with"),
            ({"redirect_uri": "javascript:alert(1)"}, "not registered with"),
            ({"redirect_uri": "https://app.example.org/launch"}, "not registered with"),
            ({"redirect_uri": "org.example.phone:/back"}, "not registered with"),
        ],
    )
    def test_who_asks_is_not_known(self, site: Site, changes: dict[str, str], said: str) -> None:
        page = site.authorize(site.visitor(), **changes)
        assert (page.status, page.location) == (400, "")
        assert said in page.text

    @pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
    def test_said_twice(self, site: Site, name: str) -> None:
        page = site.visitor().get("/auth/authorize", params=[*asked().items(), (name, asked()[name])])
        assert (page.status, page.location) == (400, "")

    def test_parameters_of_the_url_are_none_of_a_form(self, site: Site) -> None:
        page = site.visitor().post("/auth/authorize?client_id=growth", asked(client_id=""))
        assert (page.status, page.location) == (400, "")

    def test_no_form(self, site: Site) -> None:
        headers = {"content-type": "application/json"}
        page = site.visitor().post("/auth/authorize", asked(), headers=headers)
        assert (page.status, page.location) == (400, "")

    def test_not_utf_8(self, site: Site) -> None:
        page = site.visitor().get("/auth/authorize?client_id=%ff")
        assert (page.status, page.location) == (400, "")

    def test_too_large(self, site: Site) -> None:
        page = site.visitor().post("/auth/authorize", asked(nonce="x" * 70_000))
        assert page.status == 413

    def test_other_methods(self, site: Site) -> None:
        assert site.visitor().request("PUT", "/auth/authorize").status_code == 405


class TestToldToTheApp:
    """An error at the redirect URI, with the state and with who says it (RFC 9207)."""

    @pytest.fixture
    def site(self, calm: Site) -> Site:
        return calm

    @pytest.mark.parametrize(
        ("changes", "error"),
        [
            ({"response_type": ""}, "invalid_request"),
            ({"response_type": "token"}, "unsupported_response_type"),
            ({"response_type": "code id_token"}, "unsupported_response_type"),
            ({"response_mode": "fragment"}, "invalid_request"),
            ({"code_challenge": ""}, "invalid_request"),
            ({"code_challenge_method": ""}, "invalid_request"),  # which is plain
            ({"code_challenge_method": "plain"}, "invalid_request"),
            ({"code_challenge_method": "s256"}, "invalid_request"),
            ({"code_challenge": "x" * 42}, "invalid_request"),
            ({"code_challenge": "x" * 44}, "invalid_request"),
            ({"code_challenge": "+" * 43}, "invalid_request"),
            ({"aud": ""}, "invalid_request"),
            ({"aud": SITE}, "invalid_request"),
            ({"aud": "https://evil.example/fhir"}, "invalid_request"),
            ({"aud": f"{SITE}/fhir/metadata"}, "invalid_request"),
            ({"resource": "https://evil.example/fhir"}, "invalid_request"),
            ({"scope": ""}, "invalid_scope"),
            ({"scope": "patient/Observation.rs\x00"}, "invalid_scope"),
            ({"launch": "abc"}, "invalid_scope"),
            ({"prompt": "none login"}, "invalid_request"),
            ({"prompt": "sometimes"}, "invalid_request"),
            ({"max_age": "soon"}, "invalid_request"),
            ({"request": "eyJ"}, "request_not_supported"),
            ({"request_uri": "https://app.example.org/r"}, "request_uri_not_supported"),
            ({"registration": "{}"}, "registration_not_supported"),
            ({"nonce": "x" * 4097}, "invalid_request"),
            ({"prompt": "none"}, "login_required"),
        ],
    )
    def test_refused(self, site: Site, changes: dict[str, str], error: str) -> None:
        page = site.authorize(site.visitor(), **changes)
        assert page.status == 303
        assert page.location.startswith(f"{BACK}?")
        assert page.said["error"] == error
        assert page.said["error_description"]
        assert (page.said["state"], page.said["iss"]) == (STATE, SITE)
        assert "code" not in page.said

    def test_the_same_of_a_form(self, site: Site) -> None:
        page = site.visitor().post("/auth/authorize", asked(code_challenge=""))
        assert (page.said["error"], page.said["state"]) == ("invalid_request", STATE)

    @pytest.mark.parametrize("state", ["", "\x00", "å", "x" * 4097, "a\r\nlocation: https://evil.example"])
    def test_without_a_state_that_can_be_repeated(self, site: Site, state: str) -> None:
        page = site.authorize(site.visitor(), state=state)
        assert page.said["error"] == "invalid_request"
        assert "state" not in page.said

    @pytest.mark.parametrize("name", ["state", "scope", "aud", "code_challenge", "nonce", "unknown"])
    def test_said_twice(self, site: Site, name: str) -> None:
        said = {**asked(), name: "x"}
        page = site.visitor().get("/auth/authorize", params=[*said.items(), (name, "x")])
        assert page.said["error"] == "invalid_request"
        assert ("state" in page.said) == (name != "state")

    def test_a_redirect_uri_with_a_query_keeps_it(self, site: Site) -> None:
        uri = APP.redirect_uris[1]
        page = site.authorize(site.visitor(), redirect_uri=uri, scope="")
        assert page.location.startswith(f"{uri}&error=invalid_scope&")
        assert page.said["kept"] == "1"

    def test_an_app_on_a_phone(self, site: Site) -> None:
        page = site.authorize(
            site.visitor(), client_id="phone", redirect_uri="org.example.phone:/back", response_type="token"
        )
        assert page.location.startswith("org.example.phone:/back?error=unsupported_response_type&")

    def test_nothing_that_may_be_granted(self, site: Site) -> None:
        page = site.consent(site.visitor(), "kari", scope="system/Patient.rs unheard-of")
        assert (page.said["error"], page.said["state"]) == ("invalid_scope", STATE)

    @pytest.mark.parametrize(
        "state",
        ["<script>alert(1)</script>", "a&code=x&state=y", "a#b", "%0d%0aset-cookie:x=y", '"><b>', "a b+c"],
    )
    def test_a_state_comes_back_as_it_was_and_adds_nothing(self, site: Site, state: str) -> None:
        page = site.authorize(site.visitor(), state=state, scope="")
        assert page.said["state"] == state
        assert sorted(page.said) == ["error", "error_description", "iss", "state"]
        assert [name for name, _ in page.answer.headers.multi_items()].count("location") == 1

    def test_a_state_survives_the_whole_way(self, site: Site) -> None:
        visitor, state = site.visitor(), "<script>\"'&#?=%41 +"
        page = site.consent(visitor, state=state)
        form = page.form("consent")
        page = visitor.post("/auth/consent", answered(form, "1.see"))
        assert page.said["state"] == state
        assert page.said["code"]


def test_what_is_not_known_is_ignored(site: Site) -> None:
    assert site.authorize(site.visitor(), unheard_of="x", launch="", nonce="").status == 200


def test_audience_may_end_in_a_slash_and_be_said_as_resource_too(site: Site) -> None:
    assert site.authorize(site.visitor(), aud=f"{SITE}/fhir/", resource=f"{SITE}/fhir").status == 200


def test_no_page_works_without_protection_on_the_way(sqlite_url: str, tmp_path: object, quick: None) -> None:
    site = Site(sqlite_url, tmp_path, base_url="http://varde.test/fhir", host="127.0.0.1")  # type: ignore[arg-type]
    try:
        page: Page = site.visitor().get("/auth/sign-in")
        assert page.status == 400
        assert "https" in page.text
        assert not page.forms
    finally:
        site.close()


_NAMES = st.sampled_from(
    [*asked(), "nonce", "prompt", "max_age", "launch", "request", "response_mode", "iss", "error"]
)
_VALUES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [*asked().values(), "", "\r\nx: y", "&code=x", "#", "none", "https://evil.example", "plain", "1"]
    ),
)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.lists(st.tuples(_NAMES, _VALUES), max_size=6), st.sets(st.sampled_from(list(asked()))))
def test_whatever_is_asked_goes_to_a_registered_address_or_nowhere(
    more: list[tuple[str, str]], without: set[str]
) -> None:
    pairs = [(name, value) for name, value in asked().items() if name not in without] + more
    try:
        said = authorize.read(pairs, APP, f"{SITE}/fhir")
    except Unusable:
        return
    except Refused as refused:
        location = authorize.refusal(refused, SITE)
        address, _, query = location.partition("?" if refused.redirect_uri == BACK else "&")
        assert address in APP.redirect_uris
        assert re.fullmatch(r"[!-~]+", location)
        names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
        assert names in (
            ["error", "error_description", "state", "iss"],
            ["error", "error_description", "iss"],
        )
    else:
        assert not more or dict(pairs).get("state")
        assert said.redirect_uri in APP.redirect_uris
        assert (len(said.challenge), bool(said.state), bool(said.scope)) == (43, True, True)


class TestOpenIdConnect:
    """https://openid.net/specs/openid-connect-core-1_0.html#AuthRequest"""

    def test_prompt_none_is_answered_without_a_page(self, site: Site) -> None:
        visitor = site.visitor()
        site.consent(visitor, "anne", scope="user/Observation.rs")
        page = site.authorize(visitor, scope="user/Observation.rs", prompt="none")
        assert page.said["error"] == "consent_required"
        page = site.authorize(visitor, prompt="none")
        assert page.said["error"] == "interaction_required"

    def test_prompt_login_asks_who_is_signed_in_already(self, site: Site) -> None:
        visitor = site.visitor()
        site.consent(visitor)
        page = site.authorize(visitor, prompt="login")
        assert "Sign in to continue" in page.text
        assert "Give Growth charts access" in visitor.sign_in(page, "kari").text

    def test_max_age_asks_who_signed_in_too_long_ago(self, site: Site) -> None:
        visitor = site.visitor()
        site.consent(visitor)
        site.clock.later(minutes=10)
        assert "Give Growth charts access" in site.authorize(visitor, max_age="900").text
        assert "Sign in to continue" in site.authorize(visitor, max_age="300").text
        assert "Sign in to continue" in site.authorize(visitor, max_age="0").text

    def test_a_login_hint_is_filled_in(self, site: Site) -> None:
        page = site.authorize(site.visitor(), login_hint='kari"><b>')
        assert page.form("sign-in").value("username") == 'kari"><b>'

    def test_ui_locales_choose_the_language_of_who_has_not_chosen(self, site: Site) -> None:
        visitor = site.visitor()
        visitor.headers = {}
        page = site.authorize(visitor, ui_locales="fr nn")
        assert "Logg inn for å halde fram til" in page.text
        assert page.has("html", lang="nn")
