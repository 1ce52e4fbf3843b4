"""From what was written to functions: the module is compiled, and tracebacks through it show FHIRPath."""

from __future__ import annotations

import ast
import linecache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from rules.language.errors import CompileError, Diagnostic

if TYPE_CHECKING:
    from rules.fhirpath.writer import Writer


def _written(writer: Writer) -> list[tuple[str, int]]:
    """The lines of the module, and for each the line of the expression."""
    written = [(f"{name} = {text}", 1) for text, name in writer.module.constants.items()]
    for function in writer.functions:
        written += [("", 1), *function.lines] if written else function.lines
    return written


def source_of(writer: Writer) -> str:
    """The Python that runs."""
    return "".join(f"{text}\n" for text, _ in _written(writer))


def file_name(text: str) -> str:
    """The name under which tracebacks find the expression."""
    return f"<fhirpath {sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:12]}>"


def forget(name: str) -> None:
    """Expressions come and go; their text goes with them."""
    linecache.cache.pop(name, None)


def load(writer: Writer, text: str) -> dict[str, Any]:
    """The module's names. Raises CompileError where Python cannot take it."""
    lines = [line for _, line in _written(writer)]
    name = file_name(text)
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        tree = ast.parse(source_of(writer))
        for node in ast.walk(tree):
            if isinstance(node, ast.expr | ast.stmt | ast.arg | ast.keyword):
                node.lineno = node.end_lineno = lines[node.lineno - 1]
                node.col_offset = node.end_col_offset = 0
        code = compile(tree, name, "exec")
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise CompileError([Diagnostic(1, 1, "unsupported", f"nested too deeply: {error}")]) from None
    namespace: dict[str, Any] = dict(writer.module.namespace)
    exec(code, namespace)  # noqa: S102 - text of ours; the expression's own is in it only as constants
    return namespace
