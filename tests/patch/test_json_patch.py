"""JSON Patch, https://www.rfc-editor.org/rfc/rfc6902, beyond the cases of the suite."""

from __future__ import annotations

import copy
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fhir_server.errors import FhirError
from fhir_server.patch import json_patch
from fhir_server.resource_json import decode, encode


def patched(tree: Any, *operations: dict[str, Any]) -> Any:
    return json_patch.read(json.dumps(operations).encode())(tree)


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1], "b": {"c": 1}}),
        ([{"op": "move", "from": "/b", "path": "/b"}], {"a": [1, 2, 3], "b": {"c": 1}}),
        ([{"op": "move", "from": "/b/c", "path": "/b"}], {"a": [1, 2, 3], "b": 1}),
        ([{"op": "copy", "from": "/b", "path": "/a/-"}], {"a": [1, 2, 3, {"c": 1}], "b": {"c": 1}}),
        ([{"op": "add", "path": "/a/3", "value": None}], {"a": [1, 2, 3, None], "b": {"c": 1}}),
        ([{"op": "replace", "path": "", "value": {"x": 1}}], {"x": 1}),
        ([{"op": "add", "path": "", "value": {"x": 1}}], {"x": 1}),
        (
            [{"op": "test", "path": "", "value": {"b": {"c": 1.0}, "a": [1, 2, 3]}}],
            {"a": [1, 2, 3], "b": {"c": 1}},
        ),
        ([{"op": "add", "path": "/", "value": 1}], {"a": [1, 2, 3], "b": {"c": 1}, "": 1}),
    ],
)
def test_what_the_operations_do(operations: list[Any], expected: Any) -> None:
    tree = {"a": [1, 2, 3], "b": {"c": 1}}
    before = copy.deepcopy(tree)
    assert patched(tree, *operations) == expected
    assert tree == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/x"},
        {"op": "remove", "path": "/a/3"},
        {"op": "remove", "path": "/a/-"},
        {"op": "remove", "path": "/a/01"},
        {"op": "remove", "path": "/a/-1"},
        {"op": "remove", "path": ""},
        {"op": "replace", "path": "/x", "value": 1},
        {"op": "replace", "path": "/b/c/d", "value": 1},
        {"op": "add", "path": "/a/4", "value": 1},
        {"op": "add", "path": "/x/y", "value": 1},
        {"op": "add", "path": "/b/c/d", "value": 1},
        {"op": "move", "from": "/b", "path": "/b/c"},
        {"op": "move", "from": "/x", "path": "/y"},
        {"op": "copy", "from": "/x", "path": "/y"},
        {"op": "test", "path": "/a/0", "value": True},
        {"op": "test", "path": "/a/0", "value": "1"},
        {"op": "test", "path": "/b", "value": {"c": 1, "d": 2}},
        {"op": "test", "path": "/x", "value": None},
    ],
)
def test_what_does_not_fit_is_told_with_the_operation(operation: dict[str, Any]) -> None:
    with pytest.raises(FhirError) as caught:
        patched({"a": [1, 2, 3], "b": {"c": 1}}, {"op": "test", "path": "/b/c", "value": 1}, operation)
    assert caught.value.category == "unprocessable"
    assert caught.value.issues[0].diagnostics.startswith(f"Operation 2 ({operation['op']} ")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{}", b"null", b"[1]", b"[null]", b"[[]]", b'[{"op":"add"}]', b'[{"op":"add","path":"/a"}]',
        b'[{"op":"merge","path":"/a"}]', b'[{"op":["add"],"path":"/a","value":1}]', b'[{"op":"add","path":1,"value":1}]',
        b'[{"op":"add","path":"a","value":1}]', b'[{"op":"add","path":"/~2","value":1}]', b'[{"op":"copy","path":"/a"}]',
        b'[{"op":"add","op":"remove","path":"/a","value":1}]', b'[{"op":"add","path":"/a","value":1}',
        b'[{"op":"add","path":"%b","value":1}]' % (b"/a" * 200),
    ],
)  # fmt: skip
def test_what_is_no_json_patch_is_malformed(body: bytes) -> None:
    with pytest.raises(FhirError) as caught:
        json_patch.read(body)
    assert caught.value.category == "malformed"


def test_numbers_keep_their_text() -> None:
    tree = decode(b'{"a":1.50,"b":{"c":1e2}}')
    body = b'[{"op":"add","path":"/d","value":91.50},{"op":"copy","from":"/b","path":"/e"},{"op":"move","from":"/a","path":"/f"}]'
    assert encode(json_patch.read(body)(tree)) == b'{"b":{"c":1e2},"d":91.50,"e":{"c":1e2},"f":1.50}'
    assert patched({"a": Decimal("1.50")}, {"op": "test", "path": "/a", "value": 1.5})


def test_copies_of_copies_come_to_an_end() -> None:
    double = [{"op": "copy", "from": "/a", "path": "/a/-"}] * 100
    with pytest.raises(FhirError):
        patched({"a": [1]}, *double)
    wide = [{"op": "add", "path": "/b", "value": [0] * 1000}] + [
        {"op": "copy", "from": "/b", "path": "/c"}
    ] * 2000
    with pytest.raises(FhirError) as caught:
        patched({"a": [1]}, *wide)
    assert caught.value.status == 413


def test_there_is_an_end_to_operations_and_depth() -> None:
    with pytest.raises(FhirError) as caught:
        json_patch.read(json.dumps([{"op": "test", "path": "", "value": 1}] * 10_001).encode())
    assert caught.value.status == 413
    deep: Any = 1
    for _ in range(100):
        deep = {"a": deep}
    with pytest.raises(FhirError, match="too deep"):
        patched(
            {}, {"op": "add", "path": "/a", "value": deep}, {"op": "add", "path": "/a" * 60, "value": deep}
        )


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "x"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "-", "0"]), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
_PATHS = st.lists(st.sampled_from(["a", "b", "0", "1", "-"]), max_size=3).map(
    lambda names: "".join(f"/{n}" for n in names)
)


@settings(max_examples=300, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["a", "b", "0"]), _VALUES, max_size=3),
    st.lists(
        st.fixed_dictionaries(
            {
                "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test"]),
                "path": _PATHS,
                "from": _PATHS,
                "value": _VALUES,
            }
        ),
        max_size=4,
    ),
)
def test_against_a_plain_reading_of_the_rfc(tree: Any, operations: list[dict[str, Any]]) -> None:
    try:
        expected = [reference(tree, operations)]
    except (KeyError, IndexError, TypeError, ValueError):
        expected = []
    try:
        found = [patched(tree, *operations)]
    except FhirError as error:
        assert error.category == "unprocessable"
        found = []
    assert json.dumps(found) == json.dumps(expected)


def reference(tree: Any, operations: list[dict[str, Any]]) -> Any:
    """Slow and plain: every operation rebuilds the tree."""
    for operation in operations:
        op, path = operation["op"], operation["path"].split("/")[1:]
        source = operation["from"].split("/")[1:]
        if op in ("move", "copy"):
            value = get(tree, source)
            if op == "move":
                if path[: len(source)] == source and path != source:
                    raise ValueError
                tree = edit(tree, source, "remove", None)
            tree = edit(tree, path, "add", value)
        elif op == "test":
            if json.dumps(get(tree, path), sort_keys=True) != json.dumps(operation["value"], sort_keys=True):
                raise ValueError
        else:
            tree = edit(tree, path, op, operation["value"])
    return tree


def get(tree: Any, path: list[str]) -> Any:
    for name in path:
        tree = (
            tree[number(name, len(tree) - 1)]
            if isinstance(tree, list)
            else tree[name]
            if isinstance(tree, dict)
            else {}[name]
        )
    return tree


def number(name: str, most: int) -> int:
    if not name.isdigit() or int(name) > most:
        raise IndexError
    return int(name)


def edit(tree: Any, path: list[str], op: str, value: Any) -> Any:
    if not path:
        if op == "remove":
            raise ValueError
        return value
    name, *rest = path
    if rest:
        inner = edit(get(tree, [name]), rest, op, value)
        if isinstance(tree, list):
            at = number(name, len(tree) - 1)
            return [*tree[:at], inner, *tree[at + 1 :]]
        return {**tree, name: inner}
    if isinstance(tree, list):
        if op == "add":
            at = len(tree) if name == "-" else number(name, len(tree))
            return [*tree[:at], value, *tree[at:]]
        at = number(name, len(tree) - 1)
        return [*tree[:at], *([value] if op == "replace" else []), *tree[at + 1 :]]
    if not isinstance(tree, dict):
        raise TypeError
    if op != "add" and name not in tree:
        raise KeyError
    return {key: item for key, item in {**tree, name: value}.items() if op != "remove" or key != name}
