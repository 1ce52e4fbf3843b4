"""The official CQL suite (cqframework/cql-tests), where it is present.

What is expected to fail is listed with its reason in suite_failures.json; the list is strict.
"""

from __future__ import annotations

import json
import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from rules import cql
from rules.cql import CompileError, EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.temporal import Date, DateTime, Time, parse_date, parse_datetime, parse_time
from rules.runtime.units import TextUnits
from rules.runtime.values import Code, Concept, Long, Quantity, Tuple
from terminology import ucum

ROOT = Path(__file__).parents[2]
SUITES = Path(os.environ.get("VARDE_SUITES", ROOT.parent / "shared" / "suites")) / "cql" / "expected.json"
FAILURES: dict[str, str] = json.loads((Path(__file__).parent / "suite_failures.json").read_text())
NOW = "2026-11-21T10:00:00.000+00:00"
UNITS = TextUnits(ucum.convert)


def cases() -> list[Any]:
    if not SUITES.is_file():
        reason = f"the CQL suite is not at {SUITES} (set VARDE_SUITES to where the suites are)"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="absent")]
    found = []
    for test in json.loads(SUITES.read_text()):
        name = f"{test['file']}.{test['group']}.{test['name']}"
        marks = [pytest.mark.xfail(strict=True, reason=FAILURES[name])] if name in FAILURES else []
        found.append(pytest.param(test, id=name, marks=marks))
    return found


@pytest.mark.parametrize("test", cases())
def test_official_case(test: dict[str, Any]) -> None:
    text = f"define Result: {test['expr']}"
    if test["invalid"] in ("syntax", "semantic"):
        with pytest.raises(CompileError):
            cql.compile(text)
    elif test["invalid"]:
        with pytest.raises((CompileError, EvaluationError)):
            cql.compile(text).evaluate("Result", now=NOW, units=UNITS)
    else:
        value = cql.compile(text).evaluate("Result", now=NOW, units=UNITS)
        assert is_as(value, test["expected"], test["output"]), f"{value!r} is not {test['output']}"


def test_every_expected_failure_is_a_case() -> None:
    if SUITES.is_file():
        assert set(FAILURES) <= {case.id for case in cases()}


def is_as(value: Any, expected: Any, written: str = "") -> bool:
    """Whether a value is what the suite expects, by type and content."""
    if expected is None or isinstance(expected, bool):
        return value is expected
    if isinstance(expected, int | float):
        whole = (int, Decimal) if not written else (Decimal,) if "." in written else (int,)
        return type(value) in whole and Decimal(value) == Decimal(written or repr(expected))
    if isinstance(expected, str):
        return value == expected if isinstance(value, str) else _is_time(value, expected, bool(written))
    if isinstance(expected, list):
        return isinstance(value, list) and len(value) == len(expected) and all(map(is_as, value, expected))
    return _is_composed(value, expected)


def _is_time(value: Any, expected: str, exact: bool) -> bool:
    """Inside of intervals the suite may write a Date for a DateTime, as the implicit conversion allows."""
    parse = {Date: parse_date, DateTime: parse_datetime, Time: parse_time}.get(type(value))
    if parse is None or (exact and (type(value) is Date) == ("T" in expected)):
        return False
    wanted = parse(expected[1:])
    if isinstance(value, DateTime) and isinstance(wanted, DateTime) and wanted.offset == 0:
        value = DateTime(value.fields, value.offset or 0)  # the evaluation's own offset
    return bool(value == wanted)


def _is_composed(value: Any, expected: dict[str, Any]) -> bool:
    if "long" in expected:
        return type(value) is Long and value == int(expected["long"])
    if isinstance(value, Quantity):
        return is_as(value.value, expected["value"]) and value.unit == expected["unit"]
    if isinstance(value, Concept):
        codes = expected["codes"] if isinstance(expected["codes"], list) else [expected["codes"]]
        return all(map(is_as, value.codes, codes))
    if isinstance(value, Code):
        return all(getattr(value, name) == part for name, part in expected.items())
    if isinstance(value, Tuple):
        return value.keys() == expected.keys() and all(is_as(value[k], expected[k]) for k in expected)
    return _is_interval(value, expected)


def _is_interval(value: Any, expected: dict[str, Any]) -> bool:
    closed = isinstance(value, Interval) and (value.low_closed, value.high_closed)
    if closed != (expected["lowClosed"], expected["highClosed"]):
        return False
    return is_as(value.low, expected["low"]) and is_as(value.high, expected["high"])
