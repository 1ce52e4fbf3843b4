"""The store as a requester sees it: everything that is not visible is as if it had never been.

It has the whole contract of a store (store/base.py), with the condition of the grant (predicate.py, less
what withheld.py says) added to every search and to every resource that a chain or a _has leads over, so that
no interaction can forget it. What is visible:

- to a search, the versions for which the condition holds, by the rows of those versions; on a further page,
  which is of an earlier snapshot, as long as it holds for what is current now;
- of a resource, by id or in a history, those versions for which it holds, as long as it holds for the current
  one (of a deleted resource, the last before the deletion): a label that is put on later hides the past.
  Care teams, consents and the like count as they are now, whatever version is asked for.

A read needs the permission r, as does a history of one resource; all else needs s. Nothing is written through
it: writes go by fhir_server.write, which asks writing.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fhir_server.access.grant import Grant
from fhir_server.access.judge import answered, asked, facts_of, holds
from fhir_server.access.kinds import SHARED
from fhir_server.access.predicate import belongs, both, granted, only_of, owners
from fhir_server.access.withheld import DENYING, may_be_labelled, withheld
from fhir_server.errors import FhirError
from fhir_server.search.query import EVERYTHING, NOTHING, And, Chain, Has, Match, Node, Not, Or, Query, Test
from fhir_server.store.base import WHOLE, Chapter, Excerpt, Found, Store, Transaction, Version

T = TypeVar("T")
# Versions that are looked through for a page of the history of a type or of all.
MOST = 10_000
_PAGE = 500
# Under this a process remembers whether there are Consents that deny, and when it looked.
DENIALS = "denials"
# How long a process believes that there are no Consents that deny. What it writes itself it knows at once.
_SECONDS = 1.0


class Rules:
    """What a grant gives of each type at a moment, with what is withheld taken away."""

    def __init__(self, grant: Grant, now: int, denials: bool) -> None:
        self.grant, self._now = grant, now
        self.denials = denials and grant.role != "patient"  # no Consent holds a patient back from their own

    def visible(self, type: str, may: str, patient: str | None = None) -> Node:
        """The condition that what is visible fulfils; `patient`: of resources that are this patient's."""
        given = granted(self.grant, type, may, patient)
        if given == NOTHING:
            return NOTHING
        hidden = withheld(self.grant, type, self._now, self.denials)
        return given if hidden == NOTHING else both(given, Not(hidden))

    def confined(self, query: Query, may: str = "s") -> Query:
        """The query, of what is visible only."""
        where = both(self.inside(query.where), self.visible(query.type, may, query.patient))
        only = only_of(self.grant, query.type, may)
        sure = only is not None and belongs(query.type)
        return replace(query, where=where, patient=query.patient or (only if sure else None), of=only)

    def inside(self, node: Node) -> Node:
        """The condition where other resources are met only if they are visible."""
        match node:
            case And(children) | Or(children):
                return replace(node, children=tuple(map(self.inside, children)))
            case Not(child):
                return Not(self.inside(child))
            case Chain(_, type, where) | Has(type, _, where):
                return replace(node, where=both(self.inside(where), self.visible(type, "s")))
        return node

    def surely(self, version: Version, may: str) -> bool:
        """Whether an undeleted version can be seen to be visible without asking the store anything."""
        given = granted(self.grant, version.type, may)
        if version.type in SHARED:
            return given == EVERYTHING
        if self.denials or may_be_labelled(version.body or b""):
            return False
        return given == EVERYTHING or (
            version.patient is not None and version.patient in owners(self.grant, version.type, may)
        )


class Confined:
    """A Store of what a grant lets its bearer see of another, `whole`."""

    def __init__(self, whole: Store, grant: Grant, now: Callable[[], int], known: dict[str, Any]) -> None:
        """`now` gives the time in microseconds since 1970; `known` is what the process remembers."""
        self.whole = whole
        self.name = whole.name
        self.grant = grant
        self._now = now
        self._known = known
        self._fresh: set[int] = set()  # snapshots of this request

    async def open(self) -> None:
        await self.whole.open()

    async def close(self) -> None:
        await self.whole.close()

    async def check(self) -> None:
        await self.whole.check()

    async def transact(self, work: Callable[[Transaction], T]) -> T:
        raise AssertionError("writes go by fhir_server.write, which holds them to the grant")

    async def record(self, kind: str, key: str, *, now: int | None = None) -> bytes | None:
        raise AssertionError("the server's own records are no requester's")

    async def records(
        self, kind: str, after: str = "", limit: int = 1000, *, now: int | None = None
    ) -> list[tuple[str, bytes]]:
        raise AssertionError("the server's own records are no requester's")

    async def read(self, type: str, id: str) -> Version | None:
        found = await self.whole.read(type, id)
        if found is None or granted(self.grant, type, "r") == NOTHING:
            return None
        return await self._seen(await self.rules(), found)

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        current = await self.read(type, id)
        if current is None or current.version == version:
            return current
        found = await self.whole.vread(type, id, version)
        return found if found and await self._held(await self.rules(), found, "r") else None

    async def search(self, query: Query) -> Found:
        rules = await self.rules()
        found = await self.whole.search(rules.confined(query))
        if query.snapshot is None:
            self._fresh.add(found.snapshot)
        return found if found.snapshot in self._fresh else await self._still(rules, found)

    async def count(self, query: Query, at_most: int | None = None) -> int:
        return await self.whole.count((await self.rules()).confined(query), at_most)

    async def explain(self, query: Query) -> list[str]:
        return await self.whole.explain((await self.rules()).confined(query))

    async def history(
        self, type: str | None = None, id: str | None = None, excerpt: Excerpt = WHOLE
    ) -> Chapter:
        """Of one resource with the total; of a type or of all without, and FhirError("too-costly") where
        what is visible is too far between."""
        rules = await self.rules()
        may = "s" if id is None else "r"
        if id is not None and type is not None and await self.read(type, id) is None:
            return Chapter((), None, 0)
        if type is not None and granted(self.grant, type, may) == NOTHING:
            return Chapter((), None, None)
        return await self._chapter(rules, type, id, excerpt, may)

    async def changes(self, since: int, limit: int = 1000) -> tuple[Version, ...]:
        rules = await self.rules()
        return tuple(await self._visible(rules, await self.whole.changes(since, limit), "s"))

    # How it is done

    async def rules(self) -> Rules:
        """Those of this moment."""
        return Rules(self.grant, self._now(), await self._denials())

    async def _denials(self) -> bool:
        checked, found = self._known.get(DENIALS, (None, False))
        moment = time.monotonic()
        if checked is None or moment - checked > _SECONDS:
            found = bool((await self.whole.search(DENYING)).versions)
            self._known[DENIALS] = (moment, found)
        return bool(found)

    async def _still(self, rules: Rules, found: Found) -> Found:
        """A page of an earlier snapshot without what has been hidden since: the page may be short."""
        ids: dict[str, dict[str, None]] = {}
        for version in found.versions:
            ids.setdefault(version.type, {})[version.id] = None
        shown = {type: await self._shown(rules, type, of_type, "s") for type, of_type in ids.items()}
        kept = [at for at, version in enumerate(found.versions) if version.id in shown[version.type]]
        versions = tuple(found.versions[at] for at in kept)
        return replace(found, versions=versions, places=tuple(found.places[at] for at in kept))

    async def _seen(self, rules: Rules, current: Version, may: str = "r") -> Version | None:
        """The current version of a resource, if it is visible."""
        if current.deleted:
            last = await self.whole.vread(current.type, current.id, current.version - 1)
            return current if last and await self._held(rules, last, may) else None
        if rules.surely(current, may):
            return current
        found = await self.whole.search(of_ids(rules, current.type, [current.id], may))
        return found.versions[0] if found.versions else None

    async def _held(self, rules: Rules, version: Version, may: str) -> bool:
        """Whether the condition holds for a version that need not be current.

        A deletion is as visible as what it deleted.
        """
        if version.deleted:
            last = await self.whole.vread(version.type, version.id, version.version - 1)
            return last is not None and await self._held(rules, last, may)
        if rules.surely(version, may):
            return True
        steps = holds(rules.visible(version.type, may), facts_of(version))
        return await answered(steps, self._found)

    async def _found(self, query: Query) -> Sequence[Version]:
        return (await self.whole.search(query)).versions

    async def _chapter(
        self, rules: Rules, type: str | None, id: str | None, excerpt: Excerpt, may: str
    ) -> Chapter:
        """The visible versions of the part that is wanted: pages of the whole, until there are enough."""
        kept: list[Version] = []
        place = replace(excerpt, count=_PAGE, beyond=None if id is not None else excerpt.beyond)
        seen = 0
        while id is not None or len(kept) <= excerpt.count:
            page = await self.whole.history(type, id, place)
            kept += await self._visible(rules, page.versions, may)
            seen += len(page.versions)
            if page.next is None:
                break
            if seen >= MOST:
                text = f"More than {MOST} versions to look through: narrow it by _since"
                raise FhirError("too-costly", text)
            place = replace(place, beyond=page.next)
        total = len(kept) if id is not None else None
        if id is not None and excerpt.beyond is not None:
            sign = 1 if excerpt.oldest_first else -1
            kept = [version for version in kept if (version.seq - excerpt.beyond) * sign > 0]
        page_, more = kept[: excerpt.count], len(kept) > excerpt.count
        return Chapter(tuple(page_), page_[-1].seq if more and page_ else None, total)

    async def _visible(self, rules: Rules, versions: Sequence[Version], may: str) -> list[Version]:
        """Those that are visible, of resources that are."""
        ids: dict[str, dict[str, None]] = {}
        for version in versions:
            ids.setdefault(version.type, {})[version.id] = None
        shown = {type: await self._shown(rules, type, of_type, may) for type, of_type in ids.items()}
        return [
            version
            for version in versions
            if version.id in shown[version.type] and await self._held(rules, version, may)
        ]

    async def _shown(self, rules: Rules, type: str, ids: Iterable[str], may: str) -> set[str]:
        """The ids of the resources that are visible as they are now."""
        if granted(self.grant, type, may) == NOTHING:
            return set()
        asked_for = list(ids)
        found = await self.whole.search(of_ids(rules, type, asked_for, may))
        shown = {version.id for version in found.versions}
        for id in asked_for:
            if id not in shown:
                current = await self.whole.read(type, id)
                if current is not None and current.deleted and await self._seen(rules, current, may):
                    shown.add(id)
        return shown


class View:
    """What a transaction has, as a requester sees it: for the criteria and the targets of writes."""

    def __init__(self, tx: Transaction, grant: Grant, now: int) -> None:
        self._tx = tx
        self.rules = Rules(grant, now, bool(tx.search(DENYING)))

    def read(self, type: str, id: str, may: str = "r") -> Version | None:
        current = self._tx.read(type, id)
        return current if current is not None and self.shows(current, may) else None

    def vread(self, type: str, id: str, version: int) -> Version | None:
        if self.read(type, id) is None:
            return None
        found = self._tx.vread(type, id, version)
        return found if found is not None and self._held(found, "r") else None

    def search(self, query: Query) -> tuple[Version, ...]:
        return self._tx.search(self.rules.confined(query))

    def shows(self, current: Version, may: str) -> bool:
        """Whether the current version of a resource is within the grant for a permission."""
        if granted(self.rules.grant, current.type, may) == NOTHING:
            return False
        if current.deleted:
            return self._held(current, may)
        if self.rules.surely(current, may):
            return True
        return bool(self._tx.search(of_ids(self.rules, current.type, [current.id], may)))

    def _held(self, version: Version, may: str) -> bool:
        if version.deleted:
            last = self._tx.vread(version.type, version.id, version.version - 1)
            return last is not None and self._held(last, may)
        if self.rules.surely(version, may):
            return True
        return asked(holds(self.rules.visible(version.type, may), facts_of(version)), self._tx.search)


def of_ids(rules: Rules, type: str, ids: Sequence[str], may: str) -> Query:
    """Those of these that are visible."""
    which = Match("resource", "_id", (Test("id", "in", tuple(ids)),) if len(ids) > 1 else (_is(ids[0]),))
    return Query(type, both(which, rules.visible(type, may)), count=len(ids))


def _is(id: str) -> Test:
    return Test("id", "=", id)
