"""Records in a group of works: what is kept and forgotten waits here for the commit, on either store.

A record is a few bytes by kind and key for the server's own state (store/base.py). Whoever looks sees what is
stored with what waits laid over it, so nothing has to be sent half-way, and a work that fails is undone here.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from fhir_server.errors import FhirError
from fhir_server.store.tree import encodable

LARGEST = 4 * 2**20  # bytes of one record's content
SWEPT = 1000  # records that one sweep drops at most

Name = tuple[str, str]  # kind, key


class Kept(NamedTuple):
    content: bytes
    expires: int | None

    def lasts(self, now: int | None) -> bool:
        return now is None or self.expires is None or self.expires > now


class Shelf(Protocol):
    """What is stored, as the transaction of the group sees it."""

    def one(self, kind: str, key: str) -> Kept | None: ...

    def some(self, kind: str, after: str, limit: int, now: int | None) -> list[tuple[str, Kept]]: ...

    def expired(self, now: int, limit: int) -> list[Name]: ...


class Recorded(Protocol):
    """The ledger of a group, as far as records go."""

    @property
    def records(self) -> Records: ...


class Recording:
    """What a Transaction has of records (store/base.py), on either store."""

    def __init__(self, ledger: Recorded) -> None:
        self._recorded = ledger

    def record(self, kind: str, key: str, *, now: int | None = None) -> bytes | None:
        return self._recorded.records.record(kind, key, now)

    def keep(self, kind: str, key: str, content: bytes, expires: int | None = None) -> None:
        self._recorded.records.keep(kind, key, content, expires)

    def forget(self, kind: str, key: str) -> bool:
        return self._recorded.records.forget(kind, key)

    def records(
        self, kind: str, after: str = "", limit: int = 1000, *, now: int | None = None
    ) -> list[tuple[str, bytes]]:
        return self._recorded.records.records(kind, after, limit, now)

    def sweep(self, now: int) -> int:
        return self._recorded.records.sweep(now)


class Records:
    """The changes of a group over what is stored."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._changes: dict[Name, Kept | None] = {}
        self._former: list[tuple[Name, Kept | None, bool]] = []  # how to undo: and whether there was a change

    def begin(self) -> None:
        self._changes.clear()
        self._former.clear()

    @property
    def mark(self) -> int:
        """To `undo` to."""
        return len(self._former)

    def undo(self, mark: int) -> None:
        while len(self._former) > mark:
            name, before, changed = self._former.pop()
            if changed:
                self._changes[name] = before
            else:
                del self._changes[name]

    def changes(self) -> dict[Name, Kept | None]:
        """What the commit has to carry out; None: it is no more."""
        return self._changes

    def record(self, kind: str, key: str, now: int | None) -> bytes | None:
        found = self._one((kind, key)) if encodable(key) else None
        return found.content if found and found.lasts(now) else None

    def keep(self, kind: str, key: str, content: bytes, expires: int | None) -> None:
        if len(content) > LARGEST:
            raise FhirError("too-large", f"A record may have {LARGEST} bytes")
        if not key or not encodable(key):
            raise FhirError("invalid", "The key of a record is empty, or no Unicode text")
        self._change((kind, key), Kept(content, expires))

    def forget(self, kind: str, key: str) -> bool:
        there = encodable(key) and self._one((kind, key)) is not None
        if there:
            self._change((kind, key), None)
        return there

    def records(self, kind: str, after: str, limit: int, now: int | None) -> list[tuple[str, bytes]]:
        over = {key: kept for (of, key), kept in self._changes.items() if of == kind and key > after}
        found = {
            key: kept
            for key, kept in self._shelf.some(kind, after, limit + len(over), now)
            if key not in over
        }
        found |= {key: kept for key, kept in over.items() if kept is not None and kept.lasts(now)}
        return [(key, found[key].content) for key in sorted(found)[:limit]]

    def sweep(self, now: int) -> int:
        stored = [name for name in self._shelf.expired(now, SWEPT) if name not in self._changes]
        waiting = [name for name, kept in self._changes.items() if kept is not None and not kept.lasts(now)]
        for name in (*stored, *waiting):
            self._change(name, None)
        return len(stored) + len(waiting)

    def _one(self, name: Name) -> Kept | None:
        return self._changes[name] if name in self._changes else self._shelf.one(*name)

    def _change(self, name: Name, kept: Kept | None) -> None:
        self._former.append((name, self._changes.get(name), name in self._changes))
        self._changes[name] = kept
