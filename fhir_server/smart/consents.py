"""What people have let applications do: asked again only when they ask for more, and taken back at any time.

https://www.rfc-editor.org/rfc/rfc6749#section-10.2, https://www.rfc-editor.org/rfc/rfc9700
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from fhir_server.smart import tokens
from fhir_server.smart.limits import digest
from fhir_server.store.base import Store, Transaction

if TYPE_CHECKING:
    from fhir_server.exchange import Service

KIND = "consent"
LASTS = 365 * 24 * 60 * 60 * 1_000_000  # microseconds; then the person is asked again


@dataclass(frozen=True, slots=True)
class Consent:
    """The last that a person let a client do: of the scopes `asked`, those `granted`, at that moment
    (microseconds since 1970 UTC). `remembered`: they need not be asked again."""

    client: str
    asked: tuple[str, ...]
    granted: tuple[str, ...]
    at: int
    remembered: bool = False

    def answers(self, asked: Sequence[str]) -> tuple[str, ...] | None:
        """What of these scopes is granted without asking; None where the person must be asked."""
        return self.granted if self.remembered and set(asked) == set(self.asked) else None


def put(tx: Transaction, subject: str, consent: Consent) -> None:
    tx.keep(KIND, _key(subject, consent.client), msgspec.json.encode(consent), consent.at + LASTS)


async def find(store: Store, subject: str, client: str, now: int) -> Consent | None:
    """What this person has let this client do."""
    content = await store.record(KIND, _key(subject, client), now=now)
    return msgspec.json.decode(content, type=Consent) if content else None


async def of(store: Store, subject: str, now: int) -> list[Consent]:
    """All that this person has let clients do, by client_id."""
    found: list[Consent] = []
    start = after = _key(subject, "")
    while True:
        page = await store.records(KIND, after, 100, now=now)
        mine = [(key, content) for key, content in page if key.startswith(start)]
        found += [msgspec.json.decode(content, type=Consent) for _, content in mine]
        if len(mine) < len(page) or not page:
            return found
        after = page[-1][0]


async def revoke(service: Service, subject: str, client: str, note: Callable[[Transaction], None]) -> None:
    """Take it back: what came of it is void as well. `note` is called in the transaction."""

    def work(tx: Transaction) -> None:
        if forget(tx, subject, client):
            note(tx)

    await service.whole.transact(work)
    await tokens.end_all(service, subject=subject, client=client)


def forget(tx: Transaction, subject: str, client: str) -> bool:
    """Take it back; whether there was any."""
    return tx.forget(KIND, _key(subject, client))


def _key(subject: str, client: str) -> str:
    return f"{digest(subject)} {client}"
