"""Changes with everything done to them that can be done before the transaction.

https://hl7.org/fhir/R4/http.html#transaction
"""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from fhir_server.changes import Change
from fhir_server.exchange import Service
from fhir_server.instants import microseconds
from fhir_server.references import plain, rewrite
from fhir_server.search.posted import NONE, Posted
from fhir_server.search.query import Query
from fhir_server.store.base import Version
from fhir_server.versions import Content, content

# Searches at a time, ahead of a transaction.
_TOGETHER = 32

Found = Mapping[Query, Version | None]


async def look_ahead(service: Service, changes: Sequence[Change]) -> Found:
    """What the criteria find now: in all likelihood what they will find inside the transaction."""
    wanted = {change.criteria for change in changes if change.criteria and change.full_url}
    wanted |= {criteria for change in changes for _, criteria in change.references}
    found: dict[Query, Version | None] = {}

    async def look(criteria: Query) -> None:
        async with together:
            versions = (await service.store.search(replace(criteria, count=1))).versions
        found[criteria] = versions[0] if versions else None

    together = asyncio.Semaphore(_TOGETHER)
    await asyncio.gather(*(look(criteria) for criteria in wanted if criteria))
    return found


@dataclass(frozen=True, slots=True)
class Draft:
    """A change with everything that could be done before the transaction.

    `id` is where it goes unless its criteria find another; `first` is the content should it become version 1
    there, None for a deletion and where links can be rewritten only inside the transaction. Where criteria
    decide what links become, it holds only if those to other changes become what is `assumed`, which all
    drafts share, and its conditional references what is `referred`.
    """

    change: Change
    id: str
    first: Content | None
    assumed: Mapping[str, str] | None = None
    referred: Mapping[str, str] = field(default_factory=dict)


def drafts_of(
    changes: Sequence[Change],
    base: str,
    now: datetime,
    new_id: Callable[[], str],
    posted: Posted = NONE,
    found: Found | None = None,
) -> list[Draft]:
    ids = [change.id or new_id() for change in changes]
    # Where criteria decide, ids are known inside the transaction only, and so is what links become.
    certain = all(change.criteria is None for change in changes)
    links = links_of(changes, ids) if certain or found is None else _assumed(changes, ids, found)
    updated = microseconds(now)
    drafts = []
    for change, id_ in zip(changes, ids, strict=True):
        sure = not change.references and (certain or not links)
        if change.resource is None or not (sure or found is not None):
            drafts.append(Draft(change, id_, None))
            continue
        referred = _referred(change, found or {})
        resource = change.resource
        if links or referred:
            resource = rewrite(resource, ChainMap(referred, links), change.full_url)
        first = content(resource, id_, 1, updated, base, posted=posted)
        drafts.append(Draft(change, id_, first, None if sure else links, referred))
    return drafts


def _assumed(changes: Sequence[Change], ids: Sequence[str], found: Found) -> dict[str, str]:
    """The links, should each of the criteria find what it found before."""
    known = [found.get(change.criteria) if change.criteria else None for change in changes]
    return links_of(changes, [one.id if one else id_ for one, id_ in zip(known, ids, strict=True)])


def _referred(change: Change, found: Found) -> dict[str, str]:
    """What the conditional references of a change are, as far as it was found."""
    known = ((text, found.get(criteria)) for text, criteria in change.references)
    return {text: f"{version.type}/{version.id}" for text, version in known if version}


def links_of(changes: Iterable[Change], ids: Iterable[str | None]) -> dict[str, str]:
    """fullUrl -> relative reference, for the changes that have both."""
    return {
        plain(change.full_url): f"{change.type}/{id_}"
        for change, id_ in zip(changes, ids, strict=True)
        if change.full_url and id_
    }
