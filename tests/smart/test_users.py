"""Local users: what they may be, and that their passwords are kept and compared as they must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher

from fhir_server.smart import accounts, users
from fhir_server.smart.accounts import Wanted
from fhir_server.smart.users import FIRST_PASSWORD, User, UserProblem
from tests.smart.desk import Desk

NOW = 1_000_000
GOOD = "correct horse battery"


@pytest.fixture
def desk(store_url: str, quick: None) -> Iterator[Desk]:
    desk = Desk(store_url)
    yield desk
    desk.close()


def anne(**more: Any) -> User:
    about = {
        "name": "Anne",
        "role": "practitioner",
        "password": GOOD,
        "now": NOW,
        "fhir_user": "Practitioner/1",
    }
    return users.new_user(more.pop("username", "anne"), **{**about, **more})


def add(desk: Desk, user: User) -> None:
    desk.run(desk.service.store.transact(lambda tx: users.add(tx, user)))


def check(desk: Desk, username: str, password: str, now: int = NOW) -> User | None:
    found: User | None = desk.run(users.check(desk.service.store, username, password, now))
    return found


def test_a_password_lets_in_who_has_it(desk: Desk) -> None:
    add(desk, anne())
    assert check(desk, "anne", GOOD) == desk.run(users.find(desk.service.store, "anne"))
    for wrong in ("", "correct horse batterY", GOOD + " ", "x" * 1000):
        assert check(desk, "anne", wrong) is None
    assert check(desk, "nobody", GOOD) is None


def test_case_and_spelling_of_a_username_make_no_second_user(desk: Desk) -> None:
    add(desk, anne(username="Åse"))
    assert check(desk, " A\u030aSE", GOOD) is not None
    with pytest.raises(UserProblem, match="taken"):
        add(desk, anne(username="ÅSE"))


def test_a_password_is_the_same_however_a_keyboard_composes_it(desk: Desk) -> None:
    add(desk, anne(password="blåbærsyltetøy"))
    assert check(desk, "anne", "bla\u030abærsyltetøy") is not None


def test_only_a_hash_is_kept_with_a_salt_of_its_own(quick: None) -> None:
    one, other = anne(), anne()
    assert one.password.startswith("$argon2id$")
    assert GOOD not in one.password
    assert one.password != other.password
    assert one.id != other.id


def test_the_parameters_of_the_hash_are_those_of_rfc_9106() -> None:
    hasher = PasswordHasher()
    assert (hasher.time_cost, hasher.memory_cost, hasher.parallelism) == (3, 65536, 4)
    assert users._hasher.check_needs_rehash(hasher.hash("x")) is False


def test_an_old_hash_is_renewed_at_sign_in(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    add(desk, anne())
    monkeypatch.setattr(users, "_hasher", PasswordHasher(time_cost=2, memory_cost=16, parallelism=1))
    renewed = check(desk, "anne", GOOD)
    assert renewed is not None
    assert "m=16,t=2" in renewed.password
    assert desk.run(users.find(desk.service.store, "anne")) == renewed


def test_an_unknown_user_costs_a_hash_as_well(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str | None] = []
    fits = users._fits
    monkeypatch.setattr(users, "_fits", lambda hashed, given: compared.append(hashed) or fits(hashed, given))
    check(desk, "nobody", GOOD)
    assert compared == [None]
    verified: list[str] = []
    hasher = users._hasher

    class Counting:
        def verify(self, hashed: str, given: bytes) -> bool:
            verified.append(hashed)
            return hasher.verify(hashed, given)

        def hash(self, given: str) -> str:
            return hasher.hash(given)

    monkeypatch.setattr(users, "_hasher", Counting())
    check(desk, "nobody", GOOD)
    assert len(verified) == 1
    assert verified[0].startswith("$argon2id$")


def test_a_password_that_somebody_else_chose_runs_out(desk: Desk) -> None:
    add(desk, anne(temporary=True))
    assert check(desk, "anne", GOOD, NOW + FIRST_PASSWORD) is not None
    assert check(desk, "anne", GOOD, NOW + FIRST_PASSWORD + 1) is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"password": "x" * 11}, "at least 12"),
        ({"password": "x" * 257}, "at most 256"),
        ({"username": ""}, "username"),
        ({"username": "a b"}, "username"),
        ({"username": "01010112345"}, "national identity number"),
        ({"name": " "}, "name"),
        ({"role": "nurse"}, "role is one of"),
        ({"fhir_user": None}, "has a FHIR resource"),
        ({"fhir_user": "Patient/1"}, "is Practitioner or PractitionerRole"),
        ({"fhir_user": "Practitioner/"}, "is Practitioner"),
        ({"role": "patient"}, "is Patient/ID"),
        ({"organizations": ("Organization/1",)}, "id of an Organization"),
    ],
)
def test_what_no_user_can_be(quick: None, wrong: dict[str, Any], why: str) -> None:
    with pytest.raises(UserProblem, match=why):
        anne(**wrong)


def test_twelve_characters_are_the_one_rule(quick: None) -> None:
    assert anne(password="x" * 12).password


class TestAccounts:
    def test_a_password_that_is_made_is_good_once_and_has_to_be_changed(self, desk: Desk) -> None:
        wanted = Wanted("anne", "Anne", "practitioner", "Practitioner/1", ("o1",), "nn")
        made = desk.run(accounts.add(desk.service, wanted))
        assert len(made) == 23
        user = check(desk, "anne", made, int(desk.now.timestamp() * 1e6))
        assert user is not None
        assert user.temporary
        assert (user.organizations, user.language) == (("o1",), "nn")

    def test_one_that_was_given_is_not_shown(self, desk: Desk) -> None:
        wanted = Wanted("anne", "Anne", "practitioner", "Practitioner/1", password=GOOD)
        assert desk.run(accounts.add(desk.service, wanted)) is None
        user = check(desk, "anne", GOOD)
        assert user is not None
        assert not user.temporary

    def test_a_language_is_one_of_ours(self, desk: Desk) -> None:
        with pytest.raises(UserProblem, match="language"):
            desk.run(accounts.add(desk.service, Wanted("a", "A", "practitioner", "Practitioner/1", (), "de")))

    def test_another_password_replaces_the_one_before(self, desk: Desk) -> None:
        add(desk, anne())
        made = desk.run(accounts.reset(desk.service, "anne"))
        assert check(desk, "anne", GOOD) is None
        assert check(desk, "anne", made, int(desk.now.timestamp() * 1e6)) is not None
        assert desk.run(accounts.reset(desk.service, "anne", "another good password")) is None

    def test_who_was_removed_is_gone(self, desk: Desk) -> None:
        add(desk, anne())
        desk.run(accounts.remove(desk.service, "anne"))
        assert check(desk, "anne", GOOD) is None
        for work in (accounts.remove, accounts.reset):
            with pytest.raises(UserProblem, match="no such user"):
                desk.run(work(desk.service, "anne"))

    def test_a_server_without_users_gets_one_administrator_once(self, desk: Desk) -> None:
        made = desk.run(accounts.first(desk.service))
        user = check(desk, "admin", made, int(desk.now.timestamp() * 1e6))
        assert user is not None
        assert (user.role, user.temporary, user.fhir_user) == ("administrator", True, None)
        assert desk.run(accounts.first(desk.service)) is None
        assert [each.username for each in desk.run(users.everybody(desk.service.store))] == ["admin"]

    def test_of_several_that_start_at_the_same_time_one_makes_the_administrator(self, desk: Desk) -> None:
        made = desk.together(4, lambda: accounts.first(desk.service))
        assert sum(each is not None for each in made) == 1
