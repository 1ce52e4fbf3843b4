"""One search parameter of one resource type, as extraction and matching need it.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhir_server.search.query import Match, Node, Or, Test
from profiles.definitions import Component
from rules.fhirpath import Branch


@dataclass(frozen=True, slots=True)
class Parameter:
    """`type` is the search type (token, date, ...); `branches` say where the values are and what they are.

    `kinds` are the FHIR types of the values, `targets` the resource types a reference can be to (empty =
    any), `systems` the code systems that the bindings of code elements imply (None = not known). `resource`
    is the resource type; `shared` has for each of the places it looks at the codes of all parameters that
    look there (see sharer). `parts` are the components of a composite parameter.
    """

    code: str
    type: str
    url: str
    branches: tuple[Branch, ...]
    kinds: frozenset[str]
    targets: tuple[str, ...] = ()
    systems: frozenset[str] | None = None
    versioned: bool = False  # whether the type has a `version` parameter, for `url=...|version`
    resource: str = ""
    shared: tuple[tuple[str, ...], ...] = ()
    parts: tuple[Component, ...] = ()

    @property
    def name(self) -> str:
        """What it is called in a search: `code` names its rows, which for one that was posted says more."""
        return self.code.partition("@")[0]

    def derived(self, table: str, suffix: str, tests: tuple[Test, ...]) -> Node:
        """There is a row for which all tests hold among those derived from this parameter's values.

        Parameters that look at the same values share such rows: the rows are of all of them together.
        """
        return Or(tuple(Match(table, derived_code(codes, suffix), tests) for codes in self.shared))


def derived_code(codes: tuple[str, ...], suffix: str) -> str:
    """What stands in the place of a parameter code in rows derived from what these parameters look at."""
    return f"{','.join(codes)}:{suffix}"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a value's meaning depends on beside the value: the server's base URL and the time now (us).

    `posted` has the parameters that users posted and that are indexed, by resource type and code; `waiting`
    says of the others, by the same, what is to be done (fhir_server.search.posted).
    """

    base: str
    now: int
    posted: Mapping[str, Mapping[str, Parameter]] = field(default_factory=dict, hash=False)
    waiting: Mapping[tuple[str, str], str] = field(default_factory=dict, hash=False)

    def why(self, type: str, code: str) -> str:
        """What an error about a parameter that cannot be used may say further."""
        said = self.waiting.get((type, code.partition(":")[0]))
        return f": {said}" if said else ""


class BadValue(ValueError):
    """A value that its parameter cannot have. The message never repeats the value: it may be personal."""
