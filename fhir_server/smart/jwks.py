"""The public keys of clients and providers: fetched by URL, remembered, and fetched anew when they rotate.

https://www.rfc-editor.org/rfc/rfc7517#section-5, https://openid.net/specs/openid-connect-core-1_0.html#RotateSigKeys
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from fhir_server import log
from fhir_server.outgoing import NotReached, Outgoing
from fhir_server.smart.jose import Key, Refused, Token, check_public, verify

FRESH = 300.0  # seconds for which keys are used without asking again
STALE = 3600.0  # and those for which they are used when their server does not answer
AGAIN = 30.0  # seconds between two requests because of a kid that is not known
MOST_KEYS = 50


def public_keys(document: Any) -> tuple[Key, ...]:
    """The keys of a JWK Set that can verify signatures; others (of encryption, unknown types) are left out.

    Raises Refused for what is no set, has too many keys, or has none that can be used.
    """
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MOST_KEYS:
        raise Refused(f"A JWK Set is an object with at most {MOST_KEYS} keys")
    usable = tuple(key for key in keys if _usable(key))
    if not usable:
        raise Refused("The JWK Set has no public RSA or EC key for signatures")
    return usable


def check_registered(document: Any) -> tuple[Key, ...]:
    """The keys of a set that is registered: as public_keys, but a broken or private one is an error."""
    keys = public_keys(document)
    for key in document["keys"]:
        check_public(key)
    return keys


def _usable(key: Any) -> bool:
    try:
        check_public(key)
    except Refused:
        return False
    return bool(key.get("use", "sig") == "sig")


@dataclass(slots=True)
class _Fetched:
    keys: tuple[Key, ...] = ()
    at: float = float("-inf")  # when they came
    tried: float = float("-inf")  # when they were asked for last
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class KeySets:
    """Keys by the URL of their set, in this process.

    The URLs are those that an administrator has registered; nothing a token says is ever fetched. A set is
    asked for again when it is FRESH seconds old, or when it lacks a token's kid: at most once in AGAIN
    seconds, so that forged tokens make no traffic. Keys that cannot be fetched again hold for STALE seconds.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._sets: dict[str, _Fetched] = {}

    async def verify(self, token: Token, url: str, now: float) -> None:
        """Raises Refused unless a key of the set made the signature, and where the set cannot be had."""
        verify(token, await self.keys(url, token.kid, now))

    async def keys(self, url: str, kid: str | None, now: float) -> tuple[Key, ...]:
        """The keys at the URL, with one named `kid` in it if there is one; `now` in seconds since 1970."""
        fetched = self._sets.setdefault(url, _Fetched())
        if self._must_ask(fetched, kid, now):
            async with fetched.lock:
                if self._must_ask(fetched, kid, now):
                    await self._ask(fetched, url, now)
        if now - fetched.at > STALE:
            raise Refused("The keys of the token's issuer cannot be fetched")
        return fetched.keys

    @staticmethod
    def _must_ask(fetched: _Fetched, kid: str | None, now: float) -> bool:
        missing = kid is not None and all(key.get("kid") != kid for key in fetched.keys)
        return (missing or now - fetched.at >= FRESH) and abs(now - fetched.tried) >= AGAIN

    async def _ask(self, fetched: _Fetched, url: str, now: float) -> None:
        fetched.tried = now
        try:
            answer = await self._outgoing.get(url)
            if answer.status != 200:
                raise NotReached(f"The answer has status {answer.status}")
            fetched.keys, fetched.at = public_keys(answer.json()), now
        except (NotReached, Refused) as problem:  # those that we have hold a while longer
            log.event("keys not fetched", "warning", host=urlsplit(url).hostname, problem=str(problem))
