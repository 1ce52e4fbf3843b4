"""`varde terminology import KIND FILE`: a code system from the file that its publisher gives out."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from fhir_server.commands.said import errors, fail
from fhir_server.settings import Settings

app = typer.Typer(help="Code systems that cannot come with Varde.", no_args_is_help=True)
_FOLDER = Settings.model_fields["terminology"]


@app.command("import")
def import_(
    kind: Annotated[
        str, typer.Argument(help="sct, loinc, icd10, icpc2, atc, nlk or npu.", show_default=False)
    ],
    file: Annotated[Path, typer.Argument(help="The release: a file, a folder or a zip.", show_default=False)],
    version: Annotated[
        str | None, typer.Option("--version", help="Its version, where the name of the file does not tell.")
    ] = None,
    folder: Annotated[Path, typer.Option(envvar="VARDE_TERMINOLOGY", help=_FOLDER.description)] = Path(
        _FOLDER.default
    ),
) -> None:
    """Import a release; one that was interrupted goes on where it was when it is started again."""
    from fhir_server.imported.build import build
    from fhir_server.imported.layouts import release
    from fhir_server.imported.problem import ImportProblem
    from fhir_server.imported.system import ImportedSystem

    try:
        found = release(kind, file, version)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
        with Progress(*columns, console=errors) as bar:
            task = bar.add_task("Reading")

            def progress(done: int, total: int) -> None:
                what = "Reading" if done < total else "Indexing"  # which takes about a fifth of the time
                bar.update(task, completed=done, total=total, description=what)

            made = build(found, folder, progress)
    except (ImportProblem, OSError, sqlite3.Error) as error:
        fail("varde terminology import", error)
    count = ImportedSystem(made).resource["count"]
    typer.echo(f"{found.url}|{found.version}: {count} codes")


@app.command("list")
def list_(
    folder: Annotated[Path, typer.Option(envvar="VARDE_TERMINOLOGY", help=_FOLDER.description)] = Path(
        _FOLDER.default
    ),
) -> None:
    """Show what has been imported."""
    from fhir_server.imported.system import Imported

    found = Imported(folder)
    for systems in found.by_url.values():
        for system in systems:
            typer.echo(f"{system.canonical}: {system.resource['count']} codes")
    for name in found.outdated:
        errors.print(
            f"[bold yellow]{name}[/] was imported by an earlier version of Varde: import it again",
            highlight=False,
        )
