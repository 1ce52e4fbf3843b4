"""A compiled expression: its Python module, loaded, and the ways to call it.

https://hl7.org/fhirpath/N1/
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

from rules.emit.source import Function
from rules.fhirpath import collection_calls, operators, other_calls, value_calls
from rules.fhirpath.elements import Element
from rules.fhirpath.emitter import Emitter
from rules.fhirpath.environment import NOTHING, Environment, State
from rules.fhirpath.loading import load, source_of
from rules.fhirpath.syntax import parse
from rules.fhirpath.types import is_abstract, is_known, is_resource
from rules.fhirpath.writer import Item
from rules.language.errors import CompileError, Diagnostic
from rules.runtime.context import evaluation
from rules.runtime.errors import EvaluationError

_REGISTERED: Final = (collection_calls, operators, other_calls, value_calls)
_Evaluate = Callable[[Any, State], Any]


class Expression:
    """An expression that can be evaluated, any number of times, from any thread."""

    def __init__(self, text: str, type: str, strict: bool, published: bool) -> None:
        if not is_known(type):
            raise CompileError([Diagnostic(1, 1, "semantic", f"{type} is not a type")])
        self.text = text
        self.type = type
        self._strict = strict
        self._published = published
        self._tree = parse(text)
        self._resource = type if is_resource(type) and not is_abstract(type) else None
        self._emitter, self._items = self._compiled("items")

    def __repr__(self) -> str:
        return f"<fhirpath {self.text!r} of {self.type}>"

    @property
    def python_source(self) -> str:
        """The Python that runs."""
        return source_of(self._emitter)

    def __call__(self, focus: Any, /, environment: Environment | None = None, **variables: Any) -> list[Any]:
        """The items for a resource or element, see rules.fhirpath. Raises EvaluationError."""
        return self._run(self._items, focus, environment, variables)  # type: ignore[no-any-return]

    def typed(self, focus: Any, /, environment: Environment | None = None, **variables: Any) -> list[Any]:
        """The items with their types: FHIR's as elements.Element, System values as they are."""
        return self._run(self._typed, focus, environment, variables)  # type: ignore[no-any-return]

    def holds(self, focus: Any, /, environment: Environment | None = None, **variables: Any) -> bool | None:
        """The expression as a condition: true, false or, where it gives nothing, None."""
        return self._run(self._holds, focus, environment, variables)  # type: ignore[no-any-return]

    @cached_property
    def _typed(self) -> _Evaluate:
        return self._later("typed")

    @cached_property
    def _holds(self) -> _Evaluate:
        return self._later("holds")

    def _later(self, form: str) -> _Evaluate:
        """Another form of what has been compiled once: it could only turn out to be too large."""
        try:
            return self._compiled(form)[1]
        except CompileError as error:
            raise EvaluationError(str(error)) from None

    def _run(
        self, evaluate: _Evaluate, focus: Any, environment: Environment | None, variables: dict[str, Any]
    ) -> Any:
        extra = None
        if focus.__class__ is Element:
            focus, extra = focus.value, focus.extra
        try:
            if self._resource is not None and focus.get("resourceType") != self._resource:
                raise EvaluationError(f"the expression is for {self._resource}, and this is another resource")
            if self.type in ("Resource", "DomainResource") and "resourceType" not in focus:
                raise EvaluationError("a resource says no type that is known")
            state = State(focus, environment or NOTHING, variables)
            state.extra = extra
            if environment is None or not self._emitter.needs_context:
                return evaluate(focus, state)
            with evaluation(environment.context):
                return evaluate(focus, state)
        except EvaluationError:
            raise
        except RecursionError:
            raise EvaluationError("the evaluation is nested too deeply") from None
        except Exception as error:  # data of a shape that FHIR does not have
            raise EvaluationError(f"the data are not as FHIR has them: {type(error).__name__}") from error

    def _compiled(self, form: str) -> tuple[Emitter, _Evaluate]:
        emitter = Emitter(self.type, strict=self._strict, published=self._published)
        function = emitter.out = Function(emitter.module, "evaluate(v0, c)", 1)
        try:
            _FORMS[form](emitter, self._tree)
        except RecursionError:
            raise CompileError([Diagnostic(1, 1, "unsupported", "nested too deeply")]) from None
        if emitter.problems:
            raise CompileError(emitter.problems)
        emitter.functions.append(function)
        return emitter, load(emitter, self.text)["evaluate"]


def _items_form(e: Emitter, tree: Any) -> None:
    e.add("out = []")
    e.walk(tree, e.scope(), lambda item: e.add(f"out.append({e.public(item)})"))
    e.add("return out")


def _typed_form(e: Emitter, tree: Any) -> None:
    def keep(item: Item) -> None:
        e.add(f"out.append({e.box(item)})")

    e.add("out = []")
    e.walk(tree, e.scope(), keep)
    e.add("return out")


def _holds_form(e: Emitter, tree: Any) -> None:
    e.strict = False  # a single item of any type is true here
    e.add(f"return {e.boolean(tree, e.scope()).text}")


_FORMS: Final[dict[str, Callable[[Emitter, Any], None]]] = {
    "items": _items_form,
    "typed": _typed_form,
    "holds": _holds_form,
}

__all__ = ["Element", "Expression"]
