"""Drives a FHIR server with home readings and says how fast it takes them.

    python benchmarks/load.py --base http://127.0.0.1:8080/fhir --clients 32 --seconds 10 --with-plans
    python benchmarks/load.py --compare-floor --workers 2

Each client sends the readings of its own patients in the order of time, the next when the one before was
answered. --compare-floor starts the floor app (floor.py) and Varde itself, each on a fresh file, and takes
turns between them, because what a machine can do drifts from minute to minute: read the ratios.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import msgspec
import uvloop

sys.path.insert(0, str(Path(__file__).parent))  # so that it runs as a script and from tests alike
from client import Result, drive, request

from fhir_server.demo.people import Person, people
from fhir_server.demo.readings import device_kinds, readings
from fhir_server.demo.server import free_port, serving
from fhir_server.demo.service import links, patient_bundle, service_bundle

ENCODE = msgspec.json.Encoder(decimal_format="number").encode
PER_DAY = 4  # readings of a patient, at least
FASTEST = 4000  # readings a second to have in store for a server that is not the floor


def load_patients(base: str, everybody: list[Person], with_plans: bool) -> dict[int, dict[str, str]]:
    """Loads the service by transactions; returns the references for the readings by person.index."""
    start = (datetime.now(UTC) - timedelta(days=3650)).date()
    references = {}
    with httpx.Client(timeout=60, trust_env=False) as client:

        def transact(bundle: dict) -> dict:
            headers = {"Content-Type": "application/fhir+json"}
            answer = client.post(base, content=ENCODE(bundle), headers=headers)
            answer.raise_for_status()
            return answer.json()

        transact(service_bundle())
        for person in everybody:
            answer = transact(patient_bundle(person, start, with_plan=with_plans))
            references[person.index] = links(person, answer)
    return references


def made_up(everybody: list[Person]) -> dict[int, dict[str, str]]:
    """References to nobody, for a server that does not look."""
    return {
        person.index: {"patient": f"Patient/{person.index}"}
        | {kind: f"Device/{person.index}-{n}" for n, kind in enumerate(device_kinds(person))}
        for person in everybody
    }


def lanes(
    base: str, everybody: list[Person], references: dict[int, dict[str, str]], clients: int, count: int
) -> list[Iterator[bytes]]:
    """About `count` different readings as ready requests, dealt to clients by patient, in order of time."""
    days = max(1, count // (PER_DAY * len(everybody)))
    now = datetime.now(UTC)
    dealt = []
    for lane in range(clients):
        own = [r for p in everybody[lane::clients] for r in readings(p, days, now, references[p.index])]
        own.sort(key=lambda reading: reading.moment)
        dealt.append(iter([request(base, "/Observation", ENCODE(reading.resource)) for reading in own]))
    return dealt


def report(name: str, result: Result) -> None:
    """One line of figures, and what went wrong."""
    p50, p95, p99 = (1000 * result.percentile(share) for share in (0.50, 0.95, 0.99))
    print(
        f"{name:18} {result.rate:8.0f}/s   p50 {p50:6.1f}  p95 {p95:6.1f}  p99 {p99:6.1f} ms   "
        f"{len(result.latencies)} ok, {result.failures.total()} failed   "
        f"client used {100 * result.client_cpu:.0f} % of a core",
        flush=True,
    )
    for what, count in result.failures.items():
        print(f"  failed {count} x {what}")
    if result.ran_out:
        print("  a client ran out of readings before the time was over: the rate is too low")


def drive_one(options: argparse.Namespace) -> bool:
    """Drives the server at options.base; whether all went well."""
    everybody = people(max(options.patients, options.clients), options.seed)
    references = made_up(everybody) if options.no_setup else load_patients(
        options.base, everybody, options.with_plans
    )  # fmt: skip
    count = int(FASTEST * (options.warmup + options.seconds))
    ready = lanes(options.base, everybody, references, options.clients, count)
    uvloop.run(drive(options.base, ready, options.warmup))
    result = uvloop.run(drive(options.base, ready, options.seconds))
    report(options.base, result)
    return not result.failures and bool(result.latencies)


@contextmanager
def floor_serving(file: Path) -> Iterator[str]:
    """The floor app on a fresh file; gives its base."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).with_name("floor.py")), "--port", str(port)]
    process = subprocess.Popen([*command, "--file", str(file)])
    base = f"http://127.0.0.1:{port}/fhir"
    try:
        for _ in range(200):
            try:
                httpx.get(base, trust_env=False)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield base
    finally:
        process.terminate()
        process.wait(10)


def compare(options: argparse.Namespace) -> bool:
    """Floor and Varde in turns; prints each round, then medians and ratios to the floor."""
    everybody = people(max(options.patients, options.clients), options.seed)
    seconds = options.warmup + options.rounds * options.seconds
    with ExitStack() as stack:
        directory = Path(stack.enter_context(TemporaryDirectory(prefix="varde-load-", dir=options.directory)))
        floor = stack.enter_context(floor_serving(directory / "floor.db"))
        endless = lanes(floor, everybody, made_up(everybody), options.clients, FASTEST)
        contenders = {"floor": (floor, [itertools.cycle(lane) for lane in endless])}
        for workers in sorted({1, options.workers}):
            url, log = f"sqlite:///{directory}/varde-{workers}.db", directory / f"varde-{workers}.log"
            base = stack.enter_context(serving(url, log, workers=workers)).base
            references = load_patients(base, everybody, with_plans=True)
            ready = lanes(base, everybody, references, options.clients, int(FASTEST * seconds))
            contenders[f"varde, {workers} worker{'s'[: workers - 1]}"] = (base, ready)
        results = _rounds(contenders, options)
    rates = {name: statistics.median(r.rate for r in found) for name, found in results.items()}
    print("\nmedian of the rounds")
    for name, rate in rates.items():
        print(f"{name:18} {rate:8.0f}/s   {100 * rate / rates['floor']:5.1f} % of the floor")
    return all(not r.failures and r.latencies for found in results.values() for r in found)


def _rounds(contenders: dict, options: argparse.Namespace) -> dict[str, list[Result]]:
    results: dict[str, list[Result]] = {name: [] for name in contenders}
    for base, ready in contenders.values():
        uvloop.run(drive(base, ready, options.warmup))
    for _ in range(options.rounds):
        for name, (base, ready) in contenders.items():
            result = uvloop.run(drive(base, ready, options.seconds))
            results[name].append(result)
            report(name, result)
    return results


def parse() -> argparse.Namespace:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--base", help="FHIR base URL of a running server, ours or a peer's")
    arguments.add_argument("--clients", type=int, default=32)
    arguments.add_argument("--patients", type=int, default=50)
    arguments.add_argument("--seconds", type=float, default=10, help="of measuring (of each round)")
    arguments.add_argument("--warmup", type=float, default=1, help="seconds before that")
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--with-plans", action="store_true", help="patients have care plans")
    arguments.add_argument("--no-setup", action="store_true", help="load nothing; readings are of nobody")
    arguments.add_argument("--compare-floor", action="store_true", help="start Varde and the floor app")
    arguments.add_argument(
        "--workers", type=int, default=1, help="compare Varde with so many workers as well"
    )
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--directory", help="where the databases are put; decides what durable costs")
    options = arguments.parse_args()
    if bool(options.base) == options.compare_floor:
        arguments.error("give either --base or --compare-floor")
    return options


def main() -> int:
    options = parse()
    return 0 if (compare if options.compare_floor else drive_one)(options) else 1


if __name__ == "__main__":
    sys.exit(main())
