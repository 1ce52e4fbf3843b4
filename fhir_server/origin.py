"""Under which URL the client sees this server, behind a reverse proxy as well.

https://www.rfc-editor.org/rfc/rfc7239, https://hl7.org/fhir/R4/http.html#root
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

BASE = "/fhir"
HEADERS = (
    "host", "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix",
    "x-forwarded-proto",
)  # fmt: skip
_HOST = re.compile(r"[A-Za-z0-9.\-_]+(:\d{1,5})?|\[[0-9A-Fa-f:.]+\](:\d{1,5})?")
_PREFIX = re.compile(r"(/[A-Za-z0-9._~\-]+)+")
_PAIR = re.compile(r'\s*([A-Za-z]+)\s*=\s*(?:"([^"]*)"|([^\s;,"]*))\s*')

Networks = tuple[IPv4Network | IPv6Network, ...]


def networks(texts: Iterable[str]) -> Networks:
    """Addresses and networks of trusted proxies; ValueError for what is neither."""
    return tuple(ip_network(text.strip(), strict=False) for text in texts if text.strip())


class Origin:
    """`base_url` is the public base; None derives it from each request.

    Only what a proxy of `trusted` forwards is believed, and never what could break out of a URL.
    """

    def __init__(self, base_url: str | None, trusted: Networks = ()) -> None:
        self._base_url = base_url.rstrip("/") if base_url else None
        self._trusted = trusted
        self._is_trusted = lru_cache(maxsize=64)(self._look)

    def base(self, scheme: str, server: str, client: str | None, headers: Mapping[str, str]) -> str:
        """The base URL of the FHIR API for this request; `server` is the address that was connected to."""
        if self._base_url:
            return self._base_url
        host, prefix = headers.get("host", ""), ""
        if self._trusted and client and self._is_trusted(client):
            scheme, host, prefix = _forwarded(headers, scheme, host)
        return f"{scheme}://{host if _HOST.fullmatch(host) else server}{prefix}{BASE}"

    def client(self, client: str | None, headers: Mapping[str, str]) -> str:
        """The address that a request came from: the last one that no trusted proxy is, "" where unknown.

        What stands further to the left of X-Forwarded-For, or of Forwarded, was sent by the client itself.
        """
        if not client or not (self._trusted and self._is_trusted(client)):
            return client or ""
        hops = [_host(part) for part in headers.get("x-forwarded-for", "").split(",")]
        if headers.get("forwarded"):
            hops = [_for(part) for part in headers["forwarded"].split(",")]
        for hop in reversed(hops):
            if not _is_address(hop):
                return client
            if not self._is_trusted(hop):
                return hop
            client = hop
        return client

    def _look(self, client: str) -> bool:
        try:
            address = ip_address(client)
        except ValueError:  # a Unix socket, or a test
            return False
        return any(address in network for network in self._trusted)


def _for(part: str) -> str:
    """The address in one element of Forwarded, https://www.rfc-editor.org/rfc/rfc7239#section-6."""
    pairs = {name.lower(): quoted or plain for name, quoted, plain in _PAIR.findall(part)}
    return _host(pairs.get("for", ""))


def _host(text: str) -> str:
    """Without the port, and the brackets that an IPv6 address has for it."""
    text = text.strip()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _forwarded(headers: Mapping[str, str], scheme: str, host: str) -> tuple[str, str, str]:
    """(scheme, host, path prefix) as the proxy nearest to the client says it, Forwarded before the others."""
    standard = {
        name.lower(): quoted or plain
        for name, quoted, plain in _PAIR.findall(headers.get("forwarded", "").partition(",")[0])
    }
    proto = (standard.get("proto") or _first(headers, "x-forwarded-proto")).lower()
    named = standard.get("host") or _first(headers, "x-forwarded-host")
    port = "" if standard.get("host") else _first(headers, "x-forwarded-port")
    prefix = _first(headers, "x-forwarded-prefix").rstrip("/")
    scheme = proto if proto in ("http", "https") else scheme
    host = named if _HOST.fullmatch(named) else host
    if port.isdecimal() and not re.search(r":\d+$", host) and port != {"http": "80", "https": "443"}[scheme]:
        host = f"{host}:{port}"
    return scheme, host, prefix if _PREFIX.fullmatch(prefix) else ""


def _first(headers: Mapping[str, str], name: str) -> str:
    return headers.get(name, "").partition(",")[0].strip()
