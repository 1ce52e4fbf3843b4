"""Versions and their search values as rows of the tables, many versions to a statement."""

# ruff: noqa: S608 - statements are put together from constants; every value is bound

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_server.store.base import DEFINING, STAMPED, Version
from fhir_server.store.rows import CURRENT, DAY, TIMELINE, Tidy, patient_key
from fhir_server.store.sql import EVERYBODY, MISSING

Statement = tuple[str, Sequence[Any]]
Cells = dict[str, list[Any]]

WIDTHS = {
    "version": 10,
    "body": 2,
    "token": 4,
    "timeline": 6,
    "string": 4,
    "date": 4,
    "number": 4,
    "quantity": 7,
    "reference": 7,
    "uri": 3,
    "measure": 5,
    "composite": 11,
    "word": 3,
}
ROWS_AT_ONCE = 64  # one step of SQLite, and so one release of the interpreter lock, inserts so many
_STAMP = "INSERT INTO stamp (patient, type, seq)"
_LATEST = " ON CONFLICT DO UPDATE SET seq = excluded.seq"


@dataclass(frozen=True, slots=True)
class Put:
    """A version to be inserted, what it is found by, and the seq of the version that it follows."""

    version: Version
    values: Tidy | None
    before: int | None


def statements(puts: Sequence[Put], number: Callable[[str], int]) -> Iterator[Statement]:
    """What inserts these versions, in the order to be carried out. `number` gives the number of a text."""
    cells: Cells = {table: [] for table in WIDTHS}
    for put in puts:
        _version(put, number, cells)
    for table, flat in cells.items():
        width = WIDTHS[table] * ROWS_AT_ONCE
        for start in range(0, len(flat), width):
            part = flat[start : start + width]
            yield _insert(table, len(part) // WIDTHS[table]), part
    for put in puts:
        yield from _consequences(put, number)


def additions(version: Version, values: Tidy, number: Callable[[str], int]) -> Iterator[Statement]:
    """What adds rows to a version that is inserted already."""
    cells: Cells = {table: [] for table in WIDTHS}
    _values(version, values, None, number, cells)
    for table, flat in cells.items():
        width = WIDTHS[table] * ROWS_AT_ONCE
        for start in range(0, len(flat), width):
            part = flat[start : start + width]
            yield _insert(table, len(part) // WIDTHS[table], "INSERT OR IGNORE"), part


@cache
def _insert(table: str, rows: int, verb: str = "INSERT") -> str:
    row = f"({', '.join('?' * WIDTHS[table])})"
    return f"{verb} INTO {table} VALUES {', '.join([row] * rows)}"


def _version(put: Put, number: Callable[[str], int], cells: Cells) -> None:
    version, values = put.version, put.values
    patient = values.patient if values else None
    key = None if patient is None else patient_key(patient)
    cells["version"] += (
        version.seq,
        number(version.type),
        version.id,
        version.version,
        version.updated,
        version.method,
        CURRENT if version.body is not None else version.seq,
        patient,
        key,
        values.moment if values else None,
    )
    if version.body is not None:
        cells["body"] += (version.seq, version.body)
    if values is not None:
        _values(version, values, key, number, cells)


def _values(
    version: Version, values: Tidy, key: int | None, number: Callable[[str], int], cells: Cells
) -> None:
    seq, type = version.seq, version.type
    for table, rows in values.rows.items():
        flat = cells[table]
        for param, *columns in rows:
            p = number(f"{type} {param}")
            if table == "token":
                system, code = columns
                flat += (seq, p, number(system), code)
                if key is not None and param in TIMELINE:
                    moment = MISSING if values.moment is None else values.moment
                    cells["timeline"] += (key, p, number(system), code, moment, seq)
            elif table == "reference":
                of, id, url, system, value = columns
                flat += (seq, p, number(of), id, url, number(system), value)
            elif table == "quantity":
                low, high, system, code, unit = columns
                flat += (seq, p, float(low), float(high), number(system), code, unit)
            elif table == "measure":
                unit, low, high = columns
                flat += (seq, p, number(unit), float(low), float(high))
            elif table == "composite":
                system, code, *numbers, system2, code2, text = columns
                flat += (seq, p, number(system), code, *map(float, numbers), number(system2), code2, text)
            elif table == "number":
                flat += (seq, p, float(columns[0]), float(columns[1]))
            else:
                flat += (seq, p, *columns)


def _consequences(put: Put, number: Callable[[str], int]) -> Iterator[Statement]:
    """What a version changes besides its own rows."""
    version, values = put.version, put.values
    if put.before is not None:
        # a deletion has no time in which it was found: its until stays its seq
        ended = (version.seq, put.before, CURRENT)
        yield "UPDATE version SET until = ? WHERE seq = ? AND until = ?", ended
    key = patient_key(values.patient) if values and values.patient is not None else None
    if version.type in STAMPED:
        if key is not None:
            yield f"{_STAMP} VALUES (?, ?, ?){_LATEST}", (key, version.type, version.seq)
        if put.before is not None:  # the patient that it was of notices too
            former = "SELECT patient_key, ?, ? FROM version WHERE seq = ? AND patient_key IS NOT NULL"
            yield f"{_STAMP} {former}{_LATEST}", (version.type, version.seq, put.before)
    if version.type in DEFINING:
        yield f"{_STAMP} VALUES (?, ?, ?){_LATEST}", (EVERYBODY, version.type, version.seq)
    if values is not None and values.extent > DAY:
        for whose in (EVERYBODY, EVERYBODY if key is None else key):
            longest = "ON CONFLICT DO UPDATE SET extent = max(extent, excluded.extent)"
            row = (number(version.type), whose, values.extent)
            yield f"INSERT INTO lasting VALUES (?, ?, ?) {longest}", row
