"""Ports, and two servers on one store."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pymongo
import pytest

from tests.promises.serving import Client, serving


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def free_port() -> int:
    return unused_port()


@dataclass(frozen=True, slots=True)
class Pair:
    """Two server processes on one store: what either acknowledges is true of both."""

    ports: tuple[int, int]

    def clients(self) -> tuple[Client, Client]:
        """A connection of one's own to each."""
        return Client(self.ports[0]), Client(self.ports[1])


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    with ExitStack() as stack:
        if request.param == "sqlite":
            store = f"sqlite:///{folder}/varde.db"
        else:
            mongodb, name = request.getfixturevalue("_mongodb"), f"varde_test_{uuid.uuid4().hex[:12]}"
            server, _, options = mongodb.partition("?")
            store = f"{server.rstrip('/')}/{name}{'?' + options if options else ''}"
            client = stack.enter_context(pymongo.MongoClient(mongodb))
            stack.callback(client.drop_database, name)
        ports = []
        for number in (1, 2):
            ports.append(unused_port())
            # a page's next link must be good at the other as well
            own = serving(store, ports[-1], folder / f"log{number}", VARDE_CURSOR_SECRET="of both")
            stack.enter_context(own)
        yield Pair((ports[0], ports[1]))
