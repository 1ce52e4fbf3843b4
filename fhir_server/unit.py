"""Drafts carried out inside one transaction of the store, each at what it turns out to be of.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from fhir_server import alerts, posted_parameters, preconditions
from fhir_server.access.writing import Open
from fhir_server.alerts import Written
from fhir_server.audit.event import Item
from fhir_server.changes import Change, Outcome
from fhir_server.drafts import Draft, links_of
from fhir_server.errors import FhirError, inside
from fhir_server.instants import microseconds
from fhir_server.references import rewrite
from fhir_server.resource_json import decode_stored
from fhir_server.search.posted import NONE, Posted
from fhir_server.search.query import Query, Values
from fhir_server.store.base import Transaction, Version
from fhir_server.subjects import Subjects, logical
from fhir_server.versions import Content, content

_TURN = {"DELETE": 0, "POST": 1, "PUT": 2, "PATCH": 2}


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


class Unit:
    """One run of the work: made anew each time that the store runs it.

    `posted` are the search parameters of users; `as_drafted`: those that the drafts were made with. `guard`
    says what criteria find and changes may change.
    """

    def __init__(
        self,
        tx: Transaction,
        base: str,
        now: datetime,
        posted: Posted = NONE,
        as_drafted: bool = True,
        guard: Open | None = None,
    ) -> None:
        self._posted = posted
        self._as_drafted = as_drafted
        self._tx = tx
        self._guard = guard or Open(tx)
        self._base = base
        self._updated = microseconds(now)
        self._subjects = Subjects(tx)
        self._links: dict[str, str] = {}
        self._as_assumed = False
        self._places: dict[tuple[str, str], str] = {}
        self.written: list[Written] = []
        self.items: list[Item] = []  # the same, as the log of accesses has it

    def carry_out(self, drafts: Sequence[Draft]) -> list[Outcome]:
        """Deletes, then creates, then updates; what refers by a search last, to see the others."""
        targets = self._targets(drafts)
        assumed = next((draft.assumed for draft in drafts if draft.assumed is not None), None)
        if assumed is not None or any(draft.first is None and draft.change.resource for draft in drafts):
            originals = [target if target.twin is None else targets[target.twin] for target in targets]
            self._links = links_of((draft.change for draft in drafts), map(_id_of, originals))
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

    def add(self, resource: dict[str, Any], patient: str) -> None:
        """Store a Provenance that has a new id, to be found by the patient whose data it is about.

        R4 has it found by `patient` where a target is the Patient; of any other it would be nobody's.
        """
        new = content(resource, resource["id"], 1, self._updated, self._base, posted=self._posted)
        if patient and new.values.patient is None:
            row = ("patient", "Patient", patient, "", "", "")
            rows = new.values.rows | {"reference": (*new.values.rows.get("reference", ()), row)}
            new = replace(new, values=replace(new.values, rows=rows, patient=patient))
        self._store("POST", new, 1, self._updated)

    def _targets(self, drafts: Sequence[Draft]) -> list[_Target]:
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

    def _target(self, draft: Draft) -> _Target:
        change = draft.change
        if change.criteria is None:
            before = None if change.method == "POST" else self._guard.current(change, draft.id)
            return _Target(draft.id, before)
        if change.method == "DELETE":
            return self._deletions(change, change.criteria)
        found = self._only_match(change.criteria)
        if change.method == "POST":
            return _Target(outcome=Outcome(200, found)) if found else _Target(draft.id)
        if found is not None:
            self._guard.matched(change, found)
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
        found = self._guard.search(replace(criteria, count=change.most + 1))
        if len(found) > change.most:
            what = "one resource matches" if change.most == 1 else f"{change.most} resources match"
            raise FhirError("multiple-matches", f"More than {what}")
        if not found:
            return _Target(outcome=Outcome(204, None))
        for one in found:
            self._guard.matched(change, one)
        return _Target(found[0].id, found[0], others=found[1:])

    def _update_as_create(self, draft: Draft) -> _Target:
        before = self._guard.current(draft.change, draft.id) if draft.change.id else None
        if before and not before.deleted:
            raise FhirError("conflict", "A resource with this id exists, and the search does not find it")
        return _Target(draft.id, before)

    def _only_match(self, criteria: Query) -> Version | None:
        return only(self._guard.search(replace(criteria, count=2)))

    def _one(self, draft: Draft, target: _Target) -> Outcome:
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
        self._guard.deletes(change, before)
        updated, version = self._next(before)
        gone = Version(change.type, before.id, version, updated, "DELETE", None)
        self.written.append(Written(change.type, before.id, self._judged(change.type, _tree(before)), None))
        stored = self._tx.put(gone, None)
        self._log("D", stored, before)
        return Outcome(204, stored)

    def _save(self, draft: Draft, id_: str, before: Version | None) -> Outcome:
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
        self._guard.writes(draft.change, before, new.tree, new.values)
        stored = self._store(draft.change.method, new, version, updated)
        self._log("C" if created else "U", stored, before)
        return Outcome(201 if created else 200, stored)

    def _log(self, action: str, stored: Version, before: Version | None) -> None:
        """For the log of accesses; what went from one patient to another concerns both."""
        former = before.patient if before else None
        for patient in dict.fromkeys((stored.patient, former)):
            if patient is not None or stored.patient == former:
                item = Item(action, stored.type, stored.id, stored.version, patient or "")
                self.items.append(item)

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

    def _is_as_assumed(self, draft: Draft) -> bool:
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


def only(matches: Sequence[Version]) -> Version | None:
    if len(matches) > 1:
        raise FhirError("multiple-matches", "More than one resource matches")
    return matches[0] if matches else None
