"""The opaque text in a next link: where a page ended, sealed so that nobody can make one up.

base64url of JSON and an HMAC-SHA256 over it and the search it belongs to.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from decimal import Decimal
from typing import Any

from fhir_server.errors import FhirError

_MAC_BYTES = 16

After = tuple[Any, ...]


def seal(key: bytes, identity: str, after: After, snapshot: int, total: int | None) -> str:
    """The cursor of the page behind `after`, for this search only."""
    payload = json.dumps([_plain(after), snapshot, total], separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(_mac(key, identity, payload) + payload).rstrip(b"=").decode()


def unseal(key: bytes, identity: str, cursor: str) -> tuple[After, int, int | None]:
    """(after, snapshot, total) of a cursor.

    FhirError("invalid") for text that never was one; "expired" for one that another search, another
    server's key, or somebody's hand made.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise FhirError("invalid", "_cursor: not a page of a search") from None
    mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
    if not payload:
        raise FhirError("invalid", "_cursor: not a page of a search")
    if not hmac.compare_digest(mac, _mac(key, identity, payload)):
        raise FhirError("expired", "_cursor: not a page of this search, or no longer; start again without it")
    after, snapshot, total = json.loads(payload)
    return _after(after), snapshot, total


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
