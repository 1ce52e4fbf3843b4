"""Query -> SQL for SQLite: conditions about a version, those on other resources included.

https://www.sqlite.org/lang_expr.html. Decimals are compared as doubles, which keeps their order but may find
two alike that differ after the sixteenth digit.
"""

# ruff: noqa: S608 - statements are put together from constants; every value is bound

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.search.query import Query, Test
from fhir_server.store.tree import All, Join, Leaf, Regular, Tests, kind, successor

VARIABLES = 10_000  # SQLite allows three times as many, but no statement longer than a million bytes
LISTED = 100  # more values than this come as one, in JSON

# columns that hold the number of a text in table `name`
NAMED = {
    ("token", "system"),
    ("reference", "type"),
    ("reference", "system"),
    ("quantity", "system"),
    ("measure", "unit"),
    ("composite", "system"),
    ("composite", "system2"),
}


class Statement:
    """The parameters of one SQL statement, numbered as they are bound."""

    def __init__(self, query: Query, snapshot: int | None = None) -> None:
        self.type = query.type
        self.version = "v"  # the alias of the version that a condition is about
        self.values: list[Any] = []
        self._names: dict[str, str] = {}
        self._snapshot = snapshot
        self._at = ""
        self._aliases = 0

    def bind(self, value: Any) -> str:
        if len(self.values) == VARIABLES:
            raise FhirError("invalid", "The search has too many values")
        self.values.append(value)
        return f"?{len(self.values)}"

    def name(self, text: str) -> str:
        """The number of a text that occurs again and again; NULL, which equals nothing, if it never did."""
        if text not in self._names:
            self._names[text] = f"(SELECT id FROM name WHERE text = {self.bind(text)})"
        return self._names[text]

    def param(self, code: str) -> str:
        return self.name(f"{self.type} {code}")

    def current(self, version: str, seq: str = "") -> str:
        """A condition: the version was current at the snapshot. `seq`: where else its seq is at hand."""
        if not self._at:
            self._at = self.bind(self._snapshot)
        return f"{seq or f'{version}.seq'} <= {self._at} AND {version}.until > {self._at}"

    def listed(self, values: Sequence[Any]) -> str:
        """What stands behind IN."""
        if len(values) <= LISTED:
            return f"({', '.join(map(self.bind, values))})"
        return f"(SELECT value FROM json_each({self.bind(json.dumps(list(values)))}))"

    @contextmanager
    def about(self, type: str) -> Iterator[int]:
        """Conditions are about another version now, of this type; yields the number in its alias."""
        outer, self._aliases = (self.type, self.version), self._aliases + 1
        self.type, self.version = type, f"v{self._aliases}"
        yield self._aliases
        self.type, self.version = outer


def condition(s: Statement, node: Regular) -> str:
    """A boolean expression about the version in question."""
    if isinstance(node, Leaf):
        return _leaf(s, node)
    if isinstance(node, Join):
        return _joined(s, node)
    # the deepest operand first: each level then costs SQLite's parser one place of its hundred
    children = sorted(node.children, key=depth, reverse=True)
    if not children:
        return "1" if isinstance(node, All) else "0"
    return balanced([condition(s, child) for child in children], "AND" if isinstance(node, All) else "OR")


def _joined(s: Statement, join: Join) -> str:
    """Whether the resource at the other end is there: from the reference on to it, or back from it."""
    here, own = s.version, s.name(join.own)
    param = s.param(join.param)
    with s.about(join.type) as n:
        there = s.version
        if join.reverse:
            source = (
                f"reference AS r{n} INDEXED BY reference_id"
                f" CROSS JOIN version AS {there} ON {there}.seq = r{n}.seq"
            )
            found = f"r{n}.id = {here}.id AND r{n}.param = {s.param(join.param)} AND r{n}.type = {own}"
        else:
            source = (
                f"reference AS r{n} INDEXED BY sqlite_autoindex_reference_1"
                f" CROSS JOIN version AS {there} INDEXED BY version_id ON {there}.id = r{n}.id"
            )
            of = s.name(join.type)
            found = (
                f"r{n}.seq = {here}.seq AND r{n}.param = {param} AND r{n}.type = {of} AND {there}.type = {of}"
            )
        where = condition(s, join.where)
        exists = f"EXISTS (SELECT 1 FROM {source} WHERE {found} AND {s.current(there)} AND {where})"
    return f"NOT {exists}" if join.absent else exists


def depth(node: Regular) -> int:
    """How deeply conditions are nested in it."""
    if isinstance(node, Leaf):
        return 0
    inner = (node.where,) if isinstance(node, Join) else node.children
    return 1 + max(map(depth, inner), default=0)


def balanced(operands: Sequence[str], operator: str) -> str:
    """Joined as a tree, since SQLite refuses a chain of a thousand as too deep."""
    if len(operands) == 1:
        return operands[0]
    if len(operands) <= 8:
        return f"({f' {operator} '.join(operands)})"
    half = len(operands) // 2
    return f"({balanced(operands[:half], operator)} {operator} {balanced(operands[half:], operator)})"


def _leaf(s: Statement, leaf: Leaf) -> str:
    alias = s.version if leaf.table == "resource" else "t"
    found = balanced([tests_of(s, alias, leaf.table, tests) for tests in leaf.any_of], "OR")
    if leaf.table != "resource":
        found = f"EXISTS (SELECT 1 FROM {own_rows(s, leaf.table, leaf.param)} AND {found})"
    return f"NOT {found}" if leaf.absent else found


def own_rows(s: Statement, table: str, param: str) -> str:
    """Rows t of the version: by the key of the table, whatever else a test makes look attractive."""
    key = f"sqlite_autoindex_{table}_1"
    return f"{table} AS t INDEXED BY {key} WHERE t.seq = {s.version}.seq AND t.param = {s.param(param)}"


def tests_of(s: Statement, alias: str, table: str, tests: Tests) -> str:
    return balanced([_test(s, alias, table, test) for test in tests], "AND") if tests else "1"


def _test(s: Statement, alias: str, table: str, test: Test) -> str:
    column = f"{alias}.{test.column}"
    if (table, test.column) in NAMED:
        if test.op == "=":
            return f"{column} = {s.name(test.value)}"
        if test.op == "in":
            return f"{column} IN (SELECT id FROM name WHERE text IN {s.listed(test.value)})"
        column = f"(SELECT text FROM name WHERE id = {column})"
    if test.op == "prefix":
        bound = successor(test.value)
        below = f" AND {column} < {s.bind(bound)}" if bound else ""
        return f"({column} >= {s.bind(test.value)}{below})"
    if test.op == "contains":
        return f"instr({column}, {s.bind(test.value)}) > 0"
    number = kind(table, test.column) == "number"
    if test.op == "in":
        return f"{column} IN {s.listed([float(v) if number else v for v in test.value])}"
    return f"{column} {test.op} {s.bind(float(test.value) if number else test.value)}"
