"""From what was written to functions: the module is compiled, and tracebacks through it show FHIRPath."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rules.emit.running import digest, run

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


def load(writer: Writer, text: str) -> dict[str, Any]:
    """The module's names. Raises CompileError where Python cannot take it."""
    namespace: dict[str, Any] = dict(writer.module.namespace)
    lines = [line for _, line in _written(writer)]
    run(source_of(writer), lines, f"<fhirpath {digest(text)}>", text, namespace)
    return namespace
