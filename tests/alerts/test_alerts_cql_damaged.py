"""Whatever a valid PlanDefinition, Library or ValueSet leaves out or says oddly, reading it does not fail."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server.alerts.definitions import Reader
from fhir_server.alerts.libraries import Libraries
from fhir_server.alerts.publishing import check
from fhir_server.alerts.value_sets import ValueSets
from fhir_server.errors import Issue
from profiles.structure import validate
from rules import cql
from rules.values import ValueSet
from tests.alerts.cql_build import LOW, URL, action, condition, definition, elm, library, trigger, value_set
from tests.rules.build import SPO2

NESTED = action(
    "Low",
    zone="red",
    auto_resolve=2,
    priority="stat",
    title="a",
    action=[action(condition("Oxygen.Low and true", "text/cql")), action(condition("true", "text/fhirpath"))],
)
WHOLE = [
    definition(
        NESTED,
        triggers=[trigger(SPO2, valueSet=f"{URL}/ValueSet/copd")],
        effectivePeriod={"start": "2026", "end": "2026-12"},
        language="nb",
        version="1",
    ),
    library(content=[{"contentType": "text/cql", "data": "YQ=="}, elm(LOW)]),
    value_set(
        "1",
        expansion={
            "timestamp": "2026-11-21",
            "total": 1,
            "contains": [{"system": "http://s", "code": "1", "contains": [{"code": "2", "abstract": True}]}],
        },
    ),
]
ODD: tuple[Any, ...] = (
    "x",
    "9999",
    "text/cql",
    "applicability",
    [{"url": "http://x", "valueString": "x"}],
    {"extension": [{"url": "http://x", "valueString": "x"}]},
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def damaged(resource: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The resource without one element, or with something else in its place, where that is still valid."""
    for path in places(resource):
        for odd in (None, *ODD):
            changed = copy.deepcopy(resource)
            inside = changed
            for key in path[:-1]:
                inside = inside[key]
            if odd is None:
                del inside[path[-1]]
            else:
                inside[path[-1]] = odd
            if not any(problem.severity in ("error", "fatal") for problem in validate(changed)):
                yield changed


@pytest.mark.parametrize("resource", WHOLE, ids=lambda resource: resource["resourceType"])
def test_what_is_valid_can_be_read(resource: dict[str, Any]) -> None:
    others = [library(), value_set("1")]
    count = 0
    for changed in damaged(resource):
        count += 1
        stored = [changed, *others]
        libraries = Libraries(lambda _: (), stored)
        value_sets = ValueSets(lambda _: (), stored)
        if changed["resourceType"] != "ValueSet":
            assert all(isinstance(issue, Issue) for issue in check(changed, libraries))
        if changed["resourceType"] == "PlanDefinition":
            Reader(changed, libraries, value_sets).read()
        try:
            value_sets(ValueSet(f"{URL}/ValueSet/copd"))
        except cql.EvaluationError:
            continue
    assert count > 30
