"""What may be written by whom, held inside the transaction of the write.

Four things must hold for what a request writes; what the alerts engine writes in the same transaction is its
own, and not asked.

1. The role may write the type at all (`may_write`):
   - a patient, or a related person for one: readings, answers, doses taken, messages, replies to
     appointments, and how far their own tasks have come (what a patient does in home follow-up). Never what
     it is steered by: a CarePlan, Goal, Flag, PlanDefinition or Library changes when an alert is raised, and
     whom it reaches.
   - a practitioner: what is about patients whom they see. Not what is shared by all (definitions, who works
     where): that is the administrators'.
   - an administrator: what is shared, and of patients what kinds.ADMINISTRATIVE lists.
   - a backend service: what its system/ scopes say.
   Nobody writes AuditEvents, nor the Device that stands for the rules engine; Provenance is the server's and
   backend services'.
2. Before: the resource is within the grant for the permission it takes (u or d). One that may be seen and not
   be changed is 403. One that is hidden is as one that never was: 404 for an update, 204 for a deletion.
   That this shows nothing, an update creates a resource for holders of system/ scopes only; for all others an
   id that is not there is 404 as well. (Holders of system/ scopes can tell from the 404 that there is a
   resource with that id from which labels or consents hold them back.)
3. After: the resource is within the grant again, or it would be out of the sight of who wrote it: a reading
   of another patient's, a category the scope does not have. Care teams count as they are before the write,
   or everybody could let themselves in. A label or consent that hides it from now on is no hindrance.
4. A patient writes in no other's name (`_OWN`): subject and author are the patient's own, and readings are
   changed by those whose they are. Only who sees a label's resource without an emergency takes the label off.

What holds besides for everybody who signed in is in steering.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhir_server.access import steering
from fhir_server.access.confined import Rules, View
from fhir_server.access.grant import Grant
from fhir_server.access.judge import Facts, asked, facts_of, facts_to_be, holds
from fhir_server.access.kinds import SHARED, SHARED_WITHOUT_PATIENT, in_compartment
from fhir_server.access.permits import permits
from fhir_server.access.predicate import either, granted, level
from fhir_server.access.withheld import CONFIDENTIALITY, OURS, may_be_labelled
from fhir_server.changes import Change
from fhir_server.errors import FhirError
from fhir_server.resource_json import decode_stored
from fhir_server.search.query import EVERYTHING, NOTHING, Query, Values
from fhir_server.store.base import Transaction, Version

Resource = dict[str, Any]
_SERVERS = frozenset({"AuditEvent"})
_HIDING = {(CONFIDENTIALITY, "R"), (CONFIDENTIALITY, "V"), (OURS, "sperret")}  # labels that do


@dataclass(frozen=True, slots=True)
class _Own:
    """Of what a patient may write: the references that can only be to the writer (`needed`: must be there),
    whether it may be changed later, and which elements an update may change (None: all)."""

    authors: tuple[str, ...]
    needed: bool = False
    changes: bool = True
    creates: bool = True
    elements: frozenset[str] | None = None


_PROGRESS = frozenset({"status", "statusReason", "businessStatus", "lastModified", "note", "output", "meta"})
_OWN: Mapping[str, _Own] = {
    "Observation": _Own(("performer",)),
    "QuestionnaireResponse": _Own(("author", "source")),
    "MedicationAdministration": _Own(("performer.actor",)),
    # what was sent was sent: it is not changed afterwards
    "Communication": _Own(("sender",), needed=True, changes=False),
    "AppointmentResponse": _Own(("actor",), needed=True),
    # a task is given to the patient; what they do is say how far it has come
    "Task": _Own(("owner",), needed=True, creates=False, elements=_PROGRESS),
}


def may_write(grant: Grant | None, change: Change) -> None:
    """FhirError("forbidden") for a type, or a kind of change, that the role never makes."""
    if grant is None:
        return
    type, letter = change.type, {"POST": "c", "DELETE": "d"}.get(change.method, "u")
    if type in _SERVERS:
        raise FhirError("forbidden", "This is kept by the server alone")
    _keep_the_engine(type, change.id)
    if not permits(grant, type, letter):
        raise FhirError("forbidden", f"The access token has no scope for this change of {type}")
    if change.criteria is not None and not permits(grant, type, "s"):
        raise FhirError("forbidden", f"A condition searches {type}, for which the access token has no scope")
    if not _ROLES[grant.role](type, letter):
        raise FhirError("forbidden", f"Not for the role of who asks: {type}")


def _keep_the_engine(type: str, id: str | None) -> None:
    if f"{type}/{id}" == steering.ENGINE:
        raise FhirError("forbidden", "This is kept by the server alone")


def _patients(type: str, letter: str) -> bool:
    own = _OWN.get(type)
    return own is not None and {"c": own.creates, "u": own.changes}.get(letter, False)


def _practitioners(type: str, letter: str) -> bool:
    return type not in SHARED and type != "Provenance"


def _administrators(type: str, letter: str) -> bool:
    return type != "Provenance"  # what else there is, their scopes say


def _services(type: str, letter: str) -> bool:
    return True


_ROLES: Mapping[str, Callable[[str, str], bool]] = {
    "patient": _patients,
    "related": _patients,
    "practitioner": _practitioners,
    "administrator": _administrators,
    "system": _services,
}


class Open:
    """A transaction whose changes are held to nothing: access control is off, or the server itself writes."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    def search(self, query: Query) -> tuple[Version, ...]:
        """What the criteria of a change find."""
        return self._tx.search(query)

    def current(self, change: Change, id: str) -> Version | None:
        """The current version of what is to be changed, None where it is as if there were none."""
        return self._tx.read(change.type, id)

    def matched(self, change: Change, found: Version) -> Version:
        """The same of what criteria found; FhirError("forbidden")."""
        return found

    def writes(self, change: Change, before: Version | None, after: Resource, values: Values) -> None:
        """The change is about to be carried out. FhirError("forbidden") where it may not be."""

    def deletes(self, change: Change, before: Version) -> None:
        """The version is about to be deleted. FhirError("forbidden") where it may not be."""


class _Before:
    """What a change replaces, read at most once, and only where a rule looks at it."""

    def __init__(self, version: Version) -> None:
        self.version = version

    @cached_property
    def tree(self) -> Resource:
        tree: Resource = decode_stored(self.version.body or b"{}")
        return tree

    @cached_property
    def facts(self) -> Facts:
        return facts_of(self.version)


@dataclass(frozen=True, slots=True)
class _Written:
    """`before` is None where there was nothing, or nothing but a deletion."""

    change: Change
    before: _Before | None
    after: Resource
    facts: Facts


class Held(Open):
    """A transaction whose changes are held to a grant."""

    def __init__(self, tx: Transaction, grant: Grant, now: int, base: str) -> None:
        super().__init__(tx)
        self._grant, self._now, self._base = grant, now, base
        self._view: View | None = None

    @property
    def view(self) -> View:
        if self._view is None:
            self._view = View(self._tx, self._grant, self._now)
        return self._view

    def search(self, query: Query) -> tuple[Version, ...]:
        return self.view.search(query)

    def current(self, change: Change, id: str) -> Version | None:
        found = self._tx.read(change.type, id)
        if found is not None and self._shows(change, found):
            return found
        deletes = change.method == "DELETE"
        if not deletes and (found is not None or not self._may_choose_ids(change.type)):
            raise FhirError("not-found", f"There is no such {change.type}")
        return None

    def matched(self, change: Change, found: Version) -> Version:
        if not self._shows(change, found):  # a search of another's permission has found it a moment ago
            raise FhirError("not-found", f"There is no such {change.type}")
        return found

    def _shows(self, change: Change, found: Version) -> bool:
        """Whether it may be changed; FhirError("forbidden") where it may only be looked at."""
        letter = "d" if change.method == "DELETE" else "u"
        if self.view.shows(found, letter):
            return True
        if any(self.view.shows(found, other) for other in "rs"):
            raise FhirError("forbidden", f"This {change.type} may be read, and not be changed")
        return False

    def _may_choose_ids(self, type: str) -> bool:
        return any(
            scope.level == "system"
            and scope.type in ("*", type)
            and "u" in scope.may
            and level(self._grant, "system", type) == EVERYTHING
            for scope in self._grant.scopes
        )

    def writes(self, change: Change, before: Version | None, after: Resource, values: Values) -> None:
        former = _Before(before) if before is not None and not before.deleted else None
        one = _Written(change, former, after, facts_to_be(change.type, after["id"], self._now, values))
        _keep_the_engine(change.type, after["id"])
        if not self._is_within(one):
            raise steering.outside(change.type)
        if self._grant.role in ("patient", "related"):
            self._check_own(one)
        if self._grant.role == "practitioner" and change.type in SHARED_WITHOUT_PATIENT:
            self._check_patient(one.facts, *([former.facts] if former else []))
        if steering.is_bound(self._grant):
            self._check_steering(change.type, former, after)
            denials, was = self.view.rules.denials, former.facts if former else None
            steering.check_patients(self._tx, self._grant, self._now, denials, was, one.facts)
        if former is not None and may_be_labelled(former.version.body or b""):
            self._check_labels(former, after)

    def deletes(self, change: Change, before: Version) -> None:
        _keep_the_engine(before.type, before.id)
        former = _Before(before)
        if self._grant.role == "practitioner" and before.type in SHARED_WITHOUT_PATIENT:
            self._check_patient(former.facts)
        if steering.is_bound(self._grant):
            self._check_steering(before.type, former, None)

    def _check_steering(self, type: str, before: _Before | None, after: Resource | None) -> None:
        """What decides who sees whom stays as it is, and an emergency neither lasts nor deletes."""
        steering.check_change(self._grant, type, before.tree if before else None, after)
        if before is None or not (after is None or type in steering.STEERING):
            return
        if not self._holds_calmly(before, "d" if after is None else "u"):
            raise FhirError("forbidden", "Not because the glass was broken")

    def _is_within(self, one: _Written) -> bool:
        """Whether the grant has what the resource becomes."""
        letters = "u" if one.before is not None else "c" if one.change.method == "POST" else "cu"
        within = either([granted(self._grant, one.change.type, letter) for letter in letters])
        if within in (EVERYTHING, NOTHING):
            return within == EVERYTHING
        return asked(holds(within, one.facts), self._tx.search)

    def _check_patient(self, *versions: Facts) -> None:
        """A practitioner writes what is a patient's, before and after."""
        for facts in versions:
            if not steering.patients_of(facts):
                raise FhirError("forbidden", f"A {facts.type} of no patient is the administrators'")

    def _check_labels(self, before: _Before, after: Resource) -> None:
        """`_HIDING` labels that are gone."""
        gone = steering.labels(before.tree) - steering.labels(after)
        if gone & _HIDING and not self._holds_calmly(before, "u"):
            raise FhirError("forbidden", "A label is not taken off because the glass was broken")

    def _holds_calmly(self, before: _Before, letter: str) -> bool:
        """Whether the permission is there without the emergencies."""
        if not self._grant.emergencies and self._grant.purpose == "TREAT":
            return True  # it was asked a moment ago
        rules = Rules(steering.calm(self._grant), self._now, self.view.rules.denials)
        return asked(holds(rules.visible(before.facts.type, letter), before.facts), self._tx.search)

    # A patient's own

    def _check_own(self, one: _Written) -> None:
        own, type = _OWN[one.change.type], one.change.type
        me, patient = str(self._grant.user), str(self._grant.patient or self._grant.user)
        patient = patient.removeprefix("Patient/")
        if type != "AppointmentResponse" and not self._is_about(one, patient):
            raise FhirError("forbidden", f"A {type} of a patient's is about that patient")
        for name in own.authors:
            mine = [self._is(reference, me) for reference in _at(one.after, name.split("."))]
            if not all(mine) or (own.needed and not mine):
                raise FhirError("forbidden", "Nobody writes in another's name", expression=f"{type}.{name}")
        if one.before is None:
            return
        before = one.before.tree
        if not any(
            self._is(reference, me) for name in own.authors for reference in _at(before, name.split("."))
        ):
            raise FhirError("forbidden", f"This {type} is not the patient's to change")
        if own.elements is not None and _changed(before, one.after) - own.elements:
            raise FhirError("forbidden", f"Of this {type} only {', '.join(sorted(own.elements))} may change")

    def _is_about(self, one: _Written, patient: str) -> bool:
        """Its subject, or the patient it is for, is this one: by reference, or found by the identifier."""
        code = in_compartment(one.change.type)[0]
        rows = one.facts.rows.get("reference", ())
        whom = {row[2] for row in rows if row[0] in (code, "subject", "patient") and row[1] == "Patient"}
        if one.change.type == "Communication" and "subject" not in one.after:
            return True
        return whom == {patient}

    def _is(self, reference: Any, who: str) -> bool:
        text = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(text, str):
            return False
        return text.removeprefix(f"{self._base}/").partition("/_history/")[0] == who


def _at(node: Any, path: Sequence[str]) -> Iterator[Any]:
    """What stands at a path of elements, each item of a list by itself."""
    if isinstance(node, list):
        for item in node:
            yield from _at(item, path)
    elif not path:
        yield node
    elif isinstance(node, dict) and path[0] in node:
        yield from _at(node[path[0]], path[1:])


def _changed(before: Resource, after: Resource) -> set[str]:
    names = before.keys() | after.keys()
    return {name.removeprefix("_") for name in names if before.get(name) != after.get(name)}
