"""Which index ranges a search on SQLite walks: the most selective ones, or one in the search's order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from fhir_server.search.query import Query, Sort, Test
from fhir_server.store.rows import TIMELINE
from fhir_server.store.tree import NEVER, All, Join, Leaf, Regular, Tests, conjuncts

PROBE = 1000  # a range with more rows than this is walked in the search's own order or not at all
BRANCHES = 16  # so many alternatives are walked one by one and merged; more are joined as a list

# table -> (index, its column besides the parameter), the preferred one first
INDEXES = {
    "token": (("token_code", "code"),),
    "string": (("string_folded", "folded"), ("string_exact", "exact")),
    "date": (("date_low", "low"), ("date_high", "high")),
    "number": (("number_low", "low"),),
    "quantity": (("quantity_low", "low"),),
    "reference": (("reference_id", "id"), ("reference_url", "url"), ("reference_value", "value")),
    "uri": (("uri_value", "value"),),
    "measure": (("measure_unit", "unit"),),
    "composite": (("composite_code", "code"),),
    "word": (("word_folded", "folded"),),
}
# indexes that leave out the rows in which their column is ""
PARTIAL = {"reference_url": "url", "reference_value": "value"}
# those of the rows that are ranges, by where they end: few, since most quantities are one number
WIDE = {"quantity": "quantity_wide", "measure": "measure_wide", "number": "number_wide"}
# those in which rows with one value lie in the order of commits
_IN_ORDER = frozenset(("token", "string", "reference", "uri", "word"))
# those in which all rows of a parameter lie together
WHOLE = {table: indexes[0][0] for table, indexes in INDEXES.items() if table != "reference"}
WALKS = {"seq": "version_type", "moment": "version_moment", "updated": "version_updated", "id": "version_id"}


@dataclass(frozen=True, slots=True)
class Access:
    """One index range, and the order in which walking it meets its versions ("" = none that is of use)."""

    table: str
    index: str
    order: str = ""
    leaf: Leaf | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """How a search is carried out: the ranges to merge, and what is left to check on each version met."""

    accesses: tuple[Access, ...]
    rest: tuple[Regular, ...]
    natural: bool  # the accesses meet the versions in the search's order


def wanted(sort: Sequence[Sort]) -> str:
    """The index order that a sort asks for, "" if no index has it."""
    if not sort:
        return "seq"
    key = (sort[0].table, sort[0].param, sort[0].column)
    if len(sort) > 1:
        return ""
    if key[0] == "resource":
        return key[2]
    return "moment" if key == ("date", "date", "low") else ""


def choose(query: Query, tree: Regular, order: str, sizes: Callable[[Sequence[Access]], list[int]]) -> Path:
    """The path of a search in that order; `sizes` counts the rows of index ranges, up to PROBE each.

    A patient's readings of given codes need no count. Otherwise the smallest range wins, and when none is
    small, one in the order of the search does: its walk ends with the page.
    """
    parts = conjuncts(tree)
    if tree == NEVER:
        return Path((), (), True)
    if query.patient is not None:
        for part in parts:
            if timeline := _timeline(part):
                return _path(timeline, part, parts, order)
    options: list[Option] = [(accesses, part) for part in parts if (accesses := _accesses(part))]
    if query.patient is not None:
        options.insert(0, ((Access("version", "version_patient", "moment"),), None))
    if not options:
        return Path((_walk(order),), parts, order != "")
    best = _smallest(query, options, order, sizes)
    if best is None:
        return Path((_walk(order),), parts, True)
    return _path(*best, parts, order)


Option = tuple[tuple[Access, ...], Regular | None]


def _path(accesses: tuple[Access, ...], part: Regular | None, parts: tuple[Regular, ...], order: str) -> Path:
    # the rows walked are what a leaf asks for; anything else is only narrowed by them
    rest = tuple(p for p in parts if p is not part) if isinstance(part, Leaf) else parts
    return Path(accesses, rest, _natural(accesses, order))


def _natural(accesses: tuple[Access, ...], order: str) -> bool:
    return order != "" and all(access.order == order for access in accesses)


def _walk(order: str) -> Access:
    return Access("version", WALKS[order or "seq"], order)


def _smallest(
    query: Query, options: list[Option], order: str, sizes: Callable[[Sequence[Access]], list[int]]
) -> Option | None:
    """The option to use, None when walking everything in the order wanted is better than any.

    It is not where the search is of one patient: all that refers to one is little beside everything.
    """
    if len(options) == 1 and _natural(options[0][0], order):
        return options[0]
    counts = iter(sizes([access for accesses, _ in options for access in accesses]))
    rated = []
    for position, (accesses, _) in enumerate(options):
        size = sum(next(counts) for _ in accesses)
        rated.append((min(size, PROBE), not _natural(accesses, order), position))
    size, unordered, position = min(rated)
    if size == PROBE and unordered and order:
        return next((option for option in options if _is_of(query.of, option)), None)
    return options[position]


def _is_of(patient: str | None, option: Option) -> bool:
    """Whether an option is the rows that refer to this patient."""
    is_them = Test("id", "=", patient)
    return patient is not None and all(
        access.table == "reference"
        and access.leaf is not None
        and all(is_them in t for t in access.leaf.any_of)
        for access in option[0]
    )


def _timeline(part: Regular) -> tuple[Access, ...]:
    """One range per code, if that is what this condition asks for."""
    if not isinstance(part, Leaf) or part.absent or part.table != "token" or part.param not in TIMELINE:
        return ()
    alternatives = _spread(part.any_of, "code")
    if len(alternatives) > BRANCHES or not all(_equal(tests, "code") for tests in alternatives):
        return ()
    return tuple(Access("timeline", "", "moment", replace(part, any_of=(tests,))) for tests in alternatives)


def _accesses(part: Regular) -> tuple[Access, ...]:
    """The index ranges that together hold every match of this condition, () if there are none."""
    if isinstance(part, Join):  # one that leads to few resources has become a leaf
        return ()
    if isinstance(part, Leaf):
        if part.absent:
            return ()
        return _of_resource(part) if part.table == "resource" else _of_rows(part)
    if isinstance(part, All):
        return min((found for child in part.children if (found := _accesses(child))), key=len, default=())
    each = [_accesses(child) for child in part.children]
    together = tuple(access for accesses in each for access in accesses)
    return together if all(each) and len(together) <= BRANCHES else ()


def _of_resource(leaf: Leaf) -> tuple[Access, ...]:
    if all(any(t.column == "id" and t.op in ("=", "in") for t in tests) for tests in leaf.any_of):
        return (Access("version", "version_id", "", leaf),)
    if len(leaf.any_of) == 1 and any(t.column == "updated" and t.op != "!=" for t in leaf.any_of[0]):
        return (Access("version", "version_updated", "updated", leaf),)
    return ()


def _of_rows(leaf: Leaf) -> tuple[Access, ...]:
    index, column = _index(leaf.table, leaf.any_of[0])
    alternatives = _spread(leaf.any_of, column)
    if len(alternatives) > BRANCHES:
        usable = index not in PARTIAL or all(_excludes_empty(tests, column) for tests in leaf.any_of)
        index = index if usable and listable(leaf, column) else WHOLE.get(leaf.table, "")
        return (Access(leaf.table, index, "", leaf),) if index else ()
    found = []
    for tests in alternatives:
        if parted := _ending_above(leaf.table, tests):
            points, wide = (replace(leaf, any_of=(each,)) for each in parted)
            found += [
                Access(leaf.table, WHOLE[leaf.table], "", points),
                Access(leaf.table, WIDE[leaf.table], "", wide),
            ]
            continue
        index, column = _index(leaf.table, tests)
        if not index:
            return ()
        ordered = leaf.table in _IN_ORDER and _equal(tests, column)
        found.append(Access(leaf.table, index, "seq" if ordered else "", replace(leaf, any_of=(tests,))))
    return tuple(found)


def _ending_above(table: str, tests: Tests) -> tuple[Tests, ...]:
    """Rows that end above something, as those that begin above it and those that reach over it."""
    bounds = [test for test in tests if test.column in ("low", "high") and test.op != "!="]
    if table not in WIDE or len(bounds) != 1 or bounds[0].column != "high" or bounds[0].op not in (">", ">="):
        return ()
    (bound,) = bounds
    below = "<=" if bound.op == ">" else "<"
    others = tuple(test for test in tests if test is not bound)
    begins = Test("low", bound.op, bound.value)
    return (*others, begins), (*others, bound, Test("low", below, bound.value))


def listable(leaf: Leaf, column: str) -> bool:
    """Whether every alternative is a plain equality of the same columns, this one among them."""
    columns = [test.column for test in leaf.any_of[0]]
    return column in columns and all(
        [test.column for test in tests] == columns and all(test.op == "=" for test in tests)
        for tests in leaf.any_of
    )


def _index(table: str, tests: Tests) -> tuple[str, str]:
    """The index with the tightest bound for these tests (equality, list, range; the whole parameter)."""
    for ops in (("=",), ("in",), ("<", "<=", ">", ">=", "prefix")):
        for index, column in INDEXES[table]:
            usable = index not in PARTIAL or _excludes_empty(tests, column)
            if usable and any(test.column == column and test.op in ops for test in tests):
                return index, column
    return WHOLE.get(table, ""), ""


def _excludes_empty(tests: Tests, column: str) -> bool:
    """Whether these tests alone say that the column is not ""."""
    return any(
        test.op in ("prefix", ">")
        or (test.op in ("=", ">=") and test.value != "")
        or (test.op == "in" and "" not in test.value)
        for test in tests
        if test.column == column
    )


def _equal(tests: Iterable[Test], column: str) -> bool:
    return any(test.column == column and test.op == "=" for test in tests)


def _spread(alternatives: tuple[Tests, ...], column: str) -> list[Tests]:
    """With an alternative for each value of a list, while they are few: each is then walked in order."""
    out: list[Tests] = []
    for tests in alternatives:
        lists = [test for test in tests if test.column == column and test.op == "in"]
        if lists and len(lists[0].value) <= BRANCHES:
            others = tuple(test for test in tests if test is not lists[0])
            out.extend((Test(column, "=", value), *others) for value in lists[0].value)
        else:
            out.append(tests)
    return out
