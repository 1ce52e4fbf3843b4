"""A version as a MongoDB document.

`_id` is its place in the order of commits; `until` is the _id of its successor, CURRENT while there is none
and its own for a deletion. Each table of search values is an array of rows; `keys` and `line` repeat as plain
strings what is looked up by equality, for indexes by value, and by patient, value and moment.
"""

from __future__ import annotations

from typing import Any

import bson

from fhir_server.errors import FhirError
from fhir_server.search.query import TABLES
from fhir_server.store.base import Version
from fhir_server.store.mongo_query import KEYED, decimal128, key
from fhir_server.store.rows import CURRENT, TIMELINE, Tidy
from fhir_server.store.tree import kind

LARGEST = 16 * 1024 * 1024  # MongoDB's limit for a document
CAREFUL = LARGEST // 2  # a body from here on is measured as a whole


def document(version: Version, values: Tidy | None) -> dict[str, Any]:
    """Raises FhirError("too-large") for what MongoDB cannot hold."""
    made: dict[str, Any] = {
        "_id": version.seq,
        "type": version.type,
        "id": version.id,
        "version": version.version,
        "updated": version.updated,
        "method": version.method,
        "until": version.seq if version.body is None else CURRENT,
        "patient": values.patient if values else None,
        "moment": values.moment if values else None,
        "body": version.body,
    }
    if values is not None:
        made |= {table: [_row(table, row) for row in rows] for table, rows in values.rows.items()}
        made["keys"] = _keys(values)
        if values.patient is not None:
            made["line"] = _line(values)
    size = len(version.body or b"")
    if size > LARGEST or (size > CAREFUL and len(bson.encode(made)) > LARGEST):
        raise FhirError("too-large", "The resource is larger than this store can hold (16 MB)")
    return made


def additions(values: Tidy) -> dict[str, list[Any]]:
    """What the arrays of a document get besides, by their names."""
    rows: dict[str, list[Any]] = {
        table: [_row(table, row) for row in rows] for table, rows in values.rows.items()
    }
    return rows | {"keys": _keys(values)}


def _row(table: str, row: tuple[Any, ...]) -> dict[str, Any]:
    columns = {
        column: decimal128(value) if kind(table, column) == "number" else value
        for column, value in zip(TABLES[table], row[1:], strict=True)
    }
    return {"p": row[0], **columns}


def _keys(values: Tidy) -> list[str]:
    places = [(table, TABLES[table].index(column) + 1, column) for table, column in KEYED]
    return list(
        {
            key(table, column, row[0], row[place])
            for table, place, column in places
            for row in values.rows.get(table, ())
            if row[place]
        }
    )


def _line(values: Tidy) -> list[str]:
    return list(
        {
            key("token", "code", param, code)
            for param, _, code in values.rows.get("token", ())
            if param in TIMELINE and code
        }
    )


def version(found: dict[str, Any]) -> Version:
    """The Version in a document."""
    body = found["body"]
    return Version(
        found["type"],
        found["id"],
        found["version"],
        found["updated"],
        found["method"],
        None if body is None else bytes(body),
        found["_id"],
        found["patient"],
    )
