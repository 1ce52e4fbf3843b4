"""How often anyone may try, and what others notice of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fhir_server.smart import limits
from fhir_server.smart.limits import RATES, Rates, TooMany, network_of
from tests.smart.desk import Desk


@pytest.fixture
def desk(store_url: str) -> Iterator[Desk]:
    desk = Desk(store_url)
    yield desk
    desk.close()


def attempt(desk: Desk, user: str = "kari", address: str = "192.0.2.1") -> float:
    """The seconds to wait, 0 where the attempt may be made."""
    try:
        desk.run(limits.attempt(desk.service, user, address))
    except TooMany as pause:
        return pause.seconds
    return 0


def test_pauses_grow_after_five_wrong_passwords(desk: Desk) -> None:
    assert [attempt(desk) for _ in range(6)] == [0, 0, 0, 0, 0, 30]
    pauses = []
    for _ in range(7):
        desk.later(pause := attempt(desk))
        pauses.append(pause)
        assert attempt(desk) == 0
    assert pauses == [30, 60, 120, 240, 480, 900, 900]


def test_a_pause_is_not_made_longer_by_trying(desk: Desk) -> None:
    for _ in range(50):
        attempt(desk)
    assert attempt(desk) == 30


def test_others_are_not_paused(desk: Desk) -> None:
    while not attempt(desk):
        pass
    assert attempt(desk, "KARI") == 30, "the name is the same however it is written"
    assert attempt(desk, "ola") == 0
    assert attempt(desk, address="192.0.2.2") == 0, "the user herself signs in from elsewhere"


def test_guesses_from_many_networks_are_paused_too(desk: Desk) -> None:
    waits = [attempt(desk, address=f"192.0.2.{number}") for number in range(21)]
    assert waits == 20 * [0] + [30]


def test_who_signs_in_starts_anew(desk: Desk) -> None:
    for _ in range(4):
        attempt(desk)
    desk.run(limits.succeeded(desk.service, "Kari", "192.0.2.1"))
    assert [attempt(desk) for _ in range(6)] == [0, 0, 0, 0, 0, 30]


def test_a_day_forgets(desk: Desk) -> None:
    for _ in range(4):
        attempt(desk)
    desk.later(24 * 3600 + 1)
    assert [attempt(desk) for _ in range(6)] == [0, 0, 0, 0, 0, 30]


def test_guesses_at_the_same_time_do_not_slip_past(desk: Desk) -> None:
    results = desk.together(40, lambda: limits.attempt(desk.service, "kari", "192.0.2.1"))
    assert sum(result is None for result in results) == 5


def test_workers_share_the_count(sqlite_url: str) -> None:
    one = Desk(sqlite_url)
    for _ in range(5):
        attempt(one)
    two = Desk(sqlite_url)
    assert attempt(two) == 30
    two.close()
    one.close()


@pytest.mark.parametrize("user", ["", "a" * 10_000, "\ud800", "a\0b", "🧑‍⚕️"])
def test_any_name_can_be_tried(sqlite_url: str, user: str) -> None:
    desk = Desk(sqlite_url)
    assert attempt(desk, user) == 0
    desk.close()


def test_networks() -> None:
    assert network_of("192.0.2.1") == "192.0.2.1"
    assert network_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert (
        network_of("2001:db8:1:2:3:4:5:6") == network_of("2001:db8:1:2::9") != network_of("2001:db8:1:3::9")
    )
    assert network_of("fe80::1%eth0") == network_of("fe80::2")
    assert network_of("testclient") == "testclient"


def test_a_rate_lets_a_burst_through_and_then_so_many_a_second() -> None:
    rates, rate = Rates(), RATES["token"]
    for _ in range(int(rate.burst)):
        rates.admit("token", "192.0.2.1", 0)
    with pytest.raises(TooMany):
        rates.admit("token", "192.0.2.1", 0)
    rates.admit("token", "192.0.2.2", 0)
    rates.admit("sign-in", "192.0.2.1", 0)
    for _ in range(int(rate.a_second)):
        rates.admit("token", "192.0.2.1", 1)
    with pytest.raises(TooMany) as refused:
        rates.admit("token", "192.0.2.1", 1)
    assert refused.value.seconds == 1
    with pytest.raises(TooMany):  # a clock that is set back gives nothing
        rates.admit("token", "192.0.2.1", 0)


def test_rates_take_bounded_memory() -> None:
    rates = Rates()
    for number in range(rates.MOST + 10):
        rates.admit("token", str(number), 0)
    assert len(rates._left) == rates.MOST


def test_a_client_is_limited_by_itself(sqlite_url: str) -> None:
    desk = Desk(sqlite_url)
    with pytest.raises(TooMany):
        for _ in range(2000):
            limits.admit(desk.service, "token", "192.0.2.1", "busy")
    limits.admit(desk.service, "token", "192.0.2.1", "other")
    desk.close()
