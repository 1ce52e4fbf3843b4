"""How a JSON value must look to be a FHIR primitive.

https://hl7.org/fhir/R4/datatypes.html#primitive. The published patterns leave room (30 February, control
characters, catastrophic backtracking), so these are our own readings of the text beside them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_YEAR = "(?!0000)[0-9]{4}"
_LEAP_YEAR = (
    "(?!0000)(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"  # 2024 | 2000
)
_MONTH = f"{_YEAR}-(?:0[1-9]|1[0-2])"
_DAY = (
    f"(?:{_MONTH}-(?:0[1-9]|1[0-9]|2[0-8])"
    f"|{_YEAR}-(?:0[13-9]|1[0-2])-(?:29|30)"
    f"|{_YEAR}-(?:0[13578]|1[02])-31"
    f"|{_LEAP_YEAR}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"  # second 60: a leap second
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_CONTROL = r"\x00-\x08\x0b\x0c\x0e-\x1f"

_LONGEST_STRING = 1024 * 1024
_SPACE = re.compile(r"\s+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}").fullmatch


def is_base64(text: str) -> bool:
    """Whether it is base64 with its padding, white space aside."""
    if _SPACE.search(text):
        text = _SPACE.sub("", text)
    return len(text) % 4 == 0 and _BASE64(text) is not None


def is_narrative(text: str) -> bool:
    """Whether it looks like one XHTML div; what may stand inside is for the invariants txt-1 and txt-2."""
    text = text.strip()
    return text.startswith(("<div>", "<div ", "<div\n", "<div\r", "<div\t", "<div/")) and text.endswith(
        ("</div>", "/>")
    )


@dataclass(frozen=True, slots=True)
class Primitive:
    """`test` is a Python expression over `v`, true for a good value; `expected` says it to a person."""

    test: str
    expected: str


# What the tests may name besides Python's own type, int, ....
NAMES: dict[str, Any] = {
    "Decimal": Decimal,
    "STRING": re.compile(f"[^{_CONTROL}]+").fullmatch,
    # White space is ASCII's, as in the published patterns: HL7's own code systems use the no-break space.
    "CODE": re.compile(rf"[^\s{_CONTROL}]+(?: [^\s{_CONTROL}]+)*", re.ASCII).fullmatch,
    "URI": re.compile(rf"[^\s{_CONTROL}]+", re.ASCII).fullmatch,
    "ID": re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch,
    "OID": re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch,
    "UUID": re.compile("urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch,
    "DATE": re.compile(f"{_DAY}|{_MONTH}|{_YEAR}").fullmatch,
    "DATETIME": re.compile(f"{_DAY}(?:T{_TIME}{_ZONE})?|{_MONTH}|{_YEAR}").fullmatch,
    "INSTANT": re.compile(f"{_DAY}T{_TIME}{_ZONE}").fullmatch,
    "TIME": re.compile(_TIME).fullmatch,
    "is_base64": is_base64,
    "is_narrative": is_narrative,
}

# str.isprintable is several times faster than a pattern and true of nearly every text that arrives; its only
# white space is the space. What it does not pass (a line break, a no-break space) the pattern decides.
_STRING = "type(v) is str and v and (v.isprintable() or STRING(v))"
_URI = "type(v) is str and v and (' ' not in v and v.isprintable() or URI(v))"
_URI_TEXT = "a string without white space"

PRIMITIVES: dict[str, Primitive] = {
    "boolean": Primitive("type(v) is bool", "true or false, without quotes"),
    "integer": Primitive(
        "type(v) is int and -2147483648 <= v <= 2147483647",
        "a whole number of at most 32 bits, without quotes, fraction or exponent",
    ),
    "unsignedInt": Primitive(
        "type(v) is int and 0 <= v <= 2147483647", "a whole number from 0 to 2147483647, without quotes"
    ),
    "positiveInt": Primitive(
        "type(v) is int and 1 <= v <= 2147483647", "a whole number from 1 to 2147483647, without quotes"
    ),
    "decimal": Primitive("type(v) is int or isinstance(v, Decimal)", "a number, without quotes"),
    "string": Primitive(
        f"{_STRING} and len(v) <= {_LONGEST_STRING}",
        "a string of 1 to 1048576 characters, no control characters but tab and line breaks",
    ),
    "markdown": Primitive(
        _STRING, "a string that is not empty, no control characters but tab and line breaks"
    ),
    "code": Primitive(
        "type(v) is str and v and (' ' not in v and v.isprintable() or CODE(v))",
        "a string without white space but single spaces between words",
    ),
    "id": Primitive("type(v) is str and ID(v)", "1 to 64 characters of A-Z, a-z, 0-9, - and ."),
    "uri": Primitive(_URI, _URI_TEXT),
    "url": Primitive(_URI, _URI_TEXT),
    "canonical": Primitive(_URI, _URI_TEXT),
    "oid": Primitive("type(v) is str and OID(v)", "urn:oid: and numbers with points between, urn:oid:1.2.3"),
    "uuid": Primitive("type(v) is str and UUID(v)", "urn:uuid: and a UUID in lower case"),
    "date": Primitive("type(v) is str and DATE(v)", "a date of the calendar: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": Primitive(
        "type(v) is str and DATETIME(v)",
        "YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss with Z or +hh:mm, a time that exists",
    ),
    "instant": Primitive(
        "type(v) is str and INSTANT(v)", "YYYY-MM-DDThh:mm:ss with Z or +hh:mm, a time that exists"
    ),
    "time": Primitive("type(v) is str and TIME(v)", "hh:mm:ss, without a time zone"),
    "base64Binary": Primitive("type(v) is str and v and is_base64(v)", "a string of base64 with its padding"),
    "xhtml": Primitive(
        f"{_STRING} and is_narrative(v)", "a string of XHTML that starts with <div and ends with </div>"
    ),
}
