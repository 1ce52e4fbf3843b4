"""Text or ELM to Library."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rules.cql.library import Library
from rules.elm.names import SYSTEM_URI
from rules.elm.read import read_library
from rules.emit.library import Compiled, emit
from rules.language.errors import CompileError, Diagnostic
from rules.language.nodes import LibrarySyntax
from rules.language.parser import parse_library
from rules.model import helpers, r4
from rules.typed.library import type_library
from rules.typed.model import Model
from rules.typed.tree import TypedLibrary

Includes = Mapping[str, "str | Library"] | Callable[[str, "str | None"], "str | Library | None"]


def _models() -> dict[str, Model]:
    return {"FHIR": r4.model()}


def compile(text: str, includes: Includes | None = None) -> Library:
    """The library of a text.

    `includes` gives the libraries that it includes, as text or compiled: by name, or as a function of name
    and version. Raises CompileError carrying every diagnostic.
    """
    return _guarded(lambda: _compile_text(text, includes or {}, ()))


def load_elm(document: str | bytes | Mapping[str, Any], includes: Includes | None = None) -> Library:
    """The library of an ELM document (JSON, or what it decodes to); types are inferred, not believed.

    `includes` as for compile. Raises CompileError carrying every diagnostic.
    """

    def work() -> Compiled:
        uris = {SYSTEM_URI: "System", **{model.url: name for name, model in _models().items()}}
        return _compile(read_library(document, uris), [], "", includes or {}, ())

    return _guarded(work)


def _guarded(work: Callable[[], Compiled]) -> Library:
    try:
        return Library(work())
    except RecursionError:
        raise CompileError([Diagnostic(1, 1, "unsupported", "nested too deeply")]) from None


def _compile_text(text: str, includes: Includes, under_way: tuple[str, ...]) -> Compiled:
    syntax, problems = parse_library(text)
    return _compile(syntax, problems, text, includes, under_way)


def _compile(
    syntax: LibrarySyntax,
    problems: list[Diagnostic],
    text: str,
    includes: Includes,
    under_way: tuple[str, ...],
) -> Compiled:
    compiled: dict[tuple[str, str | None], Compiled] = {}

    def included(name: str, version: str | None) -> TypedLibrary | None:
        if name in under_way or name == syntax.name:
            return None
        found = includes.get(name) if isinstance(includes, Mapping) else includes(name, version)
        if found is None and name == "FHIRHelpers":
            found = Library(helpers.library())
        if found is None:
            return None
        inner = _included(found, includes, (*under_way, syntax.name or "", name))
        if version is not None and inner.typed.version not in (None, version):
            return None
        compiled[name, version] = inner
        return inner.typed

    typed, found = type_library(syntax, _models() if syntax.usings else {}, included)
    if problems or found:
        raise CompileError([*problems, *found])
    by_alias = {
        include.called: compiled[include.name, include.version]
        for include in syntax.includes
        if (include.name, include.version) in compiled
    }
    return emit(typed, text, by_alias)


def _included(found: str | Library, includes: Includes, under_way: tuple[str, ...]) -> Compiled:
    return found.compiled if isinstance(found, Library) else _compile_text(found, includes, under_way)
