"""Membership against a slow reference; and $expand and $validate-code agree with it, whatever the value set."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from terminology.asked import Asked, read
from terminology.code_system import compile_code_system
from terminology.expand import codes
from terminology.findings import TerminologyError
from terminology.library import Library
from terminology.members import members, subsumed, subsuming
from terminology.validate import validate_in_value_set

A, B = "http://varde.test/a", "http://varde.test/b"
CODES = ["c1", "c2", "c3", "c4", "c5", "c6"]
PARENTS = {"c2": "c1", "c3": "c1", "c4": "c2", "c6": "c5"}
INACTIVE = {"c3", "c6"}
COLOURS = {"c1": "red", "c2": "blue", "c4": "red", "c5": "red"}


def regex(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text) is not None


def system(url: str) -> dict[str, Any]:
    concepts = []
    for code in CODES:
        properties = [{"code": "inactive", "valueBoolean": code in INACTIVE}]
        properties += [{"code": "parent", "valueCode": PARENTS[code]}] if code in PARENTS else []
        properties += [{"code": "colour", "valueString": COLOURS[code]}] if code in COLOURS else []
        concepts.append({"code": code, "display": code.upper(), "property": properties})
    colour = {"code": "colour", "type": "string"}
    return {
        "resourceType": "CodeSystem",
        "url": url,
        "content": "complete",
        "property": [colour],
        "concept": concepts,
    }


def over(code: str) -> set[str]:
    return {PARENTS[code], *over(PARENTS[code])} if code in PARENTS else set()


# The reference: one code at a time, straight from https://hl7.org/fhir/R4/valueset.html#compositions


def passes(code: str, asked: dict[str, str]) -> bool:
    value = asked["value"]
    has = COLOURS.get(code)
    match asked["property"], asked["op"]:
        case "concept", "is-a":
            return code == value or value in over(code)
        case "concept", "descendent-of":
            return value in over(code)
        case "concept", "is-not-a":
            return code != value and value not in over(code)
        case "concept", "generalizes":
            return code == value or code in over(value)
        case "code", "regex":
            return re.fullmatch(value, code) is not None
        case "colour", "=":
            return has == value
        case "colour", "in":
            return has in value.split(",")
        case "colour", "not-in":
            return has not in value.split(",")
        case "colour", "exists":
            return (has is not None) == (value == "true")
    raise AssertionError(asked)


def selected(url: str, code: str, part: dict[str, Any], sets: dict[str, Any]) -> bool:
    if "system" in part:
        if part["system"] != url:
            return False
        if "concept" in part and code not in [each["code"] for each in part["concept"]]:
            return False
        if not all(passes(code, asked) for asked in part.get("filter", [])):
            return False
    return all(is_in(url, code, sets[canonical], sets) for canonical in part.get("valueSet", []))


def is_in(url: str, code: str, value_set: dict[str, Any], sets: dict[str, Any]) -> bool:
    compose = value_set["compose"]
    included = any(selected(url, code, part, sets) for part in compose["include"])
    if compose.get("inactive") is False:
        included = included and code not in INACTIVE
    return included and not any(selected(url, code, part, sets) for part in compose.get("exclude", []))


code = st.sampled_from(CODES)
filters = st.one_of(
    st.builds(
        lambda op, value: {"property": "concept", "op": op, "value": value},
        st.sampled_from(["is-a", "descendent-of", "is-not-a", "generalizes"]),
        code,
    ),
    st.sampled_from(
        [
            {"property": "code", "op": "regex", "value": "c[1-4]"},
            {"property": "colour", "op": "=", "value": "red"},
            {"property": "colour", "op": "in", "value": "red,blue"},
            {"property": "colour", "op": "not-in", "value": "red"},
            {"property": "colour", "op": "exists", "value": "false"},
        ]
    ),
)
of_system = st.builds(
    lambda url, rest: {"system": url, **rest},
    st.sampled_from([A, B]),
    st.one_of(
        st.just({}),
        st.lists(code, min_size=1, max_size=4).map(
            lambda found: {"concept": [{"code": each} for each in found]}
        ),
        st.lists(filters, min_size=1, max_size=2).map(lambda found: {"filter": found}),
    ),
)


def parts(imports: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    if not imports:
        return of_system
    some = st.lists(st.sampled_from(imports), min_size=1, max_size=2, unique=True).map(
        lambda u: {"valueSet": u}
    )
    return st.one_of(of_system, some, st.builds(lambda a, b: a | b, of_system, some))


@st.composite
def value_sets(draw: Any) -> list[dict[str, Any]]:
    """Value sets each of which may take in those before it."""
    made: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        part = parts([each["url"] for each in made])
        compose: dict[str, Any] = {"include": draw(st.lists(part, min_size=1, max_size=3))}
        exclude = draw(st.lists(part, max_size=2))
        compose |= {"exclude": exclude} if exclude else {}
        compose |= {"inactive": False} if draw(st.booleans()) else {}
        made.append({"resourceType": "ValueSet", "url": f"http://varde.test/vs{number}", "compose": compose})
    return made


def library(*resources: dict[str, Any]) -> Library:
    made = Library(regex)
    for resource in resources:
        made.add(resource)
    return made


@settings(max_examples=60, deadline=None)
@given(value_sets())
def test_members_expansion_and_validation_agree_with_the_reference(made: list[dict[str, Any]]) -> None:
    known, sets = library(system(A), system(B), *made), {each["url"]: each for each in made}
    value_set = made[-1]
    inside = members(value_set, known)
    expanded = {entry.pair for entry in codes(value_set, Asked(), known)}
    for url in (A, B):
        for each in CODES:
            expected = is_in(url, each, value_set, sets)
            assert inside.has(url, each) is expected
            assert ((url, each) in expanded) is expected
            coding = {"name": "coding", "valueCoding": {"system": url, "code": each}}
            answer = validate_in_value_set(value_set, read({"parameter": [coding]}), known)["parameter"]
            assert answer[0] == {"name": "result", "valueBoolean": expected}


@settings(max_examples=40, deadline=None)
@given(value_sets())
def test_without_the_code_systems_no_answer_is_wrong(made: list[dict[str, Any]]) -> None:
    """What is said without knowing a code system is what would be said knowing it, or nothing."""
    informed = members(made[-1], library(system(A), system(B), *made))
    for there in ((), (system(A),)):
        uninformed = members(made[-1], library(*there, *made))
        for url in (A, B):
            for each in CODES:
                assert uninformed.has(url, each) in (None, informed.has(url, each)) or _only_a_list(made)


def _only_a_list(made: list[dict[str, Any]]) -> bool:
    """A list may name inactive codes, which only the code system tells."""
    return any("inactive" in each["compose"] for each in made)


def test_a_whole_system_that_is_not_known_takes_in_lists() -> None:
    everything = {
        "resourceType": "ValueSet",
        "url": "http://varde.test/all",
        "compose": {"include": [{"system": A}]},
    }
    listed = {
        "resourceType": "ValueSet",
        "url": "http://varde.test/some",
        "compose": {
            "include": [{"system": A, "concept": [{"code": "c1"}], "valueSet": ["http://varde.test/all"]}]
        },
    }
    inside = members(listed, library(everything))
    assert inside.has(A, "c1") is True and inside.has(A, "c2") is False
    whole = members(everything, library())
    assert whole.has(A, "c1") is None and whole.whole == {A}


def test_case_matters_only_where_the_system_says_so() -> None:
    insensitive = system(A) | {"caseSensitive": False}
    value_set = {"resourceType": "ValueSet", "compose": {"include": [{"system": A}, {"system": B}]}}
    inside = members(value_set, library(insensitive, system(B)))
    assert inside.has(A, "C1") and not inside.has(B, "C1") and inside.has(None, "C1")


def test_versions_and_patterns_of_them() -> None:
    first, second = (
        system(A) | {"version": "1.0.0"},
        system(A) | {"version": "1.2.0", "concept": [{"code": "new"}]},
    )
    known = library(first, second)

    def has(code: str, version: str | None) -> bool | None:
        include = {"system": A} | ({"version": version} if version else {})
        return members({"resourceType": "ValueSet", "compose": {"include": [include]}}, known).has(A, code)

    assert has("new", None) and has("new", "1.x") and has("new", "1.2.0") and not has("c1", "1.2.0")
    assert has("c1", "1.0.x") and not has("new", "1.0.0") and has("c1", "2.0.0") is None


def test_hierarchies_may_be_circles() -> None:
    circle = {
        "resourceType": "CodeSystem",
        "url": A,
        "concept": [
            {"code": "x", "property": [{"code": "parent", "valueCode": "y"}]},
            {"code": "y", "property": [{"code": "parent", "valueCode": "x"}]},
        ],
    }
    compiled = compile_code_system(circle)
    assert subsumed(compiled, "x") == subsuming(compiled, "x") == {"x", "y"}
    assert {concept.code for concept in compiled.walk()} == {"x", "y"}


def test_a_value_set_of_itself_is_refused() -> None:
    circle = {"resourceType": "ValueSet", "url": A, "compose": {"include": [{"valueSet": [A]}]}}
    with pytest.raises(TerminologyError, match="circularity"):
        members(circle, library(circle))


def test_value_sets_that_are_taken_in_many_times_are_looked_at_once() -> None:
    """A chain of 40, each of which takes in the next twice over: 2^40 ways through it."""
    chain = [
        {
            "resourceType": "ValueSet",
            "url": f"http://varde.test/{number}",
            "compose": {"include": [{"valueSet": [f"http://varde.test/{number + 1}"]}] * 2},
        }
        for number in range(40)
    ]
    last = {
        "resourceType": "ValueSet",
        "url": "http://varde.test/40",
        "compose": {"include": [{"system": A}]},
    }
    known = library(system(A), *chain, last)
    assert members(chain[0], known).has(A, "c1") is True
    assert len(list(codes(chain[0], Asked(), known))) == len(CODES)
    for code, right in (("c1", True), ("other", False)):
        coding = {"name": "coding", "valueCoding": {"system": A, "code": code}}
        answer = validate_in_value_set(chain[0], read({"parameter": [coding]}), known)["parameter"]
        assert answer[0]["valueBoolean"] is right
