"""Text to Library."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from rules.cql.library import Library
from rules.emit.library import Compiled, emit
from rules.language.errors import CompileError, Diagnostic
from rules.language.parser import parse_library
from rules.typed.library import type_library
from rules.typed.tree import TypedLibrary

Includes = Mapping[str, "str | Library"] | Callable[[str, "str | None"], "str | Library | None"]


def compile(text: str, includes: Includes | None = None) -> Library:
    """The library of a text.

    `includes` gives the libraries that it includes, as text or compiled: by name, or as a function of name
    and version. Raises CompileError carrying every diagnostic.
    """
    try:
        return Library(_compile(text, includes or {}, ()))
    except RecursionError:
        raise CompileError([Diagnostic(1, 1, "unsupported", "nested too deeply")]) from None


def _compile(text: str, includes: Includes, under_way: tuple[str, ...]) -> Compiled:
    syntax, problems = parse_library(text)
    compiled: dict[tuple[str, str | None], Compiled] = {}

    def included(name: str, version: str | None) -> TypedLibrary | None:
        if name in under_way or name == syntax.name:
            return None
        found = includes.get(name) if isinstance(includes, Mapping) else includes(name, version)
        if found is None:
            return None
        inner = (
            found.compiled if isinstance(found, Library) else _compile(found, includes, (*under_way, name))
        )
        if version is not None and inner.typed.version not in (None, version):
            return None
        compiled[name, version] = inner
        return inner.typed

    typed, found = type_library(syntax, {}, included)
    if problems or found:
        raise CompileError([*problems, *found])
    by_alias = {
        include.called: compiled[include.name, include.version]
        for include in syntax.includes
        if (include.name, include.version) in compiled
    }
    return emit(typed, text, by_alias)
