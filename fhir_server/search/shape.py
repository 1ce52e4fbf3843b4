"""Parts of resources: what _summary and _elements leave of them.

https://hl7.org/fhir/R4/search.html#summary, https://hl7.org/fhir/R4/search.html#elements
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from profiles import definitions

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
}
_ALWAYS = frozenset(("id", "meta"))


def shape(resource: Mapping[str, Any], summary: str | None, elements: Iterable[str] = ()) -> dict[str, Any]:
    """A new resource with only what was asked for, marked as not complete.

    `summary` is true, text or data; else `elements` are the names of top-level elements. Mandatory elements
    always stay.
    """
    type = resource["resourceType"]
    if summary == "data":
        kept = {key: value for key, value in resource.items() if key != "text"}
    elif summary == "true":
        kept = _summarised(type, resource)
    else:
        names = {"text"} if summary == "text" else set(elements)
        kept = _kept(type, resource, lambda element: element.name in names or element.min > 0)
    return {"resourceType": type, **_marked(kept)}


def _marked(resource: dict[str, Any]) -> dict[str, Any]:
    meta = resource.get("meta", {})
    tags = [*meta.get("tag", ()), SUBSETTED]
    return resource | {"meta": meta | {"tag": tags}}


def _summarised(type: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The elements marked as summary, in backbone elements as well as at the top."""
    types = definitions.load().types
    kept = _kept(type, value, lambda element: element.summary or element.min > 0)
    for element in types[type].elements.values():
        code = element.types[0].code
        if element.name in kept and types[code].kind == "backbone":
            inner = kept[element.name]
            if isinstance(inner, list):
                kept[element.name] = [_summarised(code, item) for item in inner]
            else:
                kept[element.name] = _summarised(code, inner)
    return kept


def _kept(type: str, value: Mapping[str, Any], keep: Callable[[definitions.Element], bool]) -> dict[str, Any]:
    """The properties of the elements to keep, a primitive's `_name` with its `name`."""
    wanted = set(_ALWAYS)
    for element in definitions.load().types[type].elements.values():
        if keep(element):
            wanted.update(element.properties)
    return {key: item for key, item in value.items() if key.removeprefix("_") in wanted}
