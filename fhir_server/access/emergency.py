"""Breaking the glass: a practitioner sees a patient for a while whom they could not see otherwise.

    grant = await with_emergencies(store, grant, now)    # where a grant is made

Records of the store, by user and patient, that end by themselves. What is asked for, and that everybody
concerned is told, is in interactions/operations/emergency.py.
"""

from __future__ import annotations

from dataclasses import replace

from fhir_server.access.grant import Grant
from fhir_server.store.base import Store, Transaction

KIND = "emergency"
_MOST = 100  # patients at a time


async def with_emergencies(store: Store, grant: Grant, now: int) -> Grant:
    """The grant, with the patients for whom its user has broken the glass; `now` in microseconds."""
    if grant.role != "practitioner" or not grant.user:
        return grant
    found = await emergencies(store, grant.user, now)
    return replace(grant, emergencies=found) if found else grant


async def emergencies(store: Store, user: str, now: int) -> tuple[str, ...]:
    """Ids of the patients for whom the user ("Practitioner/1") has broken the glass, while it lasts."""
    prefix = f"{user} "  # a reference has no blank: no user's is the beginning of another's
    found = await store.records(KIND, prefix, _MOST, now=now)
    return tuple(key.removeprefix(prefix) for key, _ in found if key.startswith(prefix))


def begin(tx: Transaction, user: str, patient: str, reason: str, until: int) -> None:
    """From now on, until that moment (microseconds); one that lasts already lasts until then."""
    tx.keep(KIND, f"{user} {patient}", reason.encode(), until)
