"""Care plans as rules: thresholds read from Goals, compiled to Python, held against readings."""

from rules.plans.explain import rule_text, verdict_text
from rules.plans.judge import Series, Technical, Verdict, judge, judge_in
from rules.plans.plan import Plan, in_force, read_plan
from rules.plans.reading import JUDGED, Reading, codes_of, instant, readings, time_of, units_of
from rules.plans.rule import Rule, make_rules
from rules.plans.text import Text
from rules.plans.threshold import UCUM, Coding, Problem, Threshold, read_goal
from rules.plans.zone import Units, Zone

__all__ = [
    "JUDGED",
    "UCUM",
    "Coding",
    "Plan",
    "Problem",
    "Reading",
    "Rule",
    "Series",
    "Technical",
    "Text",
    "Threshold",
    "Units",
    "Verdict",
    "Zone",
    "codes_of",
    "in_force",
    "instant",
    "judge",
    "judge_in",
    "make_rules",
    "read_goal",
    "read_plan",
    "readings",
    "rule_text",
    "time_of",
    "units_of",
    "verdict_text",
]
