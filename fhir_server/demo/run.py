"""`varde demo`: a follow-up service at work, from an empty store to alerts that explain themselves."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from fhir_server.demo.people import Person, people
from fhir_server.demo.plans import DIAGNOSES
from fhir_server.demo.readings import OSLO
from fhir_server.demo.server import Server, ServerFailed, serving
from fhir_server.demo.service import stream
from fhir_server.demo.stream import Outcome, load, percentile, send_readings
from fhir_server.demo.watch import Alert

COLOURS = {"red": "bold red", "yellow": "yellow", "technical": "magenta", "resolved": "green"}


def run(patients: int, days: int, seed: int, port: int, store: str) -> int:
    """Runs the demo; the exit status: 0, 1 when the server failed, 130 when it was interrupted."""
    console = Console(soft_wrap=True)
    # Being told to stop, or losing the terminal, ends the demo as Ctrl-C does: the server is stopped with it.
    # SIGINT is named as well, since whoever starts it in the background has it ignored from the start.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):  # as SIGINT, which asyncio makes a cancellation
        signal.signal(number, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with TemporaryDirectory(prefix="varde-demo-") as directory:
            url = store or f"sqlite:///{directory}/demo.db"
            with serving(url, Path(directory) / "server.log", port=port) as server:
                _follow_up(console, server, people(patients, seed), days)
    except ServerFailed as problem:
        console.print(f"varde demo: {problem}", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted; the server is stopped.")
        return 130
    return 0


def _follow_up(console: Console, server: Server, everybody: list[Person], days: int) -> None:
    console.print(f"Varde serves {server.base}", markup=False)
    outcome = asyncio.run(_run(console, server, everybody, days))
    _print_summary(console, outcome, everybody, days)
    _print_explore(console, server.base)
    if console.is_terminal:
        _wait_for_interrupt(console, server)


async def _run(console: Console, server: Server, everybody: list[Person], days: int) -> Outcome:
    try:
        async with httpx.AsyncClient(base_url=server.base, timeout=30, trust_env=False) as client:
            return await _load_and_stream(console, client, everybody, days)
    except* (httpx.TransportError, ServerFailed) as problems:
        problem = problems.exceptions[0]
    if isinstance(problem, ServerFailed):
        raise problem
    await asyncio.sleep(0.5)  # a dying process may take a moment to be dead
    server.check()
    raise ServerFailed(f"The server does not answer: {problem!r}")


async def _load_and_stream(
    console: Console, client: httpx.AsyncClient, everybody: list[Person], days: int
) -> Outcome:
    now = datetime.now(UTC)
    references = await load(client, everybody, (now - timedelta(days=days)).date())
    readings = list(stream(everybody, days, now, references))
    console.print(f"{len(everybody)} patients with their own care plans are loaded.", highlight=False)
    console.print(f"{len(readings)} readings of {days} days follow.\n", highlight=False)
    with _Screen(console, len(readings)) as screen:
        return await send_readings(client, readings, references, screen.told)


class _Screen:
    """Alerts as rows of a growing table; under it a bar on a terminal, else a line for each tenth."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(None),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.progress.add_task("readings", total=total)

    def __enter__(self) -> _Screen:
        self.progress.start()
        self._row("READING TAKEN", "PATIENT", "PROGRAMME", "ZONE", "WHAT THE FLAG SAYS", "bold")
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def told(self, outcome: Outcome, news: list[Alert]) -> None:
        for alert in news:
            taken = alert.moment.astimezone(OSLO).strftime("%Y-%m-%d %H:%M")
            programme = DIAGNOSES[alert.person.programme][0]
            self._row(taken, alert.person.name, programme, alert.zone, alert.text, COLOURS[alert.zone])
        self.progress.update(self.task, completed=outcome.readings)
        tenth = max(1, self.total // 10)
        if not self.console.is_terminal and outcome.readings % tenth == 0:
            self.console.print(f"-- {outcome.readings} of {self.total} readings sent", highlight=False)

    def _row(self, taken: str, name: str, programme: str, zone: str, text: str, style: str) -> None:
        row = Text(f"{taken:16}  {name:20.20}  {programme:11}  ")
        row.append(f"{zone:9}  ", style)
        row.append(text)
        self.console.print(row, highlight=False)


def _print_summary(console: Console, outcome: Outcome, everybody: list[Person], days: int) -> None:
    console.print(f"\nSummary: {len(everybody)} patients, {days} days, {outcome.readings} readings")
    table = Table("programme", "patients", "yellow", "red", "technical", "resolved", box=None, pad_edge=False)
    alerts = Counter((alert.person.programme, alert.zone) for alert in outcome.alerts)
    patients = Counter(person.programme for person in everybody)
    zones = ("yellow", "red", "technical", "resolved")
    for programme, (name, *_) in DIAGNOSES.items():
        counts = [str(alerts[programme, zone]) for zone in zones]
        table.add_row(name, str(patients[programme]), *counts)
    totals = [str(sum(alerts[programme, zone] for programme in DIAGNOSES)) for zone in zones]
    table.add_row("all", str(len(everybody)), *totals)
    console.print(table)
    rate = outcome.readings / outcome.seconds if outcome.seconds else 0.0
    console.print(
        f"{rate:.0f} readings/s, each followed by a search for its alerts; {outcome.seconds:.1f} s in all",
        highlight=False,
    )
    for name, values in (("write", outcome.written), ("write to alert read", outcome.alerted)):
        p50, p99 = (1000 * percentile(values, share) for share in (0.50, 0.99))
        console.print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms ({len(values)})", highlight=False)


def _print_explore(console: Console, base: str) -> None:
    console.print("\nExplore:", highlight=False)
    for path in (
        "metadata",
        "Flag?_sort=-_lastUpdated&_pretty=true",
        "Task?priority=asap&_pretty=true",
        "CarePlan?_count=1&_pretty=true",
    ):
        console.print(f"  {base}/{path}", highlight=False, markup=False)


def _wait_for_interrupt(console: Console, server: Server) -> None:
    try:
        console.print("\nThe server keeps running; Ctrl-C stops it.")
        while True:
            server.check()
            time.sleep(0.2)
    except KeyboardInterrupt:
        console.print("\nStopped.")
