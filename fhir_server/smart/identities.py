"""Whom a provider's claims mean: the Practitioner or Patient on record, and whom they act for.

https://openid.net/specs/openid-connect-core-1_0.html#IDToken
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhir_server.access.grant import Role
from fhir_server.resource_json import decode_stored
from fhir_server.search.query import And, Match, Node, Or, Query, Test
from fhir_server.smart.provider_settings import Having, Provider

if TYPE_CHECKING:
    from fhir_server.exchange import Service

ROLES: dict[str, Role] = {
    "Practitioner": "practitioner",
    "PractitionerRole": "practitioner",
    "Patient": "patient",
    "RelatedPerson": "related",
}
_VALUE = re.compile(r"[A-Za-z0-9.\-]{1,64}")
_REFERENCE = re.compile(r"(Practitioner|PractitionerRole|Patient|RelatedPerson)/([A-Za-z0-9.\-]{1,64})")


class NobodyHere(Exception):
    """Somebody whom the provider knows, and who may not come in. `reason` is "level" where the provider is
    not sure enough who they are, "unknown" where they are not on record, "several" where they are twice."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who somebody is here. `subject` is unique among all providers and stays theirs."""

    subject: str
    name: str
    role: Role
    fhir_user: str
    organizations: tuple[str, ...] = ()


async def identify(service: Service, provider: Provider, claims: Mapping[str, Any]) -> Identity:
    """The person these claims (verified before) mean, of the provider's settings. Raises NobodyHere.

    Nobody is guessed at: one claim leads to exactly one active resource, or nobody comes in.
    """
    check_level(provider, claims)
    reference, resource = await _resource(service, provider, claims)
    role = ROLES[reference.partition("/")[0]]
    if role == "practitioner" and _has(claims, provider.administrators):
        role = "administrator"
    return Identity(
        subject_of(provider, claims),
        _name(resource) or _text(claims.get("name")) or reference,
        role,
        reference,
        await organisations(service, provider, claims),
    )


def subject_of(provider: Provider, claims: Mapping[str, Any]) -> str:
    """The issuer's name for somebody, told apart from that of any other issuer."""
    return f"{provider.issuer}|{claims['sub']}"


def check_level(provider: Provider, claims: Mapping[str, Any]) -> None:
    """Raises NobodyHere("level") where the provider is not sure enough of who it is."""
    if provider.level is not None:
        said = str(claim(claims, provider.level.claim))
        if not re.fullmatch(r"[0-9]{1,3}", said) or int(said) < provider.level.least:
            raise NobodyHere("level")


async def organisations(service: Service, provider: Provider, claims: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the Organizations on record that the claims name; others count for none."""
    found: dict[str, None] = {}
    for each in provider.organisations:
        value = _identifier(claims, each.claim)
        resources = await _by_identifier(service, "Organization", (each.system,), value) if value else []
        if len(resources) == 1:
            found[str(resources[0]["id"])] = None
    return tuple(found)


async def _resource(
    service: Service, provider: Provider, claims: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """(reference, resource), by the claim that names it or by the first identifier that leads to one."""
    named = _REFERENCE.fullmatch(_text(claims.get(provider.fhir_user))) if provider.fhir_user else None
    if named:
        version = await service.whole.read(named[1], named[2])
        resource = decode_stored(version.body) if version and version.body else None
        if resource is None or resource.get("active") is False:
            raise NobodyHere("unknown")
        return named[0], resource
    for match in provider.people:
        value = _identifier(claims, match.claim)
        resources = await _by_identifier(service, match.type, match.systems, value) if value else []
        if len(resources) > 1:
            raise NobodyHere("several")
        if resources:
            return f"{match.type}/{resources[0]['id']}", resources[0]
    raise NobodyHere("unknown")


async def _by_identifier(
    service: Service, type_: str, systems: Iterable[str], value: str
) -> list[dict[str, Any]]:
    """Active resources with this identifier; enough of them to know whether there is one."""
    leaves: tuple[Node, ...] = tuple(
        Match("token", "identifier", (Test("system", "=", system), Test("code", "=", value)))
        for system in systems
    )
    where = leaves[0] if len(leaves) == 1 else Or(leaves)
    found = await service.whole.search(Query(type_, And((where,)), count=10))
    resources = [decode_stored(version.body) for version in found.versions if version.body]
    return [resource for resource in resources if resource.get("active") is not False]


def _identifier(claims: Mapping[str, Any], name: str) -> str:
    value = _text(claim(claims, name))
    return value if _VALUE.fullmatch(value) else ""


def _has(claims: Mapping[str, Any], having: Having | None) -> bool:
    if having is None:
        return False
    value = claim(claims, having.claim)
    return bool(having.value in value if isinstance(value, list) else having.value == value)


def claim(claims: Mapping[str, Any], name: str) -> Any:
    """A claim by its whole name, or by the names on the way to it with dots between."""
    if name in claims:
        return claims[name]
    value: Any = claims
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _name(resource: Mapping[str, Any]) -> str:
    """How a person is called: a HumanName that is not of old."""
    for name in resource.get("name") or []:
        if isinstance(name, dict) and name.get("use") not in ("old", "maiden"):
            parts = [*(name.get("given") or []), name.get("family") or ""]
            return str(name.get("text") or " ".join(part for part in parts if part))[:200]
    return ""


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""
