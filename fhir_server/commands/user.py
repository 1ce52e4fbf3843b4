"""`varde user add|list|remove|password`: local users, for development and small services."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fhir_server.commands.said import fail
from fhir_server.errors import FhirError
from fhir_server.settings import Settings

if TYPE_CHECKING:  # every command would wait for it
    from fhir_server.exchange import Service

T = TypeVar("T")
app = typer.Typer(help="Local users: who may sign in, and as whom.", no_args_is_help=True)
_STORE = Settings.model_fields["store"]
_Store = Annotated[str, typer.Option(envvar="VARDE_STORE", help=_STORE.description)]
_Username = Annotated[str, typer.Argument(help="What they sign in with.", show_default=False)]
_FromStdin = Annotated[
    bool,
    typer.Option("--password-stdin", help="Read the password from standard input instead of making one."),
]


@app.command()
def add(
    username: _Username,
    name: Annotated[str, typer.Option(help="Their name, as pages show it.", show_default=False)],
    role: Annotated[
        str, typer.Option(help="patient, related, practitioner or administrator.")
    ] = "practitioner",
    fhir_user: Annotated[
        str | None, typer.Option(help="Their FHIR resource, such as Practitioner/1 or Patient/2.")
    ] = None,
    organization: Annotated[
        list[str] | None, typer.Option(help="Id of an Organization they act for; may be given again.")
    ] = None,
    language: Annotated[str, typer.Option(help="Of their pages: nb, nn or en.")] = "",
    password_stdin: _FromStdin = False,
    store: _Store = _STORE.default,
) -> None:
    """Add a user. The password is made and shown once; they choose their own when they first sign in."""
    from fhir_server.smart import accounts

    password = _read_password() if password_stdin else None
    given = accounts.Wanted(
        username, name, role, fhir_user, tuple(organization or ()), language.lower(), password
    )
    _show(_with("add", store, lambda service: accounts.add(service, given)), f"{username}: added")


@app.command("list")
def list_(store: _Store = _STORE.default) -> None:
    """Show who is there: username, role, FHIR resource and name."""
    from fhir_server.smart import users

    for user in _with("list", store, lambda service: users.everybody(service.whole)):
        typer.echo(f"{user.username}  {user.role}  {user.fhir_user or '-'}  {user.name}")


@app.command()
def remove(username: _Username, store: _Store = _STORE.default) -> None:
    """Remove a user; they are signed out, and their apps lose their access."""
    from fhir_server.smart import accounts

    _with("remove", store, lambda service: accounts.remove(service, username))
    typer.echo(f"{username}: removed")


@app.command()
def password(username: _Username, password_stdin: _FromStdin = False, store: _Store = _STORE.default) -> None:
    """Give a user another password; they are signed out, and their apps lose their access."""
    from fhir_server.smart import accounts

    given = _read_password() if password_stdin else None
    made = _with("password", store, lambda service: accounts.reset(service, username, given))
    _show(made, f"{username}: has another password")


def _read_password() -> str:
    """The first line; never an argument, which everybody on the machine could see."""
    return sys.stdin.readline().rstrip("\r\n")


def _show(made: str | None, done: str) -> None:
    typer.echo(done)
    if made:
        typer.echo(f"Password, shown this once and good for 7 days: {made}")


def _with(command: str, store: str, work: Callable[[Service], Awaitable[T]]) -> T:
    from fhir_server.app import with_service
    from fhir_server.smart.users import UserProblem

    try:
        return asyncio.run(with_service(store, work))
    except (UserProblem, FhirError, ValueError) as error:
        fail(f"varde user {command}", error)
