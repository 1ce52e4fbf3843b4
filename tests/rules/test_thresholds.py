"""What a Goal.target must say to be a threshold, and what is said of one that makes no sense."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import plans
from tests.rules.build import SPO2, THRESHOLD, WEIGHT, care_plan, goal, make, quantity, target


def read(*targets):
    return plans.read_goal(goal(*targets))


def broken(t):
    """The one problem of a goal with this target, in English."""
    thresholds, problems = read(t)
    assert not thresholds
    (problem,) = problems
    assert problem.expression == "Goal.target[0]"
    assert problem.text.nb != problem.text.en
    return problem.text.en


def with_part(t, **part):
    t["extension"][0]["extension"].append(part)
    return t


def test_a_target_with_measure_and_range_is_a_yellow_absolute_threshold():
    (t,), problems = read(target(SPO2, low=90))
    assert not problems
    assert (t.zone, t.kind, t.rule_id, t.auto_resolve) == ("yellow", "absolute", "g.0", 3)
    assert (t.low.value, t.low.unit, t.low.inclusive, t.high) == (Decimal(90), "%", True, None)


def test_targets_that_are_no_thresholds_are_left_alone():
    assert read({"detailString": "walk more"}, {"measure": {"text": "x"}}, {"dueDate": "2026-12-01"}) == (
        [],
        [],
    )


def test_every_part_of_the_extension_is_read():
    (t,), _ = read(
        target(
            WEIGHT,
            low=-3,
            high=2,
            ruleId="weight-3d",
            zone="red",
            kind="change",
            baseline="first",
            window="3 d",
            lowInclusive=False,
            autoResolve=0,
        )
    )
    assert (t.rule_id, t.zone, t.kind, t.baseline, t.auto_resolve) == (
        "weight-3d",
        "red",
        "change",
        "first",
        0,
    )
    assert (t.low.inclusive, t.high.inclusive, t.window.unit) == (False, True, "d")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"zone": "purple"}, "zone must be one of"),
        ({"kind": "sometimes"}, "kind must be one of"),
        ({"kind": "change"}, "change needs a window"),
        ({"kind": "relative"}, "relative needs a baseline"),
        ({"kind": "relative", "baseline": "goal"}, "needs a baselineValue"),
        ({"kind": "relative", "baseline": "median"}, "relative needs a window"),
        ({"kind": "persistence"}, "persistence needs n"),
        ({"kind": "persistence", "n": 3, "m": 2}, "persistence needs n"),
        ({"kind": "change", "window": "3 kg"}, "positive duration"),
        ({"kind": "change", "window": "0 d"}, "positive duration"),
        ({"kind": "change", "window": "1.5 mo"}, "positive duration"),
        ({"kind": "change", "window": "99999 d"}, "positive duration"),
        ({"percent": True}, "percent is for"),
        ({"n": True}, "wrong type"),
        ({"zone": 7}, "wrong type"),
    ],
)
def test_parts_that_make_no_sense(parts, says):
    assert says in broken(target(SPO2, high=9, **parts))


def test_bounds_that_make_no_sense():
    assert "no bound" in broken(target(SPO2))
    assert "above the high" in broken(target(SPO2, low=95, high=90))
    assert "low must be 0 or less" in broken(target(WEIGHT, low=2, kind="change", window="3 d"))
    assert "no numeric value" in broken({**target(SPO2), "detailRange": {"low": {"unit": "%"}}})
    assert "neither" in broken({**target(SPO2, zone="red"), "detailRange": "?"})


def test_an_extension_that_is_not_understood_is_refused_not_ignored():
    assert "not known" in broken(
        with_part(target(SPO2, low=90, zone="red"), url="exceptOnSundays", valueBoolean=True)
    )
    assert "twice" in broken(with_part(target(SPO2, low=90, zone="red"), url="zone", valueCode="yellow"))
    twice = target(SPO2, low=90, zone="red")
    twice["extension"] *= 2
    assert "more than one" in broken(twice)


def test_a_threshold_without_a_coded_measure_is_a_problem():
    t = target(SPO2, low=90, zone="red")
    t["measure"] = {"text": "oxygen"}
    assert "no coded measure" in broken(t)


def test_bounds_that_cannot_be_compared_are_a_problem_of_their_plan():
    _, problems = make(
        care_plan(target(WEIGHT, high=100), target(WEIGHT, high=120, unit="mm[Hg]", zone="red"))
    )
    ((plan, problem),) = problems
    assert plan.id == "plan"
    assert "cannot be compared" in problem.text.en


def test_a_red_bound_inside_the_yellow_one_is_a_problem_and_both_still_judge():
    rules, problems = make(care_plan(target(SPO2, low=88), target(SPO2, low=92, zone="red")))
    assert "lies inside" in problems[0][1].text.en
    assert len(rules[0].zones) == 2


def test_windows_of_different_length_do_not_overlap():
    _, problems = make(
        care_plan(
            target(WEIGHT, high=3, kind="change", window="7 d"),
            target(WEIGHT, high=2, kind="change", window="1 d", zone="red"),
        )
    )
    assert not problems


def test_goals_that_are_not_in_force_judge_nobody():
    plan = care_plan(target(SPO2, low=90))
    for status, count in (("active", 1), ("accepted", 1), ("proposed", 0), ("on-hold", 0), ("cancelled", 0)):
        plan["contained"][0]["lifecycleStatus"] = status
        assert len(make(plan)[0]) == count


def test_a_goal_that_cannot_be_had_is_a_problem_for_every_measure():
    plan = care_plan(target(SPO2, low=90))
    plan["goal"].append({"reference": "Goal/gone"})
    rules, ((_, problem),) = make(plan)
    assert len(rules) == 1
    assert (problem.expression, problem.measure) == ("CarePlan.goal[1]", None)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.decimals(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "measure",
                    "coding",
                    "code",
                    "system",
                    "detailRange",
                    "low",
                    "high",
                    "value",
                    "extension",
                    "url",
                ]
                + ["valueCode", "valueQuantity", "target", "valueDuration", "unit", "detailQuantity"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(anything, anything)
def test_no_goal_whatever_it_holds_makes_reading_it_raise(measure, extension):
    base = {"measure": measure, "detailRange": {"low": quantity(90, "%")}, "extension": extension}
    claimed = {**target(SPO2, low=90), "extension": [{"url": THRESHOLD, "extension": extension}]}
    for t in (base, claimed, measure):
        plans.read_goal({"id": "g", "target": [t]})
