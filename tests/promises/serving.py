"""A Varde server as processes of its own, to be killed without warning and started again on the same store."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HOST = "127.0.0.1"
START_SECONDS = 240  # a machine may be busy
IDLE_SECONDS = 2  # after which the server may have closed a connection


class Gone(Exception):
    """The server did not answer: whether it did what was asked is not known."""


class Client:
    """One kept-alive connection; exact numbers in, exact numbers out."""

    def __init__(self, port: int, *, timeout: float = 60) -> None:
        self._connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
        self._used = time.monotonic()

    def send(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        """(status, headers by lower-case name, JSON tree with decimals as their text); Gone without answer."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent["Content-Type"] = "application/fhir+json"
        if time.monotonic() > self._used + IDLE_SECONDS:
            self.close()
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self._connection.request(method, path, content, sent)
            answer = self._connection.getresponse()
            text = answer.read()
            self._used = time.monotonic()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Gone(type(error).__name__) from None
        tree = json.loads(text, parse_float=str) if text else None
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, tree

    def pages(self, path: str) -> Iterator[Any]:
        """The Bundles of a search or history, by their next links."""
        while path:
            status, _, bundle = self.send("GET", path)
            assert status == 200, bundle
            yield bundle
            following = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
            path = "/fhir" + following[0].partition("/fhir")[2] if following else ""

    def close(self) -> None:
        self._connection.close()


class Server:
    """`varde serve` with a process group of its own."""

    def __init__(self, store: str, port: int, log: Path, *, workers: int = 1, **environment: str) -> None:
        self.port, self.log = port, log
        self._environment = {**os.environ, **environment}
        self._store, self._workers = store, workers
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it is ready."""
        command = [sys.executable, "-m", "fhir_server.cli", "serve", "--host", HOST, "--log-level", "warning"]
        options = [
            "--no-auth",
            "--port",
            str(self.port),
            "--store",
            self._store,
            "--workers",
            str(self._workers),
        ]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [*command, *options],
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=self._environment,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.ready():
            assert self._process.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def ready(self) -> bool:
        client = Client(self.port, timeout=5)
        try:
            return client.send("GET", "/health/ready")[0] == 200
        except Gone:
            return False
        finally:
            client.close()

    def kill(self) -> None:
        """SIGKILL to every process of the server at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):  # it ended by itself
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def workers(self) -> list[int]:
        """The ids of the processes that answer requests, where there are several."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        spawned = [pid for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        return [int(pid) for pid in spawned]

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None


@contextmanager
def serving(store: str, port: int, log: Path, *, workers: int = 1, **environment: str) -> Iterator[Server]:
    """A ready server, gone afterwards whatever happens."""
    server = Server(store, port, log, workers=workers, **environment)
    try:
        server.start()
        yield server
    finally:
        server.kill()
