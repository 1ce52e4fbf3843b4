"""Which operators and functions there are, and who emits each.

https://hl7.org/fhirpath/N1/#functions. The modules named *_calls and operators.py enter themselves here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rules.fhirpath.emitter import Emitter
    from rules.fhirpath.writer import Scope, Sink, Value
    from rules.language import nodes as n


@dataclass(frozen=True, slots=True)
class Call:
    """A function that takes `least` to `most` arguments."""

    least: int
    most: int
    emit: Callable[..., Any]


# Functions that give any number of items: (emitter, node, scope, sink)
CALLS: Final[dict[str, Call]] = {}
# Functions that give one System value: (emitter, node, scope) -> Value
VALUES: Final[dict[str, Call]] = {}
# Those of them that are true or false, never nothing: (emitter, node, scope) -> the Python of a test
TESTS: Final[dict[str, Call]] = {}
# Operators by the names that the parser gives them, in the same three forms
COLLECTIONS: Final[dict[str, Callable[[Emitter, Any, Scope, Sink], None]]] = {}
OPERATORS: Final[dict[str, Callable[[Emitter, Any, Scope], Value]]] = {}
CONDITIONS: Final[dict[str, Callable[[Emitter, Any, Scope], str]]] = {}

_Emit = Callable[..., Any]


def call(name: str, least: int = 0, most: int | None = None) -> Callable[[_Emit], _Emit]:
    """Enters a function that gives items."""
    return _enter(CALLS, name, least, most)


def value(name: str, least: int = 0, most: int | None = None) -> Callable[[_Emit], _Emit]:
    """Enters a function that gives one value."""
    return _enter(VALUES, name, least, most)


def test(name: str, least: int = 0, most: int | None = None) -> Callable[[_Emit], _Emit]:
    """Enters a function that is true or false."""

    def enter(emit: _Emit) -> _Emit:
        from rules.fhirpath import types
        from rules.fhirpath.writer import Value

        def as_value(emitter: Emitter, node: n.Call, scope: Scope) -> Value:
            found = emit(emitter, node, scope)
            return Value(found if found.isidentifier() else f"({found})", types.BOOLEAN, null=False)

        _enter(VALUES, name, least, most)(as_value)
        return _enter(TESTS, name, least, most)(emit)

    return enter


def _enter(table: dict[str, Call], name: str, least: int, most: int | None) -> Callable[[_Emit], _Emit]:
    def enter(emit: _Emit) -> _Emit:
        table[name] = Call(least, least if most is None else most, emit)
        return emit

    return enter
