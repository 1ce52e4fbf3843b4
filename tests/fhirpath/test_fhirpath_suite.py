"""The official FHIRPath suite for R4 (FHIR/fhir-test-cases), where it is present.

What is expected to fail is listed with its reason in suite_failures.json; the list is strict.
"""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ElementTree
from collections import Counter
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from rules import fhirpath
from rules.fhirpath import CompileError, Element, EvaluationError
from rules.runtime.temporal import text
from rules.runtime.units import TextUnits
from rules.values import Date, DateTime, Quantity, Time
from terminology import ucum

ROOT = Path(__file__).parents[2]
SUITE = Path(os.environ.get("VARDE_SUITES", ROOT.parent / "shared" / "suites")) / "fhirpath-r4"
FAILURES: dict[str, str] = json.loads((Path(__file__).parent / "suite_failures.json").read_text())
ENVIRONMENT = fhirpath.Environment(now="2026-11-21T10:00:00.000+01:00", units=TextUnits(ucum.convert))


def cases() -> list[Any]:
    if not SUITE.is_dir():
        reason = f"the FHIRPath suite is not at {SUITE} (set VARDE_SUITES to where the suites are)"
        return [pytest.param(None, None, marks=pytest.mark.skip(reason=reason), id="absent")]
    found = []
    names: Counter[str] = Counter()
    for group in ElementTree.parse(SUITE / "tests-fhir-r4.xml").getroot().iter("group"):
        for test in group.iter("test"):
            name = f"{group.get('name')}.{test.get('name')}"
            names[name] += 1
            name += f"#{names[name]}" if names[name] > 1 else ""
            marks = [pytest.mark.xfail(strict=True, reason=FAILURES[name])] if name in FAILURES else []
            found.append(pytest.param(name, test, id=name, marks=marks))
    return found


@cache
def resource(name: str | None) -> dict[str, Any]:
    """The suite names its inputs .xml; they are here as JSON."""
    if name is None:
        return {"resourceType": "Patient"}
    return json.loads((SUITE / "input" / name.replace(".xml", ".json")).read_bytes(), parse_float=Decimal)


@pytest.mark.parametrize(("name", "test"), cases())
def test_official_case(name: str, test: ElementTree.Element) -> None:
    expression = test.find("expression")
    text = expression.text or ""
    strict = "strict" in (test.get("mode"), expression.get("mode"))
    focus = resource(test.get("inputfile"))

    def evaluate() -> list[Any]:
        return fhirpath.compile(text, focus["resourceType"], strict).typed(focus, ENVIRONMENT)

    if expression.get("invalid"):
        with pytest.raises((CompileError, EvaluationError)):
            evaluate()
        return
    found = evaluate()
    if test.get("predicate") == "true":
        found = [bool(found)]
    outputs = test.findall("output")
    assert len(found) == len(outputs), found
    if test.get("ordered") == "false":
        assert all(any(is_as(item, output) for item in found) for output in outputs), found
    else:
        assert all(map(is_as, found, outputs)), found


def is_as(item: Any, output: ElementTree.Element) -> bool:
    """Whether an item is what the suite expects: its type where the suite says it, and how it is written."""
    if (wanted := output.get("type")) is not None and kind(item) not in (wanted, f"System.{wanted}"):
        return False
    return written(item) == (output.text or "")


def kind(item: Any) -> str:
    """The type as the suite names it: a System type by the FHIR type that it corresponds to."""
    if isinstance(item, Element):
        return item.type
    names = {Date: "date", DateTime: "dateTime", Time: "time", Quantity: "Quantity", bool: "boolean"}
    return names.get(type(item)) or {int: "integer", Decimal: "decimal", str: "string"}[type(item)]


def written(item: Any) -> str:
    value = item.value if isinstance(item, Element) else item
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Quantity):
        return f"{value.value} '{value.unit}'"
    if isinstance(item, Element) and item.type in ("date", "dateTime", "time"):
        return f"@{value}"
    if isinstance(item, DateTime):
        return f"@{text(item)}"  # a day of a DateTime is written without the T
    return str(value)


def test_every_expected_failure_is_a_case() -> None:
    if SUITE.is_dir():
        assert set(FAILURES) <= {case.id for case in cases()}
