"""A store that cannot be reached or cannot write says so, and works again by itself when it can."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhir_server.errors import FhirError
from fhir_server.search.query import Match, Or, Query, Test, Values
from fhir_server.store.base import Store, Transaction, Version
from fhir_server.store.sqlite import SqliteStore


def refused(call: Callable[[], Any]) -> str:
    """The diagnostics of the refusal."""
    with pytest.raises(FhirError) as raised:
        call()
    assert raised.value.category == "unavailable"
    return str(raised.value)


def everything(desk: Any) -> list[Callable[[], Any]]:
    store: Store = desk.store
    return [
        lambda: desk.put("Patient", "b"),
        lambda: desk.run(store.read("Patient", "a")),
        lambda: desk.run(store.vread("Patient", "a", 1)),
        lambda: desk.run(store.history()),
        lambda: desk.search(Query("Patient")),
        lambda: desk.count(Query("Patient")),
        lambda: desk.run(store.changes(0)),
        lambda: desk.run(store.check()),
    ]


# -- SQLite --------------------------------------------------------------------------------------


def file_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def test_a_database_file_moved_away_and_back(sqlite_desk: Any, sqlite_url: str) -> None:
    sqlite_desk.put("Patient", "a")
    file, aside = file_of(sqlite_url), file_of(sqlite_url).with_suffix(".aside")
    for _ in range(2):
        file.rename(aside)
        for call in everything(sqlite_desk):
            assert str(file) not in refused(call)
        assert not file.exists()
        aside.rename(file)
        sqlite_desk.run(sqlite_desk.store.check())
        assert sqlite_desk.ids(Query("Patient"))[0] == "a"
    sqlite_desk.put("Patient", "b")
    assert sqlite_desk.ids(Query("Patient")) == ["a", "b"]


def test_a_directory_moved_away_and_back(sqlite_desk: Any, sqlite_url: str, tmp_path: Path) -> None:
    sqlite_desk.put("Patient", "a")
    away = tmp_path.with_name(tmp_path.name + "-away")
    tmp_path.rename(away)
    for call in everything(sqlite_desk):
        refused(call)
    away.rename(tmp_path)
    sqlite_desk.put("Patient", "b")
    assert sqlite_desk.ids(Query("Patient")) == ["a", "b"]


def test_another_database_put_in_its_place_is_what_is_read(
    sqlite_desk: Any, sqlite_url: str, tmp_path: Path
) -> None:
    """As after restoring a backup."""
    sqlite_desk.put("Patient", "a")
    backup = tmp_path / "backup.db"
    with sqlite3.connect(file_of(sqlite_url)) as connection, sqlite3.connect(backup) as copy:
        connection.backup(copy)
    copy.close()
    sqlite_desk.put("Patient", "b")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{file_of(sqlite_url)}{suffix}").unlink(missing_ok=True)
    backup.rename(file_of(sqlite_url))
    assert sqlite_desk.ids(Query("Patient")) == ["a"]
    sqlite_desk.put("Patient", "c")
    assert sqlite_desk.ids(Query("Patient")) == ["a", "c"]


def test_a_full_disk_fails_what_does_not_fit_and_nothing_of_it_is_kept(
    sqlite_desk: Any, put_next: Callable[..., Version]
) -> None:
    sqlite_desk.put("Patient", "a")

    def fill(tx: Any) -> None:
        tx._ledger.execute("PRAGMA max_page_count = 1")  # not below what there is: no page more
        for n in range(50):
            body = b"x" * 50_000
            tx.put(
                Version("Binary", f"b{n}", 1, 1, "POST", body), Values({"token": (("_tag", "s", str(n)),)})
            )
            if n == 20:
                tx.search(Query("Binary"))

    assert "full" in refused(lambda: sqlite_desk.transact(fill))
    assert sqlite_desk.ids(Query("Binary")) == []
    sqlite_desk.put("Patient", "b")
    assert sqlite_desk.ids(Query("Patient")) == ["a", "b"]


def test_a_work_cannot_go_on_after_the_disk_was_full(sqlite_desk: Any) -> None:
    """SQLite rolls back by itself: what a work that goes on would write must not be stored piecemeal."""

    def work(tx: Any) -> str:
        tx._ledger.execute("PRAGMA max_page_count = 1")
        for n in range(20):
            tx.put(Version("Binary", f"b{n}", 1, 1, "POST", b"x" * 50_000), Values({}))
        with contextlib.suppress(FhirError):
            tx.search(Query("Binary"))
        with pytest.raises(FhirError):
            tx.put(Version("Patient", "p", 1, 1, "POST", b"{}"), Values({}))
            tx.search(Query("Patient"))
        return "did my best"

    refused(lambda: sqlite_desk.transact(work))
    assert sqlite_desk.run(sqlite_desk.store.changes(0)) == ()


FULL = """
import asyncio, resource, sys
from fhir_server.errors import FhirError
from fhir_server.search.query import Values
from fhir_server.store.base import Version
from fhir_server.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(sys.argv[1])
    await store.open()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    kept = refused = 0
    for n in range(60):
        version = Version("Binary", f"b{n}", 1, 1, "POST", b"x" * 20_000)
        try:
            await store.transact(lambda tx: tx.put(version, Values({})))
            kept += 1
        except FhirError as error:
            assert error.category == "unavailable", error
            refused += 1
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await store.transact(lambda tx: tx.put(Version("Binary", "last", 1, 1, "POST", b"x"), Values({})))
    assert kept and refused, (kept, refused)
    changes = await store.changes(0)
    assert len(changes) == kept + 1, (len(changes), kept)
    await store.close()

asyncio.run(main())
"""


def test_a_file_that_may_not_grow(sqlite_url: str) -> None:
    subprocess.run([sys.executable, "-c", FULL, sqlite_url], check=True, timeout=60)


def test_a_file_locked_by_somebody_else_is_waited_for_and_then_refused(
    sqlite_desk: Any, sqlite_url: str
) -> None:
    sqlite_desk.put("Patient", "a")
    impatient = sqlite_desk.open(SqliteStore(sqlite_url, patience=0.1))
    holder = sqlite3.connect(file_of(sqlite_url), isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    message = refused(lambda: sqlite_desk.run(impatient.transact(lambda tx: tx.read("Patient", "a"))))
    assert "locked" in message and time.monotonic() - started < 5
    assert sqlite_desk.run(impatient.read("Patient", "a")) is not None  # readers are not kept waiting
    holder.execute("ROLLBACK")
    holder.close()
    assert sqlite_desk.run(impatient.transact(lambda tx: tx.read("Patient", "a"))) is not None


def test_a_corrupted_file_is_refused_until_it_is_repaired(sqlite_desk: Any, sqlite_url: str) -> None:
    sqlite_desk.put("Patient", "a")
    sqlite_desk.run(sqlite_desk.store.close())
    file = file_of(sqlite_url)
    intact = file.read_bytes()
    file.write_bytes(b"not a database at all" + os.urandom(len(intact)))
    refused(lambda: sqlite_desk.run(SqliteStore(sqlite_url).open()))
    file.write_bytes(intact)
    sqlite_desk.store = sqlite_desk.open(SqliteStore(sqlite_url))
    assert sqlite_desk.ids(Query("Patient")) == ["a"]


def test_the_file_of_another_program_is_left_alone(sqlite_desk: Any, tmp_path: Path) -> None:
    file = tmp_path / "other.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = file.read_bytes()
    assert "something else" in refused(lambda: sqlite_desk.run(SqliteStore(f"sqlite:///{file}").open()))
    assert file.read_bytes() == before


def test_processes_that_start_together_on_a_new_file(sqlite_url: str) -> None:
    program = (
        "import asyncio, sys\n"
        "from fhir_server.store.sqlite import SqliteStore\n"
        "asyncio.run(SqliteStore(sys.argv[1]).open())\n"
    )
    started = [subprocess.Popen([sys.executable, "-c", program, sqlite_url]) for _ in range(6)]
    assert [each.wait(30) for each in started] == [0] * 6


def test_more_values_than_a_statement_holds_are_refused(sqlite_desk: Any) -> None:
    def query(number: int) -> Query:
        tests = ((Test("system", "=", "s"), Test("code", "=", str(n))) for n in range(number))
        return Query("Patient", Or(tuple(Match("token", "identifier", each) for each in tests)))

    assert sqlite_desk.ids(query(4900)) == []
    with pytest.raises(FhirError) as raised:
        sqlite_desk.search(query(20_000))
    assert raised.value.category == "invalid"


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite:///:memory:", "sqlite:file.db", "postgres:///x"])
def test_what_is_no_file_is_no_store(url: str) -> None:
    with pytest.raises(ValueError, match="database file"):
        SqliteStore(url)


def test_a_directory_that_cannot_be_made(tmp_path: Path, sqlite_desk: Any) -> None:
    (tmp_path / "file").write_text("in the way")
    refused(lambda: sqlite_desk.run(SqliteStore(f"sqlite:///{tmp_path}/file/varde.db").open()))


# -- MongoDB -------------------------------------------------------------------------------------


def test_a_mongodb_stopped_and_started_again(
    mongod: Any, desk_of: Callable[[str], Any], put_next: Callable[..., Version]
) -> None:
    desk = desk_of(f"{mongod.url}/varde?serverSelectionTimeoutMS=500&connectTimeoutMS=500")
    desk.put("Patient", "a")
    mongod.stop()
    for call in everything(desk):
        assert mongod.url.rpartition("/")[2] not in refused(call)
    mongod.start()
    desk.run(desk.store.check())
    assert desk.ids(Query("Patient")) == ["a"]
    desk.put("Patient", "b")
    assert desk.ids(Query("Patient")) == ["a", "b"]


def test_a_mongodb_without_transactions_is_refused_in_plain_words(
    desk_of: Callable[..., Any], tmp_path: Path, running_mongod: Callable[..., Any]
) -> None:
    with running_mongod(tmp_path / "alone", "--standalone") as server:
        message = refused(lambda: desk_of(server.url))
    assert "replica set" in message and "--replSet" in message


def test_a_mongodb_that_is_not_there(desk_of: Callable[..., Any]) -> None:
    refused(lambda: desk_of("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"))


def test_a_resource_beyond_mongodbs_limit_is_refused_alone(mongodb_desk: Any) -> None:
    def work(tx: Transaction) -> None:
        tx.put(Version("Binary", "large", 1, 1, "POST", b"x" * (16 * 1024 * 1024)), Values({}))

    with pytest.raises(FhirError) as raised:
        mongodb_desk.transact(work)
    assert raised.value.category == "too-large"
    large = b"x" * (15 * 1024 * 1024)
    mongodb_desk.transact(lambda tx: tx.put(Version("Binary", "b", 1, 1, "POST", large), Values({})))
    assert mongodb_desk.run(mongodb_desk.store.read("Binary", "b")).body == large
