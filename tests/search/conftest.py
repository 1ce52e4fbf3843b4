"""A search without a store: query trees evaluated over extracted values, slowly and plainly."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest

from fhir_server.errors import FhirError
from fhir_server.search.extract import extract
from fhir_server.search.parse import parse
from fhir_server.search.query import TABLES, And, Match, Not, Or

BASE = "https://varde.example/fhir"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)

OPERATORS = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "prefix": lambda a, b: a.startswith(b),
    "contains": lambda a, b: b in a,
}


def holds(node, values, resource_row):
    """Whether a resource with these Values, and these columns of its own, is a match."""
    match node:
        case And(children):
            return all(holds(child, values, resource_row) for child in children)
        case Or(children):
            return any(holds(child, values, resource_row) for child in children)
        case Not(child):
            return not holds(child, values, resource_row)
        case Match("resource", _, tests):
            return all(OPERATORS[test.op](resource_row[test.column], test.value) for test in tests)
        case Match(table, param, tests):
            rows = [dict(zip(TABLES[table], row[1:], strict=True)) for row in values.rows.get(table, ())]
            codes = [row[0] for row in values.rows.get(table, ())]
            return any(
                code == param and all(OPERATORS[test.op](row[test.column], test.value) for test in tests)
                for code, row in zip(codes, rows, strict=True)
            )


@pytest.fixture
def asked():
    """asked(type, "a=b&c=d") -> Search"""

    def ask(type, text, **options):
        pairs = parse_qsl(text, keep_blank_values=True)
        return parse(type, pairs, base=BASE, now=NOW, **options)

    return ask


@pytest.fixture
def finds(asked):
    """finds("birthdate=2000", {...a resource...}) -> whether it is a match; updated in microseconds."""

    def find(text, resource, updated=0):
        search = asked(resource["resourceType"], text)
        assert search.issues == (), search.issues
        values = extract(resource["resourceType"], resource, BASE)
        found = holds(search.query.where, values, {"id": resource.get("id"), "updated": updated})
        if found and search.query.patient is not None:
            assert values.patient == search.query.patient, "the patient hint must hold for every match"
        return found

    return find


@pytest.fixture
def rows():
    """rows(resource) -> {table: [rows]}"""

    def of(resource):
        return extract(resource["resourceType"], resource, BASE).rows

    return of


@pytest.fixture
def bad_value(asked):
    """bad_value(type, query): refused with 400 under lenient handling too, and without showing the value."""

    def check(type, text):
        with pytest.raises(FhirError) as caught:
            asked(type, text)
        assert (caught.value.status, caught.value.issues[0].code) == (400, "invalid")
        value = text.partition("=")[2]
        assert len(value) < 4 or value not in str(caught.value)

    return check
