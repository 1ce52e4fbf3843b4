"""A Varde server of one's own: started as a process, waited for, and stopped again whatever happens."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

HOST = "127.0.0.1"
START_SECONDS = 60
STOP_SECONDS = 10


class ServerFailed(Exception):
    """The server did not start, or is gone; the message says so in a plain sentence."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `log` is the file its output goes to."""

    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def base(self) -> str:
        return f"http://{HOST}:{self.port}/fhir"

    def check(self) -> None:
        """Raises ServerFailed with the server's last words unless its process still runs."""
        status = self.process.poll()
        if status is not None:
            last = self.log.read_text(errors="replace").strip().splitlines()[-5:]
            words = "\n  ".join(last) or "nothing"
            raise ServerFailed(f"The server stopped with status {status}. The last it said:\n  {words}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    store: str,
    log: Path,
    *,
    port: int = 0,
    workers: int = 1,
    auth: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Server]:
    """A ready server on `store` (port 0: a free one), stopped when the block ends.

    `auth`: with access control; `environment` has further settings (VARDE_...).

    It has a session of its own, so that Ctrl-C on the terminal comes to us alone and we stop it in order.
    """
    if port:
        _refuse_taken(port)
    chosen = port or free_port()
    options = [
        "--auth" if auth else "--no-auth",
        "--host",
        HOST,
        "--port",
        str(chosen),
        "--store",
        store,
        "--workers",
        str(workers),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own program, arguments as a list
            [sys.executable, "-m", "fhir_server.cli", "serve", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env={**os.environ, **(environment or {})},
        )
    server = Server(chosen, process, log)
    try:
        _wait_until_ready(server)
        yield server
    finally:
        _stop(process)


def _refuse_taken(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as problem:
            raise ServerFailed(f"Port {port} of {HOST} cannot be used: {problem.strerror}.") from None


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        server.check()
        try:
            answer = httpx.get(f"http://{HOST}:{server.port}/health/ready", timeout=2, trust_env=False)
            if answer.status_code == 200:
                return
        except httpx.TransportError:
            pass  # not listening yet
        time.sleep(0.05)
    raise ServerFailed(f"The server was not ready within {START_SECONDS} seconds.")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
