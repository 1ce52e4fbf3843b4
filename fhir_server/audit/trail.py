"""What is known of one request, for its entry in the log whatever becomes of it.

A request that writes has its entry in the transaction of the write (`wrote`); every other gets one before its
answer is sent (`end`). Whose data it looked at is what the store handed out to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from time import monotonic
from typing import Any, Protocol, cast

from fhir_server.access.grant import Grant
from fhir_server.audit.chain import append
from fhir_server.audit.event import Event, Item, Who, pack
from fhir_server.audit.journal import Journal
from fhir_server.audit.query import described, patients_named, without_numbers
from fhir_server.changes import Outcome
from fhir_server.instants import microseconds
from fhir_server.search.query import Query
from fhir_server.store.base import WHOLE, Chapter, Excerpt, Found, Store, Transaction, Version

MOST = 1000  # patients that an entry names; a page of a search has no more
# The action of an interaction, https://hl7.org/fhir/R4/valueset-audit-event-action.html; all others are E.
_ACTIONS = {
    "create": "C",
    "read": "R",
    "vread": "R",
    "history-instance": "R",
    "history-type": "R",
    "history-system": "R",
    "update": "U",
    "patch": "U",
    "delete": "D",
    "meta-add": "U",
    "meta-delete": "U",
}
_EMERGENCY = "BTG"  # https://terminology.hl7.org/CodeSystem-v3-ActReason.html
_OF_ONE = frozenset({"read", "vread", "create", "update", "patch", "delete"})


@lru_cache(maxsize=1024)
def who(grant: Grant | None, address: str = "") -> Who:
    """The agent of an event, as the log keeps it."""
    if grant is None:
        return Who(address=address)
    return Who(
        grant.client,
        grant.user or "",
        grant.subject,
        grant.role,
        grant.patient or "",
        grant.token,
        grant.purpose,
        grant.organizations,
        address,
    )


class Place(Protocol):
    """Where a request goes (interactions.routes.Place): `path` is below the base."""

    @property
    def path(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def id(self) -> str: ...


class Trail:
    """One request's; an entry of a batch, or a read in a transaction, has one of its own (`part`)."""

    def __init__(self, journal: Journal, request: str = "", agent: Who | None = None) -> None:
        self._journal = journal
        self.request = request
        self.who = agent or Who()
        self.interaction = "unknown"
        self._place: Place | None = None
        self._texts: tuple[str, ...] = ()
        self._patients: dict[str, None] = {}
        self._emergencies: frozenset[str] = frozenset()
        self._committed = False

    def asked(self, interaction: str, place: Place, *texts: str) -> None:
        """What the request is: its interaction, where it goes, and parameters as they were sent."""
        self.interaction, self._place, self._texts = interaction, place, texts

    def of(self, grant: Grant | None) -> None:
        """It is known now who asks."""
        self.who = who(grant, self.who.address)
        self._emergencies = frozenset(grant.emergencies) if grant else frozenset()

    def part(self) -> Trail:
        """For one entry of a Bundle."""
        part = Trail(self._journal, self.request, self.who)
        part._emergencies = self._emergencies
        return part

    def is_bundle(self, kind: str) -> None:
        """What was posted to the base is a batch or a transaction."""
        self.interaction = kind

    def over(self, store: Store) -> Store:
        """The store, which tells this trail whose data it hands out."""
        return cast(Store, _Observed(store, self._patients))

    def wrote(self, tx: Transaction, items: Sequence[Item], outcomes: Sequence[Outcome]) -> None:
        """Put the entry into the transaction of what was written, or several where that is much.

        May be called again when the transaction runs again.
        """
        status = outcomes[0].status if len(outcomes) == 1 else 200
        parts = [tuple(items[start : start + MOST]) for start in range(0, max(1, len(items)), MOST)]
        append(tx, [pack(self._event(status, part)) for part in parts])

    def emergency(self, tx: Transaction, patient: str, reason: str) -> None:
        """Put into the transaction that who asks has broken the glass for the patient."""
        event = Event(
            microseconds(self._journal.clock()),
            "emergency",
            "emergency-started",
            "E",
            200,
            self.who._replace(purpose=_EMERGENCY),
            self.request,
            items=(Item("R", "Patient", patient),),
            reason=reason,
        )
        append(tx, [pack(event)])

    def committed(self) -> None:
        """The transaction with the entry is durable."""
        self._committed = True
        self._journal.noted += 1

    async def end(self, status: int, version: Version | None = None) -> None:
        """The request is about to be answered; `version` is the one that the answer shows.

        Returns when the entry is durable. FhirError("unavailable") where it cannot be.
        """
        if (self._committed and status < 400) or self.interaction == "capabilities":
            return
        more = 0
        if status in (401, 403):
            before = self._journal.refusals.admit(self.who.client, monotonic())
            if before is None:
                return
            more = before
        await self._journal.note(self._event(status, self._item(version), more))

    def _item(self, version: Version | None) -> tuple[Item, ...]:
        """The resource that was read, or that it was tried to reach."""
        action = _ACTIONS.get(self.interaction, "R")
        if version is not None and self.interaction in (
            "read",
            "vread",
            "create",
            "update",
            "patch",
            "delete",
        ):
            return (Item(action, version.type, version.id, version.version, version.patient or ""),)
        place = self._place
        if place is None or not place.id or without_numbers(place.id) != place.id:
            return ()  # nothing by its id, or somebody typed a person's number for one
        return (Item(action, place.type, place.id),)

    def _event(self, status: int, items: tuple[Item, ...], more: int = 0) -> Event:
        searches = self.interaction.startswith("search")
        action = _ACTIONS.get(self.interaction, "E")
        if items and action in "CU":
            action = items[0].action  # an update may have created it
        query, beyond, patients = "", 0, tuple[str, ...]()
        texts = self._texts
        if self._place and (self.interaction not in ("read", "create") or any(texts)):
            query = described(self._place.path, *texts)
        bundle = self.interaction in ("batch", "transaction")  # whose entries have events of their own
        if (not items or items[0].action == "R") and not bundle:
            named = patients_named(*texts) if searches else ()
            all_patients = [*dict.fromkeys((*named, *self._patients))]
            patients, beyond = tuple(all_patients[:MOST]), max(0, len(all_patients) - MOST)
        agent = self.who
        if self._emergencies and self._emergencies & _whose(items, patients):
            agent = agent._replace(purpose=_EMERGENCY)
        return Event(
            microseconds(self._journal.clock()),
            "rest",
            self.interaction,
            action,
            status,
            agent,
            self.request,
            query,
            items,
            patients,
            beyond,
            more=more,
        )


def _whose(items: Iterable[Item], patients: Iterable[str]) -> set[str]:
    """All patients that an event is about."""
    return {*patients, *(item.id if item.type == "Patient" else item.patient for item in items)}


class _Observed:
    """A store that notes whose data it hands out; everything else is the store's."""

    def __init__(self, store: Store, patients: dict[str, None]) -> None:
        self._store = store
        self._patients = patients

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _see(self, versions: Iterable[Version]) -> None:
        for version in versions:
            if version.patient is not None:
                self._patients[version.patient] = None

    async def read(self, type: str, id: str) -> Version | None:
        found = await self._store.read(type, id)
        if found is not None and found.patient is not None:
            self._patients[found.patient] = None
        return found

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        found = await self._store.vread(type, id, version)
        if found is not None and found.patient is not None:
            self._patients[found.patient] = None
        return found

    async def history(
        self, type: str | None = None, id: str | None = None, excerpt: Excerpt = WHOLE
    ) -> Chapter:
        found = await self._store.history(type, id, excerpt)
        self._see(found.versions)
        return found

    async def search(self, query: Query) -> Found:
        found = await self._store.search(query)
        self._see(found.versions)
        return found
