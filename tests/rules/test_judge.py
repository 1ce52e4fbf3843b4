"""Each kind of rule, from the plan as FHIR to the verdict on a reading."""

from decimal import Decimal

import pytest

from rules import plans
from tests.rules.build import (
    PULSE,
    SPO2,
    SYSTOLIC,
    TEMPERATURE,
    WEIGHT,
    care_plan,
    judged,
    reading,
    rules_of,
    target,
)

DAY = "2026-11-21"


def color(rule, *readings):
    return judged(rule, *readings).color


def one_rule(*targets, **more):
    (rule,) = rules_of(care_plan(*targets, **more))
    return rule


class TestAbsolute:
    rule = one_rule(
        target(SPO2, low=90, high=99),
        target(SPO2, low=88, zone="red"),
    )

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            ("95", "green"),
            ("90", "green"),
            ("89.9", "yellow"),
            ("88", "yellow"),
            ("87.99", "red"),
            ("99", "green"),
            ("99.01", "yellow"),
        ],
    )
    def test_a_reading_outside_a_zone_is_in_it_and_the_most_severe_wins(self, value, expected):
        assert color(self.rule, reading(value, DAY, "%")) == expected

    def test_a_bound_that_is_not_inclusive_is_itself_outside(self):
        rule = one_rule(target(SPO2, low=90, high=99, lowInclusive=False, highInclusive=False))
        assert [color(rule, reading(v, DAY, "%")) for v in (90, 91, 99)] == ["yellow", "green", "yellow"]

    def test_yellow_and_red_are_zones_of_one_rule(self):
        assert [zone.threshold.zone for zone in self.rule.zones] == ["red", "yellow"]

    def test_the_same_fraction_in_another_unit_is_the_same_reading(self):
        assert color(self.rule, reading("0.87", DAY, "1")) == "red"

    def test_a_temperature_in_fahrenheit_on_the_bound_is_normal(self):
        rule = one_rule(target(TEMPERATURE, high=38))
        assert color(rule, reading("100.4", DAY, "[degF]")) == "green"
        assert color(rule, reading("100.5", DAY, "[degF]")) == "yellow"

    def test_bounds_in_other_units_than_each_other(self):
        rule = one_rule(target(WEIGHT, high=100), target(WEIGHT, high="242.508", unit="[lb_av]", zone="red"))
        assert [color(rule, reading(v, DAY, "kg")) for v in (100, 101, 111)] == ["green", "yellow", "red"]

    @pytest.mark.parametrize(
        ("value", "comparator", "expected", "technical"),
        [
            ("70", "<", "red", False),
            ("88", "<", "red", False),
            ("90", "<", "yellow", True),
            ("95", "<", "green", True),
            ("70", "<=", "red", False),
            ("88", "<=", "yellow", True),
            ("99", ">", "yellow", False),
            ("95", ">", "green", True),
        ],
    )
    def test_a_reading_known_only_to_be_less_or_more(self, value, comparator, expected, technical):
        verdict = judged(self.rule, reading(value, DAY, "%", comparator=comparator))
        certain = verdict.zone.threshold.zone if verdict.zone else "green"
        assert (certain, bool(verdict.technical)) == (expected, technical)


class TestDetailQuantity:
    @pytest.mark.parametrize(
        ("comparator", "outside", "inside"),
        [(">=", "89", "90"), (">", "90", "91"), ("<=", "91", "90"), ("<", "90", "89"), (None, "91", "90")],
    )
    def test_its_comparator_says_which_side_is_normal(self, comparator, outside, inside):
        t = target(SPO2, low=90)
        t["detailQuantity"] = t.pop("detailRange")["low"]
        if comparator:
            t["detailQuantity"]["comparator"] = comparator
        rule = one_rule(t)
        assert color(rule, reading(outside, DAY, "%")) == "yellow"
        assert color(rule, reading(inside, DAY, "%")) == "green"

    def test_of_a_change_its_sign_says_rise_or_fall(self):
        rise = target(WEIGHT, low=2, kind="change", window="3 d", zone="red")
        rise["detailQuantity"] = rise.pop("detailRange")["low"]
        rule = one_rule(rise)
        assert color(rule, reading(80, "2026-11-19", "kg"), reading("82.1", DAY, "kg")) == "red"
        assert color(rule, reading(80, "2026-11-19", "kg"), reading("77", DAY, "kg")) == "green"


class TestChange:
    rule = one_rule(target(WEIGHT, high=2, kind="change", window="3 d", zone="red"))

    def test_two_kilograms_in_three_days(self):
        before = reading("80.0", "2026-11-18", "kg")
        assert color(self.rule, before, reading("82.0", DAY, "kg")) == "green"
        verdict = judged(self.rule, before, reading("82.1", DAY, "kg"))
        assert (verdict.color, verdict.measured, verdict.baseline) == ("red", Decimal("2.1"), Decimal("80.0"))
        assert [r.id for r in verdict.looked_at] == ["o-2026-11-18", "o-2026-11-21"]

    def test_the_rise_is_from_the_lowest_of_the_window(self):
        earlier = [reading(v, d, "kg") for v, d in (("81.5", "2026-11-18"), ("79.9", "2026-11-19"))]
        assert color(self.rule, *earlier, reading("82.0", DAY, "kg")) == "red"

    def test_a_reading_before_the_window_does_not_count(self):
        early = reading("70", "2026-11-18T07:59:59+01:00", "kg")
        assert color(self.rule, early, reading("82", DAY, "kg")) == "green"

    def test_a_reading_after_the_judged_one_does_not_count(self):
        late = reading("70", "2026-11-22", "kg")
        assert color(self.rule, late, reading("82", DAY, "kg")) == "green"

    def test_the_first_reading_of_all_is_no_change(self):
        verdict = judged(self.rule, reading("82", DAY, "kg"))
        assert verdict.color == "green"
        assert not verdict.technical

    def test_three_days_are_three_mornings_when_daylight_saving_time_ends(self):
        friday = reading("80", "2026-10-23T08:00:00+02:00", "kg")
        assert color(self.rule, friday, reading("83", "2026-10-26T08:00:00+01:00", "kg")) == "red"

    def test_a_fall_is_from_the_highest(self):
        rule = one_rule(target(WEIGHT, low=-2, high=2, kind="change", window="3 d"))
        assert color(rule, reading(83, "2026-11-20", "kg"), reading("80.9", DAY, "kg")) == "yellow"

    def test_per_cent_of_the_baseline(self):
        rule = one_rule(target(WEIGHT, high=5, unit="%", kind="change", window="7 d", percent=True))
        assert color(rule, reading(80, "2026-11-20", "kg"), reading("84.0", DAY, "kg")) == "green"
        assert color(rule, reading(80, "2026-11-20", "kg"), reading("84.1", DAY, "kg")) == "yellow"

    def test_readings_in_pounds_against_a_bound_in_kilograms(self):
        earlier = reading("176.37", "2026-11-20", "[lb_av]")  # 80.0 kg
        assert color(self.rule, earlier, reading("181", DAY, "[lb_av]")) == "red"
        assert color(self.rule, earlier, reading("180", DAY, "[lb_av]")) == "green"

    def test_a_bound_in_fahrenheit_is_a_difference_not_a_temperature(self):
        rule = one_rule(target(TEMPERATURE, high="1.8", unit="[degF]", kind="change", window="1 d"))
        assert color(rule, reading("36.0", "2026-11-20", "Cel"), reading("37.0", DAY, "Cel")) == "green"
        assert color(rule, reading("36.0", "2026-11-20", "Cel"), reading("37.1", DAY, "Cel")) == "yellow"


class TestRelative:
    def test_against_a_value_that_the_plan_states(self):
        rule = one_rule(target(SPO2, low=-4, kind="relative", baseline="goal", baselineValue="94 %"))
        assert color(rule, reading(90, DAY, "%")) == "green"
        verdict = judged(rule, reading("89.5", DAY, "%"))
        assert (verdict.color, verdict.measured, verdict.baseline) == ("yellow", Decimal("-4.5"), 94)

    @pytest.mark.parametrize(
        ("baseline", "limit"),  # of 60, 70, 62, 100: the highest pulse that is still normal at +10
        [("min", 70), ("max", 110), ("median", 76), ("mean", 83), ("first", 70), ("previous", 110)],
    )
    def test_against_what_the_window_holds(self, baseline, limit):
        rule = one_rule(target(PULSE, high=10, kind="relative", baseline=baseline, window="7 d"))
        days = ("2026-11-15", "2026-11-16", "2026-11-17", "2026-11-18")
        earlier = [reading(v, d, "/min") for v, d in zip((60, 70, 62, 100), days, strict=True)]
        assert color(rule, *earlier, reading(limit, DAY, "/min")) == "green"
        assert color(rule, *earlier, reading(limit + 1, DAY, "/min")) == "yellow"

    def test_without_an_earlier_reading_the_baseline_is_missing_and_that_is_said(self):
        rule = one_rule(target(PULSE, high=10, kind="relative", baseline="mean", window="7 d"))
        verdict = judged(rule, reading(60, DAY, "/min"))
        assert verdict.color == ""
        assert [(t.code, t.passing) for t in verdict.technical] == [("baseline", True)]

    def test_a_red_zone_that_can_be_judged_is_not_hidden_by_a_yellow_one_that_cannot(self):
        rule = one_rule(
            target(PULSE, high=10, kind="relative", baseline="mean", window="7 d"),
            target(PULSE, high=40, kind="relative", baselineValue="60 /min", zone="red"),
        )
        assert color(rule, reading(101, DAY, "/min")) == "red"
        assert [t.code for t in judged(rule, reading(61, DAY, "/min")).technical] == ["baseline"]

    def test_per_cent_of_a_baseline_of_nothing_cannot_be_judged(self):
        rule = one_rule(
            target(PULSE, high=10, unit="%", kind="relative", percent=True, baselineValue="0 /min")
        )
        assert [t.code for t in judged(rule, reading(1, DAY, "/min")).technical] == ["baseline"]


class TestPersistence:
    rule = one_rule(target(SYSTOLIC, high=160, kind="persistence", n=2, m=3))

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ((161,), "green"),
            ((161, 161), "yellow"),
            ((161, 150, 161), "yellow"),
            ((161, 150, 150, 161), "green"),
            ((161, 161, 150), "green"),
        ],
    )
    def test_two_of_the_last_three(self, values, expected):
        series = [reading(v, f"2026-11-{10 + i}", "mm[Hg]") for i, v in enumerate(values)]
        assert color(self.rule, *series) == expected

    def test_a_window_leaves_out_what_is_older(self):
        rule = one_rule(target(SYSTOLIC, high=160, kind="persistence", n=2, m=3, window="2 d"))
        late = reading(161, DAY, "mm[Hg]")
        assert color(rule, reading(161, "2026-11-18", "mm[Hg]"), late) == "green"
        assert color(rule, reading(161, "2026-11-19", "mm[Hg]"), late) == "yellow"

    def test_a_copy_of_a_reading_counts_once(self):
        first = reading(161, DAY, "mm[Hg]", id="a")
        assert color(self.rule, first, reading("161.0", DAY, "mm[Hg]", id="b")) == "green"

    def test_n_alone_means_all_of_the_last_n(self):
        rule = one_rule(target(SYSTOLIC, high=160, kind="persistence", n=3))
        series = [reading(v, f"2026-11-1{i}", "mm[Hg]") for i, v in enumerate((161, 161, 161))]
        assert color(rule, *series[:2]) == "green"
        assert color(rule, *series) == "yellow"


class TestWhatCannotBeJudged:
    rule = one_rule(target(SPO2, low=90))

    @pytest.mark.parametrize(
        ("given", "code"),
        [
            (reading(80, DAY, "kg"), "unit"),
            (reading(80, DAY, "no such unit"), "unit"),
            (reading(80, DAY, ""), "unit"),
            (reading(None, DAY, "%"), "value"),
        ],
    )
    def test_is_said_and_never_normal(self, given, code):
        verdict = judged(self.rule, given)
        assert (verdict.color, [t.code for t in verdict.technical]) == ("", [code])

    def test_a_function_that_raises_is_a_technical_verdict(self, monkeypatch):
        def broken(*_):
            raise ArithmeticError("no")

        rule = one_rule(target(SPO2, low=90))
        object.__setattr__(rule, "compiled", plans.emit.Compiled(broken, ""))
        assert [t.code for t in judged(rule, reading(80, DAY, "%")).technical] == ["failed"]

    def test_a_reading_from_before_the_plan_is_not_the_plans_to_judge(self):
        rule = one_rule(target(SPO2, low=90), period={"start": "2026-11-21"})
        assert color(rule, reading(80, "2026-11-19", "%")) == "green"
        assert color(rule, reading(80, DAY, "%")) == "yellow"


class TestSeveralPlans:
    def test_are_merged_and_the_most_severe_wins(self):
        (rule,) = rules_of(
            care_plan(target(SPO2, low=92), id="copd"),
            care_plan(target(SPO2, low=85, zone="red"), id="heart"),
        )
        assert [color(rule, reading(v, DAY, "%")) for v in (93, 91, 84)] == ["green", "yellow", "red"]
        assert judged(rule, reading(84, DAY, "%")).zone.plan.id == "heart"

    def test_the_most_cautious_auto_resolve_wins(self):
        def auto_resolve(*values):
            made = [care_plan(target(SPO2, low=90, autoResolve=v), id=f"c{v}") for v in values]
            return rules_of(*made)[0].auto_resolve

        assert (auto_resolve(2, 5), auto_resolve(3, 0)) == (5, 0)

    def test_other_codes_for_the_same_measure_are_the_same_rule(self):
        snomed = target(SPO2, low=85, zone="red")
        snomed["measure"] = {"coding": [{"system": "http://snomed.info/sct", "code": "431314004"}]}
        (rule,) = rules_of(care_plan(target(SPO2, low=90), snomed))
        assert len(rule.zones) == 2


def test_plans_that_differ_only_in_numbers_share_one_function():
    a = one_rule(target(SPO2, low=90), target(SPO2, low=88, zone="red"))
    b = one_rule(target(PULSE, low=50), target(PULSE, low=40, zone="red"), id="other")
    c = one_rule(target(PULSE, high=50), target(PULSE, low=40, zone="red"))
    assert a.compiled.function is b.compiled.function
    assert a.compiled.function is not c.compiled.function


def test_the_key_of_a_rule_outlives_plans_and_numbers():
    a = one_rule(target(SPO2, low=90), id="one")
    b = one_rule(target(SPO2, low=80, high=99), id="two")
    assert a.key == b.key
    hostile = target(SPO2, low=90)
    hostile["measure"] = {"coding": [{"system": "urn:x", "code": "'; import os #" * 20}]}
    assert one_rule(hostile).key.startswith("absolute.")
    assert "import" not in one_rule(hostile).key + one_rule(hostile).compiled.source
