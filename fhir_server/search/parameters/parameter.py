"""One search parameter of one resource type, as extraction and matching need it.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

from dataclasses import dataclass

from rules.fhirpath import Branch


@dataclass(frozen=True, slots=True)
class Parameter:
    """`type` is the search type (token, date, ...); `branches` say where the values are and what they are.

    `kinds` are the FHIR types of the values, `targets` the resource types a reference can be to (empty =
    any), `systems` the code systems that the bindings of code elements imply (None = not known).
    """

    code: str
    type: str
    url: str
    branches: tuple[Branch, ...]
    kinds: frozenset[str]
    targets: tuple[str, ...] = ()
    systems: frozenset[str] | None = None
    versioned: bool = False  # whether the type has a `version` parameter, for `url=...|version`


@dataclass(frozen=True, slots=True)
class Scope:
    """What a value's meaning depends on beside the value: the server's base URL and the time now (us)."""

    base: str
    now: int


class BadValue(ValueError):
    """A value that its parameter cannot have. The message never repeats the value: it may be personal."""
