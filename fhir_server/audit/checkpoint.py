"""The last entry's number and hash, signed and kept beside the store.

Who can write to the store can take the last entries away, put the record of the last one back, or make all
hashes anew. With a checkpoint that they cannot sign, in a folder that they cannot write to, it shows: the log
has to lead to it (chain.verify). What happened since the last one is covered by the next.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

import msgspec

from fhir_server.audit.chain import Head

_KEY, _FILE = "audit.key", "audit.checkpoint"


class Checkpoints:
    """In one folder, which only the server's user can read (mode 0700, its files 0600)."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, head: Head) -> None:
        """Sign and keep this one, unless a later one is kept already. Raises OSError."""
        key = self._key(create=True)
        kept = self._read(key)
        if kept is not None and kept.number >= head.number:
            return
        said = {"number": head.number, "hash": head.digest.hex(), "signature": _signature(key, head)}
        part = self._folder / f"{_FILE}.{os.getpid()}"
        _write(part, msgspec.json.encode(said))
        part.replace(self._folder / _FILE)

    def read(self) -> Head | None:
        """The last one, None where there is none; ValueError where its signature is not ours."""
        return self._read(self._key(create=False))

    def _read(self, key: bytes) -> Head | None:
        try:
            content = (self._folder / _FILE).read_bytes()
        except FileNotFoundError:
            return None
        try:
            said = msgspec.json.decode(content, type=dict[str, int | str])
            head = Head(int(said["number"]), bytes.fromhex(str(said["hash"])))
            if hmac.compare_digest(_signature(key, head), str(said["signature"])):
                return head
        except (msgspec.DecodeError, KeyError, ValueError):
            pass
        raise ValueError("The checkpoint of the log of accesses was changed, or signed with another key")

    def _key(self, *, create: bool) -> bytes:
        path = self._folder / _KEY
        with suppress(FileNotFoundError):
            return path.read_bytes()
        if not create:
            return b""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self._folder / f"{_KEY}.{os.getpid()}"
        _write(part, secrets.token_bytes(32))
        with suppress(FileExistsError):
            os.link(part, path)  # the first of several processes makes it
        part.unlink()
        return path.read_bytes()


def _signature(key: bytes, head: Head) -> str:
    return hmac.digest(key, b"varde audit " + head.pack(), "sha256").hex()


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
