"""The same CQL rules over the same patients by Varde and by npm @cqframework/cql, in one run.

python benchmarks/cql_compare.py [--folder /tmp/cql-npm] [--rules latest pairs]

Needs node and npm; installs the engine into the folder unless it is there. Rates are evaluations a second of
CPU time (for node all its threads, so that collecting garbage counts), the best of five rounds, each of
evaluations from the beginning. Answers must be equal. Varde is given plain dicts; the other its own values,
made before.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from time import monotonic, process_time
from typing import Any

from benchmarks.cql_rules import PATIENTS, RULES, TARGETS, answer, data_of, text_of
from rules import cql

PACKAGES = ("@cqframework/cql@5.3.0", "cql-exec-fhir@2.1.6")  # of the latter only FHIR's model information


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "cql-npm")
    arguments.add_argument("--rules", nargs="*", choices=list(RULES), default=list(RULES))
    arguments.add_argument("--seconds", type=float, default=2)
    given = arguments.parse_args()
    install(given.folder)
    now = datetime.now().astimezone()
    cases = [
        {"name": name, "patient": patient, "text": text_of(name), "resources": data_of(name, patient, now)}
        for name in given.rules
        for patient in PATIENTS
    ]
    theirs = by_npm(cases, given.folder, given.seconds)
    print("rule          patient      varde/s     npm/s   ratio    target  compile ms     npm")
    for case, other in zip(cases, theirs, strict=True):
        rate, compiling = by_varde(case, now, given.seconds)
        expected = answer(case["name"], case["patient"])
        if "error" in other or other["answer"] is not expected:
            raise SystemExit(f"{case['name']}: npm gives {other}, not {expected}")
        target = TARGETS.get(case["name"], 0)
        print(
            f"{case['name']:14}{case['patient']:10}{rate:10,.0f}{other['rate']:10,.1f}"
            f"{rate / other['rate']:8,.0f}{target:10,}{compiling:12.1f}{other['compile']:8.0f}"
        )


def install(folder: Path) -> None:
    if (folder / "node_modules/@cqframework/cql").exists() and (
        folder / "node_modules/cql-exec-fhir"
    ).exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", *PACKAGES], cwd=folder, check=True)


def by_npm(cases: list[dict[str, Any]], folder: Path, seconds: float) -> list[dict[str, Any]]:
    script = Path(__file__).with_name("cql_npm.mjs")
    request = json.dumps({"seconds": seconds, "cases": cases})
    done = subprocess.run(
        ["node", str(script), str(folder)], input=request, capture_output=True, text=True, check=True
    )
    found: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return found


def by_varde(case: dict[str, Any], now: datetime, seconds: float) -> tuple[float, float]:
    """Evaluations a second, and the milliseconds it takes to compile, the shortest of five."""
    resources = json.loads(json.dumps(case["resources"]), parse_float=Decimal)
    library = cql.compile(case["text"])
    found = library.evaluate("Rule", resources=resources, now=now)
    if found is not answer(case["name"], case["patient"]):
        raise SystemExit(f"{case['name']}: Varde gives {found}")
    rate = rate_of(lambda: library.evaluate("Rule", resources=resources, now=now), seconds)
    return rate, 1000 * min(duration(lambda: cql.compile(case["text"])) for _ in range(5))


def rate_of(function: Callable[[], Any], seconds: float) -> float:
    best = 0.0
    for _ in range(5):
        count, started, end = 0, process_time(), monotonic() + seconds / 5
        while monotonic() < end:
            function()
            count += 1
        best = max(best, count / (process_time() - started))
    return best


def duration(function: Callable[[], Any]) -> float:
    started = process_time()
    function()
    return process_time() - started


if __name__ == "__main__":
    main()
