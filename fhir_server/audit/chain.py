"""The chain: entries numbered in the order of commits, and hashes over what came before and their content.

    number = append(tx, [content])                    # in the transaction of what it is about
    problem = verify(records, head, checkpoint)       # None: nothing is missing, changed or out of order

They are records of the store (store/base.py), so that they are committed with everything else. Entries that
are added together share a record and its hash: it has the number of the first as its key, the hash, and their
contents as a JSON array. A record of its own has the number of the last entry and the last hash; a checkpoint
(checkpoint.py) is kept beside the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from fhir_server.store.base import Transaction

KIND = "audit"
HEAD_KIND, HEAD_KEY = "audit-head", "last"
_START = bytes(32)
_decode = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Head:
    """The number of the last entry, and the hash of its record."""

    number: int = 0
    digest: bytes = _START

    def pack(self) -> bytes:
        return self.number.to_bytes(8, "big") + self.digest

    @staticmethod
    def unpack(content: bytes | None) -> Head | None:
        if content is None or len(content) != 40:
            return None
        return Head(int.from_bytes(content[:8], "big"), content[8:])


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and the number of the first entry that it is wrong with."""

    number: int
    text: str


def key_of(number: int) -> str:
    """The key of an entry's record: in the order of keys is in the order of numbers."""
    return f"{number:016d}"


def append(tx: Transaction, contents: Sequence[bytes]) -> int:
    """Add entries (at least one) whose contents are JSON; the number of the first.

    What two works append comes in the order of their commits.
    """
    head = Head.unpack(tx.record(HEAD_KIND, HEAD_KEY)) or _found(tx)
    number = head.number + 1
    content = b"[%b]" % b",".join(contents)
    digest = hash_of(head.digest, number, content)
    tx.keep(KIND, key_of(number), digest + content)
    tx.keep(HEAD_KIND, HEAD_KEY, Head(head.number + len(contents), digest).pack())
    return number


def entries(key: str, record: bytes) -> list[tuple[int, bytes]]:
    """Number and content of each entry in a record; ValueError where it is none."""
    try:
        contents = _decode(record[32:])
    except msgspec.DecodeError as error:
        raise ValueError("not a record of the log") from error
    return [(number, bytes(content)) for number, content in enumerate(contents, int(key))]


def hash_of(before: bytes, number: int, content: bytes) -> bytes:
    """SHA-256 over the hash of the record before, the number of the first entry and the content."""
    return sha256(b"%b%016d%b" % (before, number, content)).digest()


def _found(tx: Transaction) -> Head:
    """The last entry where the record of the head is gone: nothing may be written over what is there.

    Whether there is a record behind a number falls from yes to no once, so it can be halved.
    """
    low, high = 0, 1
    while tx.records(KIND, key_of(high), 1):
        low, high = high, 2 * high
    if not tx.records(KIND, key_of(0), 1):
        return Head()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tx.records(KIND, key_of(middle), 1) else (low, middle)
    last = tx.record(KIND, key_of(high)) or _START
    try:
        return Head(entries(key_of(high), last)[-1][0], last[:32])
    except (ValueError, IndexError):  # damaged as well: `verify` says so
        return Head(high, last[:32])


class Check:
    """Goes along the chain, record by record in the order of keys."""

    def __init__(self, checkpoint: Head | None = None) -> None:
        self._checkpoint = checkpoint
        self._last = Head()

    def next(self, key: str, record: bytes) -> Problem | None:
        """What is wrong with this record, which comes behind those before."""
        number, checkpoint = self._last.number + 1, self._checkpoint
        if key != key_of(number):
            return Problem(number, "is missing")
        changed = Problem(number, "was changed, or is out of order")
        if record[:32] != hash_of(self._last.digest, number, record[32:]):
            return changed
        try:
            many = len(entries(key, record))
        except ValueError:
            return changed
        self._last = Head(self._last.number + many, record[:32])
        if checkpoint and number <= checkpoint.number <= self._last.number and checkpoint != self._last:
            return Problem(number, "or one before it was changed, and every hash behind it made anew")
        return None

    def end(self, head: Head | None) -> Problem | None:
        """What is wrong if that was all."""
        last = self._last
        for known, what in ((head, "the store's own count"), (self._checkpoint, "the signed checkpoint")):
            if known is not None and known.number > last.number:
                return Problem(last.number + 1, f"is missing: {what} says that there are {known.number}")
        if head is None and last.number:
            return Problem(last.number, "is the last, and the record that says so is missing")
        if head is not None and head != last:
            return Problem(min(head.number, last.number), "is not what the record of the last entry says")
        return None


def verify(
    records: Iterable[tuple[str, bytes]], head: Head | None, checkpoint: Head | None = None
) -> Problem | None:
    """The first thing wrong with (key, record) pairs in the order of keys; None if all is well."""
    check = Check(checkpoint)
    for key, record in records:
        if problem := check.next(key, record):
            return problem
    return check.end(head)
