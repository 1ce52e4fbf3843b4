"""Bundles with a digital signature, as $validate judges them: by a certificate made here."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from joserfc import jwk, jws

from profiles.signatures import canonical
from tests.profiles.judging import judged


@cache
def signer():
    """A private key, and the certificate of its public one as x5c has it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2036, 1, 1, tzinfo=UTC))
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return jwk.ECKey.import_key(pem), base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()


def bundle(**facts):
    basic = {"resourceType": "Basic", "code": {"text": "Kåre's"}}
    plain = {"resourceType": "Bundle", "id": "b", "meta": {"versionId": "1"}, "type": "collection"}
    return (
        plain
        | {"entry": [{"fullUrl": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520", "resource": basic}]}
        | facts
    )


def token(content, **header):
    key, certificate = signer()
    registry = jws.JWSRegistry(algorithms=["ES256"], strict_check_header=False)
    registry.max_header_length = 10_000
    return jws.serialize_compact(
        {"alg": "ES256", "x5c": [certificate]} | header, content, key, registry=registry
    )


def detached(whole):
    head, _, signed = whole.split(".")
    return f"{head}..{signed}"


def signed(data, **facts):
    kind = {"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.5"}
    encoded = base64.b64encode(data.encode()).decode()
    signature = {"type": [kind], "when": "2026-11-22T10:00:00Z", "who": {"display": "Test"}}
    return bundle(signature=signature | {"sigFormat": "application/jose", "data": encoded} | facts)


def said(resource):
    return [(p.severity, p.code) for p in judged(resource) if p.expression.startswith("Bundle.signature")]


GOOD = ("information", "informational")
BAD = ("error", "value")
REMARK = ("warning", "value")


def test_a_bundle_is_written_in_order_without_what_may_change():
    unordered = {
        "type": "x",
        "signature": {},
        "id": "1",
        "entry": [{"b": True, "a": Decimal("1.50")}],
        "meta": {},
    }
    assert canonical(unordered) == b'{"entry":[{"a":1.50,"b":true}],"type":"x"}'
    assert "Kåre's".encode() in canonical(bundle())


def test_a_signature_of_the_content():
    data = token(canonical(bundle()))
    assert said(signed(detached(data))) == [GOOD]
    assert said(signed(data)) == [REMARK, GOOD]


def test_id_and_meta_may_change():
    moved = signed(detached(token(canonical(bundle())))) | {"id": "other", "meta": {"versionId": "7"}}
    assert said(moved) == [GOOD]


def test_content_that_is_not_what_was_signed():
    changed = canonical(bundle(type="batch"))
    assert said(signed(detached(token(changed)))) == [BAD]
    assert said(signed(token(changed))) == [REMARK, BAD]


def test_a_signature_by_another_key():
    head, _, signature = token(canonical(bundle())).split(".")
    assert said(signed(f"{head}..{'A' * len(signature)}")) == [BAD]


def header(**facts):
    return base64.urlsafe_b64encode(json.dumps(facts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("no signature", [BAD]),
        ("a.b.c.d", [BAD]),
        (f"{header(alg='none')}..", [BAD]),
        (f"{header(alg='HS256', x5c=['AA=='])}..AA", [BAD]),
        (f"{header(alg='ES256')}..AA", [REMARK]),
        (f"{header(alg='ES256', x5c=['no certificate'])}..AA", [REMARK]),
        (f"{header(alg='RS256', x5c=[signer()[1]])}..AA", [BAD]),
        (f"{header(alg='EdDSA', x5c=['AAAA'])}..AA", [BAD]),
        (f"{header(alg=['ES256'])}..AA", [BAD]),
    ],
    ids=[
        "text",
        "four parts",
        "none",
        "shared secret",
        "no chain",
        "no base64",
        "kind",
        "no certificate",
        "list",
    ],
)
def test_what_is_no_signature(data, expected):
    assert said(signed(data)) == expected


def test_other_forms_are_not_verified():
    assert said(signed("x", sigFormat="application/signature+xml")) == [GOOD]
