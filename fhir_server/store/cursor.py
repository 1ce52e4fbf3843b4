"""Paging as both adapters do it: a cursor is the sort keys of a page's last entry, and its seq."""

from __future__ import annotations

from fhir_server.errors import FhirError
from fhir_server.search.query import Query
from fhir_server.store.tree import Leaf, Regular, conjuncts


def check_cursor(query: Query) -> None:
    """Raises FhirError("invalid") for an `after` that no page of this search can have given out."""
    after = query.after
    if after is None:
        return
    if len(after) != len(query.sort) + 1 or type(after[-1]) is not int:
        raise FhirError("invalid", "The paging cursor does not belong to this search")
    if not all(key is None or isinstance(key, int | float | str) for key in after[:-1]):
        raise FhirError("invalid", "The paging cursor is malformed")


def phases(query: Query, tree: Regular) -> tuple[bool, ...]:
    """For a walk in the order of moments: whether to look for what has a date (False), for what has none
    (True), or for both in turn. Those without come last, but first in an index."""
    if any(
        isinstance(node, Leaf) and (node.table, node.param, node.absent) == ("date", "date", False)
        for node in conjuncts(tree)
    ):
        return (False,)
    return (True,) if query.after is not None and query.after[0] is None else (False, True)
