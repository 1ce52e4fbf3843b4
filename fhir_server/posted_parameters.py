"""Which posted search parameters are in force, as the store has it: one resource that every worker reads.

    posted = in_force(tx)            # inside a transaction: what its writes have to be found by
    posted = await known(service)    # for a search

https://hl7.org/fhir/R4/searchparameter-registry.html. The resource is a Basic of the server's own, changed in
the transactions that write SearchParameters and in those of $reindex; to read it is one look-up by id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

from fhir_server.alerts import Written
from fhir_server.errors import FhirError, Issue
from fhir_server.exchange import Service
from fhir_server.resource_json import decode_stored
from fhir_server.search.posted import NONE, Entry, Posted, check, entry_of, posted, takes_effect
from fhir_server.search.query import Query
from fhir_server.store.base import Transaction, Version

TYPE, ID = "Basic", "varde-search-parameters"
MOST = 200
_URL = "https://varde.dev/fhir/StructureDefinition/search-parameter-index"
_VALUES = {
    "id": "valueString",
    "version": "valueInteger",
    "url": "valueUri",
    "code": "valueString",
    "type": "valueString",
    "bases": "valueString",
    "expression": "valueString",
    "targets": "valueString",
    "state": "valueString",
    "done": "valueInteger",
    "total": "valueInteger",
    "at": "valueString",
}


def in_force(tx: Transaction) -> Posted:
    """Those that are active as of this transaction."""
    return _read(tx.read(TYPE, ID))


async def known(service: Service) -> Posted:
    """Those that are active now."""
    return _read(await service.whole.read(TYPE, ID))


def _read(found: Version | None) -> Posted:
    return posted(_entries(found.body)) if found and found.body else NONE


@lru_cache(maxsize=8)
def _entries(body: bytes) -> tuple[Entry, ...]:
    return tuple(_entry(each["extension"]) for each in decode_stored(body).get("extension", ()))


def _entry(parts: Sequence[dict[str, Any]]) -> Entry:
    said: dict[str, list[Any]] = {name: [] for name in _VALUES}
    for part in parts:
        said[part["url"]].append(part[_VALUES[part["url"]]])
    many = {name: tuple(said.pop(name)) for name in ("bases", "targets")}
    values: dict[str, Any] = {name: values[0] for name, values in said.items()} | many
    return Entry(**values | {"at": int(values["at"])})


def resource_of(entries: Iterable[Entry]) -> dict[str, Any]:
    """The resource that has these entries."""
    return {
        "resourceType": TYPE,
        "id": ID,
        "extension": [{"url": _URL, "extension": list(_parts(entry))} for entry in entries],
        "code": {"text": "How far the search parameters that were posted are indexed"},
    }


def _parts(entry: Entry) -> Iterable[dict[str, Any]]:
    for name, kind in _VALUES.items():
        value = getattr(entry, name)
        for each in value if isinstance(value, tuple) else (value,):
            yield {"url": name, kind: str(each) if kind == "valueString" else each}


def refused(resource: dict[str, Any] | None) -> list[Issue]:
    """Why what is about to be written cannot take effect; nothing where it can, or is something else."""
    if resource is None or resource.get("resourceType") != "SearchParameter":
        return []
    return check(resource)


def protect(type: str, id: str | None) -> None:
    """FhirError("unprocessable") for the resource that is the server's own."""
    if (type, id) == (TYPE, ID):
        raise FhirError("unprocessable", "This resource is kept by the server, and changed by $reindex only")


def follow_up(tx: Transaction, written: Sequence[Written], put: Callable[[dict[str, Any]], None]) -> None:
    """Have the SearchParameters among `written` take effect, or no longer. To be called last.

    FhirError("conflict") where another that was posted has the code.
    """
    mine = [one for one in written if one.type == "SearchParameter"]
    if not mine:
        return
    before = in_force(tx).entries
    after = list(before)
    for one in mine:
        old = next((entry for entry in after if entry.id == one.id), None)
        after = [entry for entry in after if entry is not old]
        if one.after is not None and takes_effect(one.after):
            after.append(_admitted(tx, one.after, one.id, old, after))
    if tuple(after) != before:
        put(resource_of(after))


def _admitted(
    tx: Transaction, resource: dict[str, Any], id: str, old: Entry | None, others: Sequence[Entry]
) -> Entry:
    current = tx.read("SearchParameter", id)
    new = entry_of(resource, id, current.version if current else 1)
    if old is not None and old.means_the_same(new):
        return old
    for other in others:
        if other.code == new.code and set(other.bases) & set(new.bases):
            raise FhirError(
                "conflict", f"SearchParameter/{other.id} has this code for the same type of resource"
            )
    if len(others) >= MOST:
        raise FhirError("too-costly", f"At most {MOST} search parameters can be added")
    empty = not any(tx.search(Query(base, count=1)) for base in new.bases)
    return new.moved(state="ready") if empty else new
