"""The keys that id_tokens are signed with: files that only the server may read, shared by its workers.

https://openid.net/specs/openid-connect-core-1_0.html#SigEnc, https://www.rfc-editor.org/rfc/rfc7517
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

ALGORITHM = "RS256"
_BITS = 2048
# For so long (seconds) the public key of a key that was replaced is still given: longer than any id_token
# that it signed is good, with time to spare for clocks.
RETIRED = 25 * 3600
_SUFFIX = ".jwk"


class UnsafeKeys(ValueError):
    """The folder or a key is not as safe as it has to be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`made` is when (seconds since 1970 UTC); `jwk` has the private key."""

    kid: str
    made: int
    jwk: Mapping[str, Any]

    @property
    def public(self) -> dict[str, Any]:
        names = ("kty", "n", "e")
        return {**{name: self.jwk[name] for name in names}, "kid": self.kid, "alg": ALGORITHM, "use": "sig"}


class SigningKeys:
    """The keys in a folder; the newest signs. The folder is looked at again when it has changed.

    Without a key one is made, by the first who needs it. Raises UnsafeKeys for a folder or a key that others
    can read, OSError where they cannot be used at all.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._keys: tuple[SigningKey, ...] = ()
        self._seen: int | None = None

    def sign(self, claims: Mapping[str, Any], now: int) -> str:
        """A JWT with these claims; `now` in seconds."""
        key = self._current(now)[-1]
        header = {"alg": ALGORITHM, "kid": key.kid, "typ": "JWT"}
        return jwt.encode(header, dict(claims), RSAKey.import_key(dict(key.jwk)))

    def public(self, now: int) -> dict[str, Any]:
        """The JWK Set: the key that signs, and those whose tokens may still be in use."""
        keys = self._current(now)
        replaced = [after.made for after in keys[1:]] + [now]
        shown = [key for key, until in zip(keys, replaced, strict=True) if now - until < RETIRED]
        return {"keys": [key.public for key in reversed(shown)]}

    def rotate(self, now: int) -> str:
        """A new key, which signs from now on; its kid. Those that nobody needs any more are deleted."""
        with self._locked():
            keys = self._read()
            for key, after in pairwise(keys):
                if now - after.made >= RETIRED:
                    (self._folder / f"{key.kid}{_SUFFIX}").unlink(missing_ok=True)
            made = self._make(max([now, *(key.made + 1 for key in keys)]))
            self._seen = None
            return made.kid

    def _current(self, now: int) -> tuple[SigningKey, ...]:
        """All keys, in the order that they were made in."""
        seen = self._folder.stat().st_mtime_ns if self._folder.is_dir() else None
        if not self._keys or seen != self._seen:
            with self._locked():
                self._keys = self._read() or (self._make(now),)
                self._seen = self._folder.stat().st_mtime_ns
        return self._keys

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the folder: workers start together."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check(self._folder, "The folder of the signing keys", 0o700)
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _read(self) -> tuple[SigningKey, ...]:
        found = []
        for path in self._folder.glob(f"*{_SUFFIX}"):
            _check(path, "A signing key", 0o600)
            stored = json.loads(path.read_text())
            found.append(SigningKey(path.name.removesuffix(_SUFFIX), stored.pop("made"), stored))
        return tuple(sorted(found, key=lambda key: (key.made, key.kid)))

    def _make(self, now: int) -> SigningKey:
        kid = secrets.token_urlsafe(9)
        private = RSAKey.generate_key(_BITS, private=True).as_dict(private=True)
        key = SigningKey(kid, now, {name: value for name, value in private.items() if name != "kid"})
        unfinished = self._folder / f"{kid}.unfinished"
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump({**key.jwk, "made": now}, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(self._folder / f"{kid}{_SUFFIX}")
        return key


def _check(path: Path, what: str, mode: int) -> None:
    found = path.stat()
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UnsafeKeys(f"{what} must belong to the server's user alone: chmod {mode:o} {path}")
