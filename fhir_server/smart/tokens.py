"""Access and refresh tokens: made in families, found by their hashes, rotated and revoked.

https://www.rfc-editor.org/rfc/rfc6749#section-5, https://www.rfc-editor.org/rfc/rfc9700#section-4.14

What a person approved once is a family: all its tokens go when its record goes. A refresh token is good for
one use; whoever uses it again has it from somebody else, and the family ends.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from fhir_server.smart import codes, scopes
from fhir_server.smart.clients import Client
from fhir_server.smart.codes import Approval, hashed
from fhir_server.smart.terms import Terms
from fhir_server.store.base import Store, Transaction

if TYPE_CHECKING:
    from fhir_server.exchange import Service

KIND, FAMILY, REFRESH = "token", "family", "refresh"
_SECOND = 1_000_000
# So long after the person signed in (microseconds) they have to do so again, however often an app refreshes.
LONGEST = 366 * 24 * 3600 * _SECOND


@dataclass(frozen=True, slots=True)
class Access:
    """An access token as it is kept. `name` may be logged; moments are microseconds since 1970 UTC."""

    family: str
    name: str
    scope: str
    issued: int
    expires: int


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh token as it is kept; `used` ones are remembered, to be known again."""

    family: str
    expires: int
    used: bool = False


@dataclass(frozen=True, slots=True)
class Issued:
    """What the client gets; `seconds` is the lifetime of the access token."""

    access: str
    refresh: str | None
    scope: str
    seconds: int
    approval: Approval


def new_family() -> str:
    return secrets.token_urlsafe(16)


def begin(tx: Transaction, family: str, approval: Approval, terms: Terms, now: int) -> Issued:
    """The first tokens of what was approved."""
    asked = {scope.text for scope in scopes.parse(approval.scope)}
    online = "online_access" in asked and bool(approval.session)
    lasting = approval.role != "system" and ("offline_access" in asked or online)
    return _issue(tx, family, approval, approval.scope, terms, now, lasting=lasting)


def renew(
    tx: Transaction, token: str, client: Client, scope: str | None, terms: Terms, now: int
) -> Issued | str:
    """New tokens for a refresh token, or the error of RFC 6749 that says why not.

    What ends by it (a family whose token was used twice) ends although there is an error: it is an outcome
    of the transaction, not an exception.
    """
    kept = _read_refresh(tx.record(REFRESH, hashed(token), now=now))
    approval = _read_family(tx.record(FAMILY, kept.family, now=now)) if kept else None
    if kept is None or approval is None:
        return "invalid_grant"
    if approval.client != client.id or kept.used:  # it is in the wrong hands
        tx.forget(FAMILY, kept.family)
        return "invalid_grant"
    if _ended(tx, approval, now):
        return "invalid_grant"
    held = scopes.granted(approval.scope, client.scope, approval.role)  # the client may have less by now
    chosen = held if scope is None else scopes.narrowed(scope, scopes.printed(held))
    if not chosen:
        return "invalid_scope"
    tx.keep(REFRESH, hashed(token), msgspec.json.encode(replace(kept, used=True)), kept.expires)
    return _issue(tx, kept.family, approval, scopes.printed(chosen), terms, now, lasting=True)


def approval_of(tx: Transaction, refresh: str, now: int) -> Approval | None:
    """What a refresh token comes of, used or not, as long as its family lasts."""
    kept = _read_refresh(tx.record(REFRESH, hashed(refresh), now=now))
    return _read_family(tx.record(FAMILY, kept.family, now=now)) if kept else None


async def find(store: Store, token: str, now: int) -> tuple[Access, Approval] | None:
    """An access token that is good now, and what it comes of."""
    content = await store.record(KIND, hashed(token), now=now)
    if content is None:
        return None
    access = msgspec.json.decode(content, type=Access)
    approval = _read_family(await store.record(FAMILY, access.family, now=now))
    return None if approval is None else (access, approval)


async def find_refresh(store: Store, token: str, now: int) -> tuple[Refresh, Approval] | None:
    """A refresh token that can be used now."""
    kept = _read_refresh(await store.record(REFRESH, hashed(token), now=now))
    if kept is None or kept.used:
        return None
    approval = _read_family(await store.record(FAMILY, kept.family, now=now))
    return None if approval is None else (kept, approval)


async def client_of(store: Store, token: str, now: int) -> str | None:
    """The client_id of whom a refresh token was issued to, also where it has been used before."""
    kept = _read_refresh(await store.record(REFRESH, hashed(token), now=now))
    approval = _read_family(await store.record(FAMILY, kept.family, now=now)) if kept else None
    return approval.client if approval else None


def revoke(tx: Transaction, token: str) -> None:
    """An access token alone; with a refresh token all that comes of the same approval."""
    tx.forget(KIND, hashed(token))
    kept = _read_refresh(tx.record(REFRESH, hashed(token)))
    if kept is not None:
        end(tx, kept.family)


def end(tx: Transaction, family: str) -> None:
    """All tokens of a family are worth nothing from now on."""
    tx.forget(FAMILY, family)


async def end_all(service: Service, *, subject: str | None = None, client: str | None = None) -> int:
    """End all families of a person, of a client, or of both together; how many. It looks at every one.

    Codes that were not used yet end as well.
    """
    store, after, ended = service.whole, "", 0
    await codes.drop(store, subject=subject, client=client)
    while page := await store.records(FAMILY, after):
        gone = [
            family
            for family, content in page
            if (approval := _read_family(content))
            and subject in (None, approval.subject)
            and client in (None, approval.client)
        ]
        ended += len(gone)
        await store.transact(partial(_end_each, gone))
        after = page[-1][0]
    service.smart.grants.clear()
    return ended


def _end_each(families: list[str], tx: Transaction) -> None:
    for family in families:
        end(tx, family)


def _issue(
    tx: Transaction, family: str, approval: Approval, scope: str, terms: Terms, now: int, *, lasting: bool
) -> Issued:
    seconds = terms.backend_seconds if approval.role == "system" else terms.access_seconds
    access, ends = secrets.token_urlsafe(32), now + seconds * _SECOND
    kept = Access(family, secrets.token_urlsafe(9), scope, now, ends)
    tx.keep(KIND, hashed(access), msgspec.json.encode(kept), ends)
    refresh = None
    if lasting:
        refresh, until = secrets.token_urlsafe(32), now + terms.refresh_seconds * _SECOND
        until = min(until, approval.auth_time + LONGEST)
        tx.keep(REFRESH, hashed(refresh), msgspec.json.encode(Refresh(family, until)), until)
        ends = max(ends, until)
    tx.keep(FAMILY, family, msgspec.json.encode(approval), ends)
    return Issued(access, refresh, scope, seconds, approval)


def _ended(tx: Transaction, approval: Approval, now: int) -> bool:
    """Whether the session is over that an online refresh token lasts as long as."""
    asked = approval.scope.split(" ")
    offline = "offline_access" in asked
    return not offline and tx.record("session", approval.session, now=now) is None


def _read_refresh(content: bytes | None) -> Refresh | None:
    return None if content is None else msgspec.json.decode(content, type=Refresh)


def _read_family(content: bytes | None) -> Approval | None:
    return None if content is None else msgspec.json.decode(content, type=Approval)
