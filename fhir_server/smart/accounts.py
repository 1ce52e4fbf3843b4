"""What an administrator does with local users: add, give another password, remove; and the very first one.

https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fhir_server.access.grant import Role
from fhir_server.instants import microseconds
from fhir_server.smart import consents, tokens, users
from fhir_server.smart.users import User, UserProblem
from fhir_server.store.base import Transaction

if TYPE_CHECKING:
    from fhir_server.exchange import Service

FIRST = "admin"
LANGUAGES = ("", "nb", "nn", "en")
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is mistaken for another


@dataclass(frozen=True, slots=True)
class Wanted:
    """A user to be added; `password` None: one is made, which they have to change."""

    username: str
    name: str
    role: str
    fhir_user: str | None = None
    organizations: tuple[str, ...] = ()
    language: str = ""
    password: str | None = None


async def add(service: Service, wanted: Wanted) -> str | None:
    """The password that was made, None where one was given. UserProblem for what cannot be."""
    if wanted.language not in LANGUAGES:
        raise UserProblem("A language is one of nb, nn, en")
    password, made = _chosen(wanted.password)
    user = users.new_user(
        wanted.username,
        wanted.name,
        cast(Role, wanted.role),
        password,
        microseconds(service.clock()),
        fhir_user=wanted.fhir_user,
        organizations=wanted.organizations,
        language=wanted.language,
        temporary=made,
    )
    await service.whole.transact(lambda tx: users.add(tx, user))
    return password if made else None


async def reset(service: Service, username: str, given: str | None = None) -> str | None:
    """Another password; whoever knew the old one has no access any more, through no app either."""
    user = await _there(service, username)
    password, made = _chosen(given)
    changed = users.with_password(user, password, microseconds(service.clock()), temporary=made)
    await service.whole.transact(lambda tx: users.put(tx, changed))
    await tokens.end_all(service, subject=user.id)
    return password if made else None


async def remove(service: Service, username: str) -> None:
    """The user is no more, nor what they let applications do; the name is free for another."""
    user = await _there(service, username)
    now = microseconds(service.clock())
    given = [each.client for each in await consents.of(service.whole, user.id, now)]

    def work(tx: Transaction) -> None:
        users.forget(tx, user.username)
        for client in given:
            consents.forget(tx, user.id, client)

    await service.whole.transact(work)
    await tokens.end_all(service, subject=user.id)


async def first(service: Service) -> str | None:
    """The password of a first administrator, where there is no user at all; None where there is one."""
    if await service.whole.records(users.KIND, limit=1):
        return None
    made = new_password()
    now = microseconds(service.clock())
    user = users.new_user(FIRST, "Administrator", "administrator", made, now, temporary=True)

    def work(tx: Transaction) -> bool:
        if tx.records(users.KIND, limit=1):  # another process was first
            return False
        users.put(tx, user)
        return True

    return made if await service.whole.transact(work) else None


def new_password() -> str:
    """Twenty letters and digits in groups of five: 99 bits."""
    letters = "".join(secrets.choice(_LETTERS) for _ in range(20))
    return "-".join(letters[start : start + 5] for start in range(0, 20, 5))


def _chosen(given: str | None) -> tuple[str, bool]:
    """The password, and whether it was made here."""
    return (new_password(), True) if given is None else (given, False)


async def _there(service: Service, username: str) -> User:
    user = await users.find(service.whole, username)
    if user is None:
        raise UserProblem("There is no such user")
    return user
