"""gzip, both ways, with a bound on what comes out (https://www.rfc-editor.org/rfc/rfc9110#section-8.4)."""

from __future__ import annotations

import zlib
from functools import lru_cache

from fhir_server.errors import FhirError

# Less than this fits in one packet as it is.
WORTH = 1400
_GZIP = 16 + zlib.MAX_WBITS
_LEVEL = 4


def decompress(body: bytes, encoding: str | None, at_most: int) -> bytes:
    """The body as it was before its Content-Encoding.

    FhirError("too-large") as soon as it has more than at_most bytes, "unsupported-media-type" for an encoding
    other than gzip, "malformed" for what is not what it says.
    """
    match (encoding or "identity").strip().lower():
        case "identity":
            return body
        case "gzip" | "x-gzip":
            return _gunzip(body, at_most)
    raise FhirError("unsupported-media-type", "A body may be compressed with gzip only")


def _gunzip(body: bytes, at_most: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while body:
        stream = zlib.decompressobj(_GZIP)
        try:
            parts.append(stream.decompress(body, at_most - size + 1))
        except zlib.error:
            raise FhirError("malformed", "The body is not gzip") from None
        size += len(parts[-1])
        if size > at_most:
            raise FhirError("too-large", f"A body may have {at_most} bytes, decompressed")
        if not stream.eof:
            raise FhirError("malformed", "The gzip of the body ends too early")
        body = stream.unused_data  # another member, RFC 1952 section 2.2
    return b"".join(parts)


def compress(body: bytes) -> bytes:
    """The body in gzip."""
    stream = zlib.compressobj(_LEVEL, wbits=_GZIP)
    return stream.compress(body) + stream.flush()


@lru_cache(maxsize=64)
def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header names gzip (or anything) without refusing it."""
    said = {}
    for part in accept_encoding.lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        said[name] = not any(text.startswith("q=") and not text[2:].strip("0.") for text in parameters)
    return said.get("gzip", said.get("x-gzip", said.get("*", False)))
