"""A code system in a file that build.py has made, answered from concept by concept.

What stays in memory is bounded: a connection for each thread, with SQLite's own page cache.
"""

# ruff: noqa: S608 - statements are put together from the constants of this file, and values are bound

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fhir_server.imported.build import FORMAT
from terminology.code_system import Concept, Designation
from terminology.findings import refuse
from terminology.large import Condition, LargeSystem
from terminology.versions import joined

# A code and what is under it, or over it; nearest first.
_UNDER = """WITH RECURSIVE found(id) AS (
    SELECT ? UNION SELECT edge.concept FROM found CROSS JOIN edge ON edge.parent = found.id
) SELECT id FROM found"""
_OVER = """WITH RECURSIVE found(id) AS (
    SELECT ? UNION SELECT edge.parent FROM found CROSS JOIN edge ON edge.concept = found.id
) SELECT id FROM found"""
_LEAF = "NOT EXISTS (SELECT 1 FROM edge WHERE parent = {}.id)"
# The ids that a condition of the hierarchy selects, and how often the id of its code is in the statement.
_OF_HIERARCHY = {
    "is-a": (_UNDER, 1),
    "descendent-of": (_UNDER + " WHERE id <> ?", 2),
    "descendent-leaf": (_UNDER + " WHERE id <> ? AND " + _LEAF.format("found"), 2),
    "child-of": ("SELECT concept AS id FROM edge WHERE parent = ?", 1),
    "generalizes": (_OVER, 1),
}
# The same of one id, looking upwards: there is little above a code, and may be a million below.
_IS_UNDER = """EXISTS (WITH RECURSIVE up(id) AS (
    SELECT these.id UNION SELECT edge.parent FROM up CROSS JOIN edge ON edge.concept = up.id
) SELECT 1 FROM up WHERE id = ?)"""
_TESTS = {
    "is-a": (_IS_UNDER, 1),
    "descendent-of": (_IS_UNDER + " AND these.id <> ?", 2),
    "descendent-leaf": (_IS_UNDER + " AND these.id <> ? AND " + _LEAF.format("these"), 2),
}
_CACHE = "PRAGMA cache_size = -16384"  # of a connection, in KiB
_MOST_TOTALS = 1000
# Of SQLite's virtual machine, for what goes through many rows: all that are below the root of a million
# concepts take 3 * 10**7.
_MOST_STEPS, _STEPS = 2 * 10**8, 10**6
_ACTIVE = Condition("active")
_NONE = ["SELECT id FROM concept WHERE 0"]
_USES = "http://snomed.info/sct"
# The words of the index, which knows no underscore.
_TOKEN = re.compile(r"[^\W_]+")


class _File:
    """Read-only connections, one for each thread that asks."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._own = threading.local()

    def all(self, statement: str, *values: Any) -> list[Any]:
        return self._connection.execute(statement, values).fetchall()

    def each(self, statement: str, *values: Any) -> Iterator[Any]:
        """Row by row. TerminologyError where it takes more than the steps that a question may."""
        self._own.left = _MOST_STEPS
        try:
            yield from self._connection.execute(statement, values)
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            text = "The question takes too long of a code system of this size: ask for less of it"
            raise refuse("too-costly", text, "unprocessable") from None
        finally:
            self._own.left = None

    def _step(self) -> bool:
        """Whether to stop; SQLite asks every so many of its steps."""
        left = getattr(self._own, "left", None)
        if left is None:
            return False
        self._own.left = left - _STEPS
        return bool(left <= 0)

    def one(self, statement: str, *values: Any) -> Any:
        """The first value of the first row, None where there is none."""
        found = self._connection.execute(statement, values).fetchone()
        return found[0] if found else None

    @property
    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._own, "connection"):
            self._own.connection = sqlite3.connect(self._uri, uri=True)
            self._own.connection.execute(_CACHE)
            self._own.connection.set_progress_handler(self._step, _STEPS)
        connection: sqlite3.Connection = self._own.connection
        return connection


class _Concepts(Mapping[str, Concept]):
    """Concepts by code, each made when it is asked for."""

    def __init__(self, file: _File) -> None:
        self._file = file

    def __getitem__(self, code: str) -> Concept:
        found = self._file.all("SELECT id, display, inactive FROM concept WHERE code = ?", code)
        if not found:
            raise KeyError(code)
        return self._made(code, *found[0])

    def __contains__(self, code: object) -> bool:
        return self._file.one("SELECT 1 FROM concept WHERE code = ?", code) is not None

    def __iter__(self) -> Iterator[str]:
        return (code for (code,) in self._file.each("SELECT code FROM concept"))

    def __len__(self) -> int:
        return int(self._file.one("SELECT count(*) FROM concept"))

    def _made(self, code: str, id: int, display: str | None, inactive: int) -> Concept:
        all = self._file.all
        texts = all("SELECT value, language, use FROM text WHERE concept = ? ORDER BY rank, rowid", id)
        properties = all("SELECT name, value FROM property WHERE concept = ?", id)
        parents = all("SELECT code FROM edge JOIN concept ON id = parent WHERE concept = ?", id)
        children = all("SELECT code FROM edge JOIN concept ON id = concept WHERE parent = ?", id)
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
    if not use:
        return Designation(value, language)
    # the uses of SNOMED CT are concepts; those of the others are names of columns
    return Designation(value, language, {"system": _USES, "code": use} if use.isdigit() else {"display": use})


class ImportedSystem(LargeSystem):
    """A code system of a file; see LargeSystem for what it is asked."""

    _file: _File
    _totals: OrderedDict[tuple[Condition, ...], int]  # of pages asked for: the next ones need not count again

    def __init__(self, path: Path) -> None:
        file = _File(path)
        header = json.loads(file.one("SELECT value FROM meta WHERE name = 'header'"))
        super().__init__(header, _Concepts(file), ())
        object.__setattr__(self, "_file", file)
        object.__setattr__(self, "_totals", OrderedDict())

    def find(self, code: str) -> Concept | None:
        concept = self.concepts.get(code)
        if concept is None and not self.case_sensitive:
            written = self._file.one("SELECT code FROM concept WHERE code = ? COLLATE NOCASE LIMIT 1", code)
            concept = self.concepts[written] if written else None
        return concept

    def display_of(self, code: str) -> str | None:
        display: str | None = self._file.one("SELECT display FROM concept WHERE code = ?", code)
        return display

    def under(self, code: str) -> Iterator[str]:
        return (below for below in self._codes(_UNDER, self._id(code)) if below != code)

    def over(self, code: str) -> set[str]:
        return set(self._codes(_OVER, self._id(code))) - {code}

    def page(self, conditions: Sequence[Condition], offset: int, count: int) -> tuple[int, list[str]]:
        if not conditions:
            found = self._codes("SELECT id FROM concept ORDER BY id LIMIT ? OFFSET ?", count, offset)
            return int(self.resource["count"]), list(found)
        known = None if self.extras else self._totals.get(tuple(conditions))
        total, shown = 0, []
        for (id,) in self._file.each(*self._where(conditions)):
            if offset <= total < offset + count:
                shown.append(id)
            elif total >= offset and known is not None:
                break
            total += 1
        if known is None:
            known = self._remember(tuple(conditions), total)
        return known, list(self._codes("SELECT value AS id FROM json_each(?)", json.dumps(shown)))

    def _remember(self, conditions: tuple[Condition, ...], total: int) -> int:
        if not self.extras:
            self._totals[conditions] = total
            while len(self._totals) > _MOST_TOTALS:
                self._totals.popitem(last=False)
        return total

    def first(self, conditions: Sequence[Condition], most: int) -> list[str]:
        statement, *values = self._where(conditions)
        return list(self._codes(f"{statement} LIMIT ?", *values, most))

    def fulfils(self, code: str, condition: Condition) -> bool:
        if code in self.added_by(condition):
            return True
        match condition:
            case Condition("is-a" | "descendent-of", (top,)):
                return top in self.over(code) or (condition.kind == "is-a" and top == code)
            case Condition("generalizes", (bottom,)):
                return code == bottom or code in self.over(bottom)
        statement, *values = self._where([condition])
        found = self._file.one("SELECT 1 FROM (" + statement + ") WHERE id = ?", *values, self._id(code))
        return found is not None

    def has_set(self, name: str) -> bool:
        return self._file.one("SELECT 1 FROM member WHERE set_ = ? LIMIT 1", name) is not None

    def _id(self, code: str) -> int | None:
        id: int | None = self._file.one("SELECT id FROM concept WHERE code = ?", code)
        return id

    def _codes(self, statement: str, *values: Any) -> Iterator[str]:
        """The codes of the ids that a statement finds, in its order."""
        whole = "SELECT code FROM (" + statement + ") AS these CROSS JOIN concept ON concept.id = these.id"
        return (code for (code,) in self._file.each(whole, *values))

    def _where(self, conditions: Sequence[Condition]) -> list[Any]:
        """A statement for the ids that fulfil all conditions, and its values.

        The first condition is gone through by its index, the others tested.
        """
        selecting = sorted((c for c in conditions if c != _ACTIVE), key=lambda c: c.kind in _TESTS)
        if not selecting:
            return ["SELECT id FROM concept" + (" WHERE inactive = 0" if conditions else "")]
        statement, *values = self._with_added(selecting[0])
        tests = []
        for condition in selecting[1:]:
            test, *more = self._test(condition)
            tests.append(test)
            values += more
        if len(selecting) < len(conditions):
            tests.append("EXISTS (SELECT 1 FROM concept WHERE inactive = 0 AND id = these.id)")
        found = "SELECT id FROM (" + statement + ") AS these"
        return [found + " WHERE " * bool(tests) + " AND ".join(tests), *values]

    def _test(self, condition: Condition) -> list[Any]:
        """Whether one of `these` ids fulfils a condition."""
        if condition.kind in _TESTS and condition.values:
            test, times = _TESTS[condition.kind]
            return [test, *[self._id(condition.values[0])] * times]
        statement, *values = self._with_added(condition)
        return ["id IN (" + statement + ")", *values]

    def _with_added(self, condition: Condition) -> list[Any]:
        """The ids that fulfil a condition, by the system or by its supplements."""
        statement, *values = self._ids(condition)
        added = self.added_by(condition)
        if not added:
            return [statement, *values]
        more = "SELECT id FROM concept WHERE code IN (SELECT value FROM json_each(?))"
        return ["SELECT id FROM (" + statement + ") UNION " + more, *values, json.dumps(added)]

    def _ids(self, condition: Condition) -> list[Any]:
        match condition:
            case Condition(kind, (code,)) if kind in _OF_HIERARCHY:
                statement, times = _OF_HIERARCHY[kind]
                return [statement, *[self._id(code)] * times]
            case Condition("property", listed, name):
                having = "name = ? AND value IN (SELECT value FROM json_each(?))"
                statement = "SELECT DISTINCT concept AS id FROM property WHERE " + having
                return [statement, name, json.dumps(listed)]
            case Condition("member", (name,)):
                return ["SELECT concept AS id FROM member WHERE set_ = ?", name]
            case Condition("words", words):
                wanted = " ".join(f'"{token}"*' for word in words for token in _TOKEN.findall(word))
                return ["SELECT rowid AS id FROM words WHERE words MATCH ?", wanted] if wanted else _NONE
        return _NONE  # of a code that is not there


class Imported:
    """The code systems of a folder; a file that comes is seen with the next question.

    `outdated`: the names of what an earlier version imported, which must be imported again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: tuple[tuple[str, int], ...] = ()
        self._systems: dict[str, list[ImportedSystem]] = {}
        self._outdated: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, url: str) -> list[ImportedSystem]:
        """Those of a URL, all of them for ""."""
        found = self.by_url
        return found.get(url, []) if url else [system for systems in found.values() for system in systems]

    @property
    def by_url(self) -> Mapping[str, list[ImportedSystem]]:
        self._look()
        return self._systems

    @property
    def outdated(self) -> list[str]:
        self._look()
        return self._outdated

    def _look(self) -> None:
        with self._lock:
            files = sorted(self._folder.glob("*.db"))
            seen = tuple((file.name, file.stat().st_mtime_ns) for file in files)
            if seen == self._seen:
                return
            systems: dict[str, list[ImportedSystem]] = {}
            outdated = []
            for file in files:
                format, name = _read_header(file)
                if format == FORMAT:
                    system = ImportedSystem(file)
                    systems.setdefault(system.url, []).append(system)
                elif name:
                    outdated.append(name)
            self._seen, self._systems, self._outdated = seen, systems, outdated


def _read_header(path: Path) -> tuple[str | None, str | None]:
    """The form of a file of ours and the canonical of the code system in it; nothing of another file."""
    try:
        file = _File(path)
        format = file.one("SELECT value FROM meta WHERE name = 'format'")
        header = json.loads(file.one("SELECT value FROM meta WHERE name = 'header'") or "{}")
    except sqlite3.DatabaseError:
        return None, None
    return format, joined(header["url"], header.get("version")) if "url" in header else None
