"""Whatever a resource is turned into, validation answers: it never raises, and it has not become lax."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.definitions import load
from profiles.structure import validate

SAMPLES = [
    json.loads(file.read_text("utf-8"), parse_float=Decimal)
    for file in sorted((Path(__file__).parent / "samples").glob("*.json"))
]
NAMES = sorted({name for type_ in load().types.values() for name in type_.elements})
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
    | st.sampled_from(["final", "2026-11-21", "Patient/1", "http://x", "#a", "Observation"])
)
KEYS = (
    st.sampled_from(NAMES)
    | st.sampled_from(["_status", "valueString", "_valueString", "resourceType"])
    | st.text()
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def places(node: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [way, *(place for key, child in children for place in places(child, (*way, key)))]


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """A valid resource after one to three random changes: values replaced, removed, doubled, added."""
    resource = copy.deepcopy(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(resource)[1:] or [("x",)]))
        parent = resource
        for step in way:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "remove", "wrap", "add"])):
            case "replace":
                parent[last] = draw(JSON)
            case "remove":
                parent.pop(last, None) if isinstance(parent, dict) else parent.pop(last)
            case "wrap":
                parent[last] = [parent[last]] if last in parent or isinstance(parent, list) else []
            case "add" if isinstance(parent, dict):
                parent[draw(KEYS)] = draw(JSON)
    return resource


def is_well_formed(problems: list[Any]) -> bool:
    return all(
        p.severity in ("error", "information")
        and p.code
        and p.diagnostics
        and p.expression
        and len(p.diagnostics) < 4000
        for p in problems
    )


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_a_changed_resource_never_breaks_the_validator(resource):
    before = copy.deepcopy(resource)
    problems = validate(resource)
    assert is_well_formed(problems)
    assert resource == before
    assert validate(resource) == problems


@settings(max_examples=200, deadline=None)
@given(JSON, st.sampled_from(load().resource_types))
def test_any_json_is_answered(value, type_):
    assert is_well_formed(validate(value))
    if isinstance(value, dict):
        assert is_well_formed(validate(value | {"resourceType": type_}))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_an_unknown_property_anywhere_is_found(sample, data):
    resource = copy.deepcopy(sample)
    way = data.draw(st.sampled_from(places(resource)))
    node: Any = resource
    for step in way:
        node = node[step]
    if isinstance(node, dict):
        node["unheardOf"] = data.draw(JSON)
        assert any(p.expression.endswith(".unheardOf") for p in validate(resource))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(SAMPLES), st.sampled_from([None, {}, [], ""]), st.data())
def test_an_empty_value_anywhere_is_found(sample, empty, data):
    resource = copy.deepcopy(sample)
    *way, last = data.draw(st.sampled_from(places(resource)[1:]))
    node: Any = resource
    for step in way:
        node = node[step]
    if empty is None and {"given", "_given"} & {*way, last}:
        return  # null has a meaning in lists of primitives
    node[last] = copy.copy(empty)
    assert validate(resource)


@settings(max_examples=300, deadline=None)
@given(mutated())
def test_what_the_oracle_refuses_is_refused(accepted_by_oracle, resource):
    """The other way round we are stricter: required codes, empty values, reference targets."""
    if not validate(resource):
        assert accepted_by_oracle(resource)
