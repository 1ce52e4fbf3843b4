"""The chain of the log: what is removed, changed, swapped or cut off shows, with its number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from fhir_server.app import with_service
from fhir_server.audit import chain
from fhir_server.audit.chain import Head, append, entries, key_of, verify
from fhir_server.audit.checkpoint import Checkpoints
from fhir_server.cli import app


class Records:
    """A transaction that has nothing but records."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], bytes] = {}

    def record(self, kind: str, key: str) -> bytes | None:
        return self.kept.get((kind, key))

    def keep(self, kind: str, key: str, content: bytes) -> None:
        self.kept[kind, key] = content

    def records(self, kind: str, after: str = "", limit: int = 1000) -> list[tuple[str, bytes]]:
        found = sorted((key, content) for (of, key), content in self.kept.items() if of == kind)
        return [each for each in found if each[0] > after][:limit]

    @property
    def log(self) -> list[tuple[str, bytes]]:
        return self.records(chain.KIND, limit=10**6)

    @property
    def head(self) -> Head | None:
        return Head.unpack(self.record(chain.HEAD_KIND, chain.HEAD_KEY))


def log_of(sizes: list[int]) -> Records:
    """Records of so many entries each."""
    tx = Records()
    for place, size in enumerate(sizes):
        append(tx, [b"[%d,%d]" % (place, n) for n in range(size)])  # type: ignore[arg-type]
    return tx


def test_entries_are_numbered_one_by_one_whatever_they_share_a_record_with() -> None:
    tx = log_of([1, 3, 2])
    assert [number for each in tx.log for number, _ in entries(*each)] == [1, 2, 3, 4, 5, 6]
    assert tx.head is not None and tx.head.number == 6
    assert verify(tx.log, tx.head) is None


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=12)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(SIZES, st.data())
def test_whatever_is_done_to_a_record_is_found_with_its_first_number(sizes: list[int], data: Any) -> None:
    tx = log_of(sizes)
    log, place = list(tx.log), data.draw(st.integers(0, len(sizes) - 1))
    number, head = int(log[place][0]), tx.head
    key, record = log[place]
    do = data.draw(st.sampled_from(["remove", "change", "renumber", "swap", "repeat"]))
    if do == "remove":
        del log[place]
    elif do == "change":
        at = data.draw(st.integers(0, len(record) - 1))
        log[place] = (key, record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :])
    elif do == "renumber":
        log[place] = (key_of(number + 100), record)
    elif do == "repeat":
        log.insert(place, log[place])
        number += sizes[place]
    else:
        other = data.draw(st.integers(0, len(sizes) - 1))
        if other == place:
            return
        (a, first), (b, second) = log[place], log[other]
        log[place], log[other] = (a, second), (b, first)
        number = min(number, int(b))
    problem = verify(log, head)
    assert problem is not None and problem.number == number


@settings(derandomize=True, max_examples=40, deadline=None)
@given(SIZES, st.integers(0, 12))
def test_what_is_cut_off_at_the_end_is_found_by_the_head(sizes: list[int], kept: int) -> None:
    tx = log_of(sizes)
    cut = tx.log[: min(kept, len(sizes) - 1)]
    problem = verify(cut, tx.head)
    assert problem is not None and problem.number == sum(sizes[: len(cut)]) + 1


def test_a_head_that_is_gone_or_another_is_found() -> None:
    tx = log_of([1, 1, 1])
    assert verify(tx.log, None) is not None
    assert tx.head is not None
    assert verify(tx.log, Head(2, tx.head.digest)) is not None
    assert verify(tx.log, Head(3, bytes(32))) is not None
    assert verify([], None) is None


def test_with_the_head_put_back_the_signed_checkpoint_tells(tmp_path: Path) -> None:
    tx, checkpoints = log_of([1, 1]), Checkpoints(tmp_path / "keys")
    early = tx.head
    append(tx, [b"[]"])  # type: ignore[arg-type]
    assert tx.head is not None
    checkpoints.write(tx.head)
    problem = verify(tx.log[:2], early, checkpoints.read())
    assert problem is not None and problem.number == 3


def test_a_chain_made_anew_from_a_changed_entry_on_is_told_by_the_checkpoint(tmp_path: Path) -> None:
    """Who may write to the store can compute hashes as well as we can."""
    tx, forged, checkpoints = log_of([1, 1, 1]), log_of([1]), Checkpoints(tmp_path / "keys")
    assert tx.head is not None
    checkpoints.write(tx.head)
    for content in (b'["forged"]', b"[2,0]", b"[3,0]"):
        append(forged, [content])  # type: ignore[arg-type]
    assert verify(forged.log, forged.head) is None
    problem = verify(forged.log, forged.head, checkpoints.read())
    assert problem is not None and problem.number == 3


def test_a_checkpoint_is_refused_unless_it_is_signed_with_the_key(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    checkpoints = Checkpoints(folder)
    assert checkpoints.read() is None
    checkpoints.write(Head(5, bytes(32)))
    checkpoints.write(Head(4, bytes(32)))  # an earlier one changes nothing
    assert checkpoints.read() == Head(5, bytes(32))
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    file = folder / "audit.checkpoint"
    said = json.loads(file.read_bytes())
    for change in ({"number": 4}, {"hash": "00" * 31 + "01"}, {"signature": "00" * 32}, {"number": None}):
        file.write_text(json.dumps(said | change))
        with pytest.raises(ValueError, match="changed"):
            checkpoints.read()
    file.write_text("{")
    with pytest.raises(ValueError, match="changed"):
        checkpoints.read()


@pytest.mark.parametrize("sizes", [[1], [3], [1, 1], [2, 1, 4], [1] * 9, [5] * 17])
def test_nothing_is_written_over_when_the_head_is_gone(sizes: list[int]) -> None:
    tx = log_of(sizes)
    head = tx.head
    del tx.kept[chain.HEAD_KIND, chain.HEAD_KEY]
    assert append(tx, [b"[]"]) == sum(sizes) + 1  # type: ignore[arg-type]
    assert head is not None and verify(tx.log, tx.head) is None


# -- the command, on both stores -------------------------------------------------------------------


PATIENT = {"resourceType": "Patient", "id": "kari"}


def filled(fhir: Any) -> None:
    fhir.put("/Patient/kari", PATIENT)
    for _ in range(3):
        fhir.get("/Patient/kari")


def run(url: str, keys: Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", "verify", "--store", url, "--keys", str(keys)])
    return result.exit_code, " ".join(result.output.split())


def key_at(tx: Any, number: int) -> tuple[str, bytes]:
    return next(each for each in tx.records(chain.KIND) if each[0] == key_of(number))


def remove(tx: Any) -> None:
    tx.forget(chain.KIND, key_of(2))


def change(tx: Any) -> None:
    key, record = key_at(tx, 2)
    tx.keep(chain.KIND, key, record.replace(b"kari", b"kiri"))


def swap(tx: Any) -> None:
    (a, first), (b, second) = key_at(tx, 2), key_at(tx, 3)
    tx.keep(chain.KIND, a, second)
    tx.keep(chain.KIND, b, first)


def truncate(tx: Any) -> None:
    tx.forget(chain.KIND, key_of(4))


def truncate_with_head(tx: Any) -> None:
    truncate(tx)
    _, record = key_at(tx, 3)
    tx.keep(chain.HEAD_KIND, chain.HEAD_KEY, Head(3, record[:32]).pack())


@pytest.mark.parametrize(
    ("do", "number"), [(remove, 2), (change, 2), (swap, 2), (truncate, 4), (truncate_with_head, 4)]
)
def test_verify_tells_the_first_entry_that_is_wrong(
    fhir: Any, store_url: str, keys: Path, do: Callable[[Any], None], number: int
) -> None:
    filled(fhir)
    fhir.stop()  # writes a checkpoint
    assert run(store_url, keys) == (
        0,
        "The log of accesses is whole: 4 entries, a checkpoint signed at entry 4.",
    )
    fhir.change(do)
    status, said = run(store_url, keys)
    assert status == 1 and f"Entry {number} " in said


def test_verify_tells_of_an_audit_event_that_was_changed_beside_the_server(
    fhir: Any, store_url: str, keys: Path
) -> None:
    from fhir_server.search.query import Values
    from fhir_server.store.base import Version

    filled(fhir)
    found = fhir.get("/AuditEvent?_sort=date").json()["entry"][1]["resource"]["id"]
    fhir.stop()
    assert run(store_url, keys)[0] == 0

    def forge(tx: Any) -> None:
        body = json.dumps({"resourceType": "AuditEvent", "id": found}).encode()
        tx.put(Version("AuditEvent", found, 2, 1, "PUT", body), Values({}))

    fhir.change(forge)
    status, said = run(store_url, keys)
    assert status == 1 and f"AuditEvent/{found}" in said


def test_verify_needs_the_key_that_signed(fhir: Any, store_url: str, keys: Path) -> None:
    filled(fhir)
    fhir.stop()
    (keys / "audit.key").write_bytes(bytes(32))
    status, said = run(store_url, keys)
    assert status == 1 and "another key" in said


def test_a_store_without_a_log_is_whole_and_one_that_is_not_there_is_said(
    sqlite_url: str, keys: Path, tmp_path: Path
) -> None:
    status, said = run(sqlite_url, keys)
    assert status == 1 and "There is no database" in said
    asyncio.run(with_service(sqlite_url, _nothing))
    assert run(sqlite_url, keys) == (0, "The log of accesses is whole: 0 entries, no signed checkpoint.")


async def _nothing(_: Any) -> None:
    """The store is there afterwards."""
