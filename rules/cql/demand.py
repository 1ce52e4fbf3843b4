"""What one definition of a library asks of the data, told from the code that runs.

A library may hold the rules of many measurements; a reading should cost those that look at it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

from rules.cql.library import Library
from rules.emit.retrieve import Retrieve, merged
from rules.runtime.values import ValueSet


@dataclass(frozen=True, slots=True)
class Needs:
    """The retrieves that an evaluation may come to, merged as in `Library.retrieves`, and the value sets that
    it may look into, each once."""

    retrieves: tuple[Retrieve, ...]
    valuesets: tuple[ValueSet, ...]


def needs(library: Library, name: str) -> Needs:
    """What the definition needs, and those it refers to, here and in included libraries.

    Raises KeyError if there is no such definition.
    """
    found: dict[Any, None] = {}
    seen: set[int] = set()
    waiting = [library.compiled.functions[name]]
    while waiting:
        function = waiting.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        for global_name in _globals_of(function.__code__):
            value = function.__globals__.get(global_name)
            if isinstance(value, Retrieve | ValueSet):
                found[value] = None
            elif isinstance(value, FunctionType) and "LIBRARY" in value.__globals__:
                waiting.append(value)
    retrieves = tuple(value for value in found if isinstance(value, Retrieve))
    looked_into = [value for value in found if isinstance(value, ValueSet)]
    looked_into += [retrieve.codes for retrieve in retrieves if isinstance(retrieve.codes, ValueSet)]
    return Needs(merged(retrieves), tuple(dict.fromkeys(looked_into)))


def _globals_of(code: CodeType) -> Iterator[str]:
    """The names that a function, and those defined inside it, look up."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _globals_of(constant)
