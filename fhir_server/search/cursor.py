"""The opaque text in a link to another page: where a page ended, sealed so that nobody can make one up.

base64url of JSON and an HMAC-SHA256 over it and the search it belongs to. For a search that came in a form
the search itself is in the link, enciphered: what is in a URL ends up in logs and histories.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import zlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fhir_server.errors import FhirError

LIFETIME = 24 * 60 * 60 * 1_000_000  # microseconds that a link to another page is good for
KEPT = 10  # so many pages back there is a link to the previous one
_MAC_BYTES = 16
_LARGEST = 30_000  # characters of a search inside of a link, which clients and proxies still take

After = tuple[Any, ...]
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """A page of a search: what it comes after (None: nothing, it is the first), in which snapshot.

    `before` are the places of the pages before it, the nearest last; `total` is what they said of the total.
    """

    after: After | None
    snapshot: int
    total: int | None = None
    before: tuple[After | None, ...] = ()

    def next(self, after: After, total: int | None) -> Place:
        return Place(after, self.snapshot, total, (*self.before, self.after)[-KEPT:])

    def previous(self) -> Place | None:
        if not self.before:
            return None
        return Place(self.before[-1], self.snapshot, self.total, self.before[:-1])


def seal(key: bytes, identity: str, place: Place, now: int) -> str:
    """The cursor of that page, for this search only; `now` in microseconds since 1970."""
    content = [_plain(place.after), place.snapshot, place.total, _plain(place.before), now]
    payload = json.dumps(content, separators=(",", ":")).encode()
    return _text(_mac(key, identity, payload) + payload)


def unseal(key: bytes, identity: str, cursor: str, now: int) -> Place:
    """The page of a cursor.

    FhirError("invalid") for text that never was one; "expired" for one that is too old, or that another
    search, another server's key, or somebody's hand made.
    """
    raw = _bytes(cursor)
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not payload:
        raise FhirError("invalid", "_cursor: not a page of a search")
    if not hmac.compare_digest(mac, _mac(key, identity, payload)):
        raise FhirError("expired", "_cursor: not a page of this search, or no longer; start again without it")
    after, snapshot, total, before, sealed = json.loads(payload)
    if abs(now - sealed) > LIFETIME:
        raise FhirError(
            "expired", "_cursor: the pages of this search are no longer kept; start again without it"
        )
    return Place(_after(after), snapshot, total, _after(before))


def enclose(key: bytes, pairs: Pairs) -> str:
    """A search as text that only who has the key can read; FhirError("too-costly") for too long a link."""
    content = zlib.compress(json.dumps(pairs).encode(), 9)
    mark = _mac(key, "enclosed", content)  # as an initial value it is as good as a random one
    text = _text(mark + _enciphered(key, mark, content))
    if len(text) > _LARGEST:
        raise FhirError("too-costly", "A search as long as this has one page: ask for more with _count")
    return text


def disclose(key: bytes, text: str) -> Pairs:
    """The search that was enclosed; FhirError as unseal."""
    raw = _bytes(text)
    mark = raw[:_MAC_BYTES]
    content = _enciphered(key, mark, raw[_MAC_BYTES:])
    if not hmac.compare_digest(mark, _mac(key, "enclosed", content)):
        raise FhirError("expired", "_search: not a search of this server, or no longer; start again")
    return tuple((name, value) for name, value in json.loads(zlib.decompress(content)))


def _enciphered(key: bytes, mark: bytes, content: bytes) -> bytes:
    """Enciphered, or deciphered: the key and the mark together make a stream that hides it."""
    secret = hmac.digest(key, b"enclosing\0" + mark, "sha256")
    stream = hashlib.shake_256(secret).digest(len(content))
    return bytes(a ^ b for a, b in zip(content, stream, strict=True))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise FhirError("invalid", "_cursor: not a page of a search") from None


def _mac(key: bytes, identity: str, payload: bytes) -> bytes:
    # "surrogatepass": a hostile query string may hold what is not UTF-8, and still has an identity
    return hmac.digest(key, identity.encode(errors="surrogatepass") + b"\0" + payload, "sha256")[:_MAC_BYTES]


def _plain(value: Any) -> Any:
    """As JSON can hold it: lists for tuples, and a Decimal or bytes as an object that says so."""
    match value:
        case tuple() | list():
            return [_plain(item) for item in value]
        case Decimal():
            return {"decimal": str(value)}
        case bytes():
            return {"bytes": value.hex()}
    return value


def _after(value: Any) -> Any:
    match value:
        case list():
            return tuple(_after(item) for item in value)
        case {"decimal": text}:
            return Decimal(text)
        case {"bytes": text}:
            return bytes.fromhex(text)
    return value
