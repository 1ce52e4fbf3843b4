"""Signed JSON Web Tokens that others send us: read strictly, verified with keys that we already hold.

https://www.rfc-editor.org/rfc/rfc7515, https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

import binascii
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

Key = Mapping[str, Any]  # a public JSON Web Key (RFC 7517)

CLIENTS = frozenset({"RS384", "ES384"})  # those that SMART names
PROVIDERS = frozenset({"RS256", "PS256", "ES256", "RS384", "PS384", "ES384", "RS512", "PS512"})
SKEW = 60  # seconds by which another's clock may differ from ours
MOST_BYTES = 16 * 1024

_CURVES = {"ES256": "P-256", "ES384": "P-384"}
_RSA_BITS = range(2048, 8193)
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
# What could make us use a key that the sender brings along, or read the token in another way.
_DANGEROUS = ("crit", "b64", "jku", "jwk", "x5u", "x5c", "zip", "enc")
_NAMED = "kid"


class Refused(Exception):
    """A token that is not accepted. The message says why, and nothing of what the token says."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was read. Nothing of it is true before `verify` has been passed."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes

    @property
    def algorithm(self) -> str:
        return str(self.header["alg"])

    @property
    def kid(self) -> str | None:
        """The name of the key that the sender says it is signed with."""
        return self.header.get(_NAMED)


def read(text: str, algorithms: frozenset[str], headers: frozenset[str] = frozenset()) -> Token:
    """A compact JWS whose payload is a JSON object, signed by one of these algorithms.

    `headers` are those of the dangerous header parameters that the caller looks at itself. Raises Refused.
    """
    if len(text) > MOST_BYTES:
        raise Refused(f"The token is longer than {MOST_BYTES} characters")
    parts = text.split(".")
    if len(parts) != 3 or not text.isascii():
        raise Refused("The token is no signed JWT: it needs three parts with a dot between")
    header = _object(parts[0], "header")
    for name in _DANGEROUS:
        if name in header and name not in headers:
            raise Refused(f"The token has the header {name}, which is not accepted")
    if not isinstance(header.get("alg"), str) or header["alg"] not in algorithms:
        raise Refused(f"The token must be signed by one of {', '.join(sorted(algorithms))}")
    if not isinstance(header.get(_NAMED, ""), str):
        raise Refused("The kid of the token is no string")
    signed = text.rpartition(".")[0].encode()
    return Token(header, _object(parts[1], "payload"), signed, _bytes(parts[2], "signature"))


def verify(token: Token, keys: Iterable[Key]) -> None:
    """Raises Refused unless one of the keys, of the token's kid and its algorithm's type, made the signature.

    A key is only ever used as what it is: an RSA key for RS and PS, a key on the right curve for ES. Where
    the token names no key, any that fits is tried; where it does, only those of that name.
    """
    fitting = [key for key in keys if _fits(key, token)]
    if not fitting:
        raise Refused("No registered key fits the token's kid and algorithm")
    if not any(_made(key, token) for key in fitting):
        raise Refused("The signature of the token is wrong")


def check_times(claims: Mapping[str, Any], now: float, longest: float | None = None) -> float:
    """The moment (seconds since 1970) at which the token is used up; Refused where it is not valid now.

    `exp` is required; `nbf` and `iat` are looked at where they are. `longest`: seconds that it may be valid,
    from now and from `iat`. Clocks may differ by SKEW seconds.
    """
    expires = number(claims, "exp")
    if expires is None:
        raise Refused("The token has no exp")
    if now >= expires + SKEW:
        raise Refused("The token has expired")
    issued = number(claims, "iat")
    for name, moment in (("nbf", number(claims, "nbf")), ("iat", issued)):
        if moment is not None and moment > now + SKEW:
            raise Refused(f"The {name} of the token is in the future")
    if longest is not None and (
        expires > now + longest + SKEW or (issued is not None and expires - issued > longest)
    ):
        raise Refused(f"The token is valid for more than {longest:g} seconds")
    return expires + SKEW


def number(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate (RFC 7519, section 2), None where it is missing; Refused where it is something else."""
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e12:
        raise Refused(f"The {name} of the token is no number")
    return value


def audience(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The values of `aud`, one or several (RFC 7519, section 4.1.3)."""
    value = claims.get("aud")
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(each, str) for each in values):
        raise Refused("The token has no aud")
    return tuple(values)


def required(claims: Mapping[str, Any], name: str, most: int = 255) -> str:
    """A claim that must be there and a string that is neither empty nor too long."""
    value = claims.get(name)
    if not isinstance(value, str) or not value or len(value) > most:
        raise Refused(f"The token needs {name}, a string of at most {most} characters")
    return value


def check_public(key: Any) -> None:
    """Raises Refused unless this is a public RSA or EC key that verifies one of the algorithms we know."""
    if not isinstance(key, dict) or key.get("kty") not in ("RSA", "EC"):
        raise Refused("A key must be an RSA or EC key in the form of a JSON Web Key")
    if _PRIVATE & key.keys():
        raise Refused("The key is private: register the public one, and make a new one since this is known")
    _imported(key)


def thumbprint(key: Key) -> str:
    """The SHA-256 thumbprint of a public key, base64url: https://www.rfc-editor.org/rfc/rfc7638"""
    names = ("crv", "kty", "x", "y") if key["kty"] == "EC" else ("e", "kty", "n")
    canonical = json.dumps({name: key[name] for name in names}, separators=(",", ":"), sort_keys=True)
    return encoded(sha256(canonical.encode()).digest())


def encoded(content: bytes) -> str:
    """base64url without padding."""
    return binascii.b2a_base64(content, newline=False).rstrip(b"=").translate(_URLSAFE).decode()


_URLSAFE = bytes.maketrans(b"+/", b"-_")


def _fits(key: Key, token: Token) -> bool:
    algorithm = token.algorithm
    return (
        (token.kid is None or key.get("kid") == token.kid)
        and key.get("kty") == ("EC" if algorithm in _CURVES else "RSA")
        and (algorithm not in _CURVES or key.get("crv") == _CURVES[algorithm])
        and key.get("use", "sig") == "sig"
        and "verify" in (key.get("key_ops") or ["verify"])
        and key.get("alg", algorithm) == algorithm
    )


def _made(key: Key, token: Token) -> bool:
    try:
        model = JWSRegistry.algorithms[token.algorithm]
        return bool(model.verify(token.signed, token.signature, _imported(key)))
    except Refused:
        return False


def _imported(key: Key) -> RSAKey | ECKey:
    """The key for joserfc; Refused for one that is broken, too short to be safe or too long to be quick."""
    public = {name: value for name, value in key.items() if name not in _PRIVATE}
    try:
        if key["kty"] == "EC":
            point = ECKey.import_key(public)
            if point.curve_name not in _CURVES.values():
                raise Refused("An EC key must be on P-256 or P-384")
            return point
        if _bits(public["n"]) not in _RSA_BITS or len(public["e"]) > 8:
            raise Refused(f"An RSA key must have {_RSA_BITS.start} to {_RSA_BITS.stop - 1} bits")
        return RSAKey.import_key(public)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, OverflowError):
        raise Refused("A key is broken") from None


def _bits(modulus: str) -> int:
    return int.from_bytes(urlsafe_b64decode(modulus + "==")).bit_length()


def _object(part: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(_bytes(part, what), object_pairs_hook=_unique, parse_constant=_no_number)
    except (ValueError, RecursionError):
        raise Refused(f"The {what} of the token is no JSON object") from None
    if not isinstance(value, dict):
        raise Refused(f"The {what} of the token is no JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Two readers could understand a key that comes twice differently."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError
    return value


def _no_number(_: str) -> Any:
    raise ValueError


def _bytes(part: str, what: str) -> bytes:
    """base64url as it must be: no padding, no other characters, no bits left over."""
    try:
        content = urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        content = b""
    if not content or encoded(content) != part:
        raise Refused(f"The {what} of the token is not base64url")
    return content
