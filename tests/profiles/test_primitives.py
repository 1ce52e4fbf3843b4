"""The formats of the primitive types: https://hl7.org/fhir/R4/datatypes.html#primitive."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from profiles.definitions import load
from profiles.primitives import PRIMITIVES
from profiles.structure import validate

UUID = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"

GOOD = {
    "boolean": [True, False],
    "integer": [0, -1, 2147483647, -2147483648],
    "unsignedInt": [0, 2147483647],
    "positiveInt": [1, 2147483647],
    "decimal": [0, -1, 10**30, Decimal("91.50"), Decimal("-0.0"), Decimal("1E+2")],
    "string": ["x", " ", "a\tb\r\nc", "\u00a0", "𐍈"],
    "markdown": ["# x\n\n* y"],
    "code": ["x", "two words", "<=", "ÅØ"],
    "id": ["x", "A-b.9", "x" * 64],
    "uri": ["http://x.no/ø?a=b#c", "urn:oid:1.2", "#local", "x"],
    "url": ["https://x.no", "mailto:a@b.no"],
    "canonical": ["http://x.no/Q|1.0", "#x"],
    "oid": ["urn:oid:1.2.3", "urn:oid:2.16.578.1.12.4.1.4.1", "urn:oid:0.0"],
    "uuid": [UUID],
    "date": ["2026", "2026-11", "2026-11-21", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"],
    "dateTime": [
        "2026",
        "2026-11",
        "2026-11-21",
        "2026-11-21T10:00:00Z",
        "2026-11-21T10:00:00.123456789+01:00",
        "2016-12-31T23:59:60Z",
        "2026-11-21T00:00:00-14:00",
    ],
    "instant": ["2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000+01:00", "2016-12-31T23:59:60Z"],
    "time": ["00:00:00", "23:59:60", "12:30:00.5"],
    "base64Binary": ["aGVp", "aA==", "aGk=", "aGVp\n aGVp\r\n", "+/+/"],
}
BAD = {
    "boolean": ["true", 0, 1, Decimal(1)],
    "integer": [True, "1", 2147483648, -2147483649, Decimal("1.0"), 10**400],
    "unsignedInt": [-1, 2147483648, True],
    "positiveInt": [0, -1, 2147483648, True],
    "decimal": ["1", True, "NaN"],
    "string": [1, "a\x00b", "\x1b", "\x07", "x" * (1024 * 1024 + 1)],
    "markdown": [1, "\x00"],
    "code": [" x", "x ", "two  words", "a\tb", "a\nb", " ", 1, "a\x00"],
    "id": ["x" * 65, "a b", "a/b", "æ", "a_b", "x\n"],
    "uri": ["a b", " http://x", "a\nb", 1, "a\x00b"],
    "url": ["a b"],
    "canonical": ["http://x.no/Q| 1"],
    "oid": ["1.2.3", "urn:oid:3.1", "urn:oid:1", "urn:oid:1.02", "urn:oid:1.2\n"],
    "uuid": [UUID.upper(), UUID[9:], UUID + "0", UUID + "\n"],
    "date": [
        "0000",
        "26",
        "2026-13",
        "2026-00",
        "2026-11-31",
        "2026-02-29",
        "1900-02-29",
        "2024-02-30",
        "2026-11-00",
        "2026-11-32",
        "2026-1-1",
        "20261121",
        "2026-11-21T10:00:00Z",
        "2026-11-21\n",
        "２０２６",
        20261121,
        "21.11.2026",
    ],
    "dateTime": [
        "2026-11-21T10:00:00",
        "2026-11-21T10:00Z",
        "2026-11-21T24:00:00Z",
        "2026-11-21T23:60:00Z",
        "2026-11-21T23:59:61Z",
        "2026-02-29T10:00:00Z",
        "2026-11T10:00:00Z",
        "2026-11-21 10:00:00Z",
        "2026-11-21T10:00:00z",
        "2026-11-21T10:00:00+14:30",
        "2026-11-21T10:00:00+0100",
        "2026-11-21T10:00:00.Z",
        "2026-11-21T10:00:00Z\n",
        1795255200,
    ],
    "instant": ["2026-11-21", "2026", "2026-11-21T10:00:00", "2026-11-31T10:00:00Z"],
    "time": ["10:00", "24:00:00", "10:00:00Z", "1:00:00", "10:00:61"],
    "base64Binary": ["a", "aGV", "a===", "aG=p", "æøåæ", "aGVp-", 1],
}


def extension(type_, value):
    name = "value" + type_[0].upper() + type_[1:]
    return {"resourceType": "Basic", "code": {"text": "x"}, "extension": [{"url": "http://x", name: value}]}


@pytest.mark.parametrize(("type_", "value"), [(t, v) for t, values in GOOD.items() for v in values])
def test_a_good_primitive(type_, value):
    assert validate(extension(type_, value)) == []


@pytest.mark.parametrize(("type_", "value"), [(t, v) for t, values in BAD.items() for v in values])
def test_a_bad_primitive(type_, value):
    (problem,) = validate(extension(type_, value))
    assert (problem.code, problem.expression) == ("invalid", f"Basic.extension[0].value.ofType({type_})")
    assert len(problem.diagnostics) < 250


@pytest.mark.parametrize("type_", [t for t in GOOD if t not in ("boolean", "integer", "decimal")])
def test_an_empty_string_is_no_primitive(type_):
    (problem,) = validate(extension(type_, ""))
    assert problem.code == "invalid"


def test_every_primitive_of_r4_has_a_check():
    types = {name for name, type_ in load().types.items() if type_.kind == "primitive-type"}
    assert types == set(PRIMITIVES)
    assert set(GOOD) == set(BAD) == types - {"xhtml"}


@pytest.mark.parametrize("type_", sorted(set(GOOD)))
@pytest.mark.parametrize("piece", [" ", "a ", "a", "1.", "urn:oid:1" + ".1", "aGVp \n", "/A", "9"])
def test_long_hostile_text_is_judged_in_linear_time(type_, piece):
    start = time.perf_counter()
    validate(extension(type_, piece * 100_000 + "\x00"))
    assert time.perf_counter() - start < 1
