"""How long a plan takes to become rules, and a rule to judge a reading."""

from __future__ import annotations

import pytest

from rules.plans import judge, make_rules, read_plan, readings, time_of
from rules.plans.emit import compile_shape, shape_of
from terminology import ucum
from terminology.measures import same_measure


def read(plan_resources):
    plan, found = plan_resources
    return read_plan(plan, lambda reference: found.get(reference["reference"]), same_measure)


@pytest.fixture(scope="session")
def rules(plan_resources):
    return {rule.key: rule for rule in make_rules([read(plan_resources)], ucum)[0]}


def series(rule, observations):
    found = [reading for o in observations for reading in readings(o, rule.codes, time_of(o))]
    return found[-1], found[:-1]


def test_read_a_plan(benchmark, plan_resources):
    assert not benchmark(read, plan_resources).problems


def test_make_rules_of_a_plan_whose_shapes_are_known(benchmark, plan_resources):
    rules, problems = benchmark(make_rules, [read(plan_resources)], ucum)
    assert rules
    assert not problems


def test_compile_a_shape_that_is_new(benchmark, rules):
    shapes = [shape_of(rule.kind, rule.zones) for rule in rules.values()]

    def compile_all():
        compile_shape.cache_clear()
        return [compile_shape(shape) for shape in shapes]

    assert len(benchmark(compile_all)) == len(shapes)


@pytest.mark.parametrize("kind", ["absolute", "relative", "change"])
def test_the_emitted_function_alone(benchmark, rules, observations, kind):
    rule = next(rule for rule in rules.values() if rule.kind == kind)
    newest, before = series(rule, observations)
    window = [*before[-3:], newest]
    times, values = [r.time for r in window], [r.value for r in window]
    starts = [w.start(newest.time) if (w := z.threshold.window) else 0 for z in rule.zones]
    assert benchmark(rule.compiled.function, times, values, len(window) - 1, starts, rule.numbers)


@pytest.mark.parametrize("kind", ["absolute", "relative", "change"])
def test_judge_a_reading_with_its_window(benchmark, rules, observations, kind):
    rule = next(rule for rule in rules.values() if rule.kind == kind)
    newest, before = series(rule, observations)
    verdict = benchmark(judge, rule, newest, before[-3:], ucum)
    assert verdict.color
