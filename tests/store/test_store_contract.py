"""What every store promises, on both."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.errors import FhirError
from fhir_server.search.query import And, Match, Not, Or, Query, Sort, Test, Values
from fhir_server.store.base import Excerpt, Span, Store, Transaction, Version


def token(param: str, code: str, system: str = "") -> Values:
    return Values({"token": ((param, system, code),)})


def has_code(param: str, code: str) -> Match:
    return Match("token", param, (Test("code", "=", code),))


# -- versions ------------------------------------------------------------------------------------


def test_a_version_comes_back_as_it_was_put(desk: Any) -> None:
    body = '{"resourceType":"Patient","id":"a","name":[{"family":"Ærlig \\u0000 🩺"}],"x":91.50}'.encode()
    put = desk.transact(
        lambda tx: tx.put(Version("Patient", "a", 1, 1_700_000_000_123_456, "POST", body), Values({}))
    )
    assert put == Version("Patient", "a", 1, 1_700_000_000_123_456, "POST", body, 1)
    assert desk.run(desk.store.read("Patient", "a")) == put
    assert desk.run(desk.store.vread("Patient", "a", 1)) == put
    assert desk.run(desk.store.changes(0)) == (put,)
    assert desk.search(Query("Patient")).versions == (put,)


def test_a_version_says_whose_it_is_however_it_is_read(desk: Any) -> None:
    put = desk.put("Goal", "g", Values({}, "kari"))
    desk.put("Device", "d")
    read = [
        put,
        desk.run(desk.store.read("Goal", "g")),
        desk.run(desk.store.vread("Goal", "g", 1)),
        *desk.run(desk.store.changes(0, 1)),
        *desk.search(Query("Goal")).versions,
        *desk.search(Query("Goal", sort=(Sort("resource", "updated", "updated"),))).versions,
        *desk.run(desk.store.history("Goal")).versions,
        desk.transact(lambda tx: tx.read("Goal", "g")),
    ]
    assert [version.patient for version in read] == ["kari"] * 8
    assert desk.run(desk.store.read("Device", "d")).patient is None
    assert desk.delete("Goal", "g").patient is None


def test_what_was_never_written_is_none(desk: Any) -> None:
    desk.put("Patient", "a")
    assert desk.run(desk.store.read("Patient", "b")) is None
    assert desk.run(desk.store.read("Observation", "a")) is None
    assert desk.run(desk.store.vread("Patient", "a", 2)) is None
    assert desk.run(desk.store.read("Patient", "a\x00")) is None


def test_an_update_is_the_current_version_and_the_former_can_still_be_read(desk: Any) -> None:
    first, second = desk.put("Patient", "a"), desk.put("Patient", "a")
    assert (second.version, second.method) == (2, "PUT")
    assert second.seq > first.seq
    assert desk.run(desk.store.read("Patient", "a")) == second
    assert desk.run(desk.store.vread("Patient", "a", 1)) == first


def test_a_deletion_is_a_version_and_is_not_found(desk: Any) -> None:
    desk.put("Patient", "a", token("gender", "female"))
    gone = desk.delete("Patient", "a")
    assert gone.deleted
    assert desk.run(desk.store.read("Patient", "a")) == gone
    assert desk.ids(Query("Patient")) == []
    assert desk.ids(Query("Patient", Not(has_code("gender", "x")))) == []
    assert desk.count(Query("Patient")) == 0
    again = desk.put("Patient", "a", token("gender", "male"))
    assert again.version == 3
    assert desk.ids(Query("Patient")) == ["a"]
    assert desk.ids(Query("Patient", has_code("gender", "female"))) == []


def test_seq_is_the_order_of_commits_without_gaps(desk: Any) -> None:
    for n in range(3):
        desk.put("Patient", f"p{n}")
    with pytest.raises(ZeroDivisionError):
        desk.transact(lambda tx: (tx.put(Version("Patient", "x", 1, 1, "POST", b"{}"), Values({})), 1 / 0))
    desk.put("Patient", "p0")
    assert [v.seq for v in desk.run(desk.store.changes(0))] == [1, 2, 3, 4]


# -- rows added later ----------------------------------------------------------------------------


ADDED = Values(
    {
        "token": (("late@1", "http://x", "m"),),
        "word": (("late@1:text", "married"),),
        "string": (("named@1", "a", "A"),),
        "date": (("born@1", 5, 9),),
        "number": (("births@1", Decimal("2.50"), Decimal("2.50")),),
        "quantity": (("size@1", Decimal(1), Decimal(2), "", "kg", "kg"),),
        "measure": (("size@1:measure", "g", Decimal(1000), Decimal(2000)),),
        "reference": (("about@1", "Patient", "b", "", "", ""),),
        "uri": (("at@1", "http://a"),),
    }
)


def test_what_is_added_to_a_version_finds_it_and_nothing_else(desk: Any) -> None:
    first, second = desk.put("Patient", "a", token("gender", "male")), desk.put("Patient", "b")
    for _ in range(2):  # what it has already stays once
        desk.transact(lambda tx: tx.add_values(first, ADDED))
    for table, rows in ADDED.rows.items():
        assert desk.ids(Query("Patient", Match(table, rows[0][0]))) == ["a"]
    assert desk.ids(Query("Patient", has_code("late@1", "m"))) == ["a"]
    assert desk.ids(Query("Patient", has_code("gender", "male"))) == ["a"]
    assert desk.ids(Query("Patient", sort=(Sort("number", "births@1", "low"),))) == ["a", "b"]
    assert desk.run(desk.store.read("Patient", "b")) == second
    assert [version.seq for version in desk.run(desk.store.changes(0))] == [1, 2]
    desk.put("Patient", "a", token("gender", "male"))  # another version has rows of its own
    assert desk.ids(Query("Patient", has_code("late@1", "m"))) == []


def test_what_is_added_is_undone_with_its_work_and_seen_by_it(desk: Any) -> None:
    first = desk.put("Patient", "a")
    late = Query("Patient", has_code("late@1", "m"))

    def work(tx: Transaction) -> None:
        tx.add_values(first, ADDED)
        new = tx.put(Version("Patient", "n", 1, 1, "POST", b"{}"), Values({}))
        tx.add_values(new, ADDED)
        assert [version.id for version in tx.search(late)] == ["a", "n"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        desk.transact(work)
    assert desk.ids(late) == []
    assert desk.put("Patient", "c").seq == 2


# -- history -------------------------------------------------------------------------------------


def test_history_of_a_resource_a_type_and_all_is_newest_first_in_pages(desk: Any) -> None:
    for n in range(4):
        desk.put("Patient", "a", updated=10 * n)
    desk.put("Patient", "b", updated=100)
    desk.put("Device", "d", updated=110)
    desk.delete("Patient", "a")

    def numbers(*of: str, **options: Any) -> list[tuple[str, int]]:
        chapter = desk.run(desk.store.history(*of, excerpt=Excerpt(**options)))
        return [(v.id, v.version) for v in chapter.versions]

    assert numbers("Patient", "a") == [("a", 5), ("a", 4), ("a", 3), ("a", 2), ("a", 1)]
    assert numbers("Patient") == [("a", 5), ("b", 1), ("a", 4), ("a", 3), ("a", 2), ("a", 1)]
    assert numbers()[:3] == [("a", 5), ("d", 1), ("b", 1)]
    assert numbers("Patient", "b") == [("b", 1)]
    assert numbers("Patient", "nobody") == []
    first = desk.run(desk.store.history("Patient", "a", Excerpt(count=2)))
    assert (first.total, [v.version for v in first.versions]) == (5, [5, 4])
    second = desk.run(desk.store.history("Patient", "a", Excerpt(count=2, beyond=first.next)))
    assert (second.total, [v.version for v in second.versions]) == (5, [3, 2])
    last = desk.run(desk.store.history("Patient", "a", Excerpt(count=2, beyond=second.next)))
    assert ([v.version for v in last.versions], last.next) == ([1], None)
    assert desk.run(desk.store.history("Patient", "a")).versions[0].deleted


def test_history_oldest_first_in_pages(desk: Any) -> None:
    for n in range(3):
        desk.put("Patient", "a", updated=10 * n)
        desk.put("Patient", "b", updated=10 * n)
    for of, number in (((), 6), (("Patient",), 6), (("Patient", "a"), 3)):
        beyond, seen = None, []
        while True:
            excerpt = Excerpt(count=2, beyond=beyond, oldest_first=True)
            chapter = desk.run(desk.store.history(*of, excerpt=excerpt))
            assert chapter.total == number
            seen += [v.seq for v in chapter.versions]
            beyond = chapter.next
            if beyond is None:
                break
        assert seen == sorted(seen)
        assert len(seen) == number


def test_history_during_a_period_has_what_was_current_in_it(desk: Any) -> None:
    desk.put("Patient", "a", updated=10)
    desk.put("Patient", "b", updated=12)
    desk.put("Patient", "a", updated=20)
    desk.delete("Patient", "a", updated=30)
    desk.put("Device", "d", updated=40)

    def current(low: int, high: int, *of: str) -> list[tuple[str, int]]:
        chapter = desk.run(desk.store.history(*of, excerpt=Excerpt(during=(low, high))))
        assert chapter.total == len(chapter.versions)
        return [(v.id, v.version) for v in chapter.versions]

    assert current(0, 10) == []
    assert current(0, 11) == [("a", 1)]
    assert current(15, 16) == [("b", 1), ("a", 1)]
    assert current(15, 16, "Patient") == [("b", 1), ("a", 1)]
    assert current(15, 25, "Patient", "a") == [("a", 2), ("a", 1)]
    assert current(20, 21, "Patient", "a") == [("a", 2)]
    assert current(25, 31, "Patient", "a") == [("a", 3), ("a", 2)]
    assert current(31, 32, "Patient", "a") == []
    assert current(41, 42) == [("d", 1), ("b", 1)]
    assert current(0, 100, "Device") == [("d", 1)]
    pages = desk.run(desk.store.history(excerpt=Excerpt(count=1, during=(15, 16))))
    assert ([v.id for v in pages.versions], pages.total) == (["b"], 2)
    rest = desk.run(desk.store.history(excerpt=Excerpt(count=1, during=(15, 16), beyond=pages.next)))
    assert ([v.id for v in rest.versions], rest.next) == (["a"], None)


def test_history_since_a_time(desk: Any) -> None:
    for n in range(4):
        desk.put("Patient", "a", updated=10 * n)
    desk.put("Device", "d", updated=25)
    for of in (("Patient", "a"), ("Patient",)):
        chapter = desk.run(desk.store.history(*of, excerpt=Excerpt(since=20)))
        assert [(v.version, chapter.total) for v in chapter.versions] == [(4, 2), (3, 2)]
    everything = desk.run(desk.store.history(excerpt=Excerpt(since=20)))
    assert [(v.type, v.updated) for v in everything.versions] == [
        ("Device", 25),
        ("Patient", 30),
        ("Patient", 20),
    ]
    assert everything.total == 3


def test_changes_come_in_commit_order_with_a_limit(desk: Any) -> None:
    put = [desk.put("Patient", f"p{n}") for n in range(5)]
    assert desk.run(desk.store.changes(put[1].seq, limit=2)) == (put[2], put[3])
    assert desk.run(desk.store.changes(put[4].seq)) == ()


# -- works ---------------------------------------------------------------------------------------


def test_a_work_sees_its_own_puts(desk: Any, put_next: Callable[..., Version]) -> None:
    def work(tx: Transaction) -> None:
        query = Query("Patient", has_code("gender", "female"))
        assert tx.search(query) == ()
        first = put_next(tx, "Patient", "a", token("gender", "female"))
        assert tx.search(query) == (first,)
        assert tx.read("Patient", "a") == first
        assert tx.vread("Patient", "a", 1) == first
        second = put_next(tx, "Patient", "a", token("gender", "male"))
        assert tx.read("Patient", "a") == second
        assert tx.vread("Patient", "a", 1) == first
        assert tx.search(query) == ()
        third = put_next(tx, "Patient", "a", None)
        assert tx.read("Patient", "a") == third
        assert tx.search(Query("Patient")) == ()

    desk.transact(work)
    assert desk.run(desk.store.history("Patient", "a")).total == 3
    assert desk.ids(Query("Patient")) == []


def test_a_work_is_stored_as_a_whole_or_not_at_all(desk: Any, put_next: Callable[..., Version]) -> None:
    def fails(tx: Transaction) -> None:
        put_next(tx, "Patient", "a", token("gender", "female"))
        tx.search(Query("Patient"))  # by now the put is with the database
        put_next(tx, "Patient", "b")
        raise ValueError("no")

    desk.put("Patient", "a", token("gender", "male"))
    with pytest.raises(ValueError, match="no"):
        desk.transact(fails)
    assert desk.run(desk.store.read("Patient", "a")).version == 1
    assert desk.run(desk.store.read("Patient", "b")) is None
    assert desk.ids(Query("Patient", has_code("gender", "male"))) == ["a"]
    assert desk.ids(Query("Patient", has_code("gender", "female"))) == []


@pytest.mark.parametrize("searching", [False, True])
def test_a_failing_work_fails_alone(desk: Any, put_next: Callable[..., Version], searching: bool) -> None:
    def work(n: int) -> Callable[[Transaction], int]:
        def run(tx: Transaction) -> int:
            put_next(tx, "Patient", f"p{n}", token("identifier", f"system-{n}", f"new name {n}"))
            if searching:
                assert len(tx.search(Query("Patient", has_code("identifier", f"system-{n}")))) == 1
            if n % 3 == 0:
                raise ValueError(n)
            return n

        return run

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(
            *(desk.store.transact(work(n)) for n in range(30)), return_exceptions=True
        )

    results = desk.run(all_at_once())
    assert [str(r) if n % 3 == 0 else r for n, r in enumerate(results)] == [
        str(n) if n % 3 == 0 else n for n in range(30)
    ]
    assert set(desk.ids(Query("Patient"))) == {f"p{n}" for n in range(30) if n % 3}


def test_an_exception_that_the_work_catches_changes_nothing(
    desk: Any, put_next: Callable[..., Version]
) -> None:
    def work(tx: Transaction) -> str:
        put_next(tx, "Patient", "a")
        with pytest.raises(FhirError):
            tx.put(Version("Patient", "a", 7, 1, "PUT", b"{}"), Values({}))
        return "done"

    assert desk.transact(work) == "done"
    assert desk.run(desk.store.read("Patient", "a")).version == 1


@pytest.mark.parametrize("number", [1, 3, 0])
def test_a_version_must_follow_the_current_one(desk: Any, number: int) -> None:
    desk.put("Patient", "a")
    with pytest.raises(FhirError) as refused:
        desk.transact(lambda tx: tx.put(Version("Patient", "a", number, 1, "PUT", b"{}"), Values({})))
    assert refused.value.category == "conflict"
    assert desk.run(desk.store.history("Patient", "a")).total == 1


def test_a_first_version_that_is_not_the_first_fails_alone(
    desk: Any, put_next: Callable[..., Version]
) -> None:
    desk.put("Patient", "a")

    async def all_at_once() -> list[Any]:
        works: list[Callable[[Transaction], Any]] = [
            lambda tx: put_next(tx, "Patient", "b"),
            lambda tx: tx.put(Version("Patient", "a", 1, 1, "POST", b"{}"), Values({})),
            lambda tx: put_next(tx, "Patient", "c"),
        ]
        return await asyncio.gather(*map(desk.store.transact, works), return_exceptions=True)

    first, second, third = desk.run(all_at_once())
    assert isinstance(second, FhirError) and second.category == "conflict"
    assert (first.id, third.id) == ("b", "c")
    assert sorted(desk.ids(Query("Patient"))) == ["a", "b", "c"]


# -- concurrency ---------------------------------------------------------------------------------


def conditional_create(name: str) -> Callable[[Transaction], str | None]:
    def work(tx: Transaction) -> str | None:
        if tx.search(Query("Patient", Match("token", "identifier", (Test("code", "=", "0123"),)))):
            return None
        tx.put(Version("Patient", name, 1, 1, "POST", b"{}"), token("identifier", "0123", "urn:oid:1"))
        return name

    return work


def test_of_concurrent_conditional_creates_exactly_one_wins(desk: Any, another: Callable[[], Store]) -> None:
    stores = [desk.store, desk.open(another())]

    async def race() -> list[str | None]:
        works = (stores[n % 2].transact(conditional_create(f"p{n}")) for n in range(32))
        return await asyncio.gather(*works)

    winners = [name for name in desk.run(race()) if name]
    assert desk.ids(Query("Patient")) == winners
    assert len(winners) == 1


def test_no_update_is_lost(desk: Any, another: Callable[[], Store]) -> None:
    """Each increments what it read, in 40 works over two stores on the same data."""

    def increment(tx: Transaction) -> None:
        current = tx.read("Basic", "counter")
        value = int(current.body) if current and current.body else 0
        number = current.version if current else 0
        tx.put(Version("Basic", "counter", number + 1, 1, "PUT", str(value + 1).encode()), Values({}))

    stores = [desk.store, desk.open(another())]

    async def race() -> None:
        await asyncio.gather(*(stores[n % 2].transact(increment) for n in range(40)))

    desk.run(race())
    last = desk.run(desk.store.read("Basic", "counter"))
    assert (last.body, last.version) == (b"40", 40)
    assert [v.seq for v in desk.run(desk.store.changes(0))] == list(range(1, 41))


def test_of_two_updates_of_the_same_version_one_is_refused(desk: Any) -> None:
    desk.put("Patient", "a")

    def update(tx: Transaction) -> int:
        current = tx.read("Patient", "a")
        if current is None or current.version != 1:
            raise FhirError("precondition-failed", "changed")
        return tx.put(Version("Patient", "a", 2, 1, "PUT", b"{}"), Values({})).version

    async def race() -> list[Any]:
        return await asyncio.gather(*(desk.store.transact(update) for _ in range(8)), return_exceptions=True)

    results = desk.run(race())
    assert results.count(2) == 1
    assert sum(isinstance(r, FhirError) and r.category == "precondition-failed" for r in results) == 7


def test_every_search_after_a_write_sees_it_whichever_store_answers(
    desk: Any, another: Callable[[], Store], put_next: Callable[..., Version]
) -> None:
    other = desk.open(another())

    async def write_and_look(n: int) -> None:
        values = token("identifier", f"id-{n}")
        writer, reader = (desk.store, other) if n % 2 else (other, desk.store)
        await writer.transact(lambda tx: put_next(tx, "Patient", f"p{n}", values))
        found = await reader.search(Query("Patient", has_code("identifier", f"id-{n}")))
        assert [v.id for v in found.versions] == [f"p{n}"]
        assert await reader.read("Patient", f"p{n}") is not None

    async def all_at_once() -> None:
        await asyncio.gather(*(write_and_look(n) for n in range(24)))

    desk.run(all_at_once())


# -- what a patient has --------------------------------------------------------------------------


def in_compartment(patient: str | None) -> Values:
    return Values({}, patient)


def test_heads_are_what_is_current_in_a_compartment(desk: Any, put_next: Callable[..., Version]) -> None:
    desk.put("CarePlan", "c1", in_compartment("p1"))
    desk.put("CarePlan", "c2", in_compartment("p2"))
    second = desk.put("CarePlan", "c1", in_compartment("p1"))
    goal = desk.put("Goal", "g1", in_compartment("p1"))
    desk.put("Goal", "g2", in_compartment("p1"))
    desk.delete("Goal", "g2")
    desk.put("Flag", "f1", in_compartment("p1"))

    def heads(tx: Transaction) -> list[tuple[str, str, int, int]]:
        return sorted((h.type, h.id, h.version, h.seq) for h in tx.heads("p1", ("CarePlan", "Goal")))

    assert desk.transact(heads) == [("CarePlan", "c1", 2, second.seq), ("Goal", "g1", 1, goal.seq)]

    def moves(tx: Transaction) -> list[Any]:
        put_next(tx, "CarePlan", "c1", in_compartment("p2"))
        return [heads(tx), len(tx.heads("p2", ("CarePlan",)))]

    assert desk.transact(moves) == [[("Goal", "g1", 1, goal.seq)], 2]


def test_a_stamp_changes_with_what_the_patient_has(desk: Any, put_next: Callable[..., Version]) -> None:
    def stamp(patient: str) -> tuple[int, ...]:
        return desk.transact(lambda tx: tx.stamp(patient))[:4]

    assert stamp("p1") == (0, 0, 0, 0)
    plan = desk.put("CarePlan", "c1", in_compartment("p1"))
    assert stamp("p1") == (0, plan.seq, 0, 0)
    desk.put("Observation", "o1", in_compartment("p1"))
    assert stamp("p1") == (0, plan.seq, 0, 0)
    moved = desk.put("CarePlan", "c1", in_compartment("p2"))
    assert (stamp("p1"), stamp("p2")) == ((0, moved.seq, 0, 0), (0, moved.seq, 0, 0))
    gone = desk.delete("CarePlan", "c1")
    assert (stamp("p1"), stamp("p2")) == ((0, moved.seq, 0, 0), (0, gone.seq, 0, 0))

    def in_one_work(tx: Transaction) -> tuple[int, ...]:
        put_next(tx, "Goal", "g1", in_compartment("p1"))
        put_next(tx, "Goal", "g1", in_compartment("p2"))
        return tx.stamp("p1")[:4]

    assert desk.transact(in_one_work) == stamp("p1") == (0, moved.seq, gone.seq + 2, 0)


def test_a_stamp_changes_with_what_rules_are_made_of(desk: Any, put_next: Callable[..., Version]) -> None:
    def stamp(patient: str = "p1") -> tuple[int, ...]:
        return desk.transact(lambda tx: tx.stamp(patient))[4:]

    assert stamp() == (0, 0, 0, 0)
    library = desk.put("Library", "l1")
    desk.put("ActivityDefinition", "a1")
    assert stamp("p1") == stamp("p2") == (library.seq, 0, 0, 0)
    of_patient = desk.put("PlanDefinition", "d1", in_compartment("p2"))
    assert stamp() == (library.seq, of_patient.seq, 0, 0)
    codes = desk.put("ValueSet", "v1")
    system = desk.put("CodeSystem", "c1")
    gone = desk.delete("Library", "l1")
    assert stamp("p1") == stamp("nobody") == (gone.seq, of_patient.seq, codes.seq, system.seq)

    def in_one_work(tx: Transaction) -> tuple[int, ...]:
        put_next(tx, "ValueSet", "v1")
        return tx.stamp("p1")[4:]

    assert desk.transact(in_one_work) == stamp() == (gone.seq, of_patient.seq, gone.seq + 1, system.seq)

    def undone(tx: Transaction) -> None:
        put_next(tx, "Library", "l2")
        assert tx.stamp("p1")[4] == gone.seq + 2
        raise ValueError

    with pytest.raises(ValueError):
        desk.transact(undone)
    assert stamp() == (gone.seq, of_patient.seq, gone.seq + 1, system.seq)


def test_the_timeline_is_what_a_search_would_say(desk: Any, observation: Callable[..., Values]) -> None:
    for n in range(12):
        code = "pulse" if n % 3 else "weight"
        values = observation("p1" if n % 4 else "p2", code, 100 * n, n, codes=["pulse"] if n == 9 else [])
        desk.put("Observation", f"o{n}", values)
    desk.delete("Observation", "o11")

    def ids(*codes: str, **ends: int) -> set[str]:
        bodies = desk.transact(lambda tx: tx.timeline("p1", codes, Span(**ends)))
        assert len(bodies) == len(set(bodies))
        return {body.split(b'"id":"')[1].split(b'"')[0].decode() for body in bodies}

    assert ids("pulse") == {"o1", "o2", "o5", "o7", "o9", "o10"}
    assert ids("pulse", "weight") == {"o1", "o2", "o3", "o5", "o6", "o7", "o9", "o10"}
    assert ids("pulse", since=200, until=700) == {"o2", "o5", "o7"}
    assert ids("pulse", newest=2) == {"o10", "o9"}
    assert ids("pulse", "weight", newest=3, until=900) == {"o9", "o7", "o6"}
    assert ids("pulse", "weight", oldest=2, since=101) == {"o2", "o3"}
    assert ids("nothing") == set()


def test_a_timeline_without_its_own_shows_nothing_that_it_replaced(
    desk: Any, observation: Callable[..., Values], put_next: Callable[..., Version]
) -> None:
    desk.put("Observation", "o1", observation("p1", "pulse", 100, 1))
    desk.put("Observation", "o2", observation("p1", "pulse", 200, 2))

    def work(tx: Transaction) -> list[bytes]:
        put_next(tx, "Observation", "o1", observation("p1", "weight", 100, 1))
        put_next(tx, "Observation", "o3", observation("p1", "pulse", 300, 3))
        return tx.timeline("p1", ["pulse"], Span(), own=False)

    bodies = desk.transact(work)
    assert not any(b'"id":"o1"' in body for body in bodies)
    assert any(b'"id":"o2"' in body for body in bodies)


def test_a_work_sees_what_the_works_before_it_in_its_group_put(
    desk: Any, observation: Callable[..., Values], put_next: Callable[..., Version]
) -> None:
    """Each reading sees all those acknowledged with it, once."""

    def work(n: int) -> Callable[[Transaction], tuple[int, int, int]]:
        def run(tx: Transaction) -> tuple[int, int, int]:
            query = Query("Observation", has_code("code", "pulse"), count=1000)
            seen = (
                len(tx.timeline("p1", ["pulse"], Span(), own=False)),
                len(tx.search(query)),
                len(tx.heads("p1", ["Observation"])),
            )
            put_next(tx, "Observation", f"o{n}", observation("p1", "pulse", n, n))
            return seen

        return run

    async def all_at_once() -> list[tuple[int, int, int]]:
        return await asyncio.gather(*(desk.store.transact(work(n)) for n in range(20)))

    assert sorted(desk.run(all_at_once())) == [(n, n, n) for n in range(20)]


# -- searches that a parser would not write ------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["\x00", "a\x00b", "\ud800", "'; DROP TABLE version", "$where", "%", "*", "\\"]
)
@pytest.mark.parametrize("op", ["=", "prefix", "contains", "in", "!=", ">"])
def test_no_text_is_too_strange_to_search_for(desk: Any, text: str, op: str) -> None:
    value: Any = (text,) if op == "in" else text
    desk.put("Patient", "a", token("p", "plain"))
    for column in ("code", "system"):
        where = Match("token", "p", (Test(column, op, value),))
        for node in (where, Not(where), Or((where, has_code("p", "plain")))):
            desk.ids(Query("Patient", node))
            desk.count(Query("Patient", node))
    where = Match("token", "p", (Test("code", op, value),))
    assert desk.ids(Query("Patient", where)) == (
        ["a"] if op == "!=" or (op == ">" and text < "plain") else []
    )
    assert desk.ids(Query("Patient", Match("resource", "_id", (Test("id", "=", text),)))) == []
    assert desk.ids(Query("Patient", And(()), patient=text)) in ([], ["a"])


def test_a_thousand_alternatives(desk: Any) -> None:
    for n in range(5):
        desk.put("Patient", f"p{n}", token("identifier", f"id-{n * 300}", "s"))
    each = tuple(
        Match("token", "identifier", (Test("system", "=", "s"), Test("code", "=", f"id-{n}")))
        for n in range(1000)
    )
    assert desk.ids(Query("Patient", Or(each))) == ["p0", "p1", "p2", "p3"]
    assert desk.ids(Query("Patient", Not(Or(each)))) == ["p4"]
    assert desk.count(Query("Patient", Or(each))) == 4
    by_id = Match("resource", "_id", (Test("id", "in", tuple(f"p{n}" for n in range(2, 2000))),))
    assert desk.ids(Query("Patient", by_id)) == ["p2", "p3", "p4"]
    listed = Match("token", "identifier", (Test("code", "in", tuple(f"id-{n}" for n in range(1000))),))
    assert desk.ids(Query("Patient", listed)) == ["p0", "p1", "p2", "p3"]


def test_nesting_is_followed_or_refused(desk: Any) -> None:
    desk.put("Patient", "a", Values({"token": (("p", "", "x"), ("q", "", "x"))}))

    def nested(depth: int) -> Any:
        node: Any = has_code("p", "x")
        for n in range(depth):
            node = And((node, has_code("q", "x"))) if n % 2 else Or((node, has_code("q", "y")))
        return node

    assert desk.ids(Query("Patient", nested(30))) == ["a"]
    assert desk.ids(Query("Patient", Not(nested(30)))) == []
    with pytest.raises(FhirError) as refused:
        desk.search(Query("Patient", nested(200)))
    assert refused.value.category == "invalid"
    chain: Any = has_code("p", "x")
    for _ in range(3000):
        chain = And((chain,))
    assert desk.ids(Query("Patient", chain)) == ["a"]


@pytest.mark.parametrize("after", [(), ("a",), (1, 2, 3), (1, "x"), ([], 1), (None,)])
def test_a_cursor_of_another_search_is_refused(desk: Any, after: tuple[Any, ...]) -> None:
    desk.put("Patient", "a")
    query = Query("Patient", sort=(Sort("date", "birthdate", "low"),), after=after, snapshot=1)
    with pytest.raises(FhirError) as refused:
        desk.search(query)
    assert refused.value.category == "invalid"


def test_count_stops_where_it_is_told_to(desk: Any) -> None:
    for n in range(7):
        desk.put("Patient", f"p{n}", token("gender", "female"))
    assert desk.count(Query("Patient")) == 7
    assert desk.count(Query("Patient"), at_most=3) == 3
    assert desk.count(Query("Patient", has_code("gender", "female")), at_most=100) == 7
    assert desk.count(Query("Patient", Or(()))) == 0
    assert desk.search(Query("Patient", count=0)).versions == ()


def test_numbers_keep_their_order_however_large_or_small(desk: Any) -> None:
    from decimal import Decimal

    texts = ["-1e400", "-7.5", "0", "1e-400", "0.1", "0.10000000001", "91.5", "1e22", "1e400", "1e9999"]
    for n, text in enumerate(texts):
        desk.put(
            "RiskAssessment", f"r{n}", Values({"number": (("probability", Decimal(text), Decimal(text)),)})
        )

    def at_least(text: str) -> list[str]:
        test = Test("low", ">=", Decimal(text))
        return desk.ids(Query("RiskAssessment", Match("number", "probability", (test,))))

    assert at_least("91.5") == ["r6", "r7", "r8", "r9"]
    assert at_least("0.1") == ["r4", "r5", "r6", "r7", "r8", "r9"]
    ordered = desk.ids(Query("RiskAssessment", sort=(Sort("number", "probability", "low", True),)))
    assert ordered[-2:] == ["r1", "r0"]


def test_a_closed_store_refuses(desk: Any, another: Callable[[], Store]) -> None:
    other = another()
    desk.run(other.open())
    desk.run(other.close())
    for call in (other.transact(lambda tx: None), other.read("Patient", "a"), other.history(), other.check()):
        with pytest.raises(FhirError) as refused:
            desk.run(call)
        assert refused.value.category == "unavailable"
