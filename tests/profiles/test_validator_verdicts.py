"""HL7's validator cases: the same verdict as the reference's, and an error wherever it has one.

validator_exceptions.json lists the cases that differ, each with the reason; one that starts to agree must go.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhir_server.errors import FhirError
from tests.profiles.validator_suite import SUITE, cases, judge, near

pytestmark = pytest.mark.skipif(
    not SUITE.is_dir(), reason=f"the HL7 validator cases are not in {SUITE} (set VARDE_SUITES)"
)
EXCEPTIONS = json.loads(Path(__file__).with_name("validator_exceptions.json").read_text("utf-8"))


def places(case, part):
    """Where errors are found, in a file that is no JSON too."""
    try:
        return [p.expression for p in judge(case, part) if p.severity == "error"]
    except FhirError as error:
        return [issue.expression for issue in error.issues]


def agrees(case):
    for part in ("base", "profile"):
        if part in case:
            expected = [error["expression"] for error in case[part]["errors"]]
            found = places(case, part)
            if bool(found) != bool(expected):
                return False
            if not all(any(near(one, other) for one in found) for other in expected):
                return False
    return True


def test_all_cases_agree_but_those_that_are_explained():
    disagreeing = {case["name"] for case in cases() if not agrees(case)}
    assert disagreeing == set(EXCEPTIONS)
