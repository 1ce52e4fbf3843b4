"""What is asked of one patient at every reading: fixed statements, each an index range or two."""

# ruff: noqa: S608 - statements are put together from constants; every value is bound

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import lru_cache

from fhir_server.store.base import DEFINING, STAMPED, Head, Span
from fhir_server.store.rows import CURRENT, patient_key
from fhir_server.store.sql import EVERYBODY, MISSING

_NAME = "(SELECT id FROM name WHERE text = {})"
_COMBO_CODE = _NAME.format("'Observation combo-code'")


def heads(connection: sqlite3.Connection, patient: str, types: Sequence[str]) -> tuple[Head, ...]:
    """Current versions of these types in the patient's compartment (a deletion is in none)."""
    found: list[Head] = []
    for type in types:
        rows = connection.execute(
            "SELECT id, version, seq FROM version INDEXED BY version_patient"
            f" WHERE type = {_NAME.format('?')} AND patient_key = ? AND patient = ? AND until = {CURRENT}",
            (type, patient_key(patient), patient),
        )
        found += [Head(type, *row) for row in rows]
    return tuple(found)


def stamp(connection: sqlite3.Connection, patient: str) -> tuple[int, ...]:
    """The patient's stamps in the order of STAMPED, and everybody's in that of DEFINING."""
    whose = (patient_key(patient), EVERYBODY)
    stamps = dict(connection.execute("SELECT type, seq FROM stamp WHERE patient IN (?, ?)", whose).fetchall())
    return tuple(stamps.get(type, 0) for type in (*STAMPED, *DEFINING))


def timeline(connection: sqlite3.Connection, patient: str, codes: Sequence[str], span: Span) -> list[bytes]:
    """Bodies of current Observations with these codes and moments, from one end only so many."""
    limit, newest_first = span.limit, span.newest is not None
    low = MISSING + 1 if span.since is None else span.since
    high = CURRENT if span.until is None else span.until
    shared = (patient_key(patient), low, high, -1 if limit is None else limit, patient)
    rows = connection.execute(_timeline(len(codes), newest_first), (*shared, *codes)).fetchall()
    found = {row[1]: row for row in rows}  # an Observation may be in the walks of two codes
    if limit is not None and len(found) > limit:
        return [body for *_, body in sorted(found.values(), reverse=newest_first)[:limit]]
    return [body for *_, body in found.values()]


@lru_cache(maxsize=64)
def _timeline(codes: int, newest_first: bool) -> str:
    """A walk along the timeline for each code in the order of moments, ended by the limit."""
    order = "DESC" if newest_first else "ASC"
    walk = (
        "SELECT d.moment, d.seq, b.body FROM timeline AS d"
        " CROSS JOIN version AS v ON v.seq = d.seq CROSS JOIN body AS b ON b.seq = d.seq"
        " WHERE d.patient = ?1 AND d.code = ?{} AND d.moment BETWEEN ?2 AND ?3"
        f" AND d.param = {_COMBO_CODE} AND v.until = {CURRENT} AND v.patient = ?5"
        f" ORDER BY d.moment {order} LIMIT ?4"
    )
    return " UNION ALL ".join(f"SELECT * FROM ({walk.format(number)})" for number in range(6, 6 + codes))
