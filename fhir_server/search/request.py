"""A search as it was understood: what to ask the store, and how to show what it finds.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

from dataclasses import dataclass

from fhir_server.errors import Issue
from fhir_server.search.cursor import Place
from fhir_server.search.parameters import Parameter
from fhir_server.search.query import Query

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Include:
    """`_include=source:param:target`: what this reference parameter of resources of `source` points to.

    With `reverse` (_revinclude) the resources of `source` that point by it to what is there. None = every
    source, every reference parameter, any target type. `iterate`: of included resources as well. `posted` is
    the parameter where a user posted it: `param` is what its rows are named then.
    """

    source: str | None
    param: str | None
    target: str | None = None
    reverse: bool = False
    iterate: bool = False
    posted: Parameter | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a search is made: on a type (`types` has one), on several or all, perhaps in a compartment.

    `path` is what stands between the base and the query string in its links.
    """

    types: tuple[str, ...]
    path: str
    compartment: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """A search of one type or of several, in one order.

    `queries` has one for each type: they differ in nothing but type and conditions. `applied` are the
    parameters that took effect, in the order of the self link; `issues` tell of the others. `total` is _total
    as asked (None = not asked), `summary` one of true, text, data, count or None, `elements` the names of
    _elements. `place` is the page asked for, None for a search that begins. `hidden`: the search came in a
    form, and its links do not show it. `now`: when it was made, microseconds since 1970. `explain`: _explain.
    `posted`: the rows of users' parameters that are looked at.
    """

    queries: tuple[Query, ...]
    applied: Pairs
    issues: tuple[Issue, ...]
    base: str
    path: str
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    includes: tuple[Include, ...] = ()
    place: Place | None = None
    hidden: bool = False
    now: int = 0
    explain: bool = False
    posted: tuple[str, ...] = ()

    @property
    def query(self) -> Query:
        """That of the first type, which says what all have in common."""
        return self.queries[0]

    @property
    def only_count(self) -> bool:
        """Whether no resources are wanted: _summary=count, and _count=0, which means the same."""
        return self.summary == "count" or self.query.count == 0

    @property
    def identity(self) -> str:
        """What a cursor belongs to: everything that decides which matches come in which order."""
        shown = [pair for pair in self.applied if pair[0].partition(":")[0] not in _NOT_IDENTITY]
        return repr((self.path, shown, *self.posted))


_NOT_IDENTITY = frozenset(
    ("_count", "_include", "_revinclude", "_summary", "_elements", "_total", "_format", "_pretty")
)
