"""ValueSet.expansion: the codes that were found, and what was used to find them, as they are shown.

https://hl7.org/fhir/R4/valueset-definitions.html#ValueSet.expansion
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from terminology.asked import Asked
from terminology.code_system import CodeSystem
from terminology.entries import Entry

Resource = dict[str, Any]
Key = tuple[str, str | None, str]
_UNCLOSED = "http://hl7.org/fhir/StructureDefinition/valueset-unclosed"
_NOT_EXPANDED = frozenset(
    {"id", "meta", "text", "contained", "extension", "publisher", "contact", "description", "purpose",
     "copyright", "compose", "expansion"}
)  # fmt: skip


@dataclass
class Expansion:
    """The codes of a value set in order, and what was used to find them."""

    entries: dict[Key, Entry] = field(default_factory=dict)
    used: dict[tuple[str, str], None] = field(default_factory=dict)  # expansion.parameter names and URIs
    systems: dict[str, CodeSystem] = field(default_factory=dict)  # by canonical
    fragments: dict[str, None] = field(default_factory=dict)
    nested: bool = True  # whether the entries may be shown as a tree
    match_versions: bool = False  # whether codes are compared whatever their version

    def use(self, name: str, uri: str) -> None:
        self.used[(name, uri)] = None


def header(resource: Resource, asked: Asked) -> Resource:
    """The ValueSet without its expansion, its definition only where that is asked for."""
    if asked.flag("includeDefinition"):
        return {
            key: value for key, value in resource.items() if key not in ("id", "meta", "text", "expansion")
        }
    return {key: value for key, value in resource.items() if key not in _NOT_EXPANDED}


def shown(asked: Asked, expansion: Expansion, entries: list[Entry], nested: bool, total: int) -> Resource:
    """ValueSet.expansion with these entries, of `total`."""
    out: Resource = {"total": total, "parameter": list(_parameters(asked, expansion))}
    if "offset" in asked.values:
        out["offset"] = asked.values["offset"]
    properties: dict[str, str | None] = {}
    contains = (
        _tree(entries, asked, properties) if nested else [e.as_json(asked, properties) for e in entries]
    )
    if contains:
        out["contains"] = contains
    extension = [_property_extension(code, uri) for code, uri in properties.items()]
    if expansion.fragments:
        reason = f"This extension is based on a fragment of the code system {next(iter(expansion.fragments))}"
        extension += [
            {"url": _UNCLOSED, "valueBoolean": True},
            {"url": f"{_UNCLOSED}-reason", "valueString": reason},
        ]
    if extension:
        out["extension"] = extension
    return out


def _property_extension(code: str, uri: str | None) -> Resource:
    """R5's ValueSet.expansion.property, as R4 carries it."""
    parts = [{"url": "code", "valueCode": code}, *([{"url": "uri", "valueUri": uri}] if uri else [])]
    return {
        "url": "http://hl7.org/fhir/5.0/StructureDefinition/extension-ValueSet.expansion.property",
        "extension": parts,
    }


def _tree(entries: list[Entry], asked: Asked, properties: dict[str, str | None]) -> list[Resource]:
    """Each entry in the nearest of its parents that is there."""
    made = {(*entry.pair, entry.version): entry.as_json(asked, properties) for entry in entries}
    roots: list[Resource] = []
    for entry in entries:
        above = ((*pair, entry.version) for pair in entry.ancestors())
        parent = next((made[key] for key in above if key in made), None)
        (roots if parent is None else parent.setdefault("contains", [])).append(
            made[(*entry.pair, entry.version)]
        )
    return roots


def _parameters(asked: Asked, expansion: Expansion) -> Iterator[Resource]:
    """What was asked and what was used, for whoever reads the expansion later."""
    if asked.text("filter"):
        yield {"name": "filter", "valueString": asked.text("filter")}
    if asked.wanted:
        yield {"name": "displayLanguage", "valueCode": asked.wanted.text}
    for name in ("designation", "exclude-system"):
        for value in asked.several(name):
            yield {"name": name, "valueUri" if name == "exclude-system" else "valueString": value}
    flags = (
        "excludeNested", "activeOnly", "includeDesignations", "includeDefinition", "excludeNotForUI",
        "excludePostCoordinated",
    )  # fmt: skip
    for name in flags:
        if name in asked.values:
            yield {"name": name, "valueBoolean": asked.values[name]}
    if expansion.match_versions:
        yield {"name": "versionsMatch", "valueBoolean": True}
    for name in ("offset", "count"):
        if name in asked.values:
            yield {"name": name, "valueInteger": asked.values[name]}
    for name, uri in expansion.used:
        yield {"name": name, "valueUri": uri}
