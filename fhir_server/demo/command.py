"""The options of `varde demo`; what it needs beyond them is imported when it is run, not when `varde` is."""

from __future__ import annotations

from typing import Annotated

import typer


def demo(
    patients: Annotated[int, typer.Option(min=1, help="How many patients.")] = 50,
    days: Annotated[int, typer.Option(min=1, help="How many days of readings, ending now.")] = 21,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people and readings.")] = 7,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    store: Annotated[str, typer.Option(help="Store URL; without it, a fresh one that is gone after.")] = "",
) -> None:
    """Watch a synthetic follow-up service at work: plans, weeks of readings, and the alerts they raise."""
    from fhir_server.demo.run import run

    raise typer.Exit(run(patients, days, seed, port, store))
