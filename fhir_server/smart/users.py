"""Local users: who they are, and their passwords as argon2id hashes.

https://www.rfc-editor.org/rfc/rfc9106, https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
import re
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from fhir_server.access.grant import Role
from fhir_server.store.base import Store, Transaction

KIND = "user"
LENGTH = 12  # characters of a password, at least: the one rule
LONGEST = 256
ROLES: tuple[Role, ...] = ("patient", "related", "practitioner", "administrator")
# What the FHIR resource of a user of that role is.
FHIR_TYPES: dict[str, tuple[str, ...]] = {
    "patient": ("Patient",),
    "related": ("RelatedPerson",),
    "practitioner": ("Practitioner", "PractitionerRole"),
    "administrator": ("Practitioner", "PractitionerRole", "Person"),
}
FIRST_PASSWORD = 7 * 24 * 60 * 60 * 1_000_000  # microseconds that a password somebody else chose is good for
_USERNAME = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
_REFERENCE = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9\-.]{1,64}")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")

_hasher = PasswordHasher()
_threads = ThreadPoolExecutor(2, "password")  # each check takes 64 MiB for a moment


class UserProblem(Exception):
    """What keeps a user from being stored, as a sentence for whoever enters them."""


@dataclass(frozen=True, slots=True)
class User:
    """`id` is the subject in tokens and is never used again; `username` is in its normal form.

    `fhir_user` is their resource ("Practitioner/1"), `organizations` the ids of Organizations they act for,
    `language` that of their pages (nb, nn, en, or "" for what the browser asks for). `changed` is when the
    password was set (microseconds since 1970 UTC); `temporary`: by somebody else, who knows it.
    """

    id: str
    username: str
    name: str
    role: Role
    password: str
    changed: int
    fhir_user: str | None = None
    organizations: tuple[str, ...] = ()
    language: str = ""
    temporary: bool = False


def normal(username: str) -> str:
    """The form in which a username is kept and looked for: spelling and case make no second user."""
    return unicodedata.normalize("NFKC", username).strip().casefold()


def new_user(
    username: str,
    name: str,
    role: Role,
    password: str,
    now: int,
    *,
    fhir_user: str | None = None,
    organizations: tuple[str, ...] = (),
    language: str = "",
    temporary: bool = False,
) -> User:
    """A user with an id of their own, not stored yet; UserProblem for what does not fit together."""
    if not _USERNAME.fullmatch(normal(username)):
        raise UserProblem("A username has 1 to 128 characters and no spaces")
    if re.search(r"\d{11}", username):
        raise UserProblem("A username must not be a national identity number")
    if not name.strip() or len(name) > 200:
        raise UserProblem("A user has a name of 1 to 200 characters")
    if role not in ROLES:
        raise UserProblem(f"A role is one of {', '.join(ROLES)}")
    _check_reference(role, fhir_user)
    if not all(_ID.fullmatch(organization) for organization in organizations):
        raise UserProblem("An organisation is the id of an Organization")
    hashed = hash_password(password)
    subject = secrets.token_urlsafe(16)
    return User(
        subject,
        normal(username),
        name.strip(),
        role,
        hashed,
        now,
        fhir_user,
        organizations,
        language,
        temporary,
    )


def _check_reference(role: Role, fhir_user: str | None) -> None:
    if fhir_user is None:
        if role != "administrator":
            raise UserProblem(f"A {role} has a FHIR resource: {' or '.join(FHIR_TYPES[role])}/ID")
        return
    match = _REFERENCE.fullmatch(fhir_user)
    if not match or match[1] not in FHIR_TYPES[role]:
        raise UserProblem(f"The FHIR resource of a {role} is {' or '.join(FHIR_TYPES[role])}/ID")


def hash_password(password: str) -> str:
    """argon2id with the library's parameters (RFC 9106); UserProblem for a short or endless one."""
    if len(password) < LENGTH:
        raise UserProblem(f"A password has at least {LENGTH} characters")
    if len(password) > LONGEST:
        raise UserProblem(f"A password has at most {LONGEST} characters")
    return _hasher.hash(_prepared(password))


def add(tx: Transaction, user: User) -> None:
    """Store a new user; UserProblem where the username is taken."""
    if tx.record(KIND, user.username) is not None:
        raise UserProblem("That username is taken")
    put(tx, user)


def put(tx: Transaction, user: User) -> None:
    """Store a user as they are now."""
    tx.keep(KIND, user.username, msgspec.json.encode(user))


def forget(tx: Transaction, username: str) -> bool:
    """Remove a user; whether they were there. Their sessions end with it: they are looked up together."""
    return tx.forget(KIND, normal(username))


def read(content: bytes | None) -> User | None:
    return None if content is None else msgspec.json.decode(content, type=User)


def get(tx: Transaction, username: str) -> User | None:
    """The user of that name, or None."""
    return read(tx.record(KIND, normal(username)))


async def find(store: Store, username: str) -> User | None:
    """The user of that name, or None."""
    return read(await store.record(KIND, normal(username)))


async def everybody(store: Store) -> list[User]:
    """All local users, by username."""
    found: list[User] = []
    page = await store.records(KIND)
    while page:
        found += [msgspec.json.decode(content, type=User) for _, content in page]
        page = await store.records(KIND, page[-1][0])
    return found


def with_password(user: User, password: str, now: int, *, temporary: bool = False) -> User:
    """The user with another password; UserProblem where it is no good."""
    return replace(user, password=hash_password(password), changed=now, temporary=temporary)


async def check(store: Store, username: str, password: str, now: int) -> User | None:
    """The user, if that is their password and it has not run out; None otherwise, after the same time.

    A name that nobody has is checked against a hash as well, and so cannot be told from a wrong password.
    """
    user = await find(store, username)
    loop = asyncio.get_running_loop()
    fits = await loop.run_in_executor(_threads, _fits, user.password if user else None, password)
    if user is None or not fits:
        return None
    if user.temporary and now > user.changed + FIRST_PASSWORD:
        return None
    if _hasher.check_needs_rehash(user.password):
        hashed = await loop.run_in_executor(_threads, _hasher.hash, _prepared(password))
        user = await _rehashed(store, user, hashed)
    return user


async def with_new_password(user: User, password: str, now: int) -> User:
    """As with_password, for the user's own choice, and without keeping the event loop."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, with_password, user, password, now)


async def _rehashed(store: Store, user: User, hashed: str) -> User:
    """Hashed anew with the parameters of today, unless the user has changed meanwhile."""
    renewed = replace(user, password=hashed)

    def work(tx: Transaction) -> None:
        if get(tx, user.username) == user:
            put(tx, renewed)

    await store.transact(work)
    return renewed


def _fits(hashed: str | None, password: str) -> bool:
    hashed = hashed or _nobodys()
    if len(password) > LONGEST:
        password = ""  # costs as much as any other
    try:
        return _hasher.verify(hashed, _prepared(password))
    except (VerificationError, InvalidHashError):
        return False


@lru_cache(maxsize=1)
def _nobodys() -> str:
    return _hasher.hash(secrets.token_urlsafe(16))


def _prepared(password: str) -> bytes:
    """The same bytes however a keyboard composes å."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")
