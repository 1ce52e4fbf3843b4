"""A ConceptMap against what it maps: its codes are of the systems and value sets that it names.

https://hl7.org/fhir/R4/conceptmap.html
"""

from __future__ import annotations

from dataclasses import dataclass

from profiles.codings import may_have, misnamed
from profiles.parts import Part, items, text
from profiles.problems import Place, Problems, inside
from profiles.value_sets import is_judged


@dataclass(frozen=True, slots=True)
class _Side:
    """What the codes of one side are of: a system, and perhaps a value set."""

    system: str
    version: str | None
    value_set: str | None


def check(map_: Part, at: Place, out: Problems) -> None:
    """The thorough check of a ConceptMap calls this."""
    source, target = (
        text(map_, f"{side}Canonical") or text(map_, f"{side}Uri") for side in ("source", "target")
    )
    for group, place in items(map_, "group", at):
        from_ = _side(group, "source", source)
        to = _side(group, "target", target)
        for element, where in items(group, "element", place):
            if from_:
                _check_code(element, from_, where, out)
            for found, inner in items(element, "target", where):
                if to:
                    _check_code(found, to, inner, out)


def _side(group: Part, name: str, value_set: str | None) -> _Side | None:
    system = text(group, name)
    return _Side(system, text(group, f"{name}Version"), value_set) if system else None


def _check_code(holder: Part, side: _Side, at: Place, out: Problems) -> None:
    code = text(holder, "code")
    if code is None:
        return
    out.context.spend()
    place = inside(at, "code")
    if is_judged(side.system, side.version, out) and not may_have(side.system, code, out):
        out.add("code-invalid", f"The code is none of the code system {side.system[:200]}", place)
    elif side.value_set and out.context.member(side.value_set, side.system, code) is False:
        out.add("code-invalid", f"The code is not in the value set {side.value_set[:200]}", place)
    elif (display := text(holder, "display")) and (said := misnamed(side.system, code, display, out)):
        out.add("invalid", said, inside(at, "display"), "warning")
