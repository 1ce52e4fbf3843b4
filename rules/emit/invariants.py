"""What an expression depends on, and when two are the same: loops compute once what does not change."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, Final

from rules.typed.tree import QueryClauses, Typed

# Stands for a dependency that has no name, or for an effect: such an expression stays where it is.
UNNAMED: Final = ""
_NAMES: Final = frozenset({"AliasRef", "QueryLetRef", "OperandRef"})
_CONVERSIONS: Final = frozenset({"ConvertList", "ConvertInterval"})
_SIMPLE: Final = frozenset(
    {
        "Property",
        "As",
        "ModelConversion",
        "AliasRef",
        "Add",
        "Subtract",
        "Quantity",
        "Literal",
        "Now",
        "Today",
    }
    | {"Interval", "ExpressionRef", "ParameterRef", "Start", "End", "ToDateTime", "ToQuantity", "OperandRef"}
)


class Dependencies:
    """Remembers for each node the names that it depends on."""

    def __init__(self) -> None:
        self._known: dict[
            int, tuple[Typed, frozenset[str]]
        ] = {}  # the node too, so that its id stays its own

    def of(self, node: Typed) -> frozenset[str]:
        """The aliases, lets and operands from outside of the node, and UNNAMED."""
        known = self._known.get(id(node))
        if known is None:
            known = self._known[id(node)] = node, frozenset(self._names(node))
        return known[1]

    def _names(self, node: Typed) -> Iterator[str]:
        if node.op in _NAMES and node.fields["name"] != "$this":
            yield str(node.fields["name"])
        elif node.op in _NAMES or node.op in ("ElementRef", "Local", "Message", "FunctionRef"):
            yield UNNAMED
        for operand in node.operands:
            yield from self.of(operand)
        if node.op == "Query":
            yield from self._of_query(node.fields["clauses"])
        for key, value in node.fields.items():
            if node.op in _CONVERSIONS and key == "by":
                yield from self.of(value) - {UNNAMED}
            else:
                yield from self._inside(value)

    def _inside(self, value: Any) -> Iterator[str]:
        if isinstance(value, Typed):
            yield from self.of(value)
        elif isinstance(value, list | tuple):
            for item in value:
                yield from self._inside(item)

    def _of_query(self, clauses: QueryClauses) -> Iterator[str]:
        found = set(self._inside([clauses.sources, clauses.lets, clauses.relationships, clauses.where]))
        found |= set(self._inside([clauses.returns, clauses.aggregate]))
        for key, _ in clauses.sort:
            found |= self.of(key) - {UNNAMED} if key is not None else set()
        own = {alias for alias, *_ in (*clauses.sources, *clauses.lets, *clauses.relationships)}
        yield from found - own - {clauses.aggregate[0] if clauses.aggregate else UNNAMED + "$"}


def same(node: Typed) -> Hashable:
    """A key that two nodes have in common only if they have the same value in one scope."""
    if node.op not in _SIMPLE:
        return id(node)
    fields = tuple(sorted(((name, str(value)) for name, value in node.fields.items() if name != "constant")))
    return (node.op, str(node.type), fields, *map(same, node.operands))
