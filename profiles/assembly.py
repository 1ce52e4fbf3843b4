"""Python put together from parts of text, whose capitalised names are filled in with trees, never with text.

What a definition says gets into a function only as a constant or as a name made here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

Node = TypeVar("Node", bound=Any)

_parsed = cache(ast.parse)


def fill(part: str, **parts: str | ast.expr) -> list[ast.stmt]:
    """The statements of a part, its capitalised names replaced by other names or by expressions."""
    statements: list[ast.stmt] = _filled(_parsed(part).body, parts)
    return statements


def test(text: str, **parts: str | ast.expr) -> ast.expr:
    """A test over `v` as an expression."""
    expression: ast.expr = _filled(_parsed(text, mode="eval").body, parts)
    return expression


def _filled(node: Any, parts: Mapping[str, str | ast.expr]) -> Any:
    """A copy of a tree, a list of trees or a field of a tree, with the replacements made."""
    if isinstance(node, list):
        return [_filled(item, parts) for item in node]
    if isinstance(node, str):
        part = parts.get(node)
        return part if isinstance(part, str) else node
    if not isinstance(node, ast.AST) or not node._fields:
        return node
    if isinstance(node, ast.Name) and isinstance(part := parts.get(node.id), ast.expr):
        return part
    return placed(type(node)(**{field: _filled(getattr(node, field), parts) for field in node._fields}))


def placed(node: Node) -> Node:
    """compile() wants a line of every node; there is no source whose lines would mean anything."""
    node.lineno, node.col_offset = 1, 0
    return node


def constant(value: Any) -> ast.expr:
    return placed(ast.Constant(value))


def module(statements: list[ast.stmt]) -> ast.Module:
    return ast.Module(statements, [])


class Constants:
    """The values that the functions of a module name: `values` goes into its names."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def expression(self, value: Any) -> ast.expr:
        """What stands for the value in a function: itself where it can be written, else a name."""
        if isinstance(value, str | int | bool):
            return constant(value)
        name = f"K{len(self.values)}"
        self.values[name] = value
        return placed(ast.Name(name, ast.Load()))
