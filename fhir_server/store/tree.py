"""Query trees made regular: negation at the leaves, no constants, little nesting, values one can bind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from fhir_server.errors import FhirError
from fhir_server.search.query import (
    MAX_TIME,
    MIN_TIME,
    And,
    Chain,
    Has,
    Lookup,
    Match,
    Node,
    Not,
    Or,
    Query,
    Test,
)

# SQLite's parser and BSON both end at about a hundred levels; a search in a URL needs four.
DEEPEST = 30

Tests = tuple[Test, ...]


@dataclass(frozen=True, slots=True)
class Leaf:
    """A row of `param` in `table` for which all tests of one alternative hold; or, if absent, no such row."""

    table: str
    param: str
    any_of: tuple[Tests, ...]
    absent: bool = False


@dataclass(frozen=True, slots=True)
class All:
    children: tuple[Regular, ...]


@dataclass(frozen=True, slots=True)
class Either:
    children: tuple[Regular, ...]


@dataclass(frozen=True, slots=True)
class Join:
    """A current resource of `type` for which `where` holds is referred to by `param` of this one (Chain).

    Or, if `reverse`, refers by its own `param` to this one (Has). If absent, there is no such resource. `own`
    is the type of this one.
    """

    own: str
    type: str
    param: str
    where: Regular
    reverse: bool = False
    absent: bool = False


Regular = Leaf | All | Either | Join
ALWAYS = All(())
NEVER = Either(())


def regular(query: Query) -> Regular:
    """What the query asks, as an alternation of All and Either over leaves.

    Raises FhirError("invalid") when it is nested too deeply for any store.
    """
    if not encodable(query.patient or ""):
        return NEVER
    return _regular(query.where, query.type, negated=False, depth=0)


def encodable(*texts: str) -> bool:
    """Whether a store can hold these texts: not with half a surrogate pair, which is no character."""
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError:
        return False
    return True


def conjuncts(tree: Regular) -> tuple[Regular, ...]:
    """What must all hold."""
    return tree.children if isinstance(tree, All) else (tree,)


def kind(table: str, column: str) -> str:
    """Whether a column holds "text", "time" (int, microseconds) or "number" (Decimal)."""
    if table == "date" or column == "updated":
        return "time"
    if column in ("low", "high", "low2", "high2"):
        return "number"
    return "text"


def implied(tests: Tests) -> Tests:
    """What low <= high adds to tests of an interval, so that an index on either end has a bound."""
    more = []
    for test in tests:
        if test.column == "high" and test.op in ("<", "<=", "="):
            more.append(Test("low", "<" if test.op == "<" else "<=", test.value))
        if test.column == "low" and test.op in (">", ">=", "="):
            more.append(Test("high", ">" if test.op == ">" else ">=", test.value))
    return tests + tuple(more)


def successor(prefix: str) -> str | None:
    """The least text greater than every text with this prefix (by code points), None if there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last == 0xD800:  # surrogates are no characters
            last = 0xE000
        if last <= 0x10FFFF:
            return prefix[:-1] + chr(last)
        prefix = prefix[:-1]
    return None


def _regular(node: Node, type: str, negated: bool, depth: int) -> Regular:
    if depth > DEEPEST:
        raise FhirError("invalid", "The search is nested too deeply")
    while isinstance(node, Not):
        node, negated = node.child, not negated
    if isinstance(node, Match):
        return _leaf(node, negated)
    if isinstance(node, Lookup):
        raise FhirError("not-supported", f"A condition such as :{node.kind} is not possible here")
    if isinstance(node, Chain | Has):
        where = _regular(node.where, node.type, negated=False, depth=depth + 1)
        if where == NEVER:
            return ALWAYS if negated else NEVER
        return Join(type, node.type, node.param, where, isinstance(node, Has), negated)
    conjunctive = isinstance(node, And) is not negated
    children: list[Regular] = []
    for child, flipped in _operands(node, negated):
        made = _regular(child, type, flipped, depth + 1)
        if isinstance(made, All if conjunctive else Either):
            children.extend(made.children)
        else:
            children.append(made)
    return _join(children, conjunctive)


def joined(children: Iterable[Regular], *, conjunctive: bool) -> Regular:
    """These together as one regular tree: all of them if conjunctive, else one of them."""
    flat: list[Regular] = []
    for child in children:
        flat += child.children if isinstance(child, All if conjunctive else Either) else (child,)
    return _join(flat, conjunctive)


def _operands(node: And | Or, negated: bool) -> Iterable[tuple[Node, bool]]:
    """The children, with those of the same kind replaced by theirs (without recursion, however long)."""
    conjunctive = isinstance(node, And) is not negated
    stack: list[tuple[Node, bool]] = [(node, negated)]
    while stack:
        current, flipped = stack.pop()
        while isinstance(current, Not):
            current, flipped = current.child, not flipped
        if isinstance(current, And | Or) and (isinstance(current, And) is not flipped) == conjunctive:
            stack.extend((child, flipped) for child in reversed(current.children))
        else:
            yield current, flipped


def _join(children: list[Regular], conjunctive: bool) -> Regular:
    neutral, decisive = (ALWAYS, NEVER) if conjunctive else (NEVER, ALWAYS)
    if decisive in children:
        return decisive
    merged = _merge([child for child in children if child != neutral], absent=conjunctive)
    if len(merged) == 1:
        return merged[0]
    return All(tuple(merged)) if conjunctive else Either(tuple(merged))


def _merge(children: list[Regular], absent: bool) -> list[Regular]:
    """One leaf per parameter: "a row like this or one like that" asks once, as does "none like either"."""
    rest: list[Regular] = []
    alternatives: dict[tuple[str, str], dict[Tests, None]] = {}
    for child in children:
        if isinstance(child, Leaf) and child.absent == absent:
            alternatives.setdefault((child.table, child.param), {}).update(dict.fromkeys(child.any_of))
        else:
            rest.append(child)
    return [Leaf(*of, tuple(tests), absent) for of, tests in alternatives.items()] + rest


def _leaf(match: Match, negated: bool) -> Regular:
    tests: list[Test] = []
    for test in match.tests:
        made = _test(match.table, test)
        if made is False:
            return ALWAYS if negated else NEVER
        if made is not True:
            tests.append(made)
    return Leaf(match.table, match.param, (tuple(tests),), negated)


def _test(table: str, test: Test) -> Test | bool:
    """The test with a value that a store can bind, or what it comes to for every row."""
    of = kind(table, test.column)
    if test.op == "in":
        values = tuple(dict.fromkeys(_value(of, value) for value in test.value if _bindable(of, value)))
        return Test(test.column, "in", values) if values else False
    if test.op in ("prefix", "contains"):
        if of != "text" or not _bindable(of, test.value):
            return False
        return test if test.value else True
    if not _bindable(of, test.value):  # text with half a surrogate pair: no row can hold it
        return test.op == "!="
    return Test(test.column, test.op, _value(of, test.value))


def _bindable(of: str, value: object) -> bool:
    return of != "text" or not isinstance(value, str) or encodable(value)


def _value(of: str, value: str | int | Decimal | None) -> str | int | Decimal:
    if value is None:
        return ""
    if of == "time":
        return max(MIN_TIME - 1, min(MAX_TIME + 1, int(value)))
    return value
