"""`varde client register|list|remove`, `varde key rotate`: which applications may ask for access."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

from fhir_server.commands.said import fail
from fhir_server.errors import FhirError
from fhir_server.settings import Settings

if TYPE_CHECKING:  # every command would wait for it
    from fhir_server.exchange import Service

T = TypeVar("T")
clients = typer.Typer(help="Applications that may ask for access (SMART on FHIR).", no_args_is_help=True)
keys = typer.Typer(help="The keys that identity tokens are signed with.", no_args_is_help=True)
_FIELDS = Settings.model_fields
_Store = Annotated[str, typer.Option(envvar="VARDE_STORE", help=_FIELDS["store"].description)]
_SCOPE = "launch launch/patient openid fhirUser offline_access online_access patient/*.cruds user/*.cruds"


def _option(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, show_default=False)


@clients.command()
def register(
    name: Annotated[str, typer.Argument(help="What users are shown.", show_default=False)],
    redirect_uri: Annotated[
        list[str] | None, _option("Where users are sent back to; may be given again.")
    ] = None,
    launch_url: Annotated[str | None, _option("Where an EHR launch begins.")] = None,
    scope: Annotated[
        str | None,
        _option("All that it may ever be granted, with spaces between; by default what apps ask for."),
    ] = None,
    secret: Annotated[bool, _option("It keeps a secret: one is made, and shown once.", "--secret")] = False,
    jwks: Annotated[
        Path | None, _option("It signs assertions: the file of its public keys (JWK Set).")
    ] = None,
    jwks_url: Annotated[str | None, _option("It signs assertions: the URL of its public keys.")] = None,
    organization: Annotated[
        list[str] | None,
        _option("Id of an Organization that a backend service acts for; may be given again."),
    ] = None,
    introspects: Annotated[bool, _option("It may look at everybody's tokens.", "--introspects")] = False,
    ehr: Annotated[bool, _option("It is an EHR, and may make launch contexts.", "--ehr")] = False,
    client_id: Annotated[str | None, _option("Its client_id; one is made by default.", "--id")] = None,
    replace: Annotated[bool, _option("Change the one that has this id already.", "--replace")] = False,
    store: _Store = _FIELDS["store"].default,
) -> None:
    """Register an application: public, or with --secret, or with --jwks or --jwks-url.

    One that has keys and no redirect URI is a backend service, and has scopes of system/.
    """
    from fhir_server.smart.clients import Client, new_secret

    shown, kept = new_secret() if secret else ("", "")
    signs = jwks is not None or jwks_url is not None
    service = signs and not redirect_uri
    try:
        client = Client(
            client_id or secrets.token_urlsafe(12).replace("-", "").replace("_", ""),
            name,
            "confidential-asymmetric" if signs else "confidential-symmetric" if secret else "public",
            scope if scope is not None else "system/*.rs" if service else _SCOPE,
            tuple(redirect_uri or ()),
            launch_url,
            kept,
            json.loads(jwks.read_text()) if jwks else None,
            jwks_url,
            tuple(organization or ()),
            introspects,
            ehr,
        )
    except (OSError, ValueError):
        _fail("client register", "the file of the public keys cannot be read as JSON")
    _with("client register", store, lambda service: _register(service, client, replace))
    typer.echo(f"client_id: {client.id}\nkind: {client.kind}\nscope: {client.scope}")
    if shown:
        typer.echo(f"client_secret: {shown}   (shown this once: only its hash is kept)")


@clients.command("list")
def list_(store: _Store = _FIELDS["store"].default) -> None:
    """Show the registered applications."""
    from fhir_server.smart import clients as registered

    for client in _with("client list", store, lambda service: registered.everyone(service.store)):
        typer.echo(f"{client.id}  {client.kind}  {client.name}")
        for what, values in (
            ("scope", [client.scope]),
            ("redirect", client.redirect_uris),
            ("launch", [client.launch_url] if client.launch_url else []),
            ("keys", [client.jwks_url] if client.jwks_url else []),
            ("organization", client.organizations),
        ):
            for value in values:
                typer.echo(f"    {what}: {value}")


@clients.command()
def remove(
    client_id: Annotated[str, typer.Argument(help="Its client_id.", show_default=False)],
    store: _Store = _FIELDS["store"].default,
) -> None:
    """Remove an application; its tokens end with it, within a second."""
    ended = _with("client remove", store, lambda service: _remove(service, client_id))
    if ended is None:
        _fail("client remove", "there is no such client")
    typer.echo(f"{client_id}: removed, with what {ended} approvals gave it")


@keys.command()
def rotate(
    folder: Annotated[
        Path, typer.Option("--keys", envvar="VARDE_KEYS", help=_FIELDS["keys"].description)
    ] = Path(_FIELDS["keys"].default),
) -> None:
    """Sign with a new key from now on; the old public key is shown until its tokens have ended."""
    from fhir_server.smart.keys import SigningKeys

    try:
        typer.echo(f"kid: {SigningKeys(folder).rotate(int(time.time()))}")
    except (OSError, ValueError) as error:
        _fail("key rotate", str(error))


async def _register(service: Service, client: Any, replace: bool) -> None:
    from fhir_server.smart.clients import ClientProblem, get, register

    def work(tx: Any) -> None:
        if not replace and get(tx, client.id) is not None:
            raise ClientProblem("there is a client with that id; --replace changes it")
        register(tx, client)

    await service.store.transact(work)


async def _remove(service: Service, client_id: str) -> int | None:
    from fhir_server.smart import tokens
    from fhir_server.smart.clients import remove

    if not await service.store.transact(lambda tx: remove(tx, client_id)):
        return None
    return await tokens.end_all(service, client=client_id)


def _with(command: str, store: str, work: Callable[[Service], Awaitable[T]]) -> T:
    from fhir_server.app import with_service
    from fhir_server.smart.clients import ClientProblem

    try:
        return asyncio.run(with_service(store, work))
    except (ClientProblem, FhirError, ValueError) as error:
        _fail(command, str(error))


def _fail(command: str, message: str) -> NoReturn:
    fail(f"varde {command}", message)
