"""The definitions that come with Varde, as resources that everybody can read and search for.

https://hl7.org/fhir/R4/profiling.html#resources. The files are in profiles/published/. Validation and
terminology have them anyway; here they are for clients: GET StructureDefinition?url=...
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fhir_server.exchange import Service
from fhir_server.resource_json import decode, decode_stored
from fhir_server.store.base import Store
from fhir_server.write import Change, commit
from profiles.definitions import PUBLISHED

Resource = dict[str, Any]


async def publish(service: Service) -> int:
    """Put in the store those that it lacks or has otherwise, and say how many.

    What somebody made of one of them goes back to what it is: a change of ours belongs in a profile of one's
    own, derived from it. A resource of another URL that has its id is left alone.
    """
    changes = [
        Change("PUT", resource["resourceType"], resource["id"], resource)
        for resource in published()
        if await _is_to_be_put(service.store, resource)
    ]
    if changes:
        await commit(service, changes)
    return len(changes)


def published() -> Iterator[Resource]:
    """Every definition of Varde itself, as it is stored."""
    for file in sorted(PUBLISHED.glob("*.json")):
        yield decode(file.read_bytes())


async def _is_to_be_put(store: Store, resource: Resource) -> bool:
    version = await store.read(resource["resourceType"], resource["id"])
    if version is None or version.body is None:
        return True
    stored = decode_stored(version.body)
    return stored.get("url") == resource["url"] and {**stored, "meta": None} != {**resource, "meta": None}
