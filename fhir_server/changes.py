"""What is asked of the store, and what came of it.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.search.query import Query
from fhir_server.store.base import Version


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked of one resource.

    `method` is POST, PUT, PATCH or DELETE; `id` None is assigned. `criteria` make it conditional: a POST does
    nothing when one matches, the others are of the one that matches. `full_url` is what the other changes
    call this one, `references` the conditional references in it with the search behind each, `where` its
    place in a Bundle ("Bundle.entry[3]"). `edit` makes the resource of a PATCH from the current one, and the
    change holds only if `made_from` is still the current version. `most` is how many a DELETE may delete;
    `versioned` says that what exists is changed with if_match only, `much` that it takes long to read.
    """

    method: str
    type: str
    id: str | None = None
    resource: dict[str, Any] | None = None
    criteria: Query | None = None
    if_match: frozenset[str] | None = None
    if_none_match: frozenset[str] | None = None
    full_url: str | None = None
    references: tuple[tuple[str, Query], ...] = ()
    where: str = ""
    edit: Callable[[Change, dict[str, Any]], Change] | None = None
    made_from: int | None = None
    most: int = 1
    versioned: bool = False
    much: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """`status` as of the HTTP interaction; `version` the one now current, None for one that never was."""

    status: int
    version: Version | None
