"""Chained conditions in two steps: first the ids of the resources at the other end, then those that refer.

https://hl7.org/fhir/R4/search.html#chaining. Both adapters do it like this while the other end is few; what
they do with many is their own. Both steps look at the same snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from fhir_server.search.query import Chain, Has, Query, Test, nodes
from fhir_server.store.tree import ALWAYS, NEVER, All, Either, Join, Leaf, Regular, conjuncts, joined

_NAMED = 20  # so many ids are a few
FEW = 1000  # so many resources at the other end become a list of ids


def resolve(tree: Regular, ids: Callable[[Join], list[str] | None]) -> Regular:
    """The tree with a list of ids for each Join of which `ids` has one (None: they are too many).

    The innermost come first: `ids` is asked about joins without others in them, as far as those had lists.
    Where a condition names a few resources by their ids, its joins stay: to look from those to the other end
    takes less than to list all that could be there.
    """
    if names_few(tree):
        return tree
    if isinstance(tree, Join):
        join = replace(tree, where=resolve(tree.where, ids))
        found = ids(join)
        return join if found is None else listed(join, found)
    if isinstance(tree, Leaf) or not any(joins(tree)):
        return tree
    return joined((resolve(child, ids) for child in tree.children), conjunctive=isinstance(tree, All))


def names_few(tree: Regular) -> bool:
    """Whether every match has one of a few ids that stand in the tree."""
    return any(
        isinstance(part, Leaf)
        and (part.table, part.absent) == ("resource", False)
        and all(any(_is_few(test) for test in tests) for tests in part.any_of)
        and len(part.any_of) <= _NAMED
        for part in conjuncts(tree)
    )


def _is_few(test: Test) -> bool:
    return test.column == "id" and (test.op == "=" or (test.op == "in" and len(test.value) <= _NAMED))


def listed(join: Join, ids: Iterable[str]) -> Regular:
    """The join, where `ids` are all the resources that can be at its other end.

    For a Has they are those of the resources referred to.
    """
    values = tuple(dict.fromkeys(ids))
    if not values:
        return ALWAYS if join.absent else NEVER
    test = Test("id", "in", values) if len(values) > 1 else Test("id", "=", values[0])
    if join.reverse:
        return Leaf("resource", "_id", ((test,),), join.absent)
    return Leaf("reference", join.param, ((Test("type", "=", join.type), test),), join.absent)


def relaxed(tree: Regular) -> Regular:
    """A tree without joins that every match of this one fulfils."""
    if isinstance(tree, Join):
        if tree.reverse or tree.absent:
            return ALWAYS
        return Leaf("reference", tree.param, ((Test("type", "=", tree.type),),))
    if isinstance(tree, Leaf):
        return tree
    return joined(map(relaxed, tree.children), conjunctive=isinstance(tree, All))


def joins(tree: Regular) -> Iterator[Join]:
    """The joins of a tree, without those inside of joins."""
    if isinstance(tree, Join):
        yield tree
    elif isinstance(tree, All | Either):
        for child in tree.children:
            yield from joins(child)


def referring(join: Join, ids: Iterable[str]) -> Regular:
    """What the resources at the other end of a Has fulfil if they refer to one of these."""
    to = Leaf("reference", join.param, ((Test("type", "=", join.own), Test("id", "in", tuple(ids))),))
    return joined((to, join.where), conjunctive=True)


def among(join: Join, ids: Iterable[str]) -> Regular:
    """What the resources at the other end of a Chain fulfil if they are among these."""
    these = Leaf("resource", "_id", ((Test("id", "in", tuple(ids)),),))
    return joined((these, join.where), conjunctive=True)


def types(query: Query) -> tuple[str, ...]:
    """The resource types that a search looks at."""
    ends = (node.type for node in nodes(query.where) if isinstance(node, Chain | Has))
    return tuple(dict.fromkeys((query.type, *ends)))
