"""Keys of others by URL: remembered, rotated, and bounded in what they can make the server do."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from fhir_server.outgoing import MOST_BYTES, NotReached, Outgoing, check_url
from fhir_server.smart import jose
from fhir_server.smart import jwks as key_sets
from fhir_server.smart.jose import CLIENTS, Refused
from tests.smart.desk import START, Network
from tests.smart.signing import Signer, ec, jwks, rsa

URL = "https://app.example.org/jwks"


class Asking:
    """One process's key sets, and the network they come over."""

    def __init__(self) -> None:
        self.network = Network()
        self.sets = key_sets.KeySets(self.network.outgoing())
        self.now = START.timestamp()
        self.runner = asyncio.Runner()

    def verify(self, signer: Signer) -> None:
        token = jose.read(signer.token({"exp": 1}), CLIENTS)
        self.runner.run(self.sets.verify(token, URL, self.now))

    @property
    def asked(self) -> int:
        return len(self.network.asked)


@pytest.fixture
def asking() -> Iterator[Asking]:
    asking = Asking()
    yield asking
    asking.runner.close()


def test_a_set_is_asked_for_once_in_five_minutes(asking: Asking) -> None:
    asking.network.pages[URL] = jwks(rsa(), ec())
    for signer in (rsa(), ec(), rsa()):
        asking.verify(signer)
    asking.now += 299
    asking.verify(rsa())
    assert asking.asked == 1
    asking.now += 1
    asking.verify(rsa())
    assert asking.asked == 2


def test_a_new_key_is_found_at_once_and_an_old_one_ends(asking: Asking) -> None:
    asking.network.pages[URL] = jwks(rsa())
    asking.verify(rsa())
    asking.network.pages[URL] = jwks(rsa("new"))
    asking.now += 30
    asking.verify(rsa("new"))
    with pytest.raises(Refused, match="No registered key"):
        asking.verify(rsa())
    assert asking.asked == 2


def test_unknown_kids_make_no_traffic(asking: Asking) -> None:
    asking.network.pages[URL] = jwks(rsa())
    asking.verify(rsa())
    for _ in range(5):
        for kid in ("forged-1", "forged-2", "forged-3"):
            with pytest.raises(Refused, match="No registered key"):
                asking.verify(rsa(kid))
        asking.now += 10
    assert asking.asked == 1 + 1, "at most once in 30 seconds, whatever is presented"


def test_many_at_once_ask_once(asking: Asking) -> None:
    asking.network.pages[URL] = jwks(rsa())

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(asking.sets.keys(URL, "rsa", asking.now) for _ in range(20)))

    assert all(len(keys) == 1 for keys in asking.runner.run(all_at_once()))
    assert asking.asked == 1


def test_keys_outlive_an_outage_for_an_hour(asking: Asking) -> None:
    asking.network.pages[URL] = jwks(rsa())
    asking.verify(rsa())
    del asking.network.pages[URL]
    asking.now += 3600
    asking.verify(rsa())
    asking.now += 1
    with pytest.raises(Refused, match="cannot be fetched"):
        asking.verify(rsa())
    asking.network.pages[URL] = jwks(rsa())
    asking.now += 30
    asking.verify(rsa())


@pytest.mark.parametrize(
    "page",
    [
        httpx.Response(500, json=jwks(rsa())),
        httpx.Response(302, headers={"location": "https://app.example.org/elsewhere"}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b'{"keys": ' + b" " * MOST_BYTES + b"[]}"),
        {"keys": []},
        {"keys": {}},
        [],
        {"keys": [rsa().public] * 51},
        {"keys": [{"kty": "oct", "k": "AAAA", "kid": "rsa"}]},
    ],
    ids=["500", "redirect", "html", "huge", "empty", "no list", "no object", "many", "symmetric"],
)
def test_answers_that_are_no_keys(asking: Asking, page: Any) -> None:
    asking.network.pages |= {URL: page, "https://app.example.org/elsewhere": jwks(rsa())}
    with pytest.raises(Refused, match="cannot be fetched"):
        asking.verify(rsa())
    assert asking.network.asked == [URL], "redirects are not followed"


def test_keys_of_other_kinds_are_left_out(asking: Asking) -> None:
    others = [{"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}, {**rsa("enc").public, "use": "enc"}, "key", {}]
    asking.network.pages[URL] = {"keys": [*others, rsa().public]}
    asking.verify(rsa())


def test_a_private_key_is_not_registered_and_not_used() -> None:
    private = {**rsa().key.as_dict(private=True), "kid": "rsa"}
    with pytest.raises(Refused, match="private"):
        key_sets.check_registered({"keys": [ec().public, private]})
    assert key_sets.public_keys({"keys": [ec().public, private]}) == (ec().public,)


@pytest.mark.parametrize(
    "url",
    [
        "https://app.example.org/jwks",
        "http://127.0.0.1:8000/jwks",
        "http://[::1]/jwks",
        "http://localhost/jwks",
    ],
)
def test_urls_that_may_be_asked(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://app.example.org/jwks", "http://10.0.0.1/jwks", "http://localhost.example.org/jwks",
        "http://127.0.0.1.nip.io/", "file:///etc/passwd", "ftp://app.example.org/", "//app.example.org/jwks",
        "https://user:secret@app.example.org/", "https://app.example.org/#keys", "https://", "", "jwks",
        "https://app.example.org:port/", "https://[::1/",
    ],
)  # fmt: skip
def test_urls_that_may_not(url: str) -> None:
    with pytest.raises(NotReached):
        check_url(url)
    with pytest.raises(NotReached):
        asyncio.run(Outgoing(httpx.MockTransport(lambda _: httpx.Response(200))).get(url))
