"""The audit of test_kill.py finds what it is to find: each kind of damage to a history that was in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from tests.promises.audit import Put, audit, history_of
from tests.promises.conftest import unused_port
from tests.promises.load import Journal, Service, admit
from tests.promises.serving import Client, serving

History = list[Put]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, Journal]:
    """What one server wrote for clients that nothing happened to."""
    folder: Path = tmp_path_factory.mktemp("audit")
    with serving(f"sqlite:///{folder}/varde.db", unused_port(), folder / "log") as server:
        client = Client(server.port)
        admit(client, ["p", "q"])
        service = Service(server.port, ["p", "q"], "audit", clients=4)
        service.start()
        service.wait(lambda service: service.acknowledged > 150)
        journal = service.finish(stop=True)
        history = history_of(client)
        client.close()
    return history, journal


def test_a_history_in_order_is_in_order(sound: tuple[History, Journal]) -> None:
    findings = audit(*sound)
    assert not findings, findings


def without(chosen: Callable[[Put], bool]) -> Callable[[History], History]:
    """The history without the last version of this kind that is the only one of its resource."""

    def damage(history: History) -> History:
        versions = [put.name for put in history]
        last = max(i for i, put in enumerate(history) if chosen(put) and versions.count(put.name) == 1)
        return history[:last] + history[last + 1 :]

    return damage


def kind(type: str) -> Callable[[Put], bool]:
    return lambda put: put.type == type


def without_the_last_half(history: History) -> History:
    return history[: len(history) // 2]


def with_one_again(type: str) -> Callable[[History], History]:
    """One resource of this kind is there twice, by two ids."""

    def damage(history: History) -> History:
        one = next(put for put in reversed(history) if put.type == type and put.version == 1)
        copy = deepcopy(one.resource) or {}
        return [*history, replace(one, id="again", resource={**copy, "id": "again"})]

    return damage


def with_the_readings_first(history: History) -> History:
    """As if alerts followed in commits of their own."""
    return sorted(history, key=lambda put: put.type in ("Flag", "Communication", "Task"))


def with_another_value(history: History) -> History:
    place = next(i for i, put in enumerate(history) if put.type == "Observation")
    changed = deepcopy(history[place].resource) or {}
    changed["valueQuantity"]["value"] = "95.1"
    return [*history[:place], replace(history[place], resource=changed), *history[place + 1 :]]


def with_a_second_active_flag(history: History) -> History:
    flags = {put.id: put for put in history if put.type == "Flag" and put.resource}
    one = next(put for put in flags.values() if put.resource and put.resource["status"] == "active")
    return [*history, replace(one, id="twin", version=1, resource={**(one.resource or {}), "id": "twin"})]


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (without(kind("Observation")), "lost"),
        (without(kind("Communication")), "lost"),
        (without(kind("Task")), "lost"),
        (without(kind("Condition")), "torn"),
        (without(kind("Flag")), "lost"),
        (without_the_last_half, "lost"),
        (with_another_value, "lost"),
        (with_one_again("Observation"), "doubled"),
        (with_one_again("Communication"), "doubled"),
        (with_one_again("Task"), "doubled"),
        (with_a_second_active_flag, "doubled"),
        (with_the_readings_first, "torn"),
    ],
)
def test_damage_is_found(
    sound: tuple[History, Journal], damage: Callable[[Sequence[Put]], History], found: str
) -> None:
    history, journal = sound
    findings = audit(damage(history), journal)
    assert getattr(findings, found), findings
