"""How this server runs its access control, and under which URLs.

https://hl7.org/fhir/smart-app-launch/conformance.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fhir_server.origin import BASE


@dataclass(frozen=True, slots=True)
class Terms:
    """`enforced`: access control is on. `keys` is the folder of the private keys that id_tokens are signed
    with. Lifetimes are in seconds: of access tokens of apps, of those of backend services, and of a refresh
    token that is not used."""

    enforced: bool = False
    keys: Path = Path("varde-data/keys")
    access_seconds: int = 3600
    backend_seconds: int = 300
    refresh_seconds: int = 90 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Places:
    """The server's URLs as the client sees them; `fhir` is the FHIR base, without a slash at its end."""

    fhir: str

    @property
    def issuer(self) -> str:
        if self.fhir.endswith(BASE):
            return self.fhir.removesuffix(BASE)
        parts = urlsplit(self.fhir)  # a proxy gives the FHIR base another name
        return f"{parts.scheme}://{parts.netloc}"

    def of(self, name: str) -> str:
        """An endpoint of the authorization server: authorize, token, introspect, revoke, jwks, ..."""
        return f"{self.issuer}/auth/{name}"
