"""Stores for every test: SQLite files, and MongoDB (a stand-in of our own, or VARDE_TEST_MONGODB)."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pymongo
import pytest
from hypothesis import settings

# The same examples in every run: what fails here fails everywhere. VARDE_FUZZ draws new ones.
settings.register_profile("varde", derandomize="VARDE_FUZZ" not in os.environ, deadline=None)
settings.load_profile("varde")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class MongodServer:
    """A MongoDB-compatible server in a process of its own (SecantusDB), which a test may kill and start again."""

    def __init__(self, storage: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}"
        self._command = [
            str(Path(sys.executable).with_name("secantusd-py")),
            *("--port", str(self.port), "--storage-path", str(storage), "--log-level", "ERROR"),
            *options,
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/"
        )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            assert self._process.poll() is None, "the MongoDB stand-in does not start"
            try:
                with pymongo.MongoClient(
                    self.url, serverSelectionTimeoutMS=500, connectTimeoutMS=500
                ) as client:
                    client.admin.command("ping")
                return
            except pymongo.errors.PyMongoError:
                time.sleep(0.05)
        raise AssertionError("the MongoDB stand-in does not answer")

    def stop(self, *, kill: bool = False) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                self._process.wait(2)
            except subprocess.TimeoutExpired:  # it waits for its clients to hang up
                self._process.kill()
                self._process.wait(10)
            self._process = None


@contextmanager
def _running(storage: Path, *options: str) -> Iterator[MongodServer]:
    server = MongodServer(storage, *options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def _mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    given = os.environ.get("VARDE_TEST_MONGODB")
    if given:
        yield given
        return
    with _running(tmp_path_factory.mktemp("mongodb")) as server:
        yield server.url


@pytest.fixture
def mongodb_url(_mongodb: str) -> Iterator[str]:
    """The URL of an empty database of this test's own, dropped afterwards."""
    server, _, options = _mongodb.partition("?")
    name = f"varde_test_{uuid.uuid4().hex[:12]}"
    yield f"{server.rstrip('/')}/{name}{'?' + options if options else ''}"
    with pymongo.MongoClient(_mongodb, serverSelectionTimeoutMS=2000) as client:
        client.drop_database(name)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a database file that does not exist yet."""
    return f"sqlite:///{tmp_path}/varde.db"


@pytest.fixture(params=["sqlite", "mongodb"])
def store_url(request: pytest.FixtureRequest) -> str:
    """An empty store of either kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def running_mongod() -> Callable[..., AbstractContextManager[MongodServer]]:
    """Starts a stand-in in a storage directory, with options of its command line."""
    return _running


@pytest.fixture
def mongod(tmp_path: Path) -> Iterator[MongodServer]:
    """A stand-in of this test's own, durable, to be killed and started at will."""
    with _running(tmp_path / "mongodb", "--sync-on-commit") as server:
        yield server
