"""The command `varde`."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import tempfile
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from fhir_server.audit.command import app as audit
from fhir_server.commands.client import clients, keys
from fhir_server.commands.cql import cql_command
from fhir_server.commands.package import app as packages
from fhir_server.commands.profile import app as profiles
from fhir_server.commands.said import errors, fail
from fhir_server.commands.user import app as users
from fhir_server.demo.command import demo
from fhir_server.errors import FhirError
from fhir_server.imported.command import app as terminology
from fhir_server.settings import VERSION, LogLevel, Settings
from fhir_server.smart.terms import Places

app = typer.Typer(
    help="Varde: a FHIR R4 server that judges each reading against the patient's plan, in the same commit.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


_FIELDS = Settings.model_fields


def _option(name: str, **more: Any) -> Any:
    """A command line option for a setting, which its environment variable sets as well."""
    return typer.Option(envvar=f"VARDE_{name.upper()}", help=_FIELDS[name].description, **more)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"varde {VERSION}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """The options that every command has."""
    # What Varde writes is about patients, or is a secret: it is for nobody else on the machine.
    os.umask(os.umask(0o077) | 0o077)


@app.command()
def serve(
    host: Annotated[str, _option("host")] = _FIELDS["host"].default,
    port: Annotated[int, _option("port", min=0, max=65535)] = _FIELDS["port"].default,
    store: Annotated[str, _option("store")] = _FIELDS["store"].default,
    workers: Annotated[int, _option("workers", min=1, max=256)] = _FIELDS["workers"].default,
    log_level: Annotated[LogLevel, _option("log_level")] = _FIELDS["log_level"].default,
    base_url: Annotated[str | None, _option("base_url")] = None,
    max_body_bytes: Annotated[int, _option("max_body_bytes", min=1024)] = _FIELDS["max_body_bytes"].default,
    providers: Annotated[str, _option("providers")] = "",
    trusted_proxies: Annotated[str, _option("trusted_proxies")] = "",
    cors_origins: Annotated[str, _option("cors_origins")] = "",
    auth: Annotated[
        bool, typer.Option("--auth/--no-auth", envvar="VARDE_AUTH", help=_FIELDS["auth"].description)
    ] = True,
    keys: Annotated[str, _option("keys")] = _FIELDS["keys"].default,
) -> None:
    """Serve the FHIR API at http://HOST:PORT/fhir until stopped.

    Also at HOST:PORT: /health/live, /health/ready and /metrics (Prometheus).
    """
    settings = _settings(
        host=host,
        port=port,
        store=store,
        workers=workers,
        log_level=log_level,
        base_url=base_url,
        max_body_bytes=max_body_bytes,
        providers=providers,
        trusted_proxies=trusted_proxies,
        cors_origins=cors_origins,
        auth=auth,
        keys=keys,
    )
    _run(settings)


@app.command()
def explain(
    plan: Annotated[
        str, typer.Argument(help="The plan, as CarePlan/ID or PlanDefinition/ID.", show_default=False)
    ],
    store: Annotated[str, _option("store")] = _FIELDS["store"].default,
) -> None:
    """Show the rules that a CarePlan or a PlanDefinition compiles to, and the Python that runs."""
    from fhir_server.alerts.explain import explain
    from fhir_server.app import look

    try:
        typer.echo(asyncio.run(look(store, lambda tx: explain(tx, plan))))
    except (FhirError, ValueError) as error:
        fail("varde explain", error)


app.command()(demo)
app.command("cql")(cql_command)
app.add_typer(audit, name="audit")
app.add_typer(clients, name="client")
app.add_typer(keys, name="key")
app.add_typer(terminology, name="terminology")
app.add_typer(packages, name="package")
app.add_typer(profiles, name="profile")
app.add_typer(users, name="user")


def _settings(**given: Any) -> Settings:
    """The options of `serve`, and what else the environment says."""
    try:
        return Settings(**given)
    except ValidationError as problems:
        said = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems.errors()]
        fail("Varde cannot start", "; ".join(said))
    except SettingsError as problem:
        fail("Varde cannot start", problem)


def _check_port(host: str, port: int) -> None:
    """Before anything is made that is shown once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        fail("Varde cannot start", f"Nothing can listen at {host}, port {port}: {error.strerror}")


def _run(settings: Settings) -> None:
    import uvicorn

    from fhir_server import log
    from fhir_server.app import create_app, prepare
    from fhir_server.interactions import later

    log.configure(settings.log_level)
    _check_port(settings.host, settings.port)
    try:
        password = asyncio.run(prepare(settings))
    except (FhirError, ValueError) as error:
        fail("Varde cannot start", error)
    if not settings.auth:
        _warn_open(settings)
    if password:
        _welcome(settings, password)
    log.event("start", host=settings.host, port=settings.port, workers=settings.workers, version=VERSION)
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # trusted_proxies says whose are believed
        "date_header": False,  # the application's own is of the moment
        "timeout_graceful_shutdown": 10,
    }
    if settings.workers == 1:
        uvicorn.run(create_app(settings), **options)
        return
    settings.cursor_secret = settings.cursor_secret or secrets.token_hex()
    # Workers are new processes: the environment is how they get their settings.
    with (
        tempfile.TemporaryDirectory(prefix="varde-metrics-") as folder,
        tempfile.TemporaryDirectory(prefix="varde-later-") as answers,
    ):
        os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", folder)
        os.environ[later.FOLDER] = answers
        for name, value in settings.model_dump(exclude_none=True).items():
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            os.environ[f"VARDE_{name.upper()}"] = text
        uvicorn.run(
            "fhir_server.app:from_environment",
            factory=True,
            workers=settings.workers,
            timeout_worker_healthcheck=60,  # a worker that starts on a busy machine is not a dead one
            **options,
        )


def _welcome(settings: Settings, password: str) -> None:
    """How to get in for the first time, on the terminal and nowhere else."""
    here = f"http://{settings.host}:{settings.port}/fhir" if settings.base_url is None else settings.base_url
    said = (
        f"[bold]No user was here yet.[/] Sign in as [bold]admin[/] with the password [bold]{password}[/] "
        f"at {Places(here).of('sign-in')} and choose your own. It is shown this once and good for 7 days. "
        "Add others with: varde user add"
    )
    errors.print(said, highlight=False, soft_wrap=True)


def _warn_open(settings: Settings) -> None:
    """Loudly: on the terminal, and in the log."""
    from fhir_server import log

    said = "Whoever reaches this server can read and change everything."
    if errors.is_terminal:
        errors.print(f"[bold red]ACCESS CONTROL IS OFF (--no-auth).[/] {said}", highlight=False)
    log.event("access-control-is-off", "warning", host=settings.host, message=said)


if __name__ == "__main__":
    app()
