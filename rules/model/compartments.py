"""Whose data a resource is: the compartments of R4 (https://hl7.org/fhir/R4/compartmentdefinition.html)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

Resource = Mapping[str, Any]
Subject = tuple[str, str]  # ("Patient", id)

_TABLE: Final = Path(__file__).parent / "compartments.json"


@cache
def members(context: str) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """Type of resource -> where the references are that put it into a compartment of this context."""
    rows: dict[str, list[str]] = json.loads(_TABLE.read_bytes())[context]
    return {type_: tuple(tuple(path.split(".")) for path in paths) for type_, paths in rows.items()}


@cache
def contexts() -> frozenset[str]:
    """The types of resource that have compartments."""
    return frozenset(json.loads(_TABLE.read_bytes()))


def belongs(resource: Resource, subject: Subject) -> bool:
    """Whether a resource is in the compartment of the subject.

    Of the subject's own type only the subject is; a type that the compartment never has (Medication) belongs
    to everybody.
    """
    context, id_ = subject
    type_ = resource["resourceType"]
    if type_ == context:
        return resource.get("id") == id_
    paths = members(context).get(type_)
    if paths is None:
        return True
    return any(refers(reference, subject) for path in paths for reference in _at(resource, path))


def _at(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _at(item, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _at(value[path[0]], path[1:])


def refers(reference: Any, subject: Subject) -> bool:
    """Whether a Reference is to the subject: relative, or absolute on whatever server, of any version."""
    text = reference.get("reference") if isinstance(reference, Mapping) else None
    return isinstance(text, str) and target(text) == subject


def target(reference: str) -> Subject | None:
    """The type and id that a literal reference names; None of a urn or a contained resource."""
    parts = reference.split("/_history/")[0].split("/")
    return (parts[-2], parts[-1]) if len(parts) > 1 else None


def records(subject: Subject, resources: Iterable[Resource]) -> list[Subject]:
    """Whose compartments hold what is known about the subject.

    The own record of a RelatedPerson is that of the Patient who is the same person: the two are linked by
    Patient.link, or by a Person (https://hl7.org/fhir/R4/patient.html#links).
    """
    if subject[0] != "RelatedPerson":
        return [subject]
    found: dict[Subject, None] = {}
    for resource in resources:
        type_ = resource["resourceType"]
        if type_ == "Patient" and any(refers(other, subject) for other in _at(resource, ("link", "other"))):
            found["Patient", resource["id"]] = None
        elif type_ == "Person":
            linked = list(_at(resource, ("link", "target")))
            if any(refers(other, subject) for other in linked):
                found |= dict.fromkeys(_patients(linked))
    return list(found)


def _patients(references: Iterable[Any]) -> Iterator[Subject]:
    for reference in references:
        found = target(reference.get("reference") or "")
        if found is not None and found[0] == "Patient":
            yield found
