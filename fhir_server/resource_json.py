"""Resources as JSON bytes and back, every number with the digits it was written with.

https://hl7.org/fhir/R4/json.html, https://hl7.org/fhir/R4/datatypes.html#decimal
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from fhir_server.broken_json import faults
from fhir_server.errors import FhirError, Issue

# An element costs two levels (its list, its object): this is 60 nested elements, and well inside the
# recursion of everything that later walks the resource.
MAX_DEPTH = 120
# What search values and Decimal128 can hold; a physical quantity outside this is a broken device.
MAX_EXPONENT = 300

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"(\s*+:)?', re.DOTALL)
_NEGATIVE_ZERO = re.compile(rb"-0\s*[,\]}]")  # perhaps inside a string; reading it exactly does no harm


class Verbatim(Decimal):
    """A number whose text str() would not give back, such as 1e2, 0.00000001 or -0."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Verbatim:
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __copy__(self) -> Verbatim:
        return self

    def __deepcopy__(self, memo: Any) -> Verbatim:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Verbatim, (self.text,)


def decode(body: bytes) -> dict[str, Any]:
    """The JSON object in body, as a client sent it.

    Integers are int, all other numbers Decimal. FhirError("malformed") for what is not JSON, not an object,
    not UTF-8, nested more than MAX_DEPTH levels deep, or says the same key twice.
    """
    tree = _decode(body)
    if type(tree) is not dict:
        raise FhirError("malformed", "The body must be one JSON object, a resource")
    return tree


def decode_list(body: bytes) -> list[Any]:
    """The JSON array in body, as a client sent it; FhirError("malformed") as decode."""
    tree = _decode(body)
    if type(tree) is not list:
        raise FhirError("malformed", "The body must be a JSON array")
    return tree


def _decode(body: bytes) -> Any:
    if body.startswith(b"\xef\xbb\xbf"):
        body = body[3:]
    try:
        tree = _decoder.decode(body)
    except UnicodeDecodeError:
        raise FhirError("malformed", "The body is not UTF-8") from None
    except RecursionError:
        raise FhirError("malformed", f"The JSON is nested more than {MAX_DEPTH} levels deep") from None
    except (InvalidOperation, msgspec.ValidationError):
        raise FhirError("malformed", "The JSON has a number out of range") from None
    except msgspec.DecodeError as error:
        raise FhirError("malformed", issues=_issues(str(error), body)) from None
    if type(tree) is not dict and type(tree) is not list:
        return tree
    if not _keys_are(_count_keys(tree, MAX_DEPTH), body):
        raise FhirError("malformed", "The JSON says the same key twice in one object")
    return _decode_exactly(body) if _NEGATIVE_ZERO.search(body) else tree


def decode_stored(body: bytes) -> dict[str, Any]:
    """As decode, of bytes that encode made: what decode checks cannot be wrong with them."""
    tree: dict[str, Any] = _decode_exactly(body) if _NEGATIVE_ZERO.search(body) else _decoder.decode(body)
    return tree


def read_number(text: str) -> int | Decimal:
    """A number as decode gives it, of text that has the form of a JSON number; FhirError("malformed")."""
    try:
        value: int | Decimal = Verbatim(text) if text == "-0" else _decoder.decode(text)
    except (InvalidOperation, msgspec.DecodeError):
        raise FhirError("malformed", "A number is out of range") from None
    return value


def encode(resource: dict[str, Any], pretty: bool = False) -> bytes:
    """The resource as JSON; a msgspec.Raw in it is taken over as it is."""
    body = _encoder.encode(resource)
    return prettify(body) if pretty else body


def prettify(body: bytes) -> bytes:
    """The same JSON, indented for people to read."""
    return msgspec.json.format(body, indent=2)


def _decode_exactly(body: bytes) -> Any:
    """With a decoder that shows the text of integers too: slower, and only needed for -0."""
    return json.loads(body, parse_float=_number, parse_int=_integer)


def _number(text: str) -> Decimal:
    number = Decimal(text)
    if not -MAX_EXPONENT <= number.adjusted() <= MAX_EXPONENT and number:
        raise InvalidOperation
    return number if str(number) == text else Verbatim(text)


def _integer(text: str) -> int | Decimal:
    return Verbatim(text) if text == "-0" else int(text)


def _raw(value: Any) -> msgspec.Raw:
    if isinstance(value, Verbatim):
        return msgspec.Raw(value.text.encode())
    raise TypeError(f"{type(value).__name__} has no JSON form")


_decoder = msgspec.json.Decoder(float_hook=_number)
_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_raw)


def _count_keys(node: Any, depth: int) -> int:
    """How many keys all the objects in node have."""
    if not depth:
        raise FhirError("malformed", f"The JSON is nested more than {MAX_DEPTH} levels deep")
    keys = 0
    if type(node) is dict:
        keys = len(node)
        node = node.values()
    for child in node:
        kind = type(child)
        if kind is dict or kind is list:
            keys += _count_keys(child, depth - 1)
    return keys


def _keys_are(expected: int, body: bytes) -> bool:
    """Whether the text has that many keys.

    Each key's closing quote stands before a colon, and `":` elsewhere only adds to the count: equal means no
    key is hidden. Only text with a blank before a colon, or `":` inside a string, has to be read exactly.
    """
    spaced = b" :" in body or any(blank in body and blank + b":" in body for blank in (b"\n", b"\r", b"\t"))
    if not spaced and body.count(b'":') == expected:
        return True
    return sum(map(bool, _STRING.findall(body))) == expected


def _issues(message: str, body: bytes) -> list[Issue]:
    """Where the decoder stopped, and what can be told of the elements that have to be mended."""
    first = Issue("error", "structure", _where(message, body))
    others = [Issue("error", "invalid", f"{f.said}, line {f.line}", f.expression) for f in faults(body)]
    return [first, *others]


def _where(message: str, body: bytes) -> str:
    """The decoder's message with the line instead of the byte, and never with any of the content."""
    if "truncated" in message:
        return "The body is not JSON: it ends too early"
    found = re.search(r"\(byte (\d+)\)", message)
    if not found:
        return "The body is not JSON"
    at = int(found[1])
    line = body.count(b"\n", 0, at) + 1
    reason = message.removeprefix("JSON is malformed: ").split(" (byte")[0]
    return f"The body is not JSON: {reason} at line {line}, byte {at}"
