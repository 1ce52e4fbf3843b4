"""What a process remembers for the authorization server besides what is in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_server.outgoing import Outgoing
from fhir_server.smart.issuers import Accepted
from fhir_server.smart.jwks import KeySets
from fhir_server.smart.limits import Rates
from fhir_server.smart.provider_settings import Provider
from fhir_server.smart.providers import Providers


@dataclass(frozen=True, slots=True)
class Memory:
    """The way out to other servers, their keys as they came, the OpenID providers, who asked how often."""

    outgoing: Outgoing
    key_sets: KeySets
    providers: Providers
    rates: Rates = field(default_factory=Rates)
    accepted: dict[str, Accepted] = field(default_factory=dict)

    @classmethod
    def fresh(
        cls, outgoing: Outgoing | None = None, providers: Mapping[str, Provider] | None = None
    ) -> Memory:
        outgoing = outgoing or Outgoing()
        return cls(outgoing, KeySets(outgoing), Providers(providers or {}, outgoing))
