"""Who is signed in, in which browser: sessions in the store's records, so that every worker knows them.

https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, replace

import msgspec

from fhir_server.access.grant import Role
from fhir_server.smart import users
from fhir_server.smart.users import User
from fhir_server.store.base import Store, Transaction

KIND = "session"
IDLE = 30 * 60 * 1_000_000  # microseconds without a request, and the session is over
LONGEST = 12 * 60 * 60 * 1_000_000  # microseconds from the sign-in to the end, whatever happens
_NOTED = 60 * 1_000_000  # how exactly the last request is known: each note is a write


@dataclass(frozen=True, slots=True)
class Person:
    """Who signed in. `subject` is unique and stays theirs: of a local user, or "issuer|sub" of another's."""

    subject: str
    name: str
    role: Role
    fhir_user: str | None = None
    organizations: tuple[str, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """`key` is what the session is kept under: it can be logged, and gives nobody access.

    `began` is when the person proved who they are, `seen` about when they were last here (microseconds since
    1970 UTC). `username` is that of a local user, "" for one of another provider; `changed` when that user's
    password was set: another one ends the session. `temporary`: they must choose a password first.
    """

    key: str
    person: Person
    began: int
    seen: int
    username: str = ""
    changed: int = 0
    provider: str = ""
    temporary: bool = False


def person_of(user: User) -> Person:
    return Person(user.id, user.name, user.role, user.fhir_user, user.organizations, user.language)


def begin_local(tx: Transaction, user: User, now: int) -> str:
    """A new session of a local user; the secret for the cookie, which is nowhere else."""
    key, secret = _new()
    _keep(
        tx,
        Session(
            key, person_of(user), now, now, user.username, user.changed, temporary=user.temporary
        ),
    )  # fmt: skip
    return secret


def begin(tx: Transaction, person: Person, provider: str, now: int) -> str:
    """A new session of a person whom another provider vouches for; the secret for the cookie."""
    key, secret = _new()
    _keep(tx, Session(key, person, now, now, provider=provider))
    return secret


async def find(store: Store, secret: str, now: int) -> Session | None:
    """The session of a cookie, if it lasts; that of a local user who is gone or has changed does not."""
    content = await store.record(KIND, _key(secret), now=now)
    session = msgspec.json.decode(content, type=Session) if content else None
    if session is None or now >= _end(session):
        return None
    if session.username:
        user = await users.find(store, session.username)
        if user is None or user.id != session.person.subject or user.changed != session.changed:
            return None
        session = replace(session, person=person_of(user))
    if now - session.seen >= _NOTED:
        session = replace(session, seen=now)
        await store.transact(lambda tx: _note(tx, session))
    return session


def end(tx: Transaction, key: str) -> bool:
    """Sign out; whether there was such a session."""
    return tx.forget(KIND, key)


def token(session: Session | None, visit: str, form: str) -> str:
    """What a form carries so that only our own pages can have sent it.

    It belongs to the session (before there is one: to the visit, a random cookie), and to that form alone.
    """
    secret = session.key if session else visit
    return hmac.new(f"{visit}.{secret}".encode(), form.encode(), hashlib.sha256).hexdigest()


def is_token(given: str, session: Session | None, visit: str, form: str) -> bool:
    return bool(visit) and hmac.compare_digest(given.encode(), token(session, visit, form).encode())


def _note(tx: Transaction, session: Session) -> None:
    if tx.record(KIND, session.key) is not None:  # signed out meanwhile stays signed out
        _keep(tx, session)


def _keep(tx: Transaction, session: Session) -> None:
    tx.keep(KIND, session.key, msgspec.json.encode(session), _end(session))


def _end(session: Session) -> int:
    return min(session.seen + IDLE, session.began + LONGEST)


def _new() -> tuple[str, str]:
    secret = secrets.token_urlsafe(32)
    return _key(secret), secret


def _key(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()
