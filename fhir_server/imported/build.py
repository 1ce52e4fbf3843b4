"""Writes the file of a code system, stage by stage, so that an import that was stopped goes on where it was.

Everything that a checkpoint counts is in the same transaction as what it counts. The file is read by
system.py only under its final name, which it gets at the end.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import IO

from fhir_server.imported.problem import ImportProblem
from fhir_server.imported.rows import (
    Concept,
    Described,
    Member,
    Parent,
    Parse,
    Preferred,
    Property,
    Release,
    Row,
    Stage,
    Text,
)

FORMAT = "2"
_EACH = 20_000  # lines between two checkpoints
_LONGEST = 64 * 1024  # bytes of a line
_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE concept (
    id INTEGER PRIMARY KEY, code TEXT NOT NULL UNIQUE, display TEXT, inactive INTEGER NOT NULL
);
CREATE TABLE property (concept INTEGER NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL);
CREATE TABLE text (concept INTEGER NOT NULL, value TEXT NOT NULL, language TEXT, use TEXT, rank INTEGER);
CREATE TABLE member (set_ TEXT, concept INTEGER, PRIMARY KEY (set_, concept)) WITHOUT ROWID;
CREATE TABLE parent (concept INTEGER NOT NULL, code TEXT NOT NULL);
CREATE TABLE preferred (description TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# What is said of a code that is not there is passed over.
_PUT = {
    Text: "INSERT INTO text SELECT id, ?, ?, ?, ? FROM concept WHERE code = ?",
    Parent: "INSERT INTO parent SELECT id, ? FROM concept WHERE code = ?",
    Property: "INSERT INTO property SELECT id, ?, ? FROM concept WHERE code = ?",
    Member: "INSERT OR IGNORE INTO member SELECT ?, id FROM concept WHERE code = ?",
}
_INDEXES = """
CREATE TABLE edge (concept INTEGER, parent INTEGER, PRIMARY KEY (concept, parent)) WITHOUT ROWID;
INSERT OR IGNORE INTO edge SELECT said.concept, above.id
    FROM parent AS said CROSS JOIN concept AS above ON above.code = said.code;
DROP TABLE parent;
DROP TABLE preferred;
CREATE INDEX below ON edge (parent, concept);
CREATE INDEX activity ON concept (inactive);
CREATE INDEX text_of ON text (concept);
CREATE INDEX property_of ON property (concept);
CREATE INDEX property_value ON property (name, value, concept);
UPDATE concept SET display = (
    SELECT value FROM text WHERE text.concept = concept.id AND rank IS NOT NULL
    ORDER BY rank, text.rowid LIMIT 1
) WHERE display IS NULL;
CREATE VIRTUAL TABLE words USING fts5(
    said, content = '', detail = none, columnsize = 0, tokenize = 'unicode61 remove_diacritics 0'
);
INSERT INTO words (rowid, said) SELECT id, code || ' ' || coalesce(display, '') || ' ' || coalesce(
    (SELECT group_concat(value, ' ') FROM text WHERE text.concept = concept.id), ''
) FROM concept;
"""
# How a code is found whose case does not matter.
_FOLDED = "CREATE INDEX folded ON concept (code COLLATE NOCASE);"
_LATER = 2  # the rank of a text that is not preferred
Progress = Callable[[int, int], None]  # bytes done, bytes in all


def build(release: Release, folder: Path, progress: Progress = lambda done, total: None) -> Path:
    """Import a release into a folder; the path of the file made.

    ImportProblem for a line that is broken: nothing of the release can be seen then, and what had been read
    is gone. An import that is interrupted in another way is taken up again by the next call.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"{_file_name(release)}.db"
    partial = final.with_suffix(".partial")
    try:
        with _opened(partial, release) as database:
            _read(database, release, progress)
            _finish(database, release)
        partial.replace(final)
    except ImportProblem:
        partial.unlink(missing_ok=True)
        raise
    return final


def _file_name(release: Release) -> str:
    """Of letters and digits, different for each system and version."""
    return sha256(f"{release.url}|{release.version}".encode()).hexdigest()[:24]


class _opened:
    """The database of an import under way: a new one, or the one left behind, if it is of the same files."""

    def __init__(self, path: Path, release: Release) -> None:
        self._path, self._release = path, release

    def __enter__(self) -> sqlite3.Connection:
        print_ = json.dumps([FORMAT, self._release.url, self._release.version, *_prints(self._release)])
        if self._path.exists() and not _is_of(self._path, print_):
            self._path.unlink()
            self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        fresh = not self._path.exists()
        self._database = sqlite3.connect(self._path, isolation_level=None)
        if fresh:
            self._database.executescript(f"BEGIN;{_TABLES}COMMIT;")
            self._database.execute("INSERT INTO meta VALUES ('files', ?)", (print_,))
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.close()


def _prints(release: Release) -> Iterator[str]:
    """What tells the files of a release from others: their names, sizes and beginnings."""
    for stage in release.stages:
        with stage.open() as file:
            yield f"{stage.name} {stage.size} {sha256(file.read(1 << 16)).hexdigest()}"


def _is_of(path: Path, print_: str) -> bool:
    database = sqlite3.connect(path)
    try:
        found = database.execute("SELECT value FROM meta WHERE name = 'files'").fetchone()
        return found is not None and found[0] == print_
    except sqlite3.DatabaseError:
        return False
    finally:
        database.close()


def _read(database: sqlite3.Connection, release: Release, progress: Progress) -> None:
    total = sum(stage.size for stage in release.stages)
    before = 0
    stage_done, line, offset = _checkpoint(database)
    for number, stage in enumerate(release.stages):
        if number >= stage_done:
            started = (line, offset) if number == stage_done else (0, 0)
            for at, here in _stage(database, stage, *started):
                _mark(database, number, at, here)
                progress(before + here, total)
            database.execute("BEGIN")
            _mark(database, number + 1, 0, 0)
            database.execute("COMMIT")
        before += stage.size
        progress(before, total)


def _checkpoint(database: sqlite3.Connection) -> tuple[int, int, int]:
    found = database.execute("SELECT value FROM meta WHERE name = 'checkpoint'").fetchone()
    stage, line, offset = json.loads(found[0]) if found else (0, 0, 0)
    return stage, line, offset


def _mark(database: sqlite3.Connection, stage: int, line: int, offset: int) -> None:
    value = json.dumps([stage, line, offset])
    database.execute("INSERT OR REPLACE INTO meta VALUES ('checkpoint', ?)", (value,))


def _stage(database: sqlite3.Connection, stage: Stage, line: int, offset: int) -> Iterator[tuple[int, int]]:
    """Read a file on from an offset; yields (lines, bytes) before each commit."""
    with stage.open() as file:
        first = _line(file, stage, 1)
        parse = _parser(stage, first)
        if line:
            _skip(file, offset)
        elif stage.headed:
            line, offset = 1, len(first)
        else:
            _skip(file, 0)
        database.execute("BEGIN")
        try:
            while raw := _line(file, stage, line + 1):
                line, offset = line + 1, offset + len(raw)
                _take(database, stage, parse, raw, line)
                if line % _EACH == 0:
                    yield line, offset
                    database.execute("COMMIT")
                    database.execute("BEGIN")
            yield line, offset
            database.execute("COMMIT")
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise


def _skip(file: IO[bytes], offset: int) -> None:
    file.seek(offset)


def _line(file: IO[bytes], stage: Stage, number: int) -> bytes:
    raw = file.readline(_LONGEST + 1)
    if len(raw) > _LONGEST:
        raise ImportProblem(f"the line is longer than {_LONGEST} bytes", stage.name, number)
    return raw


def _parser(stage: Stage, first: bytes) -> Parse:
    try:
        return stage.parser(_decoded(first))
    except ValueError as error:
        raise ImportProblem(str(error), stage.name, 1) from None


def _take(database: sqlite3.Connection, stage: Stage, parse: Parse, raw: bytes, line: int) -> None:
    try:
        text = _decoded(raw)
        if text.strip():
            for row in parse(text):
                _put(database, row)
    except (ValueError, sqlite3.IntegrityError) as error:
        why = "the code is there twice" if isinstance(error, sqlite3.IntegrityError) else str(error)
        raise ImportProblem(why, stage.name, line) from None


def _decoded(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("the line is not UTF-8") from None


def _put(database: sqlite3.Connection, row: Row) -> None:
    match row:
        case Concept(code, display, inactive):
            database.execute("INSERT INTO concept VALUES (NULL, ?, ?, ?)", (code, display, inactive))
        case Text(code, value, language, use, rank):
            database.execute(_PUT[Text], (value, language, use, rank, code))
        case Parent(code, parent):
            database.execute(_PUT[Parent], (parent, code))
        case Property(code, name, value):
            database.execute(_PUT[Property], (name, value, code))
        case Member(code, set_):
            database.execute(_PUT[Member], (set_, code))
        case Preferred(description):
            database.execute("INSERT OR IGNORE INTO preferred VALUES (?)", (description,))
        case Described(description, text):
            found = database.execute(
                "SELECT 1 FROM preferred WHERE description = ?", (description,)
            ).fetchone()
            use = text.use if found is None else None
            rank = text.rank if found or text.rank is None else _LATER
            _put(database, Text(text.code, text.value, text.language, use, rank))


def _finish(database: sqlite3.Connection, release: Release) -> None:
    (codes,) = database.execute("SELECT count(*) FROM concept").fetchone()
    if not codes:
        raise ImportProblem("There is no code in it", release.stages[0].name)
    # An import that was stopped later than this has its indexes already.
    if not database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'edge'").fetchone():
        database.executescript(f"BEGIN;{_INDEXES}{'' if release.case_sensitive else _FOLDED}COMMIT;")
    header = {
        "resourceType": "CodeSystem",
        "url": release.url,
        "version": release.version,
        "name": release.name,
        "status": "active",
        "language": release.language,
        "caseSensitive": release.case_sensitive,
        "content": release.content,
        "count": codes,
        "property": [{"code": code, "type": "string"} for code in release.properties],
    }
    database.execute("INSERT OR REPLACE INTO meta VALUES ('header', ?)", (json.dumps(header),))
    database.execute("INSERT OR REPLACE INTO meta VALUES ('format', ?)", (FORMAT,))
    database.execute("ANALYZE")
