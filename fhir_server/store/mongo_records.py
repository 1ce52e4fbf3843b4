"""The collection of records in a MongoDB database: `_id` is kind and key, and so the order of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pymongo import DeleteOne, ReplaceOne
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from fhir_server.store.records import Kept, Name

Document = dict[str, Any]
INDEXES = {"expires": [("expires", 1)]}
_SEPARATOR = "/"  # which no kind has; "0" comes next after it


def _id(kind: str, key: str) -> str:
    return f"{kind}{_SEPARATOR}{key}"


def _kept(found: Document) -> Kept:
    return Kept(bytes(found["content"]), found.get("expires"))


def one(records: Collection[Document], session: ClientSession | None, kind: str, key: str) -> Kept | None:
    found = records.find_one({"_id": _id(kind, key)}, session=session)
    return _kept(found) if found else None


def some(
    records: Collection[Document],
    session: ClientSession | None,
    kind: str,
    after: str,
    limit: int,
    now: int | None,
) -> list[tuple[str, Kept]]:
    """In the order of keys, behind `after`."""
    if limit <= 0:
        return []
    found: list[tuple[str, Kept]] = []
    low, end = _id(kind, after), f"{kind}0"
    while len(found) < limit:  # what has expired is passed over here: the range stays one of the index
        wanted = limit - len(found)
        page = list(
            records.find({"_id": {"$gt": low, "$lt": end}}, session=session).sort("_id", 1).limit(wanted)
        )
        each = [(row["_id"].partition(_SEPARATOR)[2], _kept(row)) for row in page]
        found += [(key, kept) for key, kept in each if kept.lasts(now)]
        if len(page) < wanted:
            break
        low = page[-1]["_id"]
    return found


def change(
    records: Collection[Document], session: ClientSession | None, changes: Mapping[Name, Kept | None]
) -> None:
    """Carry out the changes of a group."""
    requests: list[Any] = [
        DeleteOne({"_id": _id(*name)})
        if kept is None
        else ReplaceOne(
            {"_id": _id(*name)},
            {"content": kept.content, **({} if kept.expires is None else {"expires": kept.expires})},
            upsert=True,
        )
        for name, kept in changes.items()
    ]
    records.bulk_write(requests, ordered=False, session=session)


class MongoShelf:
    """A Shelf (store/records.py) in the group's transaction, which `guarded` keeps from going on broken."""

    def __init__(
        self,
        where: Callable[[], tuple[Collection[Document], ClientSession | None]],
        guarded: Callable[[Callable[[], Any]], Any],
    ) -> None:
        self._where = where
        self._guarded = guarded

    def one(self, kind: str, key: str) -> Kept | None:
        found: Kept | None = self._guarded(lambda: one(*self._where(), kind, key))
        return found

    def some(self, kind: str, after: str, limit: int, now: int | None) -> list[tuple[str, Kept]]:
        found: list[tuple[str, Kept]] = self._guarded(lambda: some(*self._where(), kind, after, limit, now))
        return found

    def expired(self, now: int, limit: int) -> list[Name]:
        def look() -> list[Name]:
            records, session = self._where()
            rows = records.find({"expires": {"$lte": now}}, {"_id": 1}, session=session).limit(limit)
            names = (row["_id"].partition(_SEPARATOR) for row in rows)
            return [(kind, key) for kind, _, key in names]

        found: list[Name] = self._guarded(look)
        return found
