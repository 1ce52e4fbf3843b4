"""A search as it was understood: what to ask the store, and how to show what it finds.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.errors import Issue
from fhir_server.search.query import Query

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Include:
    """`_include=source:param:target`: the resources that this reference parameter of the matches points to.

    `param` None = every reference parameter, `target` None = of any type.
    """

    param: str | None
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """A search of one type.

    `applied` are the parameters that took effect, in the order of the self link; `issues` tell of the
    others. `total` is _total as asked (None = not asked), `summary` one of true, text, data, count or None,
    `elements` the names of _elements. `known_total` came with the cursor of a page that is not the first.
    """

    query: Query
    applied: Pairs
    issues: tuple[Issue, ...]
    base: str
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    known_total: int | None = None

    @property
    def only_count(self) -> bool:
        """Whether no resources are wanted: _summary=count, and _count=0, which means the same."""
        return self.summary == "count" or self.query.count == 0

    @property
    def identity(self) -> str:
        """What a cursor belongs to: everything that decides which matches come in which order."""
        shown = [pair for pair in self.applied if pair[0] not in _NOT_IDENTITY]
        return repr((self.query.type, shown))


_NOT_IDENTITY = frozenset(("_count", "_include", "_summary", "_elements", "_total", "_format", "_pretty"))
