"""What is wrong with a text, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding: line and column count from 1; kind is "syntax", "semantic", "unsupported" or "include"."""

    line: int
    column: int
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.line}:{self.column}: {self.kind}: {self.message}"


class CompileError(Exception):
    """A library that cannot be compiled: every diagnostic found, in the order of the text."""

    def __init__(self, diagnostics: Sequence[Diagnostic]) -> None:
        self.diagnostics = tuple(sorted(set(diagnostics)))
        super().__init__("\n".join(str(diagnostic) for diagnostic in self.diagnostics))


class SyntaxProblem(Exception):
    """Raised inside the parser at the token that does not fit, and turned into a Diagnostic there."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic(line, column, "syntax", message)
