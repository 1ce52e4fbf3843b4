"""The chain: entries numbered in the order of commits, each with a hash over the one before and its content.

    number = append(tx, content)                      # in the transaction of what it is about
    problem = verify(entries, head, checkpoint)       # None: nothing is missing, changed or out of order

They are records of the store (store/base.py), so that they are committed with everything else. A record of
its own has the number and the hash of the last; a checkpoint (checkpoint.py) is kept beside the store.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256

from fhir_server.store.base import Transaction

KIND = "audit"
HEAD_KIND, HEAD_KEY = "audit-head", "last"
_START = bytes(32)


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry: its number and its hash."""

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


def append(tx: Transaction, content: bytes) -> int:
    """Add an entry; its number. What two works append comes in the order of their commits."""
    head = Head.unpack(tx.record(HEAD_KIND, HEAD_KEY)) or _found(tx)
    number = head.number + 1
    digest = hash_of(head.digest, number, content)
    tx.keep(KIND, key_of(number), digest + content)
    tx.keep(HEAD_KIND, HEAD_KEY, Head(number, digest).pack())
    return number


def hash_of(before: bytes, number: int, content: bytes) -> bytes:
    """SHA-256 over the hash of the entry before, the number and the content."""
    return sha256(b"%b%016d%b" % (before, number, content)).digest()


def _found(tx: Transaction) -> Head:
    """The last entry where the record of the head is gone: nothing may be written over what is there.

    Whether there is an entry behind a number falls from yes to no once, so it can be halved.
    """
    low, high = 0, 1
    while tx.records(KIND, key_of(high), 1):
        low, high = high, 2 * high
    if not tx.records(KIND, key_of(0), 1):
        return Head()
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if tx.records(KIND, key_of(middle), 1) else (low, middle)
    last = tx.record(KIND, key_of(high))
    return Head(high, (last or _START)[:32])


def verify(
    entries: Iterable[tuple[str, bytes]], head: Head | None, checkpoint: Head | None = None
) -> Problem | None:
    """The first thing wrong with (key, record) pairs in the order of keys; None if all is well."""
    last = Head()
    for key, record in entries:
        number = last.number + 1
        if key != key_of(number):
            return Problem(number, "is missing")
        if record[:32] != hash_of(last.digest, number, record[32:]):
            return Problem(number, "was changed, or is out of order")
        last = Head(number, record[:32])
        if checkpoint is not None and checkpoint.number == number and checkpoint.digest != last.digest:
            return Problem(number, "or one before it was changed, and every hash behind it made anew")
    for known, what in ((head, "the store's own count"), (checkpoint, "the signed checkpoint")):
        if known is not None and known.number > last.number:
            return Problem(last.number + 1, f"is missing: {what} says that there are {known.number}")
    if head is None and last.number:
        return Problem(last.number, "is the last, and the record that says so is missing")
    if head is not None and head != last:
        return Problem(min(head.number, last.number), "is not what the record of the last entry says")
    return None
