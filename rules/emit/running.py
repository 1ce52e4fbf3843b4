"""From Python text to functions, whose tracebacks show the lines that the text came from."""

from __future__ import annotations

import ast
import linecache
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final
from weakref import finalize

from rules.language.errors import CompileError, Diagnostic


def digest(text: str) -> str:
    """What tells one text from another in the name of its file."""
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]


class _Text:
    """In the namespace of what was compiled from a text: as long as its functions are there, it is shown."""


_shown: Final[Counter[str]] = Counter()  # by file name: two modules may come from the same text


def show(name: str, text: str, namespace: dict[str, Any]) -> None:
    """Tracebacks through the file of this name show the text, until the functions there are gone."""
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    _shown[name] += 1
    namespace["__text__"] = _Text()
    finalize(namespace["__text__"], _hide, name)


def _hide(name: str) -> None:
    _shown[name] -= 1
    if not _shown[name]:
        del _shown[name]
        linecache.cache.pop(name, None)


def run(source: str, lines: Sequence[int], name: str, text: str, namespace: dict[str, Any]) -> None:
    """Runs the module, a file of this name in tracebacks, which show the text that it came from.

    `lines` has for each line of the module that of the text. Raises CompileError where Python cannot take it.
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
    show(name, text, namespace)
