"""What the pages tell the log of accesses: who signed in or tried to, who allowed what, who was looked at.

https://hl7.org/fhir/R4/auditevent.html. What is written is noted in its own transaction; what is shown before
it is shown. No name, date of birth or password gets into an event.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from urllib.parse import urlencode

from fhir_server.audit.chain import append
from fhir_server.audit.event import Event, Item, Who, pack
from fhir_server.audit.query import described
from fhir_server.smart.pages.visit import Visit
from fhir_server.smart.sessions import Person
from fhir_server.store.base import Transaction


def event(
    visit: Visit,
    kind: str,
    what: str,
    *,
    person: Person | None = None,
    client: str = "",
    patient: str | None = None,
    status: int = 200,
) -> Event:
    """Something of the kinds "sign-in" and "authorization"; `person` is who is signed in where not said."""
    patients = (patient,) if patient else ()
    return Event(visit.now, kind, what, "E", status, _who(visit, person, client), patients=patients)


def put(visit: Visit, tx: Transaction, noted: Event) -> None:
    """In the commit of what it is about."""
    if visit.service.journal is not None:
        append(tx, [pack(noted)])
        visit.service.journal.noted += 1


async def not_signed_in(visit: Visit, person: Person | None) -> None:
    """Somebody had the wrong password; `person` whose, where there is one. Of a flood some are written."""
    more = visit.failures.admit(visit.address, monotonic())
    if visit.service.journal is not None and more is not None:
        who = _named(visit, person, "varde")
        await visit.service.journal.note(Event(visit.now, "sign-in", "login", "E", 401, who, more=more))


def read(visit: Visit, patient: str) -> None:
    """A page will show who this patient is."""
    items = (Item("R", "Patient", patient, 0, patient),)
    visit.events.append(Event(visit.now, "rest", "read", "R", 200, _who(visit), items=items))


def searched(visit: Visit, type_: str, patients: Sequence[str], **parameters: str) -> None:
    """A page will show what this search found."""
    query = described(type_, urlencode({name: value for name, value in parameters.items() if value}))
    who = _who(visit)
    visit.events.append(
        Event(visit.now, "rest", "search-type", "E", 200, who, query=query, patients=tuple(patients))
    )


async def before_it_is_shown(visit: Visit) -> None:
    """Returns when the log says it all. FhirError("unavailable") where it cannot be written."""
    if visit.service.journal is not None:
        for each in visit.events:
            await visit.service.journal.note(each)


def _who(visit: Visit, person: Person | None = None, client: str = "") -> Who:
    """Who is signed in, where nobody else is meant; through our own pages, or for an application."""
    return _named(visit, person or (visit.session.person if visit.session else None), client or "varde")


def _named(visit: Visit, person: Person | None, client: str) -> Who:
    if person is None:
        return Who(client=client, address=visit.address)
    return Who(
        client=client,
        user=person.fhir_user or "",
        subject=person.subject,
        role=person.role,
        organizations=person.organizations,
        address=visit.address,
    )
