"""A code system in a file that build.py has made, answered from concept by concept.

What stays in memory is bounded: a connection for each thread, with SQLite's own page cache.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from fhir_server.imported.build import FORMAT
from terminology.code_system import CodeSystem, Concept, Designation

_UNDER = """WITH RECURSIVE found(code) AS (
    SELECT code FROM edge WHERE parent = ?
    UNION SELECT edge.code FROM edge JOIN found ON edge.parent = found.code
) SELECT code FROM found"""
_OVER = """WITH RECURSIVE found(code) AS (
    SELECT parent FROM edge WHERE code = ?
    UNION SELECT edge.parent FROM edge JOIN found ON edge.code = found.code
) SELECT code FROM found"""
_USES = "http://snomed.info/sct"
_WORD = re.compile(r"\w+")


class _File:
    """Read-only connections, one for each thread that asks."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._own = threading.local()

    def all(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def each(self, statement: str, *values: Any) -> Iterator[Any]:
        yield from self._connection.execute(statement, values)

    @property
    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._own, "connection"):
            self._own.connection = sqlite3.connect(self._uri, uri=True)
        connection: sqlite3.Connection = self._own.connection
        return connection


class _Concepts(Mapping[str, Concept]):
    """Concepts by code, each made when it is asked for."""

    def __init__(self, file: _File) -> None:
        self._file = file

    def __getitem__(self, code: str) -> Concept:
        found = self._file.all("SELECT code, display, inactive FROM concept WHERE code = ?", code)
        if not found:
            raise KeyError(code)
        return self._made(*found[0])

    def __contains__(self, code: object) -> bool:
        return bool(self._file.all("SELECT 1 FROM concept WHERE code = ?", code))

    def __iter__(self) -> Iterator[str]:
        return (code for (code,) in self._file.each("SELECT code FROM concept"))

    def __len__(self) -> int:
        return int(self._file.all("SELECT count(*) FROM concept")[0][0])

    def _made(self, code: str, display: str | None, inactive: int) -> Concept:
        texts = self._file.all(
            "SELECT value, language, use FROM text WHERE code = ? ORDER BY rank, rowid", code
        )
        properties = self._file.all("SELECT name, value FROM property WHERE code = ?", code)
        parents = self._file.all("SELECT parent FROM edge WHERE code = ?", code)
        children = self._file.all("SELECT code FROM edge WHERE parent = ?", code)
        return Concept(
            code,
            display,
            designations=tuple(_designation(*text) for text in texts if text[0] != display or text[2]),
            properties=tuple({"code": name, "valueString": value} for name, value in properties),
            parents=[parent for (parent,) in parents],
            children=[child for (child,) in children],
            inactive=bool(inactive),
            status="inactive" if inactive else None,
        )


def _designation(value: str, language: str | None, use: str | None) -> Designation:
    return Designation(value, language, {"system": _USES, "code": use} if use else None)


class ImportedSystem(CodeSystem):
    """`large`: its concepts are looked up, not listed."""

    large = True

    def __init__(self, path: Path) -> None:
        file = _File(path)
        (header,) = file.all("SELECT value FROM meta WHERE name = 'header'")[0]
        super().__init__(json.loads(header), _Concepts(file), ())  # type: ignore[arg-type]
        object.__setattr__(self, "_file", file)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {}

    def find(self, code: str) -> Concept | None:
        if code in self.concepts:
            return self.concepts[code]
        if self.case_sensitive:
            return None
        found = self._rows("SELECT code FROM concept WHERE code = ? COLLATE NOCASE LIMIT 1", code)
        return self.concepts[found[0][0]] if found else None

    def under(self, code: str) -> Iterator[str]:
        return (below for (below,) in self._rows(_UNDER, code) if below != code)

    def over(self, code: str) -> set[str]:
        return {above for (above,) in self._rows(_OVER, code)}

    def walk(self) -> Iterator[Concept]:
        for code in self.concepts:
            yield self.concepts[code]

    def having(self, name: str, values: set[str]) -> Iterator[Concept]:
        marks = ", ".join("?" * len(values))
        statement = f"SELECT DISTINCT code FROM property WHERE name = ? AND value IN ({marks})"  # noqa: S608
        for (code,) in self._rows(statement, name, *values):
            yield self.concepts[code]

    def search(self, words: str) -> Iterator[Concept]:
        wanted = " ".join(f'"{word}"*' for word in _WORD.findall(words))
        found = (
            self._rows("SELECT DISTINCT code FROM words WHERE words MATCH ? LIMIT 10000", wanted)
            if wanted
            else []
        )
        for code in dict.fromkeys(
            [*(code for (code,) in found), *([words] if words in self.concepts else [])]
        ):
            yield self.concepts[code]

    def _rows(self, statement: str, *values: Any) -> list[Any]:
        file: _File = self.__dict__["_file"]
        return file.all(statement, *values)


class Imported:
    """The code systems of a folder; a file that comes is seen with the next question."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[tuple[str, int], ...] = ()
        self._systems: dict[str, list[ImportedSystem]] = {}
        self._lock = threading.Lock()

    def __call__(self, url: str) -> list[ImportedSystem]:
        """Those of a URL, all of them for ""."""
        found = self.by_url
        return found.get(url, []) if url else [system for systems in found.values() for system in systems]

    @property
    def by_url(self) -> Mapping[str, list[ImportedSystem]]:
        with self._lock:
            files = sorted(self._folder.glob("*.db"))
            seen = tuple((file.name, file.stat().st_mtime_ns) for file in files)
            if seen != self._seen:
                systems: dict[str, list[ImportedSystem]] = {}
                for file in files:
                    if _readable(file):
                        system = ImportedSystem(file)
                        systems.setdefault(system.url, []).append(system)
                self._seen, self._systems = seen, systems
            return self._systems


def _readable(path: Path) -> bool:
    """Whether it is a file of ours, in the form that this version reads."""
    try:
        found = _File(path).all("SELECT value FROM meta WHERE name = 'format'")
    except sqlite3.DatabaseError:
        return False
    return bool(found) and found[0][0] == FORMAT
