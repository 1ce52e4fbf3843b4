"""Whether a condition of the query tree holds for one version, decided outside of the store.

For versions that are no longer current, and for what is about to be written: neither can be searched for.
What a condition says of other resources is asked of the store, which is why these are generators: each yields
queries and is sent what they find, by a Store or a Transaction alike.

    steps = holds(node, facts)      # drive it with asked() in a transaction, answered() outside
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fhir_server.resource_json import decode_stored
from fhir_server.search.extract import confining, extract
from fhir_server.search.query import TABLES, And, Chain, Has, Match, Node, Not, Or, Query, Test, Values
from fhir_server.store.base import Version
from fhir_server.store.rows import Rows, tidy

T = TypeVar("T")
Asking = Generator[Query, Sequence[Version], T]


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one version: by which rows it would be found."""

    type: str
    id: str
    updated: int
    rows: Rows


def facts_of(version: Version) -> Facts:
    """Of a stored version that is no deletion.

    A subject that was found by its identifier when it was written is not in the body; the store says who.
    """
    values = extract(version.type, decode_stored(version.body or b"{}"))
    rows = tidy(values).rows
    if version.patient is not None and values.patient != version.patient:
        same = confining(version.type)
        mentioned = {row[0] for row in rows.get("reference", ()) if row[0] in same and not row[1]}
        codes = sorted(same) if mentioned else []
        if version.type == "Provenance":  # the store knows whose what it is about is (unit.add)
            codes = ["patient"]
        more = [(code, "Patient", version.patient, "", "", "") for code in codes]
        rows["reference"] = [*rows.get("reference", ()), *more]
    return Facts(version.type, version.id, version.updated, rows)


def facts_to_be(type: str, id: str, updated: int, values: Values) -> Facts:
    """Of what is about to be stored."""
    return Facts(type, id, updated, tidy(values).rows)


def holds(node: Node, facts: Facts) -> Asking[bool]:
    """Whether the condition holds for it."""
    match node:
        case Match():
            return _matches(node, facts)
        case And(children):
            for child in children:
                if not (yield from holds(child, facts)):
                    return False
            return True
        case Or(children):
            for child in children:
                if (yield from holds(child, facts)):
                    return True
            return False
        case Not(child):
            return not (yield from holds(child, facts))
        case Chain(param, type, where):
            ids = {row[2] for row in _rows(facts, "reference", param) if row[1] == type and row[2]}
            return bool(ids) and (yield from _is_there(type, Match("resource", "_id", (_among(ids),)), where))
        case Has(type, param, where):
            to = (Test("type", "=", facts.type), Test("id", "=", facts.id))
            return (yield from _is_there(type, Match("reference", param, to), where))
    raise AssertionError("a condition of access depends on no value set or hierarchy")


def _among(ids: Iterable[str]) -> Test:
    return Test("id", "in", tuple(sorted(ids)))


def _is_there(type: str, which: Node, where: Node) -> Asking[bool]:
    return bool((yield Query(type, And((which, where)), count=1)))


def _rows(facts: Facts, table: str, param: str) -> list[tuple[Any, ...]]:
    return [row for row in facts.rows.get(table, ()) if row[0] == param]


def _matches(match: Match, facts: Facts) -> bool:
    if match.table == "resource":
        return all(_test(test, facts.id if test.column == "id" else facts.updated) for test in match.tests)
    columns = TABLES[match.table]
    return any(
        all(_test(test, row[1 + columns.index(test.column)]) for test in match.tests)
        for row in _rows(facts, match.table, match.param)
    )


def _test(test: Test, value: Any) -> bool:
    wanted = "" if test.value is None else test.value
    match test.op:
        case "=":
            return bool(value == wanted)
        case "!=":
            return bool(value != wanted)
        case "<":
            return bool(value < wanted)
        case "<=":
            return bool(value <= wanted)
        case ">":
            return bool(value > wanted)
        case ">=":
            return bool(value >= wanted)
        case "in":
            return value in wanted
        case "prefix":
            return str(value).startswith(wanted)
        case "contains":
            return wanted in str(value)
    raise AssertionError(test.op)


def asked(steps: Asking[T], find: Callable[[Query], Sequence[Version]]) -> T:
    """The outcome, where searches are answered at once."""
    try:
        query = next(steps)
        while True:
            query = steps.send(find(query))
    except StopIteration as done:
        outcome: T = done.value
        return outcome


async def answered(steps: Asking[T], find: Callable[[Query], Awaitable[Sequence[Version]]]) -> T:
    """The outcome, where they are awaited."""
    try:
        query = next(steps)
        while True:
            query = steps.send(await find(query))
    except StopIteration as done:
        outcome: T = done.value
        return outcome
