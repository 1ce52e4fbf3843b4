"""Group commit by itself, over a ledger that does what a test tells it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fhir_server.errors import FhirError
from fhir_server.store import group as group_module
from fhir_server.store.group import Conflict, Group, Spoilt


class Ledger:
    """Counts; `fail` says what goes wrong at which step ("begin", "run", "commit"), one after the other."""

    def __init__(self) -> None:
        self.groups: list[list[Any]] = []
        self.fail: list[tuple[str, Exception]] = []
        self.aborted = 0
        self.closed = False
        self._running: list[Any] = []

    def _step(self, name: str) -> None:
        if self.fail and self.fail[0][0] == name:
            raise self.fail.pop(0)[1]

    def begin(self) -> None:
        self._step("begin")
        self._running = []

    def run(self, work: Callable[[Any], Any]) -> tuple[Any, Exception | None]:
        self._step("run")
        try:
            result = work(self)
        except RuntimeError as spoiling:
            raise Spoilt from spoiling
        except Exception as error:
            return None, error
        self._running.append(result)
        return result, None

    def commit(self) -> None:
        self._step("commit")
        time.sleep(0.002)
        self.groups.append(self._running)

    def abort(self) -> None:
        self.aborted += 1

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def submit(ledger: Ledger) -> Iterator[Callable[..., list[Any]]]:
    with asyncio.Runner() as runner:
        group = Group(ledger, "test")
        group.start()

        async def all_of(works: tuple[Callable[[Any], Any], ...]) -> list[Any]:
            return await asyncio.gather(*map(group.submit, works), return_exceptions=True)

        yield lambda *works: runner.run(all_of(works))
        runner.run(group.close())
        assert ledger.closed


def returns(value: Any) -> Callable[[Any], Any]:
    return lambda _: value


def raises(error: BaseException) -> Callable[[Any], Any]:
    def work(_: Any) -> Any:
        raise error

    return work


def test_works_that_wait_share_a_commit(ledger: Ledger, submit: Callable[..., list[Any]]) -> None:
    assert submit(*map(returns, range(100))) == list(range(100))
    assert [value for group in ledger.groups for value in group] == list(range(100))
    assert len(ledger.groups) < 20


def test_a_group_is_bounded_in_number(
    ledger: Ledger, submit: Callable[..., list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "MOST_WORKS", 8)
    monkeypatch.setattr(group_module, "LONGEST_SECONDS", 60)
    submit(*map(returns, range(50)))
    assert max(map(len, ledger.groups)) == 8


def test_a_slow_work_delays_those_before_it_by_no_more_than_itself(
    ledger: Ledger, submit: Callable[..., list[Any]]
) -> None:
    def slow(_: Any) -> str:
        time.sleep(0.05)
        return "slow"

    submit(returns(1), slow, slow, returns(2))
    assert all(group.count("slow") <= 1 for group in ledger.groups)


def test_a_failing_work_does_not_touch_the_others(submit: Callable[..., list[Any]], ledger: Ledger) -> None:
    error = ValueError("mine")
    assert submit(returns(1), raises(error), returns(2)) == [1, error, 2]
    assert ledger.aborted == 0


def test_a_work_that_spoils_its_group_is_run_alone(submit: Callable[..., list[Any]], ledger: Ledger) -> None:
    error = RuntimeError("spoils")
    assert submit(returns(1), raises(error), returns(2)) == [1, error, 2]
    assert sorted(value for group in ledger.groups for value in group) == [1, 2]


def test_a_group_that_lost_a_race_runs_again(submit: Callable[..., list[Any]], ledger: Ledger) -> None:
    for step in ("begin", "run", "commit"):
        ledger.groups.clear()
        ledger.fail = [(step, Conflict()), (step, Conflict())]
        assert submit(*map(returns, range(5))) == list(range(5))
        assert [value for group in ledger.groups for value in group] == list(range(5))


def test_a_race_that_cannot_be_won_ends(
    submit: Callable[..., list[Any]], ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_module, "CONFLICT_SECONDS", 0.05)
    ledger.fail = [("begin", Conflict()) for _ in range(1000)]
    (refused,) = submit(returns(1))
    assert isinstance(refused, FhirError) and refused.category == "unavailable"


@pytest.mark.parametrize("step", ["begin", "run", "commit"])
def test_a_store_that_fails_fails_the_group_and_then_works_again(
    submit: Callable[..., list[Any]], ledger: Ledger, step: str
) -> None:
    ledger.fail = [(step, FhirError("unavailable", "gone"))]
    results = submit(returns(1), returns(2))
    refused = [result for result in results if isinstance(result, FhirError)]
    assert refused and all(error.category == "unavailable" for error in refused)
    assert len({id(error) for error in refused}) == len(refused)
    assert submit(returns(3)) == [3]


def test_an_exception_that_a_future_refuses_is_still_delivered(submit: Callable[..., list[Any]]) -> None:
    (error,) = submit(raises(StopIteration()))
    assert isinstance(error, RuntimeError)


def test_whoever_gives_up_waiting_disturbs_nobody(ledger: Ledger) -> None:
    async def main() -> None:
        group = Group(ledger, "test")
        group.start()
        started, go_on = threading.Event(), threading.Event()

        def held(_: Any) -> str:
            started.set()
            go_on.wait(5)
            return "held"

        first = asyncio.create_task(group.submit(held))
        await asyncio.to_thread(started.wait, 5)
        second = asyncio.create_task(group.submit(returns("second")))
        await asyncio.sleep(0)
        first.cancel()
        go_on.set()
        assert await second == "second"
        await group.close()

    asyncio.run(main())


def test_close_finishes_what_is_queued(ledger: Ledger) -> None:
    async def main() -> list[Any]:
        group = Group(ledger, "test")
        group.start()
        tasks = [asyncio.create_task(group.submit(returns(n))) for n in range(20)]
        await asyncio.sleep(0)
        await group.close()
        with pytest.raises(FhirError):
            await group.submit(returns(0))
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == list(range(20))
