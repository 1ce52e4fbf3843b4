"""The query tree: what a search asks, before any store says how.

https://hl7.org/fhir/R4/search.html. Parameter types (search/parameters/) write it, adapters render it.
A leaf says "the resource has a row in this table for which all tests hold"; the meaning of prefixes,
precision and modifiers is spent before it gets here, so that an adapter compares columns and knows no FHIR.
Chain and Has say that a local reference leads to, or comes from, another resource.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

# The typed tables of search values, and the columns of each.
# Every row belongs to one parameter of one resource version.
TABLES: dict[str, tuple[str, ...]] = {
    "token": ("system", "code"),  # system "" = the coding has none; code "" = only a system
    "string": ("folded", "exact"),  # folded: case and accents removed; exact: as written
    "date": ("low", "high"),  # microseconds since 1970 UTC, [low, high); open ends are MIN_TIME, MAX_TIME
    "number": ("low", "high"),  # Decimal, [low, high] ; a plain number has low == high
    "quantity": ("low", "high", "system", "code", "unit"),
    "reference": ("type", "id", "url", "system", "value"),  # local: type+id; absolute: url; identifier
    "uri": ("value",),
    # a quantity in UCUM in the base unit of its dimension, so that it is found in any unit of it: [low, high]
    "measure": ("unit", "low", "high"),
    # the parts of one element, for composite parameters: a token, and whatever the other parts are
    "composite": ("system", "code", "low", "high", "low2", "high2", "system2", "code2", "text"),
    "word": ("folded",),  # of what people read: texts of codes (param "code:text"), narratives, contents
}
MIN_TIME = -(2**62)
MAX_TIME = 2**62
MIN_NUMBER = Decimal("-1e300")
MAX_NUMBER = Decimal("1e300")


@dataclass(frozen=True, slots=True)
class Values:
    """Everything one resource version is found by, extracted once, outside the adapters.

    `rows` maps a table of TABLES to tuples (parameter code, *columns). `patient` is the id of the Patient
    whose compartment the resource is in (for a Patient its own id), `moment` the low end of the type's own
    `date` parameter in microseconds: adapters carry both next to tokens, so that "this patient's readings
    of this code, newest first" is one index range.
    """

    rows: dict[str, tuple[tuple[Any, ...], ...]]
    patient: str | None = None
    moment: int | None = None


@dataclass(frozen=True, slots=True)
class Test:
    """`column op value`; op: = != < <= > >= in (a tuple) prefix contains (both case-sensitive, on text)."""

    __test__ = False  # not a test case, whatever pytest thinks

    column: str
    op: str
    value: Any


@dataclass(frozen=True, slots=True)
class Match:
    """The resource has a row of `param` in `table` for which all tests hold (no tests: has any row).

    Table "resource" is the version itself, with the columns `id` and `updated` (microseconds).
    """

    table: str
    param: str
    tests: tuple[Test, ...] = ()


@dataclass(frozen=True, slots=True)
class And:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    children: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    child: Node


@dataclass(frozen=True, slots=True)
class Chain:
    """The resource refers by `param` to a current resource of `type` for which `where` holds."""

    param: str
    type: str
    where: Node


@dataclass(frozen=True, slots=True)
class Has:
    """A current resource of `type` for which `where` holds refers by `param` to the resource."""

    type: str
    param: str
    where: Node


@dataclass(frozen=True, slots=True)
class Lookup:
    """A condition on `param` of `type` whose codes or ids stand in other resources: a value set, a hierarchy.

    search/lookup.py reads them and puts a plain condition in its place; a store is never asked this.
    """

    kind: str
    type: str
    param: str
    text: str
    parameter: Any = None  # the parameter itself


Node = Match | And | Or | Not | Chain | Has | Lookup

EVERYTHING = And(())
NOTHING = Or(())


def nodes(node: Node) -> Iterator[Node]:
    """The condition and all conditions inside of it, each before its own."""
    yield node
    match node:
        case And(children) | Or(children):
            for child in children:
                yield from nodes(child)
        case Not(child):
            yield from nodes(child)
        case Chain(_, _, where) | Has(_, _, where):
            yield from nodes(where)


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key: the smallest value of `column` among the rows of `param`; without a row, last.

    Table "resource" sorts by the version's own `id` or `updated`.
    """

    table: str
    param: str
    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A search of one resource type.

    `patient` is a hint that the parser derives when a conjunct confines the result to one patient's
    compartment (`subject=Patient/1`, `patient=1`): every match has Values.patient == it. It narrows which
    index an adapter walks, never what the search means. `of` is a weaker one: every match refers to that
    Patient by a parameter in `where`, and may be about another.
    `after` continues behind the last entry of a page (opaque to everyone but the adapter) and `snapshot`
    is the commit number the first page saw: both come from a Found.
    """

    type: str
    where: Node = EVERYTHING
    sort: tuple[Sort, ...] = ()
    count: int = 20
    patient: str | None = None
    after: tuple[Any, ...] | None = None
    snapshot: int | None = None
    of: str | None = None
