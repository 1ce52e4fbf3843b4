"""Which patient an application is opened for: their own, whom they relate to, or one of those they may see.

https://hl7.org/fhir/smart-app-launch/scopes-and-launch-context.html#requesting-context-with-scopes
"""

from __future__ import annotations

import pytest

from fhir_server.smart import patients
from tests.smart.site import BACK, Site, answered, patient
from tests.smart.test_consent import token
from tests.smart.visitor import Page, Visitor

ANYTHING = "launch/patient patient/Observation.rs"


def pick(visitor: Visitor, page: Page, id: str) -> Page:
    return visitor.send(page, "patient", patient=id)


def search(visitor: Visitor, page: Page, **typed: str) -> Page:
    return visitor.send(page, "patient", **{"name": "", "born": "", **typed, "do": "search"})


def allowed(visitor: Visitor, page: Page) -> Page:
    return visitor.post("/auth/consent", answered(page.form("consent"), "0.see", "1.see"))


def found(page: Page) -> list[str]:
    return [value for form in page.forms for name, value in form.buttons if name == "patient"]


def test_on_either_store_a_clinician_picks_one_of_their_patients(either_site: Site) -> None:
    visitor = either_site.visitor()
    page = either_site.consent(visitor, "anne", scope=ANYTHING)
    assert "Growth charts needs to know which patient this is about" in page.text
    page = search(visitor, page, name="nord")
    assert found(page) == ["p1", "p2"]
    assert "Kari Nordmann Born 1952-03-27, female" in page.text
    page = pick(visitor, page, "p2")
    assert "This is about Ola Nordmann (born 1948-11-02, male)" in page.text
    assert "In the record of Ola Nordmann" in page.text
    assert token(visitor, allowed(visitor, page))["patient"] == "p2"


class TestSearch:
    @pytest.fixture
    def site(self, calm: Site) -> Site:
        return calm

    @pytest.fixture
    def visitor(self, site: Site) -> Visitor:
        return site.visitor()

    @pytest.fixture
    def page(self, site: Site, visitor: Visitor) -> Page:
        return site.consent(visitor, "anne", scope=ANYTHING)

    @pytest.mark.parametrize(
        ("typed", "ids"),
        [
            ({"name": "kari"}, ["p1"]),
            ({"name": "Nordmann Kari"}, ["p1"]),
            ({"name": "Kari Ola"}, []),
            ({"name": "ordmann"}, []),
            ({"born": "27.03.1952"}, ["p1"]),
            ({"born": "1952-03-27"}, ["p1"]),
            ({"born": "27031952"}, ["p1"]),
            ({"name": "nord", "born": "2.11.1948"}, ["p2"]),
            ({"name": "nord", "born": "3.11.1948"}, []),
            ({"name": "nord,kari"}, []),
            ({"name": "a|b$c\\"}, []),
        ],
    )
    def test_by_name_and_date_of_birth(
        self, visitor: Visitor, page: Page, typed: dict[str, str], ids: list[str]
    ) -> None:
        page = search(visitor, page, **typed)
        assert (page.status, found(page)) == (200, ids)
        assert ("No patient matches" in page.text) == (not ids)

    @pytest.mark.parametrize("typed", [{}, {"name": " "}, {"born": "yesterday"}, {"born": "30.02.1952"}])
    def test_what_cannot_be_looked_for(self, visitor: Visitor, page: Page, typed: dict[str, str]) -> None:
        page = search(visitor, page, **typed)
        assert (page.status, found(page)) == (400, [])
        assert page.has("p", role="alert")

    def test_many_come_in_pages(self, site: Site, visitor: Visitor, page: Page) -> None:
        site.put(
            *(patient(f"m{number:02}", "Per", f"Moen {number:02}", "1960-01-01") for number in range(25))
        )
        page, seen = search(visitor, page, name="Moen"), []
        while True:
            seen.append(found(page))
            more = [form for form in page.forms if "after" in dict(form.fields)]
            if not more:
                break
            page = visitor.post("/auth/patient", more[0].fields)
        assert [len(each) for each in seen] == [10, 10, 5]
        assert [id for ids in seen for id in ids] == [f"m{number:02}" for number in range(25)]

    def test_a_way_to_more_that_was_not_given_out_begins_again(self, visitor: Visitor, page: Page) -> None:
        for after in ("x", "AAAA", "\x00"):
            again = search(visitor, page, name="nord", after=after)
            assert found(again) == ["p1", "p2"]

    def test_nothing_of_it_is_in_an_address(self, visitor: Visitor, page: Page) -> None:
        page = search(visitor, page, name="Nordmann", born="27.03.1952")
        assert page.answer.request.url.query == b""
        links = [said.get("href") or "" for tag, said in page.elements if tag == "a"]
        assert all("ordmann" not in link and "1952" not in link and "p1" not in link for link in links)


class TestConfined:
    """Nobody finds or picks whom they may not see."""

    HIDDEN = {**patient("p3", "Siri", "Nordmann"), "generalPractitioner": [{"reference": "Practitioner/d9"}]}

    @pytest.fixture
    def visitor(self, site: Site) -> Visitor:
        site.put({"resourceType": "Practitioner", "id": "d9"}, self.HIDDEN)
        return site.visitor()

    def test_a_patient_of_others_is_not_found(self, site: Site, visitor: Visitor) -> None:
        page = site.consent(visitor, "anne", scope=ANYTHING)
        assert found(search(visitor, page, name="Nordmann")) == ["p1", "p2"]

    @pytest.mark.parametrize("id", ["p3", "nobody", "../p1", "Patient/p1", "x" * 100, "\x00", "%"])
    def test_nor_picked(self, site: Site, visitor: Visitor, id: str) -> None:
        page = pick(visitor, site.consent(visitor, "anne", scope=ANYTHING), id)
        assert page.status == 400
        assert "There is no such patient, or you have no access" in page.text

    def test_a_patient_has_no_choice(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.consent(visitor, "kari", scope=ANYTHING)
        name, mark = page.form("consent").value("request"), page.form("consent").value("token")
        assert visitor.post("/auth/patient", {"request": name, "token": mark, "patient": "p2"}).status == 403
        home = visitor.get(f"/auth/patient?request={name}")
        picker = [form for form in home.forms if form.action == "patient"]
        if picker:
            visitor.post("/auth/patient", {**dict(picker[0].fields), "patient": "p2"})
        page = visitor.get(f"/auth/consent?request={name}")
        assert token(visitor, allowed(visitor, page))["patient"] == "p1"

    def test_who_loses_a_patient_meanwhile_is_refused(self, site: Site, visitor: Visitor) -> None:
        page = pick(visitor, site.consent(visitor, "anne", scope=ANYTHING), "p1")
        other = {
            **patient("p1", "Kari", "Nordmann"),
            "generalPractitioner": [{"reference": "Practitioner/d9"}],
        }
        site.put(other)
        page = allowed(visitor, page)
        assert page.location.startswith(f"{BACK}?")
        assert page.said["error"] == "access_denied"

    def test_the_choice_of_one_user_is_none_of_another(self, site: Site, visitor: Visitor) -> None:
        page = pick(visitor, site.consent(visitor, "anne", scope=ANYTHING), "p1")
        name, other = page.form("consent").value("request"), site.visitor()
        mine = site.consent(other, "bjorn", scope=ANYTHING)
        data = {**dict(mine.form("patient").fields), "request": name, "patient": "p2"}
        assert other.post("/auth/patient", data).status == 403
        assert token(visitor, allowed(visitor, page))["patient"] == "p1"


class TestOwn:
    def test_a_patient_is_their_own_context(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.consent(visitor, "kari", scope=ANYTHING)
        assert "In your own record" in page.text
        assert token(visitor, allowed(visitor, page))["patient"] == "p1"

    def test_next_of_kin_get_whom_they_relate_to(self, site: Site) -> None:
        visitor = site.visitor()
        page = site.consent(visitor, "randi", scope=ANYTHING)
        assert "In the record of Kari Nordmann" in page.text
        assert token(visitor, allowed(visitor, page))["patient"] == "p1"

    @pytest.mark.parametrize(
        ("period", "lasts"),
        [
            ({"start": "2020"}, True),
            ({"start": "2020-01-01", "end": "2026-11-22"}, True),
            ({"end": "2026-11"}, True),
            ({"end": "2026-11-21T10:00:00+01:00"}, False),
            ({"end": "2025"}, False),
            ({"start": "2026-11-23"}, False),
        ],
    )
    def test_next_of_kin_are_so_for_a_time(self, site: Site, period: dict[str, str], lasts: bool) -> None:
        kin = {"resourceType": "RelatedPerson", "id": "r1", "patient": {"reference": "Patient/p1"}}
        site.put({**kin, "period": period})
        page = site.consent(site.visitor(), "randi", scope="patient/Observation.rs")
        assert ("In the record of Kari Nordmann" in page.text) == lasts
        assert lasts or page.said["error"] == "invalid_scope"

    def test_next_of_kin_who_are_so_no_longer_get_nobody(self, site: Site) -> None:
        site.put(
            {
                "resourceType": "RelatedPerson",
                "id": "r1",
                "active": False,
                "patient": {"reference": "Patient/p1"},
            }
        )
        page = site.consent(site.visitor(), "randi", scope="patient/Observation.rs")
        assert page.said["error"] == "invalid_scope"


def test_no_patient_is_asked_for_where_none_is_needed(site: Site) -> None:
    page = site.consent(site.visitor(), "anne", scope="user/Observation.rs openid")
    assert "In everything that you have access to" in page.text
    assert "about" not in [said.get("class") for _, said in page.elements]


class TestEncounter:
    VISITS = [
        {
            "resourceType": "Encounter",
            "id": f"e{number}",
            "status": "finished",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "type": [{"text": f"Visit {number}"}],
            "subject": {"reference": f"Patient/p{1 + number // 2}"},
            "period": {"start": f"2026-11-0{number + 1}T10:00:00+01:00"},
        }
        for number in range(4)
    ]
    SCOPE = "launch/patient launch/encounter patient/Encounter.rs"

    def choose(self, visitor: Visitor, page: Page, id: str) -> Page:
        return visitor.send(page, "encounter", encounter=id)

    def test_one_of_the_patients_newest_is_chosen(self, site: Site) -> None:
        site.put(*self.VISITS)
        visitor = site.visitor()
        page = pick(visitor, site.consent(visitor, "anne", scope=self.SCOPE), "p1")
        assert [value for _, value in page.form("encounter").buttons] == ["e1", "e0", "-"]
        assert "Visit 1 From 2026-11-02" in page.text
        page = self.choose(visitor, page, "e0")
        answer = token(visitor, visitor.post("/auth/consent", answered(page.form("consent"), "2.see")))
        assert (answer["patient"], answer["encounter"]) == ("p1", "e0")

    def test_or_none(self, site: Site) -> None:
        visitor = site.visitor()
        page = self.choose(visitor, site.consent(visitor, "kari", scope=self.SCOPE), "-")
        answer = token(visitor, visitor.post("/auth/consent", answered(page.form("consent"), "2.see")))
        assert "encounter" not in answer

    @pytest.mark.parametrize("id", ["e2", "nothing", ""])
    def test_not_one_of_another_patient(self, site: Site, id: str) -> None:
        site.put(*self.VISITS)
        visitor = site.visitor()
        page = self.choose(visitor, site.consent(visitor, "kari", scope=self.SCOPE), id)
        assert page.form("encounter")


@pytest.mark.parametrize(
    ("written", "date"),
    [
        ("27.03.1952", "1952-03-27"),
        ("27/3/1952", "1952-03-27"),
        ("27 03 1952", "1952-03-27"),
        ("1952-03-27", "1952-03-27"),
        ("27031952", "1952-03-27"),
        ("29.02.1953", ""),
        ("1952-3-27", ""),
        ("27.03.52", ""),
        ("00.01.1952", ""),
        ("01.01.0000", ""),
        ("", ""),
    ],
)
def test_dates_as_people_write_them(written: str, date: str) -> None:
    assert patients.read_date(written) == date
