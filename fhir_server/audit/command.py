"""`varde audit`: whether the log of accesses is whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from fhir_server.commands.said import fail
from fhir_server.errors import FhirError
from fhir_server.settings import Settings

app = typer.Typer(help="The log of accesses.", no_args_is_help=True)
_FIELDS = Settings.model_fields


@app.callback()
def _main() -> None:
    """The log of accesses."""


@app.command()
def verify(
    store: Annotated[
        str, typer.Option(envvar="VARDE_STORE", help=str(_FIELDS["store"].description))
    ] = _FIELDS["store"].default,
    keys: Annotated[str, typer.Option(envvar="VARDE_KEYS", help=str(_FIELDS["keys"].description))] = _FIELDS[
        "keys"
    ].default,
) -> None:
    """Check that no entry is missing, changed or out of order, and that AuditEvents say what entries say.

    Exits with 1 and says the number of the first entry that is not as it was written.
    """
    # imported when it is run: every command would wait for them
    from fhir_server.app import existing, open_store
    from fhir_server.audit.checkpoint import Checkpoints
    from fhir_server.audit.verify import opened_and_checked

    try:
        checkpoint = Checkpoints(Path(keys)).read()
        problem, head = asyncio.run(opened_and_checked(open_store(existing(store)), checkpoint))
    except (FhirError, ValueError) as error:
        fail("varde audit verify", error)
    if problem is not None:
        fail("The log of accesses is not whole", f"Entry {problem.number} {problem.text}.")
    signed = f"a checkpoint signed at entry {checkpoint.number}" if checkpoint else "no signed checkpoint"
    typer.echo(f"The log of accesses is whole: {head.number} entries, {signed}.")
