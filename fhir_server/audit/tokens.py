"""What becomes of access tokens, for the log of accesses: issued, refreshed, revoked, ended, refused.

https://www.rfc-editor.org/rfc/rfc6749. What is given or ended is noted in its own transaction.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from fhir_server.audit.chain import append
from fhir_server.audit.event import Event, Who, pack
from fhir_server.instants import microseconds

if TYPE_CHECKING:
    from fhir_server.exchange import Service
    from fhir_server.smart.codes import Approval
    from fhir_server.store.base import Transaction


def put(
    service: Service, tx: Transaction, what: str, approval: Approval, address: str, *, status: int = 200
) -> None:
    """In the commit of what happened to the tokens that come of the approval.

    `what` is token-issued, token-refreshed, token-revoked or tokens-ended (a code or a refresh token was used
    twice: somebody else has it).
    """
    if service.journal is None:
        return
    context = approval.context
    who = Who(
        approval.client,
        approval.user or "",
        approval.subject,
        approval.role,
        context.patient or "",
        organizations=approval.organizations,
        address=address,
    )
    patients = (context.patient,) if context.patient else ()
    now = microseconds(service.clock())
    event = Event(now, "authorization", what, "E", status, who, patients=patients)
    append(tx, [pack(event)])
    service.journal.noted += 1


async def refused(service: Service, what: str, address: str, status: int, error: str) -> None:
    """A request that was refused with this error; of many from one address some are written."""
    if service.journal is None:
        return
    more = service.journal.refusals.admit(f"{what} {address}", monotonic())
    if more is not None:
        now = microseconds(service.clock())
        event = Event(now, "authorization", what, "E", status, Who(address=address), reason=error, more=more)
        await service.journal.note(event)
