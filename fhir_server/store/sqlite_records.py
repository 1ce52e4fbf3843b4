"""The table of records in a SQLite file."""

# ruff: noqa: S608 - statements are put together from constants; every value is bound

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fhir_server.store.records import Kept, Name

# In one statement: each step of SQLite lets go of the interpreter lock.
_AT_ONCE = 32
_LASTS = "(expires IS NULL OR expires > ?)"


def one(connection: sqlite3.Connection, kind: str, key: str) -> Kept | None:
    sought = "SELECT content, expires FROM record WHERE kind = ? AND key = ?"
    row = connection.execute(sought, (kind, key)).fetchone()
    return Kept(*row) if row else None


def some(
    connection: sqlite3.Connection, kind: str, after: str, limit: int, now: int | None
) -> list[tuple[str, Kept]]:
    """In the order of keys, behind `after`."""
    sought = "SELECT key, content, expires FROM record WHERE kind = ? AND key > ?"
    if now is None:
        rows = connection.execute(f"{sought} ORDER BY key LIMIT ?", (kind, after, limit))
    else:
        rows = connection.execute(f"{sought} AND {_LASTS} ORDER BY key LIMIT ?", (kind, after, now, limit))
    return [(key, Kept(content, expires)) for key, content, expires in rows]


def expired(connection: sqlite3.Connection, now: int, limit: int) -> list[Name]:
    sought = "SELECT kind, key FROM record WHERE expires IS NOT NULL AND expires <= ? LIMIT ?"
    return [(kind, key) for kind, key in connection.execute(sought, (now, limit))]


def statements(changes: Mapping[Name, Kept | None]) -> Iterator[tuple[str, Sequence[Any]]]:
    """What makes these changes."""
    kept = [(*name, record.content, record.expires) for name, record in changes.items() if record]
    for start in range(0, len(kept), _AT_ONCE):
        rows = kept[start : start + _AT_ONCE]
        places = ", ".join(["(?, ?, ?, ?)"] * len(rows))
        yield f"INSERT OR REPLACE INTO record VALUES {places}", [cell for row in rows for cell in row]
    for name, record in changes.items():
        if record is None:
            yield "DELETE FROM record WHERE kind = ? AND key = ?", name


class SqliteShelf:
    """A Shelf (store/records.py) in the transaction of the group; `use` calls with its connection."""

    def __init__(self, use: Callable[[Callable[[sqlite3.Connection], Any]], Any]) -> None:
        self._use = use

    def one(self, kind: str, key: str) -> Kept | None:
        found: Kept | None = self._use(lambda connection: one(connection, kind, key))
        return found

    def some(self, kind: str, after: str, limit: int, now: int | None) -> list[tuple[str, Kept]]:
        found: list[tuple[str, Kept]] = self._use(lambda each: some(each, kind, after, limit, now))
        return found

    def expired(self, now: int, limit: int) -> list[Name]:
        found: list[Name] = self._use(lambda connection: expired(connection, now, limit))
        return found
