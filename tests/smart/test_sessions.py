"""Sessions: who is signed in for how long, and forms that only their own browser can send."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fhir_server.smart import sessions, users
from fhir_server.smart.sessions import IDLE, LONGEST, Person, Session
from tests.smart.desk import Desk
from tests.smart.test_users import anne

NOW = 1_000_000_000
MINUTE = 60 * 1_000_000


@pytest.fixture
def desk(store_url: str, quick: None) -> Iterator[Desk]:
    desk = Desk(store_url)
    desk.run(desk.service.store.transact(lambda tx: users.add(tx, anne())))
    yield desk
    desk.close()


def begin(desk: Desk, now: int = NOW) -> str:
    user = desk.run(users.find(desk.service.store, "anne"))
    secret: str = desk.run(desk.service.store.transact(lambda tx: sessions.begin_local(tx, user, now)))
    return secret


def find(desk: Desk, secret: str, now: int) -> Session | None:
    found: Session | None = desk.run(sessions.find(desk.service.store, secret, now))
    return found


def test_the_secret_finds_the_session_and_is_not_kept(desk: Desk) -> None:
    secret = begin(desk)
    session = find(desk, secret, NOW)
    assert session is not None
    assert (session.person.name, session.began, session.username) == ("Anne", NOW, "anne")
    kept = dict(desk.run(desk.service.store.records(sessions.KIND)))
    assert list(kept) == [session.key]
    assert secret not in session.key + str(kept)
    assert find(desk, secret[:-1], NOW) is None
    assert find(desk, session.key, NOW) is None
    assert find(desk, "", NOW) is None
    assert find(desk, "\ud800", NOW) is None


def test_secrets_have_256_random_bits(desk: Desk) -> None:
    assert len({begin(desk) for _ in range(5)}) == 5
    assert all(len(begin(desk)) == 43 for _ in range(2))


def test_a_session_that_nobody_uses_ends(desk: Desk) -> None:
    secret = begin(desk)
    assert find(desk, secret, NOW + IDLE - 1) is not None  # which was a use
    assert find(desk, secret, NOW + 2 * IDLE - 2) is not None
    assert find(desk, secret, NOW + 3 * IDLE) is None


def test_a_session_ends_however_much_it_is_used(desk: Desk) -> None:
    secret, now = begin(desk), NOW
    while now < NOW + LONGEST - 1:
        assert find(desk, secret, now) is not None
        now = min(now + 20 * MINUTE, NOW + LONGEST - 1)
    assert find(desk, secret, now) is not None
    assert find(desk, secret, NOW + LONGEST) is None


def test_who_signs_out_stays_signed_out(desk: Desk) -> None:
    secret = begin(desk)
    session = find(desk, secret, NOW)
    assert session is not None
    assert desk.run(desk.service.store.transact(lambda tx: sessions.end(tx, session.key))) is True
    assert find(desk, secret, NOW + 2 * MINUTE) is None
    desk.run(
        desk.service.store.transact(lambda tx: sessions._note(tx, session))
    )  # another worker's late note
    assert find(desk, secret, NOW) is None


def test_another_password_ends_the_sessions(desk: Desk) -> None:
    secret = begin(desk)
    user = desk.run(users.find(desk.service.store, "anne"))
    changed = users.with_password(user, "another good password", NOW)
    desk.run(desk.service.store.transact(lambda tx: users.put(tx, changed)))
    assert find(desk, secret, NOW) is None


def test_a_user_who_is_gone_has_no_sessions_nor_has_who_takes_the_name(desk: Desk) -> None:
    secret = begin(desk)
    desk.run(desk.service.store.transact(lambda tx: users.forget(tx, "anne")))
    assert find(desk, secret, NOW) is None
    desk.run(desk.service.store.transact(lambda tx: users.add(tx, anne())))
    assert find(desk, secret, NOW) is None


def test_what_a_user_has_become_counts_at_once(desk: Desk) -> None:
    secret = begin(desk)
    user = desk.run(users.find(desk.service.store, "anne"))
    moved = replace(user, organizations=("o2",))
    desk.run(desk.service.store.transact(lambda tx: users.put(tx, moved)))
    session = find(desk, secret, NOW)
    assert session is not None
    assert session.person.organizations == ("o2",)


def test_a_person_of_another_provider(desk: Desk) -> None:
    person = Person("https://issuer|1", "Kari", "patient", "Patient/1")
    secret = desk.run(desk.service.store.transact(lambda tx: sessions.begin(tx, person, "helseid", NOW)))
    session = find(desk, secret, NOW)
    assert session is not None
    assert (session.person, session.provider, session.username) == (person, "helseid", "")


def test_the_mark_of_a_form_is_for_one_browser_one_session_and_one_form(desk: Desk) -> None:
    session, other = (find(desk, begin(desk), NOW) for _ in range(2))
    token = sessions.token(session, "visit", "consent 1")
    assert sessions.is_token(token, session, "visit", "consent 1")
    assert not sessions.is_token(token, session, "visit", "consent 2")
    assert not sessions.is_token(token, session, "another", "consent 1")
    assert not sessions.is_token(token, other, "visit", "consent 1")
    assert not sessions.is_token(token, None, "visit", "consent 1")
    assert not sessions.is_token("", session, "visit", "consent 1")
    assert not sessions.is_token("æ", session, "visit", "consent 1")
    assert not sessions.is_token(sessions.token(None, "", "sign-in"), None, "", "sign-in")
