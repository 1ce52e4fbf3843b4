"""Registered applications: who they are, where they may be sent to, and what they may ask for.

https://hl7.org/fhir/smart-app-launch/app-launch.html#registering-a-smart-app-with-an-ehr,
https://www.rfc-editor.org/rfc/rfc6749#section-2
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from fhir_server.access.grant import ResourceScope
from fhir_server.smart import scopes
from fhir_server.smart.jose import Refused, check_public
from fhir_server.smart.jwks import check_registered
from fhir_server.store.base import Store, Transaction

KIND = "client"
Kind = Literal["public", "confidential-symmetric", "confidential-asymmetric"]
KINDS: tuple[Kind, ...] = ("public", "confidential-symmetric", "confidential-asymmetric")
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~:/\-]{0,199}")
_RESOURCE_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
# A scheme that an app on a phone registers for itself has a dot (RFC 8252, section 7.1).
_OWN_SCHEME = re.compile(r"[a-z][a-z0-9+\-]*(\.[a-z0-9+\-]+)+", re.IGNORECASE)


class ClientProblem(Exception):
    """What keeps an application from being registered, as a sentence for whoever registers it."""


@dataclass(frozen=True, slots=True)
class Client:
    """`id` is its client_id, `name` what users are shown. `scope` is all that it may ever be granted.

    `secret` is the SHA-256 of a confidential-symmetric client's secret, in hex: the secret has 256 random
    bits, which need no slow hash. The keys of a confidential-asymmetric client are `jwks` or at `jwks_url`.
    `launch_url` is where an EHR launch begins. `organizations` are ids of Organizations that a backend
    service acts for. `introspects`: it may look at everybody's tokens (a resource server); `launches`: it is
    an EHR, and may make launch contexts.
    """

    id: str
    name: str
    kind: Kind
    scope: str
    redirect_uris: tuple[str, ...] = ()
    launch_url: str | None = None
    secret: str = ""
    jwks: Mapping[str, Any] | None = None
    jwks_url: str | None = None
    organizations: tuple[str, ...] = ()
    introspects: bool = False
    launches: bool = False

    @property
    def confidential(self) -> bool:
        return self.kind != "public"

    @property
    def origins(self) -> frozenset[str]:
        """The origins of its pages: those that its redirect URIs and its launch URL are on."""
        urls = (*self.redirect_uris, *([self.launch_url] if self.launch_url else []))
        return frozenset(origin for url in urls if (origin := origin_of(url)))


async def find(store: Store, client_id: str) -> Client | None:
    """The client of that id, or None."""
    return read(await store.record(KIND, client_id)) if client_id else None


def get(tx: Transaction, client_id: str) -> Client | None:
    """As find, in a transaction."""
    return read(tx.record(KIND, client_id)) if client_id else None


async def everyone(store: Store) -> list[Client]:
    """All clients, in the order of their ids."""
    found: list[Client] = []
    page = await store.records(KIND)
    while page:
        found += [client for _, content in page if (client := read(content))]
        page = await store.records(KIND, page[-1][0])
    return found


def register(tx: Transaction, client: Client) -> None:
    """Store a new client, or one that is registered in its new form. Raises ClientProblem."""
    check(client)
    tx.keep(KIND, client.id, msgspec.json.encode(client))


def remove(tx: Transaction, client_id: str) -> bool:
    """Whether there was such a client. Its tokens end with it: they are looked up together with it."""
    return tx.forget(KIND, client_id)


def read(content: bytes | None) -> Client | None:
    return None if content is None else msgspec.json.decode(content, type=Client)


def new_secret() -> tuple[str, str]:
    """(the secret, to be shown once; what is kept of it)."""
    secret = secrets.token_urlsafe(32)
    return secret, hashed(secret)


def hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()


def has_secret(client: Client, secret: str) -> bool:
    """Whether that is the client's secret, in a time that does not tell how near it came."""
    return bool(client.secret) and hmac.compare_digest(client.secret, hashed(secret))


def origin_of(url: str) -> str | None:
    """scheme://host[:port] of a web page, None for what is none."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" if parts.scheme in ("http", "https") else None


def check(client: Client) -> None:
    """Raises ClientProblem for what does not fit together or is not safe."""
    if not _ID.fullmatch(client.id):
        raise ClientProblem("A client_id has 1 to 200 letters, digits and any of . _ ~ : / -")
    if not client.name.strip() or len(client.name) > 200:
        raise ClientProblem("A client has a name of 1 to 200 characters, which its users are shown")
    if client.kind not in KINDS:
        raise ClientProblem(f"A client is one of {', '.join(KINDS)}")
    for url in client.redirect_uris:
        check_redirect(url)
    if client.launch_url is not None and not _is_page(client.launch_url):
        raise ClientProblem("A launch URL is https, or http on this machine (127.0.0.1), without a fragment")
    if not all(_RESOURCE_ID.fullmatch(each) for each in client.organizations):
        raise ClientProblem("An organisation is the id of an Organization")
    _check_keys(client)
    _check_scopes(client)


def check_redirect(url: str) -> None:
    """https; http for a program on the user's own machine; or a scheme of an app's own (RFC 8252)."""
    parts = urlsplit(url)
    own = bool(_OWN_SCHEME.fullmatch(parts.scheme)) and "#" not in url
    if not (own or _is_page(url)) or not url.isascii() or re.search(r"[\s\x00-\x1f\x7f\\]", url):
        raise ClientProblem(
            "A redirect URI is https, http on the user's own machine (127.0.0.1), or of an app's own scheme"
            " (org.example.app:/back), and has no fragment"
        )


def _is_page(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    safe = parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK)
    return safe and bool(host) and "#" not in url and "@" not in parts.netloc


def _check_keys(client: Client) -> None:
    if client.kind == "confidential-symmetric" and not client.secret:
        raise ClientProblem("A confidential-symmetric client has a secret")
    if client.kind != "confidential-symmetric" and client.secret:
        raise ClientProblem(f"A {client.kind} client has no secret")
    keys = (client.jwks is not None) + (client.jwks_url is not None)
    if client.kind == "confidential-asymmetric" and keys != 1:
        raise ClientProblem("A confidential-asymmetric client has a JWK Set or the URL of one")
    if client.kind != "confidential-asymmetric" and keys:
        raise ClientProblem(f"A {client.kind} client has no keys")
    if client.jwks is not None:
        listed = client.jwks.get("keys") if isinstance(client.jwks, dict) else None
        try:
            for key in listed if isinstance(listed, list) else ():
                check_public(key)
                _check_signs(key)
            check_registered(client.jwks)
        except Refused as refused:
            raise ClientProblem(str(refused)) from None
        if not all(isinstance(key.get("kid"), str) and key["kid"] for key in client.jwks["keys"]):
            raise ClientProblem("Each key has a kid")
    if client.jwks_url is not None and not _is_page(client.jwks_url):
        raise ClientProblem("The URL of a JWK Set is https, or http on this machine (127.0.0.1)")


def _check_signs(key: Any) -> None:
    """It can sign by an algorithm that assertions may have."""
    kinds = {"RSA": ("RS384", None), "EC": ("ES384", "P-384")}
    algorithm, curve = kinds.get(key.get("kty"), ("", None))
    if not algorithm or (curve and key.get("crv") != curve) or key.get("alg", algorithm) != algorithm:
        raise ClientProblem("Assertions are signed by RS384 (an RSA key) or ES384 (an EC key on P-384)")


def _check_scopes(client: Client) -> None:
    known = {scope.text for scope in scopes.parse(client.scope)}
    unknown = [part for part in client.scope.split() if part not in known]
    if unknown:
        raise ClientProblem(f"Not a scope that Varde has: {unknown[0]}")
    if not known:
        raise ClientProblem("A client has at least one scope")
    system = [each for each in _resources(client) if each.level == "system"]
    if system and client.kind != "confidential-asymmetric":
        raise ClientProblem("Scopes of system/ are for confidential-asymmetric clients")
    if len(system) < len(known) and not client.redirect_uris:
        raise ClientProblem("A client that acts for users has a redirect URI")


def _resources(client: Client) -> tuple[ResourceScope, ...]:
    return scopes.resources(scopes.parse(client.scope))
