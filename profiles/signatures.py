"""A Bundle's digital signature: whether it is one, of this content, by the certificate that it brings along.

https://hl7.org/fhir/R4/signatures.html (JSON Web Signature), https://hl7.org/fhir/R4/json.html#canonical.
Whether the certificate is to be trusted, and whose it is, is not judged.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from profiles.parts import Part, child, text
from profiles.problems import Place, Problems, inside

_JOSE = "application/jose"
_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LONGEST = 16 * 1024 * 1024  # characters of a signature, which may hold the content
_LONGEST_CERTIFICATE = 64 * 1024
# What a Bundle leaves out of what is signed, besides the signature itself.
_UNSIGNED = frozenset({"signature", "id", "meta"})


@dataclass(frozen=True, slots=True)
class _Signature:
    """A JWS in its compact form: the parts as they are written, and the header that the first one is."""

    head: str
    payload: str
    signed: str
    header: Mapping[str, Any]


def check(bundle: Part, at: Place, out: Problems) -> None:
    """The thorough check of a Bundle calls this; without a signature there is nothing to say."""
    signature, place = child(bundle, "signature"), inside(at, "signature")
    data = text(signature, "data")
    if data is None:
        return
    if text(signature, "sigFormat") != _JOSE:
        out.add("informational", "Only signatures in application/jose are verified", place, "information")
        return
    found = _read(data)
    if found is None:
        out.add("value", "The signature is no JSON Web Signature in its compact form", inside(place, "data"))
    else:
        _verify(found, canonical(bundle), place, out)


def _read(data: str) -> _Signature | None:
    try:
        parts = base64.b64decode(data[:_LONGEST]).decode("ascii").split(".")
        header = json.loads(_decoded(parts[0]))
    except (ValueError, RecursionError):  # no base64, no text, no JSON
        return None
    if len(parts) != 3 or type(header) is not dict:
        return None
    return _Signature(parts[0], parts[1], parts[2], header)


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _verify(signature: _Signature, content: bytes, at: Place, out: Problems) -> None:
    if signature.payload:
        out.add("value", "The signature should be detached, without the content itself", at, "warning")
        if signature.payload != _encoded(content):
            out.add("value", "What was signed is not what this Bundle holds", at)
            return
    if signature.header.get("alg") not in _ALGORITHMS:
        out.add("value", f"The signature must be by one of {', '.join(_ALGORITHMS)}", at)
    elif (certificate := _certificate(signature.header)) is None:
        out.add("value", "There is no certificate (x5c) to verify the signature by", at, "warning")
    elif _is_by(certificate, signature, content):
        out.add("informational", "The signature is of this content, by its certificate", at, "information")
    else:
        out.add("value", "The signature is not of this content, or not by its certificate", at)


def _certificate(header: Mapping[str, Any]) -> bytes | None:
    chain = header.get("x5c")
    first = chain[0] if type(chain) is list and chain else None
    try:
        return base64.b64decode(first) if type(first) is str and len(first) <= _LONGEST_CERTIFICATE else None
    except ValueError:
        return None


def _is_by(certificate: bytes, signature: _Signature, content: bytes) -> bool:
    # loaded here: a server that is never asked about a signature need not hold them in memory
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
    from cryptography.x509 import load_der_x509_certificate
    from joserfc import jwk, jws
    from joserfc.errors import JoseError

    registry = jws.JWSRegistry(algorithms=list(_ALGORITHMS), strict_check_header=False)
    registry.max_header_length, registry.max_payload_length = 2 * _LONGEST_CERTIFICATE, 2 * _LONGEST
    registry.max_signature_length = 4096
    kinds: dict[str, type[Any]] = {"R": jwk.RSAKey, "P": jwk.RSAKey, "ES": jwk.ECKey, "Ed": jwk.OKPKey}
    algorithm = str(signature.header["alg"])
    try:
        key = load_der_x509_certificate(certificate).public_key()
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        kind = kinds.get(algorithm[0]) or kinds[algorithm[:2]]
        whole = f"{signature.head}.{_encoded(content)}.{signature.signed}"
        jws.deserialize_compact(whole, kind.import_key(pem), registry=registry)
    except (JoseError, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def canonical(bundle: Mapping[str, Any]) -> bytes:
    """The text of a Bundle that is signed: #document, properties in order, no white space."""
    return _written({name: value for name, value in bundle.items() if name not in _UNSIGNED}).encode()


def _written(value: Any) -> str:
    if type(value) is dict:
        return f"{{{','.join(f'{_written(name)}:{_written(value[name])}' for name in sorted(value))}}}"
    if type(value) is list:
        return f"[{','.join(map(_written, value))}]"
    if isinstance(value, Decimal):  # as it was written, where the decoder kept that
        return str(getattr(value, "text", value))
    return json.dumps(value, ensure_ascii=False)
