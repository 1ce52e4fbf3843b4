"""How often anyone may try: rates by address and client, and growing pauses after wrong passwords.

https://www.rfc-editor.org/rfc/rfc9700, https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html

Rates are kept by each process, in memory: they hold back floods, and a flood must not make the disk work
(with several workers the bound is that many times as high). Wrong passwords are counted in the store's
records, before the password is looked at: all workers share the count, it survives a restart, and guesses
made at the same time do not slip past it. Client secrets have 256 random bits, which nobody guesses: clients
are not locked out, since anyone who knows a client_id could then shut its users out.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING

from fhir_server.instants import microseconds

if TYPE_CHECKING:
    from fhir_server.exchange import Service
    from fhir_server.store.base import Transaction

_KIND = "attempts"
_DAY = 24 * 3600
_FIRST_PAUSE, _LONGEST_PAUSE = 30, 15 * 60


class TooMany(Exception):
    """Refused for now: answer 429 with `Retry-After: {seconds}`, whether or not the user exists."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(f"Too many attempts; try again in {self.seconds} seconds")


@dataclass(frozen=True, slots=True)
class Rate:
    """So many at once, and so many a second from then on."""

    burst: float
    a_second: float


# A hospital's staff share one address: what stops a flood must not stop a morning's sign-ins.
RATES = {
    "sign-in": Rate(300, 5),  # by address
    "authorize": Rate(600, 10),  # by address
    "token": Rate(1200, 40),  # by address
    "client": Rate(600, 20),  # by client and address
}


class Rates:
    """What is left of each rate (token buckets), for the addresses and clients seen last."""

    MOST = 20_000

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def admit(self, what: str, who: str, now: float) -> None:
        """Count one use of a rate of RATES; raises TooMany where none is left. `now` in seconds."""
        rate, key = RATES[what], (what, who)
        left, since = self._left.pop(key, (rate.burst, now))
        left = min(rate.burst, left + max(0.0, now - since) * rate.a_second)
        self._left[key] = (max(0.0, left - 1) if left >= 1 else left, now)
        if len(self._left) > self.MOST:
            self._left.popitem(last=False)
        if left < 1:
            raise TooMany((1 - left) / rate.a_second)


def admit(service: Service, what: str, address: str, client: str = "") -> None:
    """Count a request from a network address, and of a client there; raises TooMany."""
    now, network = service.clock().timestamp(), network_of(address)
    service.smart.rates.admit(what, network, now)
    if client:
        service.smart.rates.admit("client", f"{digest(client)} {network}", now)


async def attempt(service: Service, user: str, address: str) -> None:
    """Count an attempt to sign in, before the password is looked at; raises TooMany during a pause.

    After 5 wrong ones from a network, or 20 from anywhere, each further one makes a pause twice as long,
    from 30 seconds to 15 minutes. A day without any forgets them; so does `succeeded`.
    """
    now = microseconds(service.clock())
    counters = tuple(zip(_keys(user, address), (5, 20), strict=True))

    def count(transaction: Transaction) -> float:
        read = [(key, free, *_read(transaction.record(_KIND, key, now=now))) for key, free in counters]
        longest = max(until for *_, until in read)
        if longest <= now:
            for key, free, tried, _ in read:
                until = now + round(_pause(tried + 1 - free) * 1_000_000)
                content = json.dumps([tried + 1, until]).encode()
                transaction.keep(_KIND, key, content, until + _DAY * 1_000_000)
        return max(0, longest - now) / 1_000_000

    seconds = await service.store.transact(count)
    if seconds:
        raise TooMany(seconds)


async def succeeded(service: Service, user: str, address: str) -> None:
    """Forget the attempts of a user who has signed in."""

    def forget(transaction: Transaction) -> None:
        for key in _keys(user, address):
            transaction.forget(_KIND, key)

    await service.store.transact(forget)


def network_of(address: str) -> str:
    """An IPv4 address, or the /64 of an IPv6 address, which is what one subscriber has."""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, IPv6Address):
        return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))
    return str(parsed)


def digest(*parts: str) -> str:
    """A key for a record: as long for any input, and it does not show what it is made of."""
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _keys(user: str, address: str) -> tuple[str, str]:
    name = user.casefold()
    return digest("network", name, network_of(address)), digest("user", name)


def _read(content: bytes | None) -> tuple[int, int]:
    """(attempts, the end of the pause in microseconds)."""
    if content is None:
        return 0, 0
    tried, until = json.loads(content)
    return int(tried), int(until)


def _pause(beyond: int) -> float:
    """Seconds, for the attempts that are beyond those which are free."""
    return 0.0 if beyond < 0 else min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(beyond, 10))
