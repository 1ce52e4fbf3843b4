"""Authorization requests that wait for a person: sign-in, choice of a patient, consent.

In the store's records: whichever worker gets the next form knows of them, and each is answered once.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass

import msgspec

from fhir_server.smart.authorize import Asked
from fhir_server.store.base import Store, Transaction

KIND = "authorization"
LASTS = 15 * 60 * 1_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Pending:
    """`since` is when it came, in microseconds since 1970 UTC; who signs in must have done so after `fresh`.

    `subject` is the person that it belongs to, once there is one: nobody else may go on with it. `patient`
    and `encounter` are ids of what was chosen; `encounter` "" is the choice of none.
    """

    asked: Asked
    since: int
    fresh: int = 0
    subject: str = ""
    patient: str | None = None
    encounter: str | None = None


def begin(tx: Transaction, asked: Asked, now: int) -> str:
    """Keep a request; the name that its pages know it by."""
    name = secrets.token_urlsafe(24)
    fresh = now if "login" in asked.prompt or "select_account" in asked.prompt else 0
    if asked.max_age is not None:
        fresh = max(fresh, now - asked.max_age * 1_000_000)
    put(tx, name, Pending(asked, now, fresh))
    return name


def put(tx: Transaction, name: str, pending: Pending) -> None:
    tx.keep(KIND, _key(name), msgspec.json.encode(pending), pending.since + LASTS)


async def find(store: Store, name: str, now: int) -> Pending | None:
    """The request of that name, if it still waits for an answer."""
    content = await store.record(KIND, _key(name), now=now)
    return msgspec.json.decode(content, type=Pending) if content else None


def end(tx: Transaction, name: str, now: int) -> bool:
    """Take the request away to answer it; whether nobody had done so before."""
    waiting = tx.record(KIND, _key(name), now=now) is not None
    return tx.forget(KIND, _key(name)) and waiting


def _key(name: str) -> str:
    return hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
