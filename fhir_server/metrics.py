"""What Prometheus can read at /metrics.

With several workers each keeps its numbers in files of $PROMETHEUS_MULTIPROC_DIR, which `varde serve` sets,
and whichever answers adds them up.
"""

from __future__ import annotations

import os
from functools import cache

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest, multiprocess

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
_REQUESTS = Counter("varde_requests", "Requests to the FHIR API", ["interaction", "status"])
_LATENCY = Histogram("varde_request_seconds", "Time to answer", ["interaction"], buckets=_SECONDS)


def observe(interaction: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    _requests(interaction, status).inc()
    _latency(interaction).observe(seconds)


def exposition() -> bytes:
    """Everything in Prometheus' text format, of all workers."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


@cache
def _requests(interaction: str, status: int) -> Counter:
    return _REQUESTS.labels(interaction, str(status))


@cache
def _latency(interaction: str) -> Histogram:
    return _LATENCY.labels(interaction)
