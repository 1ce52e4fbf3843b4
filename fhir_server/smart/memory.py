"""What a process remembers for the authorization server besides what is in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_server.access.grant import Grant
from fhir_server.outgoing import Outgoing
from fhir_server.smart.issuers import Accepted
from fhir_server.smart.jwks import KeySets
from fhir_server.smart.keys import SigningKeys
from fhir_server.smart.limits import Rates
from fhir_server.smart.provider_settings import Provider
from fhir_server.smart.providers import Providers
from fhir_server.smart.terms import Terms


@dataclass(frozen=True, slots=True)
class Memory:
    """How access control is run, the keys that we sign with, the way out to other servers, their keys as they
    came, the OpenID providers, who asked how often, and what tokens stand for: by hash (the grant, when it
    was looked up, when the token expires)."""

    outgoing: Outgoing
    key_sets: KeySets
    providers: Providers
    keys: SigningKeys
    rates: Rates = field(default_factory=Rates)
    accepted: dict[str, Accepted] = field(default_factory=dict)
    terms: Terms = field(default_factory=Terms)
    grants: dict[str, tuple[Grant, int, int]] = field(default_factory=dict)

    @classmethod
    def fresh(
        cls,
        outgoing: Outgoing | None = None,
        providers: Mapping[str, Provider] | None = None,
        terms: Terms | None = None,
    ) -> Memory:
        outgoing, terms = outgoing or Outgoing(), terms or Terms()
        return cls(
            outgoing,
            KeySets(outgoing),
            Providers(providers or {}, outgoing),
            SigningKeys(terms.keys),
            terms=terms,
        )
