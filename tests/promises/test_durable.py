"""Promises 1 and 6 at the edges that a SIGKILL does not reach: the disk, and a MongoDB without transactions.

https://www.sqlite.org/pragma.html#pragma_synchronous, https://www.mongodb.com/docs/manual/reference/write-concern/
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pymongo
import pymongo.monitoring
import pytest

from fhir_server.search.query import Values
from fhir_server.store import mongo
from fhir_server.store.base import Store, Version
from fhir_server.store.sqlite import SqliteStore


def write_once(store: Store) -> None:
    async def run() -> None:
        await store.open()
        await store.transact(lambda tx: tx.put(Version("Basic", "b", 1, 1, "PUT", b"{}"), Values({})))
        await store.close()

    asyncio.run(run())


def test_sqlite_waits_for_the_disk_with_every_commit(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # SQLite can be asked for what a connection does, but not seen to wait for the disk
    settings = []
    connect = sqlite3.connect

    def watched(*args: Any, **kwargs: Any) -> Any:
        connection = connect(*args, **kwargs)
        connection.set_trace_callback(lambda statement: note(connection, statement))
        return connection

    def note(connection: Any, statement: str) -> None:
        if statement == "COMMIT":
            connection.set_trace_callback(None)
            (level,) = connection.execute("PRAGMA synchronous").fetchone()
            (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
            settings.append((mode, level))

    monkeypatch.setattr("fhir_server.store.sqlite_file.sqlite3.connect", watched)
    write_once(SqliteStore(sqlite_url))
    assert settings
    assert {level for _, level in settings} == {2}  # FULL, also where the tables are made
    assert settings[-1] == ("wal", 2)


class Commits(pymongo.monitoring.CommandListener):
    """The write concerns that transactions are committed with."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        if event.command_name == "commitTransaction":
            self.seen.append(dict(event.command["writeConcern"]))

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None: ...


def test_mongodb_acknowledges_what_a_majority_has_on_disk(
    mongodb_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits = Commits()
    monkeypatch.setattr(
        mongo, "MongoClient", functools.partial(pymongo.MongoClient, event_listeners=[commits])
    )
    write_once(mongo.MongoStore(mongodb_url))
    assert commits.seen == [{"w": "majority", "j": True}]


def test_a_mongodb_without_transactions_is_refused_and_left_as_it_was(
    tmp_path: Path, running_mongod: Any
) -> None:
    with running_mongod(tmp_path / "standalone", "--standalone") as server:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "fhir_server.cli",
                "serve",
                "--no-auth",
                "--port",
                "0",
                "--store",
                f"{server.url}/varde",
            ],
            capture_output=True,
            text=True,
            timeout=60,
        )
        said = " ".join(done.stderr.split())
        assert done.returncode == 1
        assert "not a replica set" in said
        assert "Traceback" not in said
        with pymongo.MongoClient(server.url) as client:
            assert client["varde"].list_collection_names() == []
