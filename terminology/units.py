"""UCUM as a code system: its codes are all that its grammar allows, and so they cannot be listed.

https://hl7.org/fhir/R4/ucum.html, https://ucum.org/ucum
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from terminology.canonical import canonical, is_unit
from terminology.code_system import CodeSystem, Concept
from terminology.findings import refuse
from terminology.implicit import UCUM
from terminology.ucum import UnitError

_CANONICAL = {"code": "canonical", "uri": "http://unitsofmeasure.org/canonical", "type": "string"}


class UnitSystem(CodeSystem):
    """`find` parses; what asks for every code is refused."""

    def find(self, code: str) -> Concept | None:
        if not is_unit(code):
            return None
        return Concept(code, properties=tuple(_properties(code)))

    def walk(self) -> Iterator[Concept]:
        raise refuse(
            "not-supported", "The codes of UCUM are without number: they cannot be listed", "unprocessable"
        )

    def under(self, code: str) -> Iterator[str]:
        return iter(())

    def over(self, code: str) -> set[str]:
        return set()


def canonical_form(code: str) -> str | None:
    """The unit in base units, `K1.m2` or "1"; None where it is on a scale of its own."""
    try:
        return canonical(code).unit or "1"
    except UnitError:
        return None


def _properties(code: str) -> Iterator[dict[str, Any]]:
    form = canonical_form(code)
    if form:
        yield {"code": "canonical", "valueString": form}


UNITS = UnitSystem(
    {
        "resourceType": "CodeSystem",
        "url": UCUM,
        "name": "UCUM",
        "status": "active",
        "caseSensitive": True,
        "content": "complete",
        "property": [_CANONICAL],
    },
    {},
    (),
)
