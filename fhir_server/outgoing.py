"""Every HTTP request that the server itself makes: one place with time-outs, bounds and no redirects.

https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:  # it takes a noticeable part of the time to start
    import httpx

MOST_BYTES = 256 * 1024
SECONDS = 10.0  # for a whole exchange
_CONNECT_SECONDS = 3.0


class NotReached(Exception):
    """Another server did not answer, or not with what it must. The message names its host alone."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Raises NotReached where the body is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise NotReached("The answer is no JSON") from None


class Outgoing:
    """Requests to servers that an administrator named, https or on this machine.

    `transport` replaces the network in tests. A connection is made for each request: there are few.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._transport = transport

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Raises NotReached; a status other than 200 is returned like any."""
        return await self._send("GET", url, headers, None)

    async def post(
        self, url: str, form: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a form, application/x-www-form-urlencoded."""
        return await self._send("POST", url, headers, form)

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str] | None, form: Mapping[str, str] | None
    ) -> Answer:
        import httpx

        check_url(url)
        host = urlsplit(url).hostname
        try:
            async with asyncio.timeout(SECONDS), self._client() as client:
                sent = {"accept": "application/json", **(headers or {})}
                async with client.stream(method, url, headers=sent, data=form) as response:
                    body = b""
                    async for part in response.aiter_bytes():
                        body += part
                        if len(body) > MOST_BYTES:
                            raise NotReached(f"The answer of {host} has more than {MOST_BYTES} bytes")
                    return Answer(response.status_code, dict(response.headers), body)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as problem:
            raise NotReached(f"{host} does not answer ({type(problem).__name__})") from None

    def _client(self) -> httpx.AsyncClient:
        import httpx

        return httpx.AsyncClient(
            transport=self._transport,
            verify=_tls(),
            follow_redirects=False,
            timeout=httpx.Timeout(SECONDS, connect=_CONNECT_SECONDS),
        )


def check_url(url: str) -> None:
    """Raises NotReached unless the URL is https, or http on a loopback address, and carries no password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise NotReached("The URL is broken") from None
    if not host or parts.username or parts.password or parts.fragment:
        raise NotReached("The URL must have a host, and neither a user nor a fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        raise NotReached("The URL must be https; http is for loopback addresses")


def is_loopback(host: str) -> bool:
    """Whether a host name is this machine; names are not looked up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    """Made once: reading the authorities' certificates takes long."""
    import httpx

    return httpx.create_ssl_context()
