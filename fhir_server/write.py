"""The only road to a commit: changes in, one transaction of the store, one outcome for each.

https://hl7.org/fhir/R4/http.html#transactional-integrity, https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from fhir_server import alerts, posted_parameters, preconditions, provenance
from fhir_server.access import guarding
from fhir_server.access.confined import DENIALS
from fhir_server.access.writing import may_write
from fhir_server.audit.event import Item
from fhir_server.changes import Change, Outcome
from fhir_server.conformance import enforce
from fhir_server.drafts import drafts_of, look_ahead
from fhir_server.errors import FhirError, inside
from fhir_server.exchange import Service
from fhir_server.resource_json import decode_stored
from fhir_server.search.posted import NONE, Posted
from fhir_server.store.base import Transaction
from fhir_server.unit import Unit, only

__all__ = ["Change", "Outcome", "commit"]

# From here on, what is done before the transaction would keep the event loop from its other clients.
_MANY = 50
# An edit of a version that another write has replaced meanwhile is made anew, this often.
_ATTEMPTS = 10
_LARGE = 128 * 1024


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
            found = only(matches)
        preconditions.check(found, change.if_match, change.if_none_match)
        said = "There is no such" if change.criteria is None else "The search finds no"
        current = preconditions.present(found, change.type, said)
        if change.edit is None or current.body is None:
            return change
        work = partial(change.edit, change, decode_stored(current.body))
        # a profile is compiled
        is_much = len(current.body) > _LARGE or change.type == "StructureDefinition"
        edited = await asyncio.to_thread(work) if is_much else work()
    except FhirError as error:
        raise inside(error, change.where) from None
    return replace(edited, id=current.id, made_from=current.version)


async def _commit(
    service: Service, changes: Sequence[Change], base: str, then: Callable[[Transaction], None] | None
) -> list[Outcome]:
    _check_parameters(changes)
    _protect_log(service, changes)
    _check_role(service, changes)
    await enforce(service, changes)
    posted: Posted = service.knows.get("posted", NONE)
    now = service.clock()
    await alerts.prepare(service.whole, (change.resource for change in changes if change.resource))
    found = await look_ahead(service, changes) if len(changes) >= _MANY else None
    if found is None and not any(change.much for change in changes):
        drafts = drafts_of(changes, base, now, service.new_id, posted)
    else:
        drafts = await asyncio.to_thread(drafts_of, changes, base, now, service.new_id, posted, found)

    def work(tx: Transaction) -> tuple[list[Outcome], alerts.Learned, Posted]:
        current = posted_parameters.in_force(tx)
        guard = guarding(service, tx, now, base)
        unit = Unit(tx, base, now, current, current.extracts_as(posted), guard)
        outcomes = unit.carry_out(drafts)
        unit.check_definitions()
        learned = alerts.follow_up(tx, unit.written, unit.put, service.new_id, now, service.rules, base)
        posted_parameters.follow_up(tx, unit.written, unit.put)
        if then:
            then(tx)
        for made in provenance.made(service, tuple(unit.items), now):
            unit.add(made.resource, made.patient)
            unit.items += [made.item] if made.item else []
        if service.trail:
            service.trail.wrote(tx, unit.items or _found(outcomes), outcomes)
        return outcomes, learned, current

    outcomes, learned, service.knows["posted"] = await service.whole.transact(work)
    service.rules.keep(learned)
    if service.trail:
        service.trail.committed()
    if any(change.type == "Consent" for change in changes):
        service.knows.pop(DENIALS, None)  # what it denies is in force at once
    return outcomes


def _found(outcomes: Sequence[Outcome]) -> list[Item]:
    """What changes came upon that changed nothing."""
    versions = [outcome.version for outcome in outcomes if outcome.version]
    return [Item("R", one.type, one.id, one.version, one.patient or "") for one in versions]


def _protect_log(service: Service, changes: Sequence[Change]) -> None:
    """FhirError("method-not-allowed") for a change of the log of accesses: the server alone writes it."""
    for change in changes if service.journal else ():
        if change.type == "AuditEvent":
            text = "AuditEvents are made by the server for each access; nobody adds, changes or deletes any"
            raise inside(FhirError("method-not-allowed", text), change.where)


def _check_role(service: Service, changes: Sequence[Change]) -> None:
    """FhirError("forbidden") for a change that is not for who asks."""
    for change in changes:
        try:
            may_write(service.grant, change)
        except FhirError as error:
            raise inside(error, change.where) from None


def _check_parameters(changes: Sequence[Change]) -> None:
    """FhirError("unprocessable") for the SearchParameters that cannot take effect."""
    for change in changes:
        if issues := posted_parameters.refused(change.resource):
            raise inside(FhirError("unprocessable", issues=issues), change.where)
