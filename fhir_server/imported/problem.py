"""What is wrong with a file that is imported."""

from __future__ import annotations


class ImportProblem(Exception):
    """`str()` says which file, which line and why, for whoever has to mend it."""

    def __init__(self, why: str, file: str = "", line: int = 0) -> None:
        where = f"{file}, line {line}: " if line else f"{file}: " if file else ""
        super().__init__(f"{where}{why}")
