"""Strings and regular expressions; Python's engine as the reference of our own, and nothing that runs away."""

from __future__ import annotations

import contextlib
import re
import time
from itertools import zip_longest

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.runtime import matching as m
from rules.runtime import strings as s
from rules.runtime.errors import EvaluationError
from rules.runtime.regex import expression


@pytest.mark.parametrize(
    ("function", "operands", "expected"),
    [
        (s.combine, (["a", "b", "c"],), "abc"),
        (s.combine, (["a", None, "c"], "-"), "a-c"),
        (s.combine, ([], "-"), None),
        (s.combine, ([None],), None),
        (s.combine, (None,), None),
        (s.concatenate, ("a", "b"), "ab"),
        (s.concatenate, ("a", None), None),
        (s.concatenate_or_empty, ("a", None, "b"), "ab"),
        (s.starts_with, ("abc", "ab"), True),
        (s.starts_with, ("abc", ""), True),
        (s.starts_with, ("abc", None), None),
        (s.ends_with, ("abc", "b"), False),
        (s.ends_with, (None, "b"), None),
        (s.indexer_string, ("ab", 1), "b"),
        (s.indexer_string, ("ab", 2), None),
        (s.indexer_string, ("ab", -1), None),
        (s.position_of, ("b", "abcb"), 1),
        (s.position_of, ("", "abc"), 0),
        (s.position_of, ("x", "abc"), -1),
        (s.last_position_of, ("b", "abcb"), 3),
        (s.last_position_of, ("", "abc"), 3),
        (s.length_string, ("ab",), 2),
        (s.lower, ("AbÆ",), "abæ"),
        (s.upper, ("abø",), "ABØ"),
        (s.split, ("a,b", ","), ["a", "b"]),
        (s.split, ("a,b", "-"), ["a,b"]),
        (s.split, ("a,b", None), ["a,b"]),
        (s.split, (None, ","), None),
        (s.substring, ("abc", 1), "bc"),
        (s.substring, ("abc", 1, 1), "b"),
        (s.substring, ("ab", 0, 3), "ab"),
        (s.substring, ("ab", 2), None),
        (s.substring, ("ab", -1), None),
        (s.substring, ("", 0), ""),
        (s.substring, ("ab", None), None),
        (s.to_chars, ("ab",), ["a", "b"]),
        (m.matches, ("1,2three", r"\d,\d\w+"), True),
        (m.matches, ("1,2three", r"^\w+$"), False),
        (m.matches, ("a library here", "lib"), True),
        (m.matches, ("a\nb", "a.b"), True),
        (m.matches, ("abc", None), None),
        (m.matches_full, ("a library here", "lib"), False),
        (m.matches_full, ("lib", "l|lib"), True),
        (m.replace_matches, ("All is not gold", r"\s", r"\$"), "All$is$not$gold"),
        (m.replace_matches, ("2026-11-21", r"(\d+)-(\d+)-(\d+)", "$3.$2.$1"), "21.11.2026"),
        (m.replace_matches, ("ab", "(?P<first>a)", "<${first}>"), "<a>b"),
        (m.replace_matches, ("abc", "x*", "-"), "-a-b-c-"),
        (m.replace_matches, ("abc", "b", None), None),
        (m.split_on_matches, ("a1b22c", r"\d+"), ["a", "b", "c"]),
        (m.split_on_matches, ("abc", r"\d"), ["abc"]),
        (m.split_on_matches, (None, "a"), None),
    ],
)
def test_results(function, operands, expected):
    assert function(*operands) == expected


@pytest.mark.parametrize("pattern", ["(", "[a", "*", "(?P<n>a", r"\p{L}", "a{3,1}", "x" * 3000, "(" * 500])
def test_text_that_is_no_regular_expression(pattern):
    with pytest.raises(EvaluationError):
        m.matches("abc", pattern)


def test_a_group_that_is_not_there():
    with pytest.raises(EvaluationError):
        m.replace_matches("abc", "b", "$1")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(a+)+$", "a" * 40 + "b"),
        ("^(a|a)*$", "a" * 40 + "b"),
        ("(a|ab)*c", "ab" * 40),
        (r"(\w+\s?)+$", "word " * 20 + "!"),
        ("(.*)*(.*)*(.*)*x", "y" * 60),
        (".*.*.*.*.*=", "y" * 200),
        ("^(([a-z])+.)+[A-Z]([a-z])+$", "a" * 60),
        ("(a{1,30}){1,30}b", "a" * 60),
        ("a*a*a*a*a*a*b", "a" * 100),
        (r"\s*\s*\s*x", " " * 2000),
        ("a?" * 30 + "a" * 29 + "b", "a" * 40),
        ("a{1,8}" * 12 + "b", "a" * 96),
    ],
)
def test_nothing_runs_away(pattern, text):
    began = time.perf_counter()
    with contextlib.suppress(EvaluationError):
        assert m.matches(text, pattern) is False
    assert time.perf_counter() - began < 5


def test_what_no_engine_does_in_bounded_time_is_refused():
    with pytest.raises(EvaluationError, match="too long"):
        m.matches("a" * 40, r"((a+)\2)+b")
    with pytest.raises(EvaluationError, match="too long"):
        m.matches("a" * 10**6, "(a+)+b")


atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\b", "^", "$", "(a)", "(?:b)", "()"])
pieces = st.builds(
    str.__add__, atoms, st.sampled_from(["", "", "*", "+", "?", "{2}", "{1,2}", "*?", "+?", "??"])
)
sequences = st.lists(pieces, max_size=4).map("".join)
branches = st.lists(sequences, min_size=1, max_size=3).map("|".join)
patterns = st.builds(
    lambda a, b, how: f"({a}){how}{b}", branches, sequences, st.sampled_from(["", "*", "+", "?"])
)


@settings(deadline=None, max_examples=300)
@given(patterns, st.text("abc", max_size=8))
def test_our_engine_finds_what_pythons_finds(pattern, text):
    try:
        python = re.compile(pattern, re.DOTALL)
    except re.error:
        return
    own = expression(pattern).own
    if own is not None:
        mine, its = next(own.finditer(text), None), python.search(text)
        assert (mine and mine.start()) == (its and its.start())


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+",
        r"(a|ab)(c|bcd)(d*)",
        r"(\w+\s?)+",
        r"(a+?)+b",
        r"(?:a|b)*?c",
        r"((a)|(b))+",
        r"^(a|b)*$",
        r"\b(\w+\.)+\w+\b",
    ],
)
@pytest.mark.parametrize("text", ["abcd", "aab b", "aabc", "bab", "a.b.cc d"])
def test_our_engine_finds_the_same_spans_and_groups(pattern, text):
    own = expression(pattern).own
    for mine, its in zip_longest(own.finditer(text), re.finditer(pattern, text, re.DOTALL)):
        assert (mine.start(), mine.end()) == its.span()
        assert [mine[group] for group in range(re.compile(pattern).groups + 1)] == [its[0], *its.groups()]
