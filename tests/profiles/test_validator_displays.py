"""HL7's validator cases about displays in LOINC and SNOMED CT agree where these are imported.

Neither comes with Varde, so validator_exceptions.json has the cases. Here each code whose display HL7's validator
finds wrong has another name, as an import would give it; which one does not matter.
"""

from __future__ import annotations

import re

import pytest

from tests.profiles.test_validator_verdicts import EXCEPTIONS
from tests.profiles.validator_suite import SUITE, cases, judge, near, read

pytestmark = pytest.mark.skipif(
    not SUITE.is_dir(), reason=f"the HL7 validator cases are not in {SUITE} (set VARDE_SUITES)"
)
NAMES = sorted(name for name, reason in EXCEPTIONS.items() if "test_validator_displays.py" in reason)
_STEP = re.compile(r"(\w+)(?:\[(\d+)\])?(?:/\*[^*]*\*/)?\.?")


def at(document, expression):
    """What stands at a place such as Measure.subject.ofType(CodeableConcept).coding[0]."""
    path = re.sub(r"\.?(\w+)\.ofType\((\w+)\)", r".\1\2", expression.partition(".")[2])
    value = document
    for name, index in _STEP.findall(path):
        value = value[name]
        value = value[int(index)] if index else value
    return value


def imported(case):
    """A fragment of each system with the codes whose displays are expected to be wrong."""
    document, names = read(case["file"]), {}
    for error in case["base"]["errors"]:
        if error["expression"].endswith(".display"):
            coding = at(document, error["expression"].removesuffix(".display"))
            names.setdefault(coding["system"], set()).add(coding["code"])
    return [
        {
            "resourceType": "CodeSystem",
            "url": system,
            "status": "active",
            "content": "fragment",
            "concept": [{"code": code, "display": f"The name of {code}"} for code in sorted(codes)],
        }
        for system, codes in names.items()
    ]


@pytest.mark.parametrize("name", NAMES)
def test_with_the_code_systems_the_verdicts_agree(name):
    case = next(case for case in cases() if case["name"] == name)
    systems = imported(case)
    assert systems
    for part in {"base", "profile"} & case.keys():
        found = [p.expression for p in judge(case, part, *systems) if p.severity == "error"]
        expected = [error["expression"] for error in case[part]["errors"]]
        assert bool(found) == bool(expected)
        assert [e for e in expected if not any(near(one, e) for one in found)] == []


def test_the_cases_about_displays():
    assert len(NAMES) == 7
