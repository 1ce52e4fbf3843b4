"""Promise 4: following `next` gives each match of the first page's moment once, while others write."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from fhir_server.search.query import And, Match, Query, Sort, Test, Values
from fhir_server.store.base import Store, Transaction, Version

MATCHES = 60
ACTIVE = Match("token", "status", (Test("code", "=", "active"),))
MINE = Match("reference", "subject", (Test("type", "=", "Patient"), Test("id", "=", "p1")))


def flag(status: str, moment: int) -> Values:
    return Values(
        {
            "token": (("status", "s", status), ("code", "s", "c")),
            "reference": (("subject", "Patient", "p1", None, None, None),),
            "date": (("date", moment, moment + 10),),
        },
        "p1",
        moment,
    )


@pytest.mark.parametrize(
    "query",
    [
        Query("Flag", ACTIVE, count=7),
        Query("Flag", ACTIVE, (Sort("date", "date", "low", True),), count=7),
        Query("Flag", ACTIVE, (Sort("resource", "_lastUpdated", "updated"),), count=7),
        Query("Flag", ACTIVE, (Sort("token", "status", "code"), Sort("date", "date", "low")), count=7),
        Query("Flag", And((MINE, ACTIVE)), (Sort("date", "date", "low", True),), count=7, patient="p1"),
    ],
    ids=["seq", "newest", "updated", "two keys", "patient"],
)
def test_pages_are_a_snapshot_while_others_write(
    desk: Any, another: Callable[[], Store], put_next: Callable[..., Version], query: Query
) -> None:
    random_moments = random.Random(1)

    def fill(tx: Transaction) -> None:
        for n in range(MATCHES):
            put_next(tx, "Flag", f"f{n}", flag("active", random_moments.randrange(20)), updated=n % 9)

    desk.transact(fill)
    other = desk.open(another())

    async def disturb() -> None:
        """Update, take out of the match, delete, bring back, and add, over and over."""
        choices = random.Random(2)
        for turn in range(10_000):
            id = f"f{choices.randrange(MATCHES + turn % 30)}"
            values = choices.choice(
                [flag("active", choices.randrange(20)), flag("inactive", 5), None, flag("active", 99)]
            )
            await other.transact(lambda tx, of=(id, values, turn % 9): put_next(tx, "Flag", *of))

    async def follow() -> list[Version]:
        page = await desk.store.search(query)  # the snapshot, before anybody writes
        noise = asyncio.create_task(disturb())
        found = list(page.versions)
        while page.next is not None:
            asked = Query(
                query.type, query.where, query.sort, query.count, query.patient, page.next, page.snapshot
            )
            await asyncio.sleep(0.02)
            page = await desk.store.search(asked)
            found += page.versions
        noise.cancel()
        await asyncio.gather(noise, return_exceptions=True)
        again = Query(query.type, query.where, query.sort, 1000, query.patient, None, page.snapshot)
        assert found == list((await desk.store.search(again)).versions)
        return found

    found = desk.run(follow())
    assert len({version.id for version in found}) == len(found) == MATCHES
