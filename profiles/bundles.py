"""What holds between the entries of a Bundle.

https://hl7.org/fhir/R4/bundle.html, https://hl7.org/fhir/R4/documents.html, https://hl7.org/fhir/R4/messaging.html.
That a document starts with a Composition and the like are invariants of the type (bdl-1 to bdl-12).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from profiles.problems import Place, Problems, inside

_TYPED = re.compile(r"https?://.+/([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_VERSIONED = re.compile(r"(.+)/_history/([A-Za-z0-9\-.]{1,64})")
_STORED = frozenset({"searchset", "history", "document", "message", "collection"})


def check(bundle: Mapping[str, Any], at: Place, out: Problems) -> None:
    """The thorough check of a Bundle calls this."""
    entries = list(_entries(bundle))
    kind = bundle.get("type")
    for index, entry in entries:
        place = inside(at, "entry", index)
        _check_url(kind, entry, place, out)
        if kind == "searchset":
            _check_search(entry, place, out)
    if kind in ("document", "message") and entries:
        index, first = entries[0]
        resource = first.get("resource")
        if isinstance(resource, dict):
            place = inside(inside(at, "entry", index), "resource")
            known = _by_url(entries)
            _check_complete(kind, known, resource, first.get("fullUrl"), place, out)
            if kind == "document":
                _check_reached(known, entries, at, out)


def _entries(bundle: Mapping[str, Any]) -> Iterator[tuple[int, dict[str, Any]]]:
    entries = bundle.get("entry")
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield index, entry


def _check_url(kind: Any, entry: Mapping[str, Any], at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/bundle.html#bundle-unique"""
    url, resource = entry.get("fullUrl"), entry.get("resource")
    if not isinstance(resource, dict):
        return
    if not isinstance(url, str):
        if kind in ("document", "message"):
            out.add("invalid", "An entry of a document or message needs a fullUrl", at)
        return
    if not _ABSOLUTE.match(url):
        out.add("invalid", "fullUrl must be absolute", inside(at, "fullUrl"))
        return
    found, id_ = _TYPED.fullmatch(url), resource.get("id")
    if found and isinstance(id_, str) and (found[1], found[2]) != (resource.get("resourceType"), id_):
        out.add("invalid", "fullUrl must end with the type and the id of the resource", inside(at, "fullUrl"))


def _check_search(entry: Mapping[str, Any], at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/http.html#search: what was found has an id, and problems are outcomes."""
    resource, search = entry.get("resource"), entry.get("search")
    if not isinstance(resource, dict):
        return
    mode = search.get("mode") if isinstance(search, dict) else None
    is_outcome = resource.get("resourceType") == "OperationOutcome"
    place = inside(at, "resource")
    if not isinstance(resource.get("id"), str) and not is_outcome:
        out.add("invalid", "A resource that a search found needs its id", place)
    if is_outcome and mode in ("match", "include"):
        out.add("invalid", "An OperationOutcome is the outcome of a search, no match", place)
    if mode == "outcome" and not is_outcome:
        out.add("invalid", "Only an OperationOutcome is the outcome of a search", place)


Known = Mapping[str, list[tuple[int, dict[str, Any]]]]  # fullUrl -> the entries that have it


def _by_url(entries: list[tuple[int, dict[str, Any]]]) -> Known:
    known: dict[str, list[tuple[int, dict[str, Any]]]] = {}
    for index, entry in entries:
        url = entry.get("fullUrl")
        if isinstance(url, str) and isinstance(entry.get("resource"), dict):
            known.setdefault(url, []).append((index, entry["resource"]))
    return known


def _check_complete(kind: str, known: Known, resource: Any, url: Any, at: Place, out: Problems) -> None:
    """What a Composition refers to, and the focus of a MessageHeader, must be in the Bundle.

    https://hl7.org/fhir/R4/messageheader.html#notes: whom a message is from may be left out.
    """
    for reference, place in _must_be_there(kind, resource, at):
        text = reference.get("reference")
        if not isinstance(text, str) or text.startswith("#"):
            continue
        targets = [target for _, target in _targets(known, text, url)]
        if not targets:
            out.add("invalid", f"What {place[2]} refers to is not in the {kind}", place)
            continue
        match = _VERSIONED.fullmatch(text)
        if match and not any(_version(target) == match[2] for target in targets):
            out.add("invalid", f"That version of what {place[2]} refers to is not in the {kind}", place)
        elif not match and len(targets) > 1:
            out.add("forbidden", f"Several entries could be what {place[2]} refers to", place)


def _must_be_there(kind: str, resource: Mapping[str, Any], at: Place) -> Iterator[tuple[Any, Place]]:
    if kind == "document":
        yield from references(resource, at)
        return
    focus = resource.get("focus")
    for index, reference in enumerate(focus if isinstance(focus, list) else ()):
        if isinstance(reference, dict):
            yield reference, inside(at, "focus", index)


def _version(resource: Mapping[str, Any]) -> Any:
    meta = resource.get("meta")
    return meta.get("versionId") if isinstance(meta, dict) else None


def _targets(known: Known, reference: str, url: Any) -> list[tuple[int, dict[str, Any]]]:
    """The entries that a reference can mean, by their place, each with its resource."""
    match = _VERSIONED.fullmatch(reference)
    plain = match[1] if match else reference
    if not _ABSOLUTE.match(plain) and isinstance(url, str) and (typed := _TYPED.fullmatch(url)):
        plain = url[: typed.start(1)] + plain
    return known.get(plain, [])


def references(value: Any, at: Place) -> Iterator[tuple[dict[str, Any], Place]]:
    """Every Reference in a resource, with its place; not those of resources inside it."""
    waiting = [(value, at)]
    while waiting:
        current, place = waiting.pop()
        if isinstance(current, list):
            waiting += [(item, inside(place[1], place[2], n)) for n, item in enumerate(current)]
        elif isinstance(current, dict):
            if "reference" in current:
                yield current, place
            waiting += [
                (child, inside(place, name))
                for name, child in current.items()
                if isinstance(child, dict | list) and name not in ("contained", "resource")
            ]


def _check_reached(known: Known, entries: list[tuple[int, dict[str, Any]]], at: Place, out: Problems) -> None:
    """https://hl7.org/fhir/R4/documents.html#content: everything in a document hangs on its Composition."""
    if len({e["fullUrl"] for _, e in entries if isinstance(e.get("fullUrl"), str)}) != len(entries):
        return
    links: dict[int, set[int]] = {index: set() for index, _ in entries}
    for index, entry in entries:
        for reference, _ in references(entry.get("resource"), inside(at, "entry", index)):
            text = reference.get("reference")
            for other, _ in _targets(known, text, entry["fullUrl"]) if isinstance(text, str) else ():
                # a resource that refers to one in the document may belong to it as well (Provenance)
                links[index].add(other)
                links[other].add(index)
    reached, waiting = set(), [entries[0][0]]
    while waiting:
        index = waiting.pop()
        if index not in reached:
            reached.add(index)
            waiting += links[index]
    for index, _ in entries:
        if index not in reached:
            text = "Nothing connects this entry with the Composition"
            out.add("informational", text, inside(at, "entry", index), "information")
