"""`varde package install FILE`, `varde package list`: the definitions of guides, such as no-basis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from fhir_server.commands.said import fail
from fhir_server.errors import FhirError
from fhir_server.settings import Settings

if TYPE_CHECKING:  # every command would wait for it
    from fhir_server.exchange import Service

T = TypeVar("T")
app = typer.Typer(
    help="Profiles, value sets and code systems of implementation guides.", no_args_is_help=True
)
_STORE = Settings.model_fields["store"]
_Store = Annotated[str, typer.Option(envvar="VARDE_STORE", help=_STORE.description)]


@app.command("install")
def install_(
    file: Annotated[Path, typer.Argument(help="The package, a .tgz.", show_default=False)],
    store: _Store = _STORE.default,
) -> None:
    """Store the definitions of a package; validation heeds them from then on."""
    from fhir_server.packages import PackageProblem, install, read_package

    try:
        package = read_package(file)
        done = _with(store, lambda service: install(service, package))
    except (PackageProblem, FhirError, OSError, ValueError) as error:
        fail("varde package install", error)
    typer.echo(f"{package.name}#{package.version}: {done.stored} definitions")
    for name, reason in done.refused.items():
        typer.echo(f"  left out {name}: {reason}")
    for name in done.missing:
        typer.echo(f"  needs {name}#{package.dependencies[name]}, which is not installed")


@app.command("list")
def list_(store: _Store = _STORE.default) -> None:
    """Show which packages are installed."""
    from fhir_server.packages import installed

    try:
        for name, version in _with(store, installed):
            typer.echo(f"{name}#{version}")
    except (FhirError, ValueError) as error:
        fail("varde package list", error)


def _with(store: str, work: Callable[[Service], Awaitable[T]]) -> T:
    from fhir_server.app import with_service

    return asyncio.run(with_service(store, work))
