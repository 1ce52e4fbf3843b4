"""Proofs of the key that a token is bound to (DPoP): made for providers, checked for our API.

https://www.rfc-editor.org/rfc/rfc9449
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from datetime import datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from joserfc import jwt
from joserfc.jwk import ECKey

from fhir_server.smart import jose
from fhir_server.smart.assertions import use_once
from fhir_server.smart.jose import Refused

if TYPE_CHECKING:
    from fhir_server.exchange import Service

TYPE = "dpop+jwt"
_ALGORITHMS = jose.PROVIDERS


def new_key() -> ECKey:
    """A key for one exchange with a provider; what is bound to it is of no use to anybody else."""
    return ECKey.generate_key("P-256", auto_kid=False)


def proof(key: ECKey, method: str, url: str, now: datetime, nonce: str = "") -> str:
    """The DPoP header of a request to a provider (section 4.2)."""
    header = {"typ": TYPE, "alg": "ES256", "jwk": key.as_dict(private=False)}
    claims = {
        "jti": secrets.token_urlsafe(16), "htm": method, "htu": url, "iat": int(now.timestamp()),
    }  # fmt: skip
    return jwt.encode(header, claims | ({"nonce": nonce} if nonce else {}), key, algorithms=["ES256"])


async def check(
    service: Service, text: str, method: str, url: str, token: str, thumbprint: str, now: datetime
) -> None:
    """Raises Refused unless this proves, for this request and only once, the key that the token is bound to.

    Section 4.3: `url` is that of the request as the client sees it, `thumbprint` the token's `cnf.jkt`. A
    proof counts for 60 seconds before and after its `iat`, and its jti is remembered for as long, in the
    store: a proof that one worker has seen is no good at another.
    """
    read = jose.read(text, _ALGORITHMS, frozenset({"jwk"}))
    key: Any = read.header.get("jwk")
    claims = read.claims
    if str(read.header.get("typ")).lower() != TYPE:
        raise Refused(f"The typ of the proof must be {TYPE}")
    jose.check_public(key)
    jose.verify(read, [key if read.kid is None else {**key, "kid": read.kid}])
    if jose.thumbprint(key) != thumbprint:
        raise Refused("The token is bound to another key")
    if jose.required(claims, "htm") != method or _place(jose.required(claims, "htu", 2048)) != _place(url):
        raise Refused("The proof is for another request")
    if jose.required(claims, "ath") != hashed(token):
        raise Refused("The proof is for another token")
    made = jose.number(claims, "iat")
    if made is None or abs(now.timestamp() - made) > jose.SKEW:
        raise Refused("The iat of the proof is not now")
    await use_once(service, jose.required(claims, "jti"), f"dpop {thumbprint}", now, made + jose.SKEW + 1)


def hashed(token: str) -> str:
    """The claim `ath` of a proof for this access token."""
    return urlsafe_b64encode(sha256(token.encode()).digest()).rstrip(b"=").decode()


def _place(url: str) -> tuple[str, str | None, int | None, str]:
    """A URL without query and fragment, in a normal form (section 4.3, point 9)."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443, "http": 80}.get(parts.scheme)
        return parts.scheme, parts.hostname, port, parts.path or "/"
    except ValueError:
        raise Refused("The htu of the proof is no URL") from None
