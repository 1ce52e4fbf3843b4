"""An HTTP client of as little work as possible, so that the server is what gets measured."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httptools


@dataclass
class Result:
    """What the clients saw; latencies in seconds, of requests that were answered 2xx."""

    latencies: list[float] = field(default_factory=list)
    failures: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    client_cpu: float = 0.0  # share of one core that this process used
    ran_out: bool = False

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Nearest rank; 0 for none."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


class Connection(asyncio.Protocol):
    """Sends one request after the other, each when the one before was answered, until the deadline."""

    def __init__(self, requests: Iterator[bytes], result: Result, deadline: float) -> None:
        self.requests = requests
        self.result = result
        self.deadline = deadline
        self.sent: float | None = None
        self.finished = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.parser = httptools.HttpResponseParser(self)
        self._next()

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        status = self.parser.get_status_code()
        if 200 <= status < 300:
            self.result.latencies.append(now - self.sent)
        else:
            self.result.failures[str(status)] += 1
        self.sent = None
        if self.parser.should_keep_alive():
            self._next()
        else:
            self.transport.close()

    def connection_lost(self, problem: Exception | None) -> None:
        if self.sent is not None:
            self.result.failures["connection lost"] += 1
            self.sent = None
        if not self.finished.done():
            self.finished.set_result(None)

    def _next(self) -> None:
        request = next(self.requests, None) if time.perf_counter() < self.deadline else b""
        if request is None:
            self.result.ran_out = True
        if not request:
            self.deadline = 0.0  # done, rather than to be connected again
            self.transport.close()
            return
        self.sent = time.perf_counter()
        self.transport.write(request)


def request(base: str, path: str, body: bytes) -> bytes:
    """The bytes of a POST of FHIR JSON."""
    url = urlsplit(base)
    head = (
        f"POST {url.path.rstrip('/')}{path} HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Content-Type: application/fhir+json\r\nAccept: application/fhir+json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def drive(base: str, lanes: list[Iterator[bytes]], seconds: float) -> Result:
    """One connection for each lane of ready requests, for so many seconds."""
    url = urlsplit(base)
    port = url.port or (443 if url.scheme == "https" else 80)
    secure = ssl.create_default_context() if url.scheme == "https" else None
    result = Result()
    begun, busy = time.perf_counter(), time.process_time()
    deadline = begun + seconds

    async def lane(requests: Iterator[bytes]) -> None:
        while time.perf_counter() < deadline:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: Connection(requests, result, deadline), url.hostname, port, ssl=secure
            )
            await connection.finished
            if connection.deadline == 0.0:
                return

    await asyncio.gather(*(lane(requests) for requests in lanes))
    result.seconds = time.perf_counter() - begun
    result.client_cpu = (time.process_time() - busy) / result.seconds
    return result
