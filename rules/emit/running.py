"""From Python text to functions, whose tracebacks show the lines that the text came from."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from rules.language.errors import CompileError, Diagnostic


def digest(text: str) -> str:
    """What tells one text from another in the name of its file."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def register(name: str, text: str) -> None:
    """Tracebacks through the file of this name show the text."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)


def run(source: str, lines: Sequence[int], name: str, namespace: dict[str, Any]) -> None:
    """Runs the module; `lines` has for each of its lines the one that it came from.

    Raises CompileError where Python cannot take it.
    """
    try:
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if isinstance(node, ast.expr | ast.stmt | ast.arg | ast.keyword):
                node.lineno = node.end_lineno = lines[node.lineno - 1]
                node.col_offset = node.end_col_offset = 0
        code = compile(tree, name, "exec")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise CompileError([Diagnostic(1, 1, "unsupported", f"nested too deeply: {error}")]) from None
    exec(code, namespace)  # noqa: S102 - the text is ours, see rules/emit/__init__.py
