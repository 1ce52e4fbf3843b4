"""The sealed cursor of a next link."""

import base64
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import FhirError
from fhir_server.search.cursor import KEPT, LIFETIME, Place, disclose, enclose, seal, unseal

KEY = b"k" * 32
NOW = 1_795_251_600_000_000

plain = st.none() | st.booleans() | st.integers() | st.text() | st.binary() | st.decimals(allow_nan=False)


@settings(deadline=None, max_examples=100)
@given(
    after=st.recursive(plain, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6).map(
        lambda value: (value,)
    ),
    snapshot=st.integers(0, 2**62),
    total=st.none() | st.integers(0),
    age=st.integers(0, LIFETIME),
)
def test_what_is_sealed_comes_back(after, snapshot, total, age):
    place = Place(after, snapshot, total, (None, after))
    cursor = seal(KEY, "a search", place, NOW)
    assert cursor.isascii() and not set(cursor) & set("+/=&? ")
    found = unseal(KEY, "a search", cursor, NOW + age)
    assert found == place
    assert [type(value) for value in found.after] == [type(value) for value in after]


def test_a_link_to_a_page_is_good_for_a_day():
    unseal(KEY, "a search", CURSOR, NOW + LIFETIME)
    with pytest.raises(FhirError) as caught:
        unseal(KEY, "a search", CURSOR, NOW + LIFETIME + 1)
    assert caught.value.status == 410


def test_the_way_back_leads_over_the_last_pages():
    place, afters = Place(None, 7, 40), [(str(n), n) for n in range(2 * KEPT)]
    for after in afters:
        place = place.next(after, 40)
    for after in afters[-2 : -2 - KEPT : -1]:
        place = place.previous()
        assert (place.after, place.snapshot, place.total) == (after, 7, 40)
    assert place.previous() is None
    assert Place(None, 7).next(("a", 1), None).previous() == Place(None, 7)


@settings(deadline=None, max_examples=50)
@given(pairs=st.lists(st.tuples(st.text(), st.text()).map(tuple), max_size=5).map(tuple))
def test_a_search_that_is_enclosed_can_be_read_with_the_key_only(pairs):
    text = enclose(KEY, pairs)
    assert disclose(KEY, text) == pairs
    for key, changed in (
        (b"other", text),
        (KEY, text[:-3]),
        (KEY, "A" + text[1:] if text[0] != "A" else "B" + text[1:]),
    ):
        with pytest.raises(FhirError):
            disclose(key, changed)
    assert b"19055012345" not in base64.urlsafe_b64decode(
        enclose(KEY, (("identifier", "19055012345"),)) + "=="
    )


CURSOR = seal(KEY, "a search", Place(("1", 2, Decimal("3.0")), 7, 40), NOW)


@pytest.mark.parametrize("garbled", ["", "x", "!!!", "AAAA", "æøå", " ", CURSOR[:20], "%00", "=" * 8])
def test_garbled(garbled):
    with pytest.raises(FhirError) as caught:
        unseal(KEY, "a search", garbled, NOW)
    assert caught.value.status == 400


def flipped(position):
    raw = bytearray(base64.urlsafe_b64decode(CURSOR + "=" * (-len(CURSOR) % 4)))
    raw[position] ^= 1
    return base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")


@pytest.mark.parametrize("forged", [flipped(0), flipped(15), flipped(16), flipped(-1), CURSOR[:-4]])
def test_forged(forged):
    with pytest.raises(FhirError) as caught:
        unseal(KEY, "a search", forged, NOW)
    assert caught.value.status == 410


@pytest.mark.parametrize(("key", "identity"), [(b"other", "a search"), (KEY, "another search")])
def test_of_another_key_or_search(key, identity):
    with pytest.raises(FhirError) as caught:
        unseal(key, identity, CURSOR, NOW)
    assert caught.value.status == 410
