"""What was written comes back as written, and what is not JSON is refused."""

from __future__ import annotations

import copy
import json
import pickle
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import FhirError
from fhir_server.resource_json import MAX_DEPTH, decode, decode_stored, encode, prettify

NUMBERS = [
    "91.50", "91.5", "0", "-0", "-0.0", "0.0", "1e2", "1E2", "1E+2", "1e-7", "0.00000001", "100", "1.0e0",
    "123456789012345678901234567890", "0.10000000000000000000000000000000000001", "9007199254740993",
    "18446744073709551616", "-12.340", "0e10", "0.0E-9",
]  # fmt: skip


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_keep_their_text(text):
    body = f'{{"a":{text},"b":[{text}]}}'.encode()
    assert encode(decode(body)) == body
    assert encode(decode_stored(encode(decode(body)))) == body


def test_numbers_are_int_or_exact_decimal():
    tree = decode(b'{"a":3,"b":91.50,"c":1e2}')
    assert tree == {"a": 3, "b": Decimal("91.50"), "c": Decimal("100")}
    assert type(tree["a"]) is int


def test_verbatim_numbers_survive_copies():
    tree = decode(b'{"a":1e2}')
    assert encode(copy.deepcopy(tree)) == encode(copy.copy(tree)) == b'{"a":1e2}'
    assert encode(pickle.loads(pickle.dumps(tree))) == b'{"a":1e2}'


def test_pretty_changes_only_white_space():
    body = b'{"a":91.50,"b":["x",{"c":1e2}]}'
    assert prettify(body) == encode(decode(body), pretty=True)
    assert encode(decode(prettify(body))) == body


BAD = {
    "empty": b"",
    "blank": b"  \n",
    "not json": b"hello",
    "xml": b"<Patient/>",
    "truncated": b'{"resourceType":"Pat',
    "cut in half": b'{"a":[1,2',
    "trailing": b'{"a":1} {"b":2}',
    "comma": b'{"a":1,}',
    "NaN": b'{"a":NaN}',
    "Infinity": b'{"a":-Infinity}',
    "leading zero": b'{"a":01}',
    "plus": b'{"a":+1}',
    "bare dot": b'{"a":.5}',
    "dot without digits": b'{"a":1.}',
    "huge exponent": b'{"a":1e999999999}',
    "beyond decimal": b'{"a":1e99999999999999999999}',
    "tiny exponent": b'{"a":1e-999999999}',
    "endless integer": b'{"a":1' + b"0" * 5000 + b"}",
    "latin-1": b'{"a":"\xe6"}',
    "utf-8 surrogate": b'{"a":"\xed\xa0\x80"}',
    "lone high surrogate": b'{"a":"\\ud800"}',
    "lone high surrogate in text": b'{"a":"\\ud800 and more text"}',
    "lone low surrogate": b'{"a":"\\udc00"}',
    "control character": b'{"a":"\x01"}',
    "list": b"[]",
    "string": b'"x"',
    "null": b"null",
    "utf-16": '{"a":1}'.encode("utf-16"),
    "nested arrays": b'{"a":' + b"[" * 100_000,
    "nested objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "too deep": b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    "same key twice": b'{"a":1,"a":2}',
    "same key twice, spaced": b'{"a" : 1, "a"\n: 2}',
    "same key twice, escaped": b'{"a":1,"\\u0061":2}',
    "same key twice, below": b'{"x":[{"a":1,"b":{"c":1,"c":1}}]}',
    "same key twice, hidden by a colon": b'{"x":",:y\\":","a":1,"a":1}',
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_malformed_json_is_refused(body):
    with pytest.raises(FhirError) as caught:
        decode(body)
    assert caught.value.category == "malformed"


def test_the_error_names_the_place_but_not_the_content():
    with pytest.raises(FhirError, match=r"line 2, byte 11") as caught:
        decode(b'{"a":1,\n"b"Kari}')
    assert "Kari" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"\\":","b":":"}',
        b'{"a":"x",":c":1}',
        b'{"a" :"x", "b"\t:\n1}',
        b'{"a":"text with \\"key\\": value","b":1}',
        b'{"a":"-0","b":"x,-0,y"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":' + b"[" * (MAX_DEPTH - 2) + b"]" * (MAX_DEPTH - 2) + b"}",
        '{"æøå":"\U0001f600 \\ud83d\\ude00"}'.encode(),
    ],
)
def test_odd_but_valid_json_is_read(body):
    assert decode(body) == json.loads(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.sampled_from(['":', '":"', ",:", "-0", "\\"]),
    lambda child: st.lists(child, max_size=4) | st.dictionaries(st.text() | st.just(':"'), child, max_size=4),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_every_json_object_comes_back(tree, separators):
    body = json.dumps(tree, separators=separators, ensure_ascii=False)
    try:
        encoded = body.encode()
    except UnicodeEncodeError:  # hypothesis may draw a lone surrogate
        return
    assert decode(encoded) == tree
    assert json.loads(encode(decode(encoded))) == tree
    assert list(decode(encoded)) == list(tree)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda s: s.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_read_or_refused(body):
    try:
        decode(body)
    except FhirError as error:
        assert error.category == "malformed"
