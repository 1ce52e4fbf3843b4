"""From which web pages the API may be used: those of registered applications, and those the settings name.

https://hl7.org/fhir/smart-app-launch/app-launch.html#considerations-for-cross-origin-resource-sharing-cors-support
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhir_server.errors import FhirError
from fhir_server.instants import microseconds
from fhir_server.smart import clients

if TYPE_CHECKING:
    from fhir_server.exchange import Service

_KNOWN_FOR = 5_000_000  # microseconds until the clients are looked at again


class Origins:
    """The origins of the pages of all clients, looked up when a page asks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._known: frozenset[str] = frozenset()
        self._since: int | None = None

    async def refresh(self) -> None:
        """While the store cannot be asked, those last known stay."""
        now = microseconds(self._service.clock())
        if self._since is not None and now - self._since < _KNOWN_FOR:
            return
        self._since = now
        try:
            everyone = await clients.everyone(self._service.whole)
        except FhirError:
            return
        self._known = frozenset().union(*(client.origins for client in everyone))

    def __contains__(self, origin: str) -> bool:
        return origin in self._known
