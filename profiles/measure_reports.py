"""A MeasureReport against its Measure: the same groups, populations and stratifiers, by their codes.

https://hl7.org/fhir/R4/measurereport.html
"""

from __future__ import annotations

from typing import Any

from profiles.parts import Part, codings, items, text
from profiles.problems import Place, Problems, inside

Key = tuple[str | None, str]


def check(report: Part, at: Place, out: Problems) -> None:
    """The thorough check of a MeasureReport calls this; without its Measure it only says so."""
    canonical = text(report, "measure")
    if canonical is None or report.get("type") == "data-collection":
        return
    measure = out.context.artifact("Measure", canonical)
    if type(measure) is not dict:
        said = "The measure is not known here, so the report is not held to it"
        out.add("not-found", said, inside(at, "measure"), "warning")
        return
    for group, defined, place in _matched("group", report, measure, at, out):
        _matched("population", group, defined, place, out)
        _matched("stratifier", group, defined, place, out)


def _matched(
    what: str, report: Part, measure: Part, at: Place, out: Problems
) -> list[tuple[Part, Part, Place]]:
    """What the report has, each with its definition and place; what does not match is said."""
    defined = [part for part, _ in items(measure, what, at)]
    met: set[int] = set()
    pairs = []
    for part, place in items(report, what, at):
        found = _definition(part, defined)
        if found is None:
            said = "has no code that the measure gives it" if defined else "is not in the measure"
            out.add("business-rule", f"The {what} {said}", place)
        elif found in met:
            out.add("business-rule", f"The report has this {what} already", place)
        else:
            met.add(found)
            pairs.append((part, defined[found], place))
    for index, part in enumerate(defined):
        if index not in met:
            out.add(
                "business-rule", f"The report does not have the measure's {what} {_name(part, index)}", at
            )
    return pairs


def _definition(part: Part, defined: list[Part]) -> int | None:
    """Which one it is, by its code; without codes the only one can be meant, where it has none either."""
    keys = _keys(part)
    found = [index for index, other in enumerate(defined) if keys & _keys(other)]
    if found:
        return found[0]
    return 0 if not keys and len(defined) == 1 and not _keys(defined[0]) else None


def _keys(part: Part) -> set[Key]:
    """The codings of its code, which is one concept in a Measure and may be several in a report."""
    code: Any = part.get("code")
    concepts = code if type(code) is list else [code]
    return {key for concept in concepts for key in codings(concept)}


def _name(part: Part, index: int) -> str:
    keys = sorted(code for _, code in _keys(part))
    return keys[0][:64] if keys else f"number {index + 1}, which has no code to be known by"
