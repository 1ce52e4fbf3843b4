"""Keys and tokens of those who talk to the server, made with joserfc's own signing, and by hand where it refuses."""

from __future__ import annotations

import hashlib
import hmac
import json
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

from fhir_server.smart.jose import encoded


class Signer:
    """A private key with a name, and what it signs."""

    def __init__(self, key: RSAKey | ECKey, algorithm: str, kid: str) -> None:
        self.key, self.algorithm, self.kid = key, algorithm, kid

    @property
    def public(self) -> dict[str, Any]:
        return {**self.key.as_dict(private=False), "kid": self.kid, "use": "sig", "alg": self.algorithm}

    def token(self, claims: Any, *, without: tuple[str, ...] = (), **headers: Any) -> str:
        header = {"alg": self.algorithm, "kid": self.kid, "typ": "JWT", **headers}
        header = {name: value for name, value in header.items() if name not in without}
        return self.sign(header, claims if isinstance(claims, bytes) else json.dumps(claims).encode())

    def sign(self, header: dict[str, Any], payload: bytes) -> str:
        """Whatever the header says, signed with this key and its own algorithm."""
        text = f"{encoded(json.dumps(header).encode())}.{encoded(payload)}"
        model = jws.JWSRegistry.algorithms[self.algorithm]
        return f"{text}.{encoded(model.sign(text.encode(), self.key))}"


@cache
def rsa(kid: str = "rsa", algorithm: str = "RS384", bits: int = 2048) -> Signer:
    return Signer(RSAKey.generate_key(bits, auto_kid=False), algorithm, kid)


@cache
def ec(kid: str = "ec", algorithm: str = "ES384", curve: str = "P-384") -> Signer:
    return Signer(ECKey.generate_key(curve, auto_kid=False), algorithm, kid)


def hmac_token(secret: bytes, header: dict[str, Any], claims: Any) -> str:
    """HS256 with any bytes as the secret: what an attacker does with a public key."""
    text = f"{encoded(json.dumps(header).encode())}.{encoded(json.dumps(claims).encode())}"
    return f"{text}.{encoded(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"


def jwks(*signers: Signer) -> dict[str, Any]:
    return {"keys": [signer.public for signer in signers]}
