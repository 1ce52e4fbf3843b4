"""The sealed cursor of a next link."""

import base64
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import FhirError
from fhir_server.search.cursor import seal, unseal

KEY = b"k" * 32

plain = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.decimals(allow_nan=False)


@settings(deadline=None, max_examples=100)
@given(
    after=st.recursive(plain, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6).map(
        lambda value: (value,)
    ),
    snapshot=st.integers(0, 2**62),
    total=st.none() | st.integers(0),
)
def test_what_is_sealed_comes_back(after, snapshot, total):
    cursor = seal(KEY, "a search", after, snapshot, total)
    assert cursor.isascii() and not set(cursor) & set("+/=&? ")
    found = unseal(KEY, "a search", cursor)
    assert found == (after, snapshot, total)
    assert [type(value) for value in found[0]] == [type(value) for value in after]


CURSOR = seal(KEY, "a search", ("1", 2, Decimal("3.0")), 7, 40)


@pytest.mark.parametrize("garbled", ["", "x", "!!!", "AAAA", "æøå", " ", CURSOR[:20], "%00", "=" * 8])
def test_garbled(garbled):
    with pytest.raises(FhirError) as caught:
        unseal(KEY, "a search", garbled)
    assert caught.value.status == 400


def flipped(position):
    raw = bytearray(base64.urlsafe_b64decode(CURSOR + "=" * (-len(CURSOR) % 4)))
    raw[position] ^= 1
    return base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")


@pytest.mark.parametrize("forged", [flipped(0), flipped(15), flipped(16), flipped(-1), CURSOR[:-4]])
def test_forged(forged):
    with pytest.raises(FhirError) as caught:
        unseal(KEY, "a search", forged)
    assert caught.value.status == 410


@pytest.mark.parametrize(("key", "identity"), [(b"other", "a search"), (KEY, "another search")])
def test_of_another_key_or_search(key, identity):
    with pytest.raises(FhirError) as caught:
        unseal(key, identity, CURSOR)
    assert caught.value.status == 410
