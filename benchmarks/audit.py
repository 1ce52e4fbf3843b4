"""What the log of accesses and Provenance cost: Varde with and without, in turns, in one run.

    python benchmarks/audit.py --clients 32 --seconds 3 --rounds 3

Each contender is a server of its own on a fresh file. The work: home readings that are judged (load.py),
reads of one Observation, searches for the newest readings of a patient. Read the ratios: of the rates, and
(which other work on the machine disturbs less) of the processor time that the server used for a request.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import httpx
import uvloop

sys.path.insert(0, str(Path(__file__).parent))
from client import Result, drive
from load import FASTEST, lanes, load_patients, report

from fhir_server.demo.people import people
from fhir_server.demo.server import serving

CONTENDERS = {
    "off": {"VARDE_AUDIT": "false", "VARDE_PROVENANCE": "none"},
    "audit": {"VARDE_AUDIT": "true", "VARDE_PROVENANCE": "none"},
    "audit+changes": {"VARDE_AUDIT": "true", "VARDE_PROVENANCE": "changes"},
    "audit+all": {"VARDE_AUDIT": "true", "VARDE_PROVENANCE": "all"},
}


@contextmanager
def environment(values: dict[str, str]) -> Iterator[None]:
    """These variables, for the servers that are started inside."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def processor(pid: int) -> float:
    """Seconds of the processor that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def gets(base: str, paths: list[str], clients: int) -> list[Iterator[bytes]]:
    """Each client asks for the paths again and again, beginning elsewhere."""
    url = urlsplit(base)
    head = f"HTTP/1.1\r\nHost: {url.netloc}\r\nAccept: application/fhir+json\r\n\r\n"
    ready = [f"GET {url.path}{path} {head}".encode() for path in paths]
    starts = [lane % len(ready) for lane in range(clients)]
    return [itertools.cycle(ready[start:] + ready[:start]) for start in starts]


def work_of(base: str, options: argparse.Namespace) -> dict[str, list[Iterator[bytes]]]:
    """The requests of each kind of work, for a server that has its patients and some readings."""
    everybody = people(max(options.patients, options.clients), options.seed)
    references = load_patients(base, everybody, with_plans=True)
    seconds = options.warmup + options.rounds * options.seconds
    posts = lanes(base, everybody, references, options.clients, int(FASTEST * seconds))
    uvloop.run(drive(base, posts, options.warmup))
    found = httpx.get(f"{base}/Observation?_count=200&_elements=id", trust_env=False, timeout=30).json()
    reads = [f"/Observation/{entry['resource']['id']}" for entry in found["entry"]]
    patients = [reference["patient"] for reference in references.values()]
    searches = [f"/Observation?patient={of}&_sort=-date&_count=20" for of in patients]
    return {
        "POST": posts,
        "read": gets(base, reads, options.clients),
        "search": gets(base, searches, options.clients),
    }


def measure(options: argparse.Namespace) -> bool:
    """Prints each round, then the median of each contender and its ratio to the first."""
    names = options.contenders.split(",")
    results: dict[tuple[str, str], list[Result]] = {}
    used: dict[tuple[str, str], list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="varde-audit-", dir=options.directory)))
        works = {}
        for name in names:
            with environment(CONTENDERS[name] | {"VARDE_KEYS": str(folder / f"keys-{name}")}):
                url, log = f"sqlite:///{folder}/{name}.db", folder / f"{name}.log"
                server = stack.enter_context(serving(url, log))
            base = server.base
            works[name] = (base, work_of(base, options), server.process.pid)
        for kind in options.work.split(","):
            for _ in range(options.rounds):
                for name, (base, work, pid) in works.items():
                    before = processor(pid)
                    result = uvloop.run(drive(base, work[kind], options.seconds))
                    used.setdefault((kind, name), []).append(
                        (processor(pid) - before) / max(1, len(result.latencies))
                    )
                    results.setdefault((kind, name), []).append(result)
                    report(f"{kind} {name}", result)
    print("\nmedian of the rounds")
    for (kind, name), found in results.items():
        rate = statistics.median(result.rate for result in found)
        first = statistics.median(result.rate for result in results[kind, names[0]])
        cpu, least = statistics.median(used[kind, name]), statistics.median(used[kind, names[0]])
        print(
            f"{kind:7} {name:14} {rate:8.0f}/s   {100 * rate / first:5.1f} % of {names[0]}"
            f"   {1e6 * cpu:6.0f} us of the processor, {100 * least / cpu:5.1f} %"
        )
    return all(not result.failures and result.latencies for found in results.values() for result in found)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--clients", type=int, default=32)
    arguments.add_argument("--patients", type=int, default=50)
    arguments.add_argument("--seconds", type=float, default=3, help="of each round")
    arguments.add_argument("--warmup", type=float, default=1)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seed", type=int, default=7)
    arguments.add_argument("--contenders", default="off,audit", help=f"of {', '.join(CONTENDERS)}")
    arguments.add_argument("--work", default="POST,read,search")
    arguments.add_argument("--directory", help="where the databases are put; decides what durable costs")
    return 0 if measure(arguments.parse_args()) else 1


if __name__ == "__main__":
    sys.exit(main())
