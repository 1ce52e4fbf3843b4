"""How long a CQL library takes to compile, and a rule to be evaluated: CPU time, not that of others.

`python -m pytest benchmarks/test_bench_cql.py --benchmark-only --benchmark-columns=median,ops -p no:xdist`
"""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from time import process_time

import pytest

from benchmarks.cql_rules import NOW, PATIENTS, RULES, answer, data_of, text_of
from rules import cql

pytestmark = pytest.mark.benchmark(timer=process_time, min_time=0.05)


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.parametrize("name", list(RULES))
def test_evaluate(benchmark, name, patient):
    library = cql.compile(text_of(name))
    # As a store would give it: decoded from JSON, numbers with their digits.
    resources = json.loads(json.dumps(data_of(name, patient)), parse_float=Decimal)
    assert benchmark(library.evaluate, "Rule", resources=resources, now=NOW) is answer(name, patient)


@pytest.mark.parametrize("name", list(RULES))
def test_compile_once_more(benchmark, name):
    assert benchmark(cql.compile, text_of(name)).defines


_COLD = """
from time import process_time
from benchmarks.cql_rules import text_of
from rules import cql
start = process_time()
cql.compile(text_of({name!r}))
print(process_time() - start)
"""


@pytest.mark.parametrize("name", ["latest", "pairs"])
def test_compile_first_of_a_process(benchmark, name):
    """Modules imported, nothing compiled before; the seconds are those that the process itself measured."""
    seconds = []

    def run():
        found = subprocess.run(
            [sys.executable, "-c", _COLD.format(name=name)], capture_output=True, text=True, check=True
        )
        seconds.append(float(found.stdout))

    benchmark.pedantic(run, rounds=5)
    benchmark.extra_info["cpu_ms"] = [round(s * 1000, 1) for s in sorted(seconds)]
    print(f"\ncold compile of {name}: {sorted(seconds)[2] * 1000:.1f} ms CPU (median of 5)")
