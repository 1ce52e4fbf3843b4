"""The store contract: what Varde asks of a place to keep resources, and nothing more.

One test suite (tests/store/) holds every adapter to it. A store keeps versions (JSON bytes that already
carry id and meta) and the search values that were extracted for them; it knows no FHIR.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from fhir_server.search.query import Query, Values

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one resource, as stored.

    `seq` is its place in the order of all commits (1, 2, ... increasing, unique per version); a store assigns
    it. `updated` is microseconds since 1970 UTC. `body` is the JSON to send, None where this version is a
    deletion. `method` is the HTTP verb that made it (POST, PUT, PATCH, DELETE), for history bundles.
    `patient` is whose compartment it is in, by the values it was put with: a store assigns that as well.
    """

    type: str
    id: str
    version: int
    updated: int
    method: str
    body: bytes | None
    seq: int = 0
    patient: str | None = field(default=None, compare=False)

    @property
    def deleted(self) -> bool:
        return self.body is None


@dataclass(frozen=True, slots=True)
class Head:
    """Which version of a resource is current: enough to know whether what one has cached still holds."""

    type: str
    id: str
    version: int
    seq: int


# What is asked of a patient at every reading, and must not cost a search each time.
STAMPED = ("Patient", "CarePlan", "Goal", "Flag")
# What rules are made of besides: of no patient, and asked for together with the above.
DEFINING = ("Library", "PlanDefinition", "ValueSet", "CodeSystem")


@dataclass(frozen=True, slots=True)
class Span:
    """Moments in [since, until] (microseconds; None: no bound).

    `newest` or `oldest`: only that many from that end.
    """

    since: int | None = None
    until: int | None = None
    newest: int | None = None
    oldest: int | None = None

    @property
    def limit(self) -> int | None:
        return self.newest if self.newest is not None else self.oldest


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search. `next` is the cursor to put into Query.after, None on the last page.

    `places` has for each version the cursor that leads behind it: its sort keys, and its seq.
    """

    versions: tuple[Version, ...]
    next: tuple[Any, ...] | None
    snapshot: int
    places: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Which part of a history is wanted; moments in microseconds.

    `since`: versions made then or later. `during`: those that were current at some moment in [low, high).
    `beyond`: the seq of the last version of the page before this one.
    """

    count: int = 50
    beyond: int | None = None
    since: int | None = None
    during: tuple[int, int] | None = None
    oldest_first: bool = False


@dataclass(frozen=True, slots=True)
class Chapter:
    """A page of history, newest first unless asked otherwise.

    `next` is the seq to put into `Excerpt.beyond`, None on the last page; `total` is that of all pages, None
    where to count them would take reading them all.
    """

    versions: tuple[Version, ...]
    next: int | None
    total: int | None


WHOLE = Excerpt()


class Transaction(Protocol):
    """What a unit of work may do. Synchronous, runs in a thread of the store; sees its own puts.

    Everything put in one work is committed together or not at all, and works are serialisable: each runs as
    if it were alone, in the order of their commits, over all processes on the same store.
    """

    def read(self, type: str, id: str) -> Version | None:
        """The current version (which may be a deletion), or None if there never was one."""

    def vread(self, type: str, id: str, version: int) -> Version | None:
        """That version of it, or None."""

    def search(self, query: Query) -> tuple[Version, ...]:
        """The first query.count current matches in the query's order."""

    def timeline(self, patient: str, codes: Sequence[str], span: Span, *, own: bool = True) -> list[bytes]:
        """The bodies of current Observations in the patient's compartment with such a `combo-code`.

        Those whose moment is in the span, in no particular order. Without `own`, what this work put itself
        may be missing: that spares the store from making it findable half-way. A search could say the same;
        every reading asks this, so it is one range of an index.
        """

    def heads(self, patient: str, types: Sequence[str]) -> tuple[Head, ...]:
        """Current, undeleted versions of these types in the patient's compartment, without their bodies."""

    def stamp(self, patient: str) -> tuple[int, ...]:
        """For each type of STAMPED the seq of the last version that came into the patient's compartment,
        changed in it or left it; then for each type of DEFINING the seq of the last version of any resource
        of that type. 0 where there was none. Equal stamps mean that nothing has changed."""

    def put(self, version: Version, values: Values | None) -> Version:
        """Store a version (`seq` is ignored and assigned) as the current one; values None when deleted.

        Returns it with its seq. `version.version` must be one more than the current (1 for the first).
        """

    def add_values(self, version: Version, values: Values) -> None:
        """Add rows to those that a version is found by, `version` as the store gave it; what it has already
        stays once. Its patient and its moment stay: `values` have nothing but rows, of other parameters than
        those that the store orders by. Searches at earlier snapshots may find it by them too."""

    # Records: the server's own small state (sessions, tokens, the log of accesses) by kind and key. They
    # have no versions and no history, are committed with the work like everything else, and are shared by
    # all processes. A kind is lower-case letters and hyphens; a key is any text but the empty; a content has
    # up to 4 MiB.

    def record(self, kind: str, key: str, *, now: int | None = None) -> bytes | None:
        """The content, or None. With `now` (microseconds since 1970 UTC) None also when it has expired."""

    def keep(self, kind: str, key: str, content: bytes, expires: int | None = None) -> None:
        """Add it or replace it; it expires at that moment (microseconds), or never.

        Raises FhirError("too-large") above 4 MiB.
        """

    def forget(self, kind: str, key: str) -> bool:
        """Remove it; whether it was there, expired or not."""

    def records(
        self, kind: str, after: str = "", limit: int = 1000, *, now: int | None = None
    ) -> list[tuple[str, bytes]]:
        """(key, content) in the order of keys (by code point), those behind `after`; see `record` for now."""

    def sweep(self, now: int) -> int:
        """Remove up to 1000 records of any kind that have expired; how many were removed."""


class Store(Protocol):
    """Async, and safe to call from many tasks. Several processes may share one store.

    Every method raises FhirError("unavailable") when the store cannot be reached or cannot write (disk
    full, database gone), and works again without a restart when it can.
    """

    name: str  # "sqlite" | "mongodb", for metrics and the CapabilityStatement

    @property
    def whole(self) -> Store:
        """The store with nothing hidden: itself, unless it shows only what somebody may see
        (fhir_server.access.confined)."""

    async def open(self) -> None:
        """Create what is missing (tables, indexes) and check what is required.

        Raises FhirError("unavailable") with a plain sentence when the store cannot keep its promises
        (a MongoDB that is no replica set).
        """

    async def close(self) -> None:
        """Finish what is queued, then let go of files and connections."""

    async def check(self) -> None:
        """Raises FhirError("unavailable") unless the store answers a trivial read now."""

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        """Run work in a transaction; returns its result once everything it put is durable on disk.

        An exception from work rolls back that work alone and comes out here. work may run more than once
        (a conflict with another process), so it must have no effects of its own.
        """

    async def read(self, type: str, id: str) -> Version | None:
        """As Transaction.read, of what is committed."""

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        """As Transaction.vread, of what is committed."""

    async def history(
        self, type: str | None = None, id: str | None = None, excerpt: Excerpt = WHOLE
    ) -> Chapter:
        """Versions of a resource, of a type, or of all. A deletion counts as current when it was made."""

    async def search(self, query: Query) -> Found:
        """A page. Without query.snapshot it sees the newest commit, and every acknowledged write is in it;
        with one it sees exactly what was current then, whatever has been written since."""

    async def count(self, query: Query, at_most: int | None = None) -> int:
        """How many match (at query.snapshot if set); stops counting at at_most."""

    async def record(self, kind: str, key: str, *, now: int | None = None) -> bytes | None:
        """As Transaction.record, of what is committed."""

    async def records(
        self, kind: str, after: str = "", limit: int = 1000, *, now: int | None = None
    ) -> list[tuple[str, bytes]]:
        """As Transaction.records, of what is committed."""

    async def changes(self, since: int, limit: int = 1000) -> tuple[Version, ...]:
        """Versions with seq > since, in commit order."""

    async def explain(self, query: Query) -> list[str]:
        """The store's own plan for the search, a line a step, for tests and administrators."""
