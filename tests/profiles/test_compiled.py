"""The compiled form of a check: readable, the same every time, and made of constants only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from profiles.definitions import load
from profiles.emit import emit, explain
from profiles.structure import source, validate

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("type_", ["Flag", "Quantity", "dateTime"])
def test_the_compiled_form_is_the_golden_one(type_):
    """After a deliberate change: write source(type_) to the file, and read the difference."""
    assert source(type_) + "\n" == (GOLDEN / f"{type_}.txt").read_text("utf-8")


def test_types_of_every_kind_compile():
    for name in list(load().types)[::5]:  # all of them take 4 s
        if load().types[name].kind != "primitive-type":
            emitted = emit(load(), name)
            compile(emitted.module, name, "exec")
            assert emitted.function.isidentifier()


def test_the_same_definitions_give_the_same_code():
    assert explain(emit(load(), "Claim")) == explain(emit(load(), "Claim"))


def test_every_resource_type_is_checked():
    for name in load().resource_types:
        problems = validate({"resourceType": name, "id": "a", "noSuchElement": 1})
        assert f"{name}.noSuchElement" in {p.expression for p in problems}


def test_compiled_code_calls_nothing_but_checks():
    """No imports, no attribute of what arrives but get, no names from outside the table."""
    for name in ("Observation", "Extension", "Bundle.entry"):
        for node in ast.walk(emit(load(), name).module):
            assert not isinstance(node, ast.Import | ast.ImportFrom | ast.Lambda)
            if isinstance(node, ast.Attribute):
                assert node.attr in {
                    "get",
                    "isprintable",
                    "primitive",
                    "code",
                    "missing",
                    "not_object",
                    "not_list",
                    "empty_object",
                    "too_deep",
                }
