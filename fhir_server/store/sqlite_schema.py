"""The tables of the SQLite store.

One row of `version` for each version ever written; `until` is the seq of its successor, CURRENT while there
is none, and its own seq for a deletion: a search at snapshot S finds exactly what has seq <= S < until.
The rows a version is found by are kept after it is superseded, for searches at earlier snapshots; those of
versions that no open page can still see could be pruned.

Each table of search values is clustered by seq (appended to, and looked up to test a version), with an index
or two to find versions by. `timeline` repeats the tokens of a few parameters for "this patient's, of this
code, by moment". A commit writes every page it touches to the log; so an index has what one resource adds
side by side, where that costs its readers little (target before parameter, code before parameter).
"""

from __future__ import annotations

import sqlite3

from fhir_server.errors import FhirError

LAYOUT = 4  # PRAGMA user_version of a file laid out like this

TABLES = """
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
INSERT INTO name VALUES (0, '');
CREATE TABLE version (
    seq INTEGER PRIMARY KEY, type INTEGER NOT NULL, id TEXT NOT NULL, version INTEGER NOT NULL,
    updated INTEGER NOT NULL, method TEXT NOT NULL, until INTEGER NOT NULL,
    patient TEXT, patient_key INTEGER, moment INTEGER);
CREATE UNIQUE INDEX version_id ON version (type, id, version);
CREATE INDEX version_type ON version (type);
CREATE INDEX version_updated ON version (type, updated);
CREATE INDEX version_moment ON version (type, moment);
CREATE INDEX version_patient ON version (type, patient_key, moment);
CREATE TABLE body (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE token (seq INTEGER, param INTEGER, system INTEGER, code TEXT,
    PRIMARY KEY (seq, param, code, system)) WITHOUT ROWID;
CREATE INDEX token_code ON token (param, code);
CREATE TABLE timeline (patient INTEGER, param INTEGER, system INTEGER, code TEXT, moment INTEGER, seq INTEGER,
    PRIMARY KEY (patient, code, moment, seq, param, system)) WITHOUT ROWID;
CREATE TABLE lasting (type INTEGER, patient INTEGER, extent INTEGER,
    PRIMARY KEY (type, patient)) WITHOUT ROWID;
CREATE TABLE stamp (patient INTEGER, type TEXT, seq INTEGER, PRIMARY KEY (patient, type)) WITHOUT ROWID;
CREATE TABLE string (seq INTEGER, param INTEGER, folded TEXT, exact TEXT,
    PRIMARY KEY (seq, param, folded, exact)) WITHOUT ROWID;
CREATE INDEX string_folded ON string (param, folded);
CREATE INDEX string_exact ON string (param, exact);
CREATE TABLE date (seq INTEGER, param INTEGER, low INTEGER, high INTEGER,
    PRIMARY KEY (seq, param, low, high)) WITHOUT ROWID;
CREATE INDEX date_low ON date (param, low, high);
CREATE INDEX date_high ON date (param, high, low);
CREATE TABLE number (seq INTEGER, param INTEGER, low REAL, high REAL,
    PRIMARY KEY (seq, param, low, high)) WITHOUT ROWID;
CREATE INDEX number_low ON number (param, low, high);
CREATE INDEX number_wide ON number (param, high) WHERE low <> high;
CREATE TABLE quantity (seq INTEGER, param INTEGER, low REAL, high REAL, system INTEGER, code TEXT, unit TEXT,
    PRIMARY KEY (seq, param, low, high, system, code, unit)) WITHOUT ROWID;
CREATE INDEX quantity_low ON quantity (param, low, high);
CREATE INDEX quantity_wide ON quantity (param, high) WHERE low <> high;
CREATE TABLE reference (seq INTEGER, param INTEGER, type INTEGER, id TEXT, url TEXT, system INTEGER,
    value TEXT, PRIMARY KEY (seq, param, id, type, url, system, value)) WITHOUT ROWID;
CREATE INDEX reference_id ON reference (id, seq, param);
CREATE INDEX reference_url ON reference (param, url) WHERE url <> '';
CREATE INDEX reference_value ON reference (param, value) WHERE value <> '';
CREATE TABLE uri (seq INTEGER, param INTEGER, value TEXT, PRIMARY KEY (seq, param, value)) WITHOUT ROWID;
CREATE INDEX uri_value ON uri (param, value);
CREATE TABLE measure (seq INTEGER, param INTEGER, unit INTEGER, low REAL, high REAL,
    PRIMARY KEY (seq, param, unit, low, high)) WITHOUT ROWID;
CREATE INDEX measure_unit ON measure (param, unit, low, high);
CREATE INDEX measure_wide ON measure (param, unit, high) WHERE low <> high;
CREATE TABLE composite (seq INTEGER, param INTEGER, system INTEGER, code TEXT, low REAL, high REAL,
    low2 REAL, high2 REAL, system2 INTEGER, code2 TEXT, text TEXT,
    PRIMARY KEY (seq, param, code, system, low, high, low2, high2, code2, system2, text)) WITHOUT ROWID;
CREATE INDEX composite_code ON composite (param, code, low);
CREATE TABLE word (seq INTEGER, param INTEGER, folded TEXT, PRIMARY KEY (seq, param, folded)) WITHOUT ROWID;
CREATE INDEX word_folded ON word (param, folded);
CREATE TABLE record (kind TEXT NOT NULL, key TEXT NOT NULL, content BLOB NOT NULL, expires INTEGER,
    PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE INDEX record_expires ON record (expires) WHERE expires IS NOT NULL;
"""


def lay_out(connection: sqlite3.Connection) -> None:
    """Create the tables in an empty database; in a transaction, since several processes may start at once.

    Raises FhirError("unavailable") when the file was laid out by something else.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        (layout,) = connection.execute("PRAGMA user_version").fetchone()
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if layout == 0 and tables == 0:
            _create(connection, TABLES)
            connection.execute(f"PRAGMA user_version = {LAYOUT}")
        elif layout != LAYOUT:
            raise FhirError("unavailable", "The database file was made by something else, or another Varde")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection, statements: str) -> None:
    for statement in statements.split(";\n"):
        if statement.strip():
            connection.execute(statement)
