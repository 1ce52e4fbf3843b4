"""The only road to a commit: changes in, one transaction of the store, one outcome for each.

https://hl7.org/fhir/R4/http.html#transactional-integrity, https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Any

from fhir_server import alerts, posted_parameters, preconditions
from fhir_server.alerts import Written
from fhir_server.conformance import enforce
from fhir_server.errors import FhirError, inside
from fhir_server.exchange import Service
from fhir_server.instants import microseconds
from fhir_server.references import plain, rewrite
from fhir_server.resource_json import decode_stored
from fhir_server.search.posted import NONE, Posted
from fhir_server.search.query import Query, Values
from fhir_server.store.base import Transaction, Version
from fhir_server.subjects import Subjects, logical
from fhir_server.versions import Content, content

# From here on, what is done before the transaction would keep the event loop from its other clients.
_MANY = 50
_TURN = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2}
# An edit of a version that another write has replaced meanwhile is made anew, this often.
_ATTEMPTS = 10
_LARGE = 128 * 1024
# Searches at a time, ahead of a transaction.
_TOGETHER = 32


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked of one resource.

    `method` is POST, PUT, PATCH or DELETE; `id` None is assigned. `criteria` make it conditional: a POST does
    nothing when one matches, the others are of the one that matches. `full_url` is what the other changes
    call this one, `references` the conditional references in it with the search behind each, `where` its
    place in a Bundle ("Bundle.entry[3]"). `edit` makes the resource of a PATCH from the current one, and the
    change holds only if `made_from` is still the current version. `most` is how many a DELETE may delete;
    `versioned` says that what exists is changed with if_match only.
    """

    method: str
    type: str
    id: str | None = None
    resource: dict[str, Any] | None = None
    criteria: Query | None = None
    if_match: frozenset[str] | None = None
    if_none_match: frozenset[str] | None = None
    full_url: str | None = None
    references: tuple[tuple[str, Query], ...] = ()
    where: str = ""
    edit: Callable[[Change, dict[str, Any]], Change] | None = None
    made_from: int | None = None
    most: int = 1
    versioned: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` as of the HTTP interaction; `version` the one now current, None for one that never was."""

    status: int
    version: Version | None


async def commit(
    service: Service,
    changes: Sequence[Change],
    base: str = "",
    then: Callable[[Transaction], None] | None = None,
) -> list[Outcome]:
    """Carry out all changes and what their alerts call for, or none; outcomes in the order of changes.

    `base` is the server's URL as the client knows it: absolute references below it are local ones. `then`
    sees the transaction with everything put, and may refuse it. Raises FhirError as the changes deserve, its
    expressions inside the Bundle's entry where there is one.
    """
    if not any(change.edit for change in changes):
        return await _commit(service, changes, base, then)
    for attempt in range(_ATTEMPTS):
        edited = [await _edited(service, change) if change.edit else change for change in changes]
        try:
            return await _commit(service, edited, base, then)
        except FhirError as error:
            if error.category != "stale" or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError("the last attempt has an outcome")


async def _edited(service: Service, change: Change) -> Change:
    """The change with the resource that it makes of the current version."""
    try:
        if change.criteria is None:
            found = await service.store.read(change.type, change.id or "")
        else:
            matches = (await service.store.search(replace(change.criteria, count=2))).versions
            found = _only(matches)
        preconditions.check(found, change.if_match, change.if_none_match)
        current = _current(change, found)
        if change.edit is None or current.body is None:
            return change
        work = partial(change.edit, change, decode_stored(current.body))
        edited = await asyncio.to_thread(work) if len(current.body) > _LARGE else work()
    except FhirError as error:
        raise inside(error, change.where) from None
    return replace(edited, id=current.id, made_from=current.version)


def _current(change: Change, found: Version | None) -> Version:
    """What a PATCH is of; FhirError("not-found" or "deleted") where there is nothing."""
    if found is None:
        said = "There is no such" if change.criteria is None else "The search finds no"
        raise FhirError("not-found", f"{said} {change.type}")
    if found.deleted:
        raise FhirError("deleted", f"This {change.type} was deleted, as version {found.version}")
    return found


def _only(matches: Sequence[Version]) -> Version | None:
    if len(matches) > 1:
        raise FhirError("multiple-matches", "More than one resource matches")
    return matches[0] if matches else None


async def _commit(
    service: Service, changes: Sequence[Change], base: str, then: Callable[[Transaction], None] | None
) -> list[Outcome]:
    _check_parameters(changes)
    await enforce(service, changes)
    posted: Posted = service.knows.get("posted", NONE)
    now = service.clock()
    await alerts.prepare(service.store, (change.resource for change in changes if change.resource))
    if len(changes) < _MANY:
        drafts = _drafts(changes, base, now, service.new_id, posted)
    else:
        found = await _look_ahead(service, changes)
        drafts = await asyncio.to_thread(_drafts, changes, base, now, service.new_id, posted, found)

    def work(tx: Transaction) -> tuple[list[Outcome], alerts.Learned, Posted]:
        current = posted_parameters.in_force(tx)
        unit = _Unit(tx, base, now, current, current.extracts_as(posted))
        outcomes = unit.carry_out(drafts)
        unit.check_definitions()
        learned = alerts.follow_up(tx, unit.written, unit.put, service.new_id, now, service.rules, base)
        posted_parameters.follow_up(tx, unit.written, unit.put)
        if then:
            then(tx)
        return outcomes, learned, current

    outcomes, learned, service.knows["posted"] = await service.store.transact(work)
    service.rules.keep(learned)
    return outcomes


def _check_parameters(changes: Sequence[Change]) -> None:
    """FhirError("unprocessable") for the SearchParameters that cannot take effect."""
    for change in changes:
        if issues := posted_parameters.refused(change.resource):
            raise inside(FhirError("unprocessable", issues=issues), change.where)


Found = Mapping[Query, Version | None]


async def _look_ahead(service: Service, changes: Sequence[Change]) -> Found:
    """What the criteria find now: in all likelihood what they will find inside the transaction."""
    wanted = {change.criteria for change in changes if change.criteria and change.full_url}
    wanted |= {criteria for change in changes for _, criteria in change.references}
    found: dict[Query, Version | None] = {}

    async def look(criteria: Query) -> None:
        async with together:
            versions = (await service.store.search(replace(criteria, count=1))).versions
        found[criteria] = versions[0] if versions else None

    together = asyncio.Semaphore(_TOGETHER)
    await asyncio.gather(*(look(criteria) for criteria in wanted if criteria))
    return found


@dataclass(frozen=True, slots=True)
class _Draft:
    """A change with everything that could be done before the transaction.

    `id` is where it goes unless its criteria find another; `first` is the content should it become version 1
    there, None for a deletion and where links can be rewritten only inside the transaction. Where criteria
    decide what links become, it holds only if those to other changes become what is `assumed`, which all
    drafts share, and its conditional references what is `referred`.
    """

    change: Change
    id: str
    first: Content | None
    assumed: Mapping[str, str] | None = None
    referred: Mapping[str, str] = field(default_factory=dict)


def _drafts(
    changes: Sequence[Change],
    base: str,
    now: datetime,
    new_id: Callable[[], str],
    posted: Posted = NONE,
    found: Found | None = None,
) -> list[_Draft]:
    ids = [change.id or new_id() for change in changes]
    # Where criteria decide, ids are known inside the transaction only, and so is what links become.
    certain = all(change.criteria is None for change in changes)
    links = _links(changes, ids) if certain or found is None else _assumed(changes, ids, found)
    updated = microseconds(now)
    drafts = []
    for change, id_ in zip(changes, ids, strict=True):
        sure = not change.references and (certain or not links)
        if change.resource is None or not (sure or found is not None):
            drafts.append(_Draft(change, id_, None))
            continue
        referred = _referred(change, found or {})
        resource = change.resource
        if links or referred:
            resource = rewrite(resource, ChainMap(referred, links), change.full_url)
        first = content(resource, id_, 1, updated, base, posted=posted)
        drafts.append(_Draft(change, id_, first, None if sure else links, referred))
    return drafts


def _assumed(changes: Sequence[Change], ids: Sequence[str], found: Found) -> dict[str, str]:
    """The links, should each of the criteria find what it found before."""
    known = [found.get(change.criteria) if change.criteria else None for change in changes]
    return _links(changes, [one.id if one else id_ for one, id_ in zip(known, ids, strict=True)])


def _referred(change: Change, found: Found) -> dict[str, str]:
    """What the conditional references of a change are, as far as it was found."""
    known = ((text, found.get(criteria)) for text, criteria in change.references)
    return {text: f"{version.type}/{version.id}" for text, version in known if version}


def _links(changes: Iterable[Change], ids: Iterable[str | None]) -> dict[str, str]:
    """fullUrl -> relative reference, for the changes that have both."""
    return {
        plain(change.full_url): f"{change.type}/{id_}"
        for change, id_ in zip(changes, ids, strict=True)
        if change.full_url and id_
    }


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a change goes: the id, and what is there now; or why there is nothing to do.

    That is `outcome`, or `twin`: the index of a create in the same Bundle with the same condition. `others`
    are what a DELETE of several deletes besides.
    """

    id: str | None = None
    before: Version | None = None
    outcome: Outcome | None = None
    twin: int | None = None
    others: tuple[Version, ...] = ()


class _Unit:
    """One run of the work: made anew each time that the store runs it.

    `posted` are the search parameters of users; `as_drafted`: those that the drafts were made with.
    """

    def __init__(
        self, tx: Transaction, base: str, now: datetime, posted: Posted = NONE, as_drafted: bool = True
    ) -> None:
        self._posted = posted
        self._as_drafted = as_drafted
        self._tx = tx
        self._base = base
        self._updated = microseconds(now)
        self._subjects = Subjects(tx)
        self._links: dict[str, str] = {}
        self._as_assumed = False
        self._places: dict[tuple[str, str], str] = {}
        self.written: list[Written] = []

    def carry_out(self, drafts: Sequence[_Draft]) -> list[Outcome]:
        """Deletes, then creates, then updates; what refers by a search last, to see the others."""
        targets = self._targets(drafts)
        assumed = next((draft.assumed for draft in drafts if draft.assumed is not None), None)
        if assumed is not None or any(draft.first is None and draft.change.resource for draft in drafts):
            originals = [target if target.twin is None else targets[target.twin] for target in targets]
            self._links = _links((draft.change for draft in drafts), map(_id_of, originals))
            self._as_assumed = self._links == assumed
        outcomes: dict[int, Outcome] = {}
        for index in sorted(range(len(drafts)), key=lambda index: _turn(drafts[index].change)):
            if targets[index].twin is None:
                outcomes[index] = self._one(drafts[index], targets[index])
        return [
            outcomes[index] if target.twin is None else Outcome(200, outcomes[target.twin].version)
            for index, target in enumerate(targets)
        ]

    def check_definitions(self) -> None:
        """Raises FhirError("unprocessable") with every problem of the rules that were written."""
        errors = [
            inside(FhirError("unprocessable", issues=issues), self._places.get((one.type, one.id), ""))
            for one, issues in alerts.check_definitions(self._tx, self.written)
        ]
        if errors:
            raise FhirError("unprocessable", issues=[issue for error in errors for issue in error.issues])

    def put(self, resource: dict[str, Any]) -> None:
        """Store a resource of the engine's own, which has an id."""
        type_, id_ = resource["resourceType"], resource["id"]
        before = self._tx.read(type_, id_)
        updated, version = self._next(before)
        self._store(
            "PUT" if before else "POST",
            content(resource, id_, version, updated, self._base, posted=self._posted),
            version,
            updated,
        )

    def _targets(self, drafts: Sequence[_Draft]) -> list[_Target]:
        """What each change is of, decided before any of them is carried out."""
        targets: list[_Target] = []
        taken: set[tuple[str, str]] = set()
        creates: dict[Query | None, int] = {}
        for index, draft in enumerate(drafts):
            change = draft.change
            twin = creates.setdefault(change.criteria, index) if _is_conditional_create(change) else index
            try:
                target = self._target(draft) if twin == index else _Target(twin=twin)
                ids = {(change.type, id_) for id_ in (target.id, *(v.id for v in target.others)) if id_}
                if ids & taken:
                    raise FhirError("invalid", "Two entries of the Bundle write the same resource")
            except FhirError as error:
                raise inside(error, change.where) from None
            taken |= ids
            targets.append(target)
        return targets

    def _target(self, draft: _Draft) -> _Target:
        change = draft.change
        if change.criteria is None:
            before = None if change.method == "POST" else self._tx.read(change.type, draft.id)
            return _Target(draft.id, before)
        if change.method == "DELETE":
            return self._deletions(change, change.criteria)
        found = self._only_match(change.criteria)
        if change.method == "POST":
            return _Target(outcome=Outcome(200, found)) if found else _Target(draft.id)
        if change.method == "PATCH":
            if found is None or found.id != draft.id:
                raise FhirError("stale", "The search finds another resource now; try again")
            return _Target(found.id, found)
        if found is None:
            return self._update_as_create(draft)
        if change.id and change.id != found.id:
            raise FhirError("invalid", "The resource's id is not that of the resource which the search finds")
        return _Target(found.id, found)

    def _deletions(self, change: Change, criteria: Query) -> _Target:
        found = self._tx.search(replace(criteria, count=change.most + 1))
        if len(found) > change.most:
            what = "one resource matches" if change.most == 1 else f"{change.most} resources match"
            raise FhirError("multiple-matches", f"More than {what}")
        if not found:
            return _Target(outcome=Outcome(204, None))
        return _Target(found[0].id, found[0], others=found[1:])

    def _update_as_create(self, draft: _Draft) -> _Target:
        before = self._tx.read(draft.change.type, draft.id) if draft.change.id else None
        if before and not before.deleted:
            raise FhirError("conflict", "A resource with this id exists, and the search does not find it")
        return _Target(draft.id, before)

    def _only_match(self, criteria: Query) -> Version | None:
        return _only(self._tx.search(replace(criteria, count=2)))

    def _one(self, draft: _Draft, target: _Target) -> Outcome:
        if target.outcome or target.id is None:
            return target.outcome or Outcome(204, None)
        change, before = draft.change, target.before
        try:
            for id_ in (target.id, *(one.id for one in target.others)):
                posted_parameters.protect(change.type, id_)
            for one in (before, *target.others):
                preconditions.check(one, change.if_match, change.if_none_match)
            if change.versioned and change.if_match is None and before and not before.deleted:
                raise FhirError("precondition-failed", "Say with If-Match which version this is made from")
            if change.made_from is not None and (before is None or before.version != change.made_from):
                raise FhirError("stale", "The resource is being changed by others; try again")
            if change.method == "DELETE":
                for one in target.others:
                    self._delete(change, one)
                return self._delete(change, before)
            return self._save(draft, target.id, before)
        except FhirError as error:
            raise inside(error, change.where) from None

    def _delete(self, change: Change, before: Version | None) -> Outcome:
        if before is None or before.deleted:
            return Outcome(204, before)
        updated, version = self._next(before)
        gone = Version(change.type, before.id, version, updated, "DELETE", None)
        self.written.append(Written(change.type, before.id, self._judged(change.type, _tree(before)), None))
        return Outcome(204, self._tx.put(gone, None))

    def _save(self, draft: _Draft, id_: str, before: Version | None) -> Outcome:
        updated, version = self._next(before)
        first = draft.first if self._is_as_assumed(draft) else None
        if first is None:
            new = self._content(self._resolved(draft.change), id_, version, updated)
        elif version == 1 and id_ == draft.id and self._as_drafted:
            new = first
        else:
            values = first.values if id_ == draft.id and self._as_drafted else None
            new = self._content(first.tree, id_, version, updated, values)
        new = replace(new, values=self._subjects.located(draft.change.type, new.tree, new.values))
        self.written.append(self._written(draft.change.type, id_, _tree(before), new.tree))
        self._places[draft.change.type, id_] = draft.change.where
        created = before is None or before.deleted
        return Outcome(201 if created else 200, self._store(draft.change.method, new, version, updated))

    def _content(
        self, tree: dict[str, Any], id_: str, version: int, updated: int, values: Values | None = None
    ) -> Content:
        return content(tree, id_, version, updated, self._base, values, self._posted)

    def _written(self, type_: str, id_: str, before: dict[str, Any] | None, after: dict[str, Any]) -> Written:
        problem = self._subjects.problem(after) if type_ == "Observation" else ""
        return Written(type_, id_, self._judged(type_, before), self._judged(type_, after), problem)

    def _judged(self, type_: str, tree: dict[str, Any] | None) -> dict[str, Any] | None:
        return self._subjects.named(tree) if type_ == "Observation" else tree

    def _store(self, method: str, new: Content, version: int, updated: int) -> Version:
        type_, id_ = new.tree["resourceType"], new.tree["id"]
        return self._tx.put(Version(type_, id_, version, updated, method, new.body), new.values)

    def _next(self, before: Version | None) -> tuple[int, int]:
        """When and as what the next version goes in: a clock set back must not turn history around."""
        if before is None:
            return self._updated, 1
        return max(self._updated, before.updated), before.version + 1

    def _is_as_assumed(self, draft: _Draft) -> bool:
        if draft.assumed is None:
            return True
        self._resolve(draft.change)
        return self._as_assumed and all(
            self._links.get(text) == draft.referred.get(text) for text, _ in draft.change.references
        )

    def _resolved(self, change: Change) -> dict[str, Any]:
        """The resource with its links to other entries, and its conditional references, made plain."""
        self._resolve(change)
        return rewrite(change.resource or {}, self._links, change.full_url)

    def _resolve(self, change: Change) -> None:
        """Find what the conditional references of a change refer to."""
        for text, criteria in change.references:
            if text not in self._links:
                found = self._only_match(criteria)
                if found is None:
                    raise FhirError("precondition-failed", "No resource matches a conditional reference")
                self._links[text] = f"{found.type}/{found.id}"


def _is_conditional_create(change: Change) -> bool:
    return change.method == "POST" and change.criteria is not None


def _turn(change: Change) -> tuple[bool, int]:
    return bool(change.references) or logical(change.resource) is not None, _TURN[change.method]


def _id_of(target: _Target) -> str | None:
    found = target.outcome.version if target.outcome else None
    return target.id or (found.id if found else None)


def _tree(version: Version | None) -> dict[str, Any] | None:
    return decode_stored(version.body) if version and version.body else None
