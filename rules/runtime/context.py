"""What one evaluation is given: its clock, its units, its value sets, where messages go.

Operators are plain functions; the few that need one of these read it here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import DateTime
from rules.runtime.units import TextUnits, Units
from rules.runtime.values import Code, CodeSystem, ValueSet


@dataclass(frozen=True, slots=True)
class Message:
    """One output of the Message operator. `source` is the value that was passed through."""

    code: str | None
    severity: str
    text: str | None
    source: Any


_TEXT_UNITS: Final = TextUnits()


@dataclass(slots=True, eq=False)  # not frozen: each evaluation makes one, and freezing takes half of the time
class Context:
    """`now` is the start of the evaluation, and its offset is the one that values without an offset have.

    `valueset` gives the codes of a value set, or None where it is unknown; `in_codesystem` whether a code
    system has a code, `subsumes` whether the first code subsumes the second, or None where it is unknown.
    """

    now: DateTime | None = None
    units: Units = _TEXT_UNITS
    valueset: Callable[[ValueSet], Sequence[Code] | None] | None = None
    in_codesystem: Callable[[str, CodeSystem], bool | None] | None = None
    subsumes: Callable[[Code, Code], bool | None] | None = None
    message: Callable[[Message], None] | None = None
    members: dict[ValueSet, frozenset[tuple[str | None, str | None]]] = field(default_factory=dict)

    @property
    def offset(self) -> int:
        """Minutes east of UTC."""
        return self.now.offset or 0 if self.now is not None else 0


_CURRENT: ContextVar[Context] = ContextVar("rules.runtime.context", default=Context())  # noqa: B039
current = _CURRENT.get
enter = _CURRENT.set  # what `evaluation` does, for who cannot afford a generator
leave = _CURRENT.reset


@contextmanager
def evaluation(context: Context) -> Iterator[Context]:
    """Everything inside is evaluated in `context`."""
    token = _CURRENT.set(context)
    try:
        yield context
    finally:
        _CURRENT.reset(token)


def clock() -> DateTime:
    """The evaluation's start. Raises EvaluationError where it was given none."""
    now = current().now
    if now is None:
        raise EvaluationError("the evaluation was given no clock")
    return now
