"""$closure: a table of which of a client's codes subsume which, kept up to date as codes are added.

https://hl7.org/fhir/R4/conceptmap-operation-closure.html, https://hl7.org/fhir/R4/terminology-service.html#closure.
The table is a ConceptMap: an element for each code, a target (equivalence `subsumes`) for each above it.
"""

from __future__ import annotations

from typing import Any

from terminology.findings import TerminologyError, finding, refuse
from terminology.library import Library
from terminology.resolve import unknown_system

Resource = dict[str, Any]
Relation = tuple[str, str, str]  # system, a code, and one that subsumes it
URL = "urn:varde:closure:"
MOST_CODES = 20_000
_MOST_AT_ONCE = 1000


def codings_of(parameters: Resource) -> list[Resource]:
    """The concepts to add. TerminologyError where one has no system or no code."""
    given = [part for part in parameters.get("parameter", []) if part.get("name") == "concept"]
    codings = [part.get("valueCoding", {}) for part in given]
    if len(codings) > _MOST_AT_ONCE:
        raise refuse("too-costly", f"At most {_MOST_AT_ONCE} concepts are added at once")
    if not all(coding.get("system") and coding.get("code") for coding in codings):
        raise refuse("invalid", "A concept is a Coding with a system and a code")
    return codings


def empty(name: str) -> Resource:
    """A table without codes."""
    return {"resourceType": "ConceptMap", "url": f"{URL}{name}", "name": "Closure", "status": "active"}


def added(table: Resource, codings: list[Resource], library: Library) -> Resource:
    """The table with the codes, and with what they subsume and are subsumed by.

    TerminologyError for a code or a code system that is not known, or too many codes.
    """
    known = codes_of(table)
    below: dict[str, dict[str, set[str]]] = {}  # by system, what of the table is under a code
    for coding in codings:
        url, version = coding["system"], coding.get("version")
        system = library.code_system(url, version)
        if system is None:
            raise TerminologyError(unknown_system(library, url, version))
        concept = system.find(coding["code"])
        if concept is None:
            raise TerminologyError(finding("Unknown_Code_in", code=coding["code"], system=url))
        if url not in known or concept.code not in known[url]:
            rows = known.setdefault(url, {})
            if url not in below:
                below[url] = {}
                for row in rows:
                    _note(below[url], row, system.over(row))
            _add(rows, concept.code, system.over(concept.code), below[url])
    if sum(map(len, known.values())) > MOST_CODES:
        raise refuse("too-costly", f"A closure table has room for {MOST_CODES} codes", "unprocessable")
    header = {key: value for key, value in table.items() if key != "group"}
    groups = [_group(system, rows) for system, rows in known.items()]
    return header | ({"group": groups} if groups else {})


def _add(rows: dict[str, set[str]], code: str, over: set[str], below: dict[str, set[str]]) -> None:
    """A code that is new. Asked is what is above a code, which is little; below it may be a million."""
    rows[code] = over & rows.keys()
    for under in below.get(code, ()):
        rows[under].add(code)
    _note(below, code, over)


def _note(below: dict[str, set[str]], row: str, over: set[str]) -> None:
    for above in over:
        below.setdefault(above, set()).add(row)


def codes_of(table: Resource) -> dict[str, dict[str, set[str]]]:
    """System -> code -> the codes of the table that subsume it."""
    return {
        group["source"]: {
            element["code"]: {target["code"] for target in element.get("target", [])}
            for element in group.get("element", [])
        }
        for group in table.get("group", [])
    }


def news(before: Resource, table: Resource, version: str, name: str, date: str) -> Resource:
    """A ConceptMap of the relations in `table` that are not in `before`; `version` is the table's."""
    old = codes_of(before)
    groups = []
    for system, rows in codes_of(table).items():
        fresh = {code: over - old.get(system, {}).get(code, set()) for code, over in rows.items()}
        fresh = {code: over for code, over in fresh.items() if over}
        if fresh:
            groups.append(_group(system, fresh))
    return {
        "resourceType": "ConceptMap",
        "version": version,
        "name": f"Updates for Closure Table {name}",
        "status": "active",
        "experimental": True,
        "date": date,
        **({"group": groups} if groups else {}),
    }


def _group(system: str, rows: dict[str, set[str]]) -> Resource:
    elements = []
    for code, over in rows.items():
        targets = [{"code": above, "equivalence": "subsumes"} for above in sorted(over)]
        elements.append({"code": code, **({"target": targets} if targets else {})})
    return {"source": system, "target": system, "element": elements}
