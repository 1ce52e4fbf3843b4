"""The OpenID providers that an administrator trusts: a JSON file, and the profiles that fill in the rest.

docs/signing-in.md says what to write for HelseID and for Keycloak.
"""

from __future__ import annotations

import json
import stat
from pathlib import Path
from typing import Any, Literal, Self

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fhir_server.outgoing import NotReached, check_url

PersonType = Literal["Practitioner", "Patient", "RelatedPerson"]
NATIONAL = "urn:oid:2.16.578.1.12.4.1.4."  # Norwegian identifiers, by the number that follows
FNR, DNR, HPR, ORGANISATION = (f"{NATIONAL}{number}" for number in (1, 2, 4, 101))


class BadProviders(ValueError):
    """The file of providers cannot be used; the message says why, and has no secret in it."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Part):
    """Who signs in is the resource of this type with a claim's value as identifier in one of the systems."""

    claim: str
    systems: tuple[str, ...] = Field(min_length=1)
    type: PersonType


class Organisation(_Part):
    """The organisation that somebody acts for: a claim's value is its identifier."""

    claim: str
    system: str = ORGANISATION


class Level(_Part):
    """What a claim must at least be, as a number: how surely the provider knows who it is."""

    claim: str
    least: int


class Having(_Part):
    """A claim that must have, or contain, a value; `a.b` is b in the object a."""

    claim: str
    value: str


class Provider(_Part):
    """An OpenID provider: where it is, who we are to it, and what its claims mean to us.

    `name` is on the button of the sign-in page. `key` is a file with our private JSON Web Key
    (private_key_jwt), `secret` one with a client secret. `people` are tried in order. `fhir_user` is a claim
    that names the resource itself ("Practitioner/1"). `audience` is what its access tokens for our API say in
    `aud`: without it none is accepted; `grants` turns its scopes into ours, and those it does not mention
    count only if they are SMART scopes and `smart_scopes` is set. `most_seconds` is how long such a token
    may be valid.
    """

    name: str = Field(min_length=1, max_length=60)
    issuer: str
    client_id: str = ""
    profile: Literal["openid", "helseid", "keycloak"] = "openid"
    key: str = ""
    secret: str = ""
    scopes: tuple[str, ...] = ("openid", "profile")
    par: bool = False
    dpop: bool = False
    level: Level | None = None
    people: tuple[Match, ...] = ()
    fhir_user: str = ""
    organisations: tuple[Organisation, ...] = ()
    administrators: Having | None = None
    audience: str = ""
    grants: dict[str, str] = Field(default_factory=dict)
    smart_scopes: bool = False
    most_seconds: int = Field(default=3600, ge=60, le=86400)

    @property
    def signs_in(self) -> bool:
        """Whether people sign in through it; otherwise only its access tokens are accepted."""
        return bool(self.client_id)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        try:
            check_url(self.issuer)
        except NotReached as problem:
            raise ValueError(f"issuer: {problem}") from None
        if not self.client_id and not self.audience:
            raise ValueError("client_id is for signing in, audience for access tokens: one must be there")
        if self.client_id and bool(self.key) == bool(self.secret):
            raise ValueError("client_id needs a key or a secret, not both")
        if self.audience and self.audience == self.client_id:
            raise ValueError("audience must not be the client_id: id_tokens would do as access tokens")
        if not self.people and not self.fhir_user:
            raise ValueError("people or fhir_user must say whom a claim means")
        return self


_PID: list[dict[str, Any]] = [
    {"claim": "helseid://claims/identity/pid", "systems": [FNR, DNR], "type": "Practitioner"},
    {"claim": "helseid://claims/identity/pid", "systems": [FNR, DNR], "type": "Patient"},
]
# What a profile says where the file does not.
PROFILES: dict[str, dict[str, Any]] = {
    "openid": {},
    "helseid": {
        "name": "HelseID",
        "par": True,
        "dpop": True,
        "scopes": [
            "openid",
            "profile",
            "helseid://scopes/identity/pid",
            "helseid://scopes/identity/security_level",
            "helseid://scopes/hpr/hpr_number",
        ],
        "level": {"claim": "helseid://claims/identity/security_level", "least": 4},
        "people": [
            {"claim": "helseid://claims/hpr/hpr_number", "systems": [HPR], "type": "Practitioner"},
            *_PID,
        ],
        "organisations": [
            {"claim": "helseid://claims/client/claims/orgnr_parent"},
            {"claim": "helseid://claims/client/claims/orgnr_child"},
        ],
    },
    "keycloak": {
        "name": "Keycloak",
        "fhir_user": "fhirUser",
        "administrators": {"claim": "realm_access.roles", "value": "varde-administrator"},
        "smart_scopes": True,
    },
}


def read(path: Path) -> dict[str, Provider]:
    """The providers of a file by their id, which is in the callback URL. Raises BadProviders."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as problem:
        raise BadProviders(f"{path} cannot be read: {problem.strerror}") from None
    except ValueError:
        raise BadProviders(f"{path} is not JSON") from None
    return parse(content)


def parse(content: Any) -> dict[str, Provider]:
    """As read, of what is in the file."""
    if not isinstance(content, dict) or not all(isinstance(each, dict) for each in content.values()):
        raise BadProviders("Providers are an object of objects, by their id")
    found: dict[str, Provider] = {}
    for id_, given in content.items():
        if not id_.isascii() or not id_.replace("-", "").isalnum() or len(id_) > 40:
            raise BadProviders("The id of a provider has letters, digits and -")
        defaults = PROFILES.get(str(given.get("profile")), {})
        try:
            found[id_] = Provider.model_validate({**defaults, **given})
        except ValidationError as problem:
            wrong = (f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problem.errors())
            raise BadProviders(f"{id_}: {'; '.join(text.lstrip(': ') for text in wrong)}") from None
    issuers = [provider.issuer for provider in found.values()]
    if len(set(issuers)) < len(issuers):
        raise BadProviders("Two providers have the same issuer")
    return found


def private_key(path: str) -> RSAKey | ECKey:
    """The private key in a file, a JSON Web Key with a kid. Raises BadProviders."""
    text = _private(path)
    try:
        content = json.loads(text)
        key: RSAKey | ECKey = (ECKey if content["kty"] == "EC" else RSAKey).import_key(content)
    except (ValueError, KeyError, TypeError, JoseError):
        raise BadProviders(f"{path} is no JSON Web Key (RFC 7517) of type RSA or EC") from None
    if not key.is_private or not content.get("kid"):
        raise BadProviders(f"{path} must be a private key with a kid")
    return key


def secret(path: str) -> str:
    """The secret in a file, without the line's end. Raises BadProviders."""
    return _private(path).decode(errors="replace").strip()


def _private(path: str) -> bytes:
    file = Path(path)
    try:
        if file.stat().st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise BadProviders(f"{path} can be read by others: chmod 600 {path}")
        return file.read_bytes()
    except OSError as problem:
        raise BadProviders(f"{path} cannot be read: {problem.strerror}") from None
