"""What every store promises of records, on both: the server's own state, by kind and key."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.errors import FhirError
from fhir_server.search.query import Values
from fhir_server.store.base import Store, Transaction, Version


def test_a_record_comes_back_as_it_was_kept_and_is_replaced(desk: Any) -> None:
    desk.transact(lambda tx: tx.keep("session", "a", b"\x00\xffone"))
    assert desk.run(desk.store.record("session", "a")) == b"\x00\xffone"
    assert desk.run(desk.store.record("token", "a")) is None
    assert desk.run(desk.store.record("session", "b")) is None
    desk.transact(lambda tx: tx.keep("session", "a", b"", 5))
    assert desk.transact(lambda tx: tx.record("session", "a")) == b""


def test_what_is_forgotten_is_gone_and_forget_says_whether_it_was_there(desk: Any) -> None:
    desk.transact(lambda tx: tx.keep("code", "a", b"1"))
    assert desk.transact(lambda tx: [tx.forget("code", "a"), tx.forget("code", "a")]) == [True, False]
    assert desk.transact(lambda tx: tx.forget("code", "never")) is False
    assert desk.run(desk.store.record("code", "a")) is None


def test_a_work_sees_its_own_changes_and_those_of_the_works_before_it(desk: Any) -> None:
    def work(tx: Transaction) -> Any:
        tx.keep("n", "b", b"new")
        tx.keep("n", "c", b"new")
        tx.forget("n", "a")
        return tx.record("n", "a"), tx.record("n", "b"), tx.records("n")

    desk.transact(lambda tx: [tx.keep("n", key, b"old") for key in "abd"])
    assert desk.transact(work) == (None, b"new", [("b", b"new"), ("c", b"new"), ("d", b"old")])
    assert desk.run(desk.store.records("n")) == [("b", b"new"), ("c", b"new"), ("d", b"old")]


def test_records_are_undone_with_a_work_that_fails_and_with_no_other(desk: Any) -> None:
    def failing(tx: Transaction) -> None:
        tx.keep("n", "a", b"spoilt")
        tx.forget("n", "b")
        tx.keep("n", "c", b"spoilt")
        tx.put(Version("Patient", "p", 1, 1, "POST", b"{}"), Values({}))
        raise ZeroDivisionError

    async def together() -> list[Any]:
        works = [lambda tx: tx.keep("n", "d", b"first"), failing, lambda tx: tx.keep("n", "e", b"last")]
        return await asyncio.gather(*(desk.store.transact(work) for work in works), return_exceptions=True)

    desk.transact(lambda tx: [tx.keep("n", key, b"old") for key in "ab"])
    assert [type(outcome) for outcome in desk.run(together())] == [type(None), ZeroDivisionError, type(None)]
    kept = [("a", b"old"), ("b", b"old"), ("d", b"first"), ("e", b"last")]
    assert desk.run(desk.store.records("n")) == kept
    assert desk.run(desk.store.read("Patient", "p")) is None


def test_a_record_that_expired_is_no_more_for_who_says_the_time(desk: Any) -> None:
    desk.transact(
        lambda tx: [tx.keep("s", "a", b"1", 100), tx.keep("s", "b", b"2", 200), tx.keep("s", "c", b"3")]
    )
    assert desk.run(desk.store.record("s", "a", now=99)) == b"1"
    assert desk.run(desk.store.record("s", "a", now=100)) is None
    assert desk.transact(lambda tx: tx.record("s", "a", now=100)) is None
    assert desk.run(desk.store.record("s", "a")) == b"1"
    assert desk.run(desk.store.records("s", now=150)) == [("b", b"2"), ("c", b"3")]
    assert desk.run(desk.store.records("s", limit=1, now=150)) == [("b", b"2")]
    assert desk.transact(lambda tx: tx.records("s", limit=1, now=150)) == [("b", b"2")]


def test_a_sweep_removes_what_has_expired_of_every_kind(desk: Any) -> None:
    def work(tx: Transaction) -> int:
        tx.keep("s", "renewed", b"", 500)
        tx.keep("s", "own", b"", 50)
        return tx.sweep(100)

    desk.transact(
        lambda tx: [
            tx.keep("s", "old", b"", 100),
            tx.keep("t", "old", b"", 1),
            tx.keep("s", "renewed", b"", 2),
            tx.keep("s", "later", b"", 101),
            tx.keep("s", "lasting", b""),
        ]
    )
    assert desk.transact(work) == 3
    assert [key for key, _ in desk.run(desk.store.records("s"))] == ["lasting", "later", "renewed"]
    assert desk.run(desk.store.records("t")) == []
    assert desk.transact(lambda tx: tx.sweep(100)) == 0


def test_records_are_listed_by_kind_in_the_order_of_keys_in_pages(desk: Any) -> None:
    keys = ["A", "Z", "a", "a/b", "a0", "é", "猫", "🩺"]
    desk.transact(lambda tx: [tx.keep("k", key, key.encode()) for key in reversed(keys)])
    desk.transact(lambda tx: [tx.keep(kind, "b", b"") for kind in ("j", "l", "k-more", "kk")])
    assert [key for key, _ in desk.run(desk.store.records("k"))] == keys
    assert [key for key, _ in desk.run(desk.store.records("k", "a", 3))] == ["a/b", "a0", "é"]
    assert [key for key, _ in desk.transact(lambda tx: tx.records("k", "é", 9))] == ["猫", "🩺"]
    assert desk.run(desk.store.records("k", "", 0)) == []


def test_text_that_is_no_unicode_is_no_key(desk: Any) -> None:
    assert desk.run(desk.store.record("k", "\ud800")) is None
    assert desk.transact(lambda tx: tx.forget("k", "\ud800")) is False
    for key in ("\ud800", ""):
        with pytest.raises(FhirError) as refused:
            desk.transact(lambda tx, key=key: tx.keep("k", key, b""))
        assert refused.value.category == "invalid"


def test_a_record_too_large_is_refused_and_leaves_nothing(desk: Any) -> None:
    with pytest.raises(FhirError) as refused:
        desk.transact(lambda tx: (tx.keep("k", "small", b""), tx.keep("k", "a", bytes(4 * 2**20 + 1))))
    assert refused.value.category == "too-large"
    assert desk.run(desk.store.records("k")) == []


def test_what_may_happen_once_happens_once_over_two_processes(
    desk: Any, another: Callable[[], Store]
) -> None:
    """As an authorization code is used: whoever forgets it first has it."""
    other = desk.open(another())
    desk.transact(lambda tx: [tx.keep("code", str(n), b"") for n in range(10)])

    async def all_at_once() -> list[bool]:
        works = [
            store.transact(lambda tx, n=n: tx.forget("code", str(n)))
            for n in range(10)
            for store in (desk.store, other)
        ]
        return await asyncio.gather(*works)

    outcomes = desk.run(all_at_once())
    assert [sorted(outcomes[n : n + 2]) for n in range(0, 20, 2)] == [[False, True]] * 10
    assert desk.run(other.records("code")) == []


def test_no_look_at_records_scans_on_sqlite(sqlite_url: str, desk_of: Callable[[str], Any]) -> None:
    desk_of(sqlite_url)
    with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
        for condition in (
            "kind = ? AND key = ?",
            "kind = ? AND key > ? ORDER BY key LIMIT 5",
            "expires IS NOT NULL AND expires <= ? LIMIT 5",
        ):
            statement = f"EXPLAIN QUERY PLAN SELECT key FROM record WHERE {condition}"
            plan = connection.execute(statement, [1] * condition.count("?")).fetchall()
            assert all("SEARCH" in row[3] for row in plan), plan


Step = tuple[str, str, str, int]
STEPS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["keep", "forget", "sweep", "fail"]),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["x", "y", "z"]),
            st.integers(0, 9),
        ),
        max_size=5,
    ),
    max_size=6,
)


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(STEPS)
def test_records_are_what_a_dictionary_is(desk: Any, works: list[list[Step]]) -> None:
    known: dict[tuple[str, str], tuple[bytes, int]] = {}
    desk.transact(lambda tx: [tx.forget(kind, key) for kind in "ab" for key in "xyz"])
    for steps in works:
        after = dict(known)

        def work(tx: Transaction, steps: list[Step] = steps, after: Any = after, known: Any = known) -> None:
            after.clear(), after.update(known)  # it may run again
            for n, (what, kind, key, moment) in enumerate(steps):
                if what == "fail":
                    raise ZeroDivisionError
                if what == "keep":
                    tx.keep(kind, key, b"%d" % n, moment)
                    after[kind, key] = (b"%d" % n, moment)
                elif what == "forget":
                    assert tx.forget(kind, key) == (after.pop((kind, key), None) is not None)
                else:
                    gone = [name for name, (_, expires) in after.items() if expires <= moment]
                    assert tx.sweep(moment) == len(gone)
                    for name in gone:
                        del after[name]
                for of in "ab":
                    expected = sorted((k, c) for (o, k), (c, e) in after.items() if o == of and e > 4)
                    assert tx.records(of, now=4) == expected

        try:
            desk.transact(work)
            known = after
        except ZeroDivisionError:
            pass
        for of in "ab":
            expected = sorted((k, content) for (o, k), (content, _) in known.items() if o == of)
            assert desk.run(desk.store.records(of)) == expected
