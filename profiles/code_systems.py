"""A CodeSystem by itself and, where it supplements another one, against that.

https://hl7.org/fhir/R4/codesystem.html, https://hl7.org/fhir/R4/codesystem.html#supplements
"""

from __future__ import annotations

from collections.abc import Iterator

from profiles.codings import may_have
from profiles.parts import Part, items, text
from profiles.problems import Place, Problems, inside

_DEEPEST = 100
_VALUES = {
    "code": "valueCode",
    "Coding": "valueCoding",
    "string": "valueString",
    "integer": "valueInteger",
    "boolean": "valueBoolean",
    "dateTime": "valueDateTime",
    "decimal": "valueDecimal",
}


def check(system: Part, at: Place, out: Problems) -> None:
    """The thorough check of a CodeSystem calls this."""
    _check_count(system, at, out)
    _check_supplement(system, at, out)
    types = {str(p.get("code")): _VALUES.get(str(p.get("type"))) for p, _ in items(system, "property", at)}
    for concept, place in _concepts(system, at):
        _check_properties(concept, types, place, out)


def _concepts(holder: Part, at: Place, depth: int = 0) -> Iterator[tuple[Part, Place]]:
    """Every concept, those inside others too."""
    for concept, place in items(holder, "concept", at):
        yield concept, place
        if depth < _DEEPEST:
            yield from _concepts(concept, place, depth + 1)


def _check_count(system: Part, at: Place, out: Problems) -> None:
    count, content = system.get("count"), system.get("content")
    if type(count) is not int:
        return
    found = sum(1 for _ in _concepts(system, at))
    if content == "complete" and found != count:
        said = f"The code system is complete and has {found} concepts: count says {count}"
        out.add("invalid", said, inside(at, "count"))
    elif content in ("fragment", "example") and found > count:
        said = f"A part of the code system cannot have more concepts ({found}) than the whole ({count})"
        out.add("invalid", said, inside(at, "count"))


def _check_supplement(system: Part, at: Place, out: Problems) -> None:
    supplemented, content = text(system, "supplements"), system.get("content")
    if content == "supplement" and supplemented is None:
        out.add("business-rule", "A supplement must say what it supplements", inside(at, "supplements"))
    if supplemented is None:
        return
    if content != "supplement":
        said = "A code system that supplements another one has the content 'supplement'"
        out.add("business-rule", said, inside(at, "content"))
    base = supplemented.partition("|")[0]
    for concept, place in _concepts(system, at):
        code = text(concept, "code")
        out.context.spend()
        if code is not None and not may_have(base, code, out):
            said = f"{base[:200]} has no such code, and a supplement cannot add one"
            out.add("business-rule", said, place)


def _check_properties(concept: Part, types: dict[str, str | None], at: Place, out: Problems) -> None:
    for part, place in items(concept, "property", at):
        expected = types.get(str(part.get("code")))
        given = next((name for name in part if name.startswith("value")), None)
        if expected and given and given != expected:
            out.add("invalid", f"The property is declared otherwise: {expected} is expected", place)
