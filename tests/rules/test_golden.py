"""The Python that runs, as files to read. `VARDE_WRITE_GOLDEN=1 pytest tests/rules/test_golden.py` rewrites."""

import os
from pathlib import Path

import pytest

from rules.plans.explain import rule_text
from tests.rules.build import PULSE, SPO2, SYSTOLIC, WEIGHT, care_plan, rules_of, target

GOLDEN = Path(__file__).parent / "golden"
PLANS = {
    "absolute": (target(SPO2, low=90, high=99, highInclusive=False), target(SPO2, low=88, zone="red")),
    "change": (
        target(WEIGHT, high=2, kind="change", window="3 d", zone="red"),
        target(WEIGHT, low=-3, high=5, unit="%", kind="change", window="2 wk", percent=True),
    ),
    "relative": (
        target(PULSE, high=20, kind="relative", baseline="median", window="7 d"),
        target(PULSE, high=50, unit="%", kind="relative", percent=True, baselineValue="70 /min", zone="red"),
    ),
    "persistence": (target(SYSTOLIC, low=90, high=160, kind="persistence", n=2, m=3, window="5 d"),),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_compiled_rule_is_the_golden_one(name):
    (rule,) = rules_of(care_plan(*PLANS[name]))
    text = rule_text(rule) + "\n"
    file = GOLDEN / f"{name}.txt"
    if os.environ.get("VARDE_WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


def test_a_traceback_shows_the_line_of_the_rule():
    import traceback

    (rule,) = rules_of(care_plan(*PLANS["absolute"]))
    try:
        rule.compiled.function([0], ["not a number"], 0, [0, 0], rule.numbers)
    except TypeError as error:
        assert "if value < p[0]:" in "".join(traceback.format_exception(error))
