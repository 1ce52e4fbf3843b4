"""A compiled library and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rules.cql.state import MOST_STEPS, State, public
from rules.elm.write import write_library
from rules.emit.library import Compiled
from rules.emit.retrieve import Retrieve, merged
from rules.model.compartments import contexts
from rules.runtime.context import Context, Message, enter, evaluation, leave
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import DAY, DateTime, parse_datetime
from rules.runtime.units import Units
from rules.runtime.values import Code, CodeSystem, ValueSet
from rules.typed.tree import TypedLibrary

CodeSystems = Mapping[str, Container[str]] | Callable[[str, CodeSystem], bool | None]
ValueSets = Mapping[str, Sequence[Code]] | Callable[[ValueSet], Sequence[Code] | None]


class Library:
    """A library that can be evaluated, any number of times, from any thread."""

    def __init__(self, compiled: Compiled) -> None:
        self.compiled = compiled
        self.name = compiled.typed.name
        self.version = compiled.typed.version

    @property
    def python_source(self) -> str:
        """The Python that runs."""
        return self.compiled.source

    def to_elm(self) -> dict[str, Any]:
        """The library as ELM, ready for a JSON encoder that takes Decimal."""
        models = self.compiled.typed.models.by_name.values()
        return write_library(self.compiled.typed, {model.name: model.url for model in models})

    @property
    def retrieves(self) -> tuple[Retrieve, ...]:
        """What the library and those it includes ask of the data, merged to as few searches as answer all.

        `period` gives the bounds of those that have `dates`.
        """
        return merged(retrieve for one in self.compiled.everything.values() for retrieve in one.retrieves)

    def period(
        self,
        retrieve: Retrieve,
        *,
        now: DateTime | datetime | str | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> tuple[datetime | None, datetime | None]:
        """From when to when an evaluation with this clock and these parameters may need what `retrieve` asks
        for, both included and in UTC; None where it is not limited.

        What is needed has a time (the element `retrieve.dates.path`, with all the moments that it may be: a
        Period from its start to its end, a day without a zone in any zone) that meets these bounds. They are
        never narrower than the conditions of the library; a limit that cannot be computed is none.
        """
        if retrieve.dates is None:
            return None, None
        state = State(self.compiled, parameters, ())

        def value_of(library: TypedLibrary, name: str) -> Any:
            try:
                return self.compiled.everything[library].namespace[name](state)
            except (EvaluationError, RecursionError):
                return None

        with evaluation(Context(now=_moment(now))):
            low, high = retrieve.dates.bounds(value_of)
        return _civil(low), _civil(high)

    @property
    def defines(self) -> tuple[str, ...]:
        """The names of the public definitions, in the order of the text."""
        found = [e for e in self.compiled.typed.expressions.values() if not e.private]
        return tuple(e.name for e in sorted(found, key=lambda e: (e.at.line, e.at.column)))

    def evaluate(self, name: str, **given: Any) -> Any:
        """The value of a definition; see `evaluate_all` for what may be given.

        Raises KeyError if there is no such definition, EvaluationError where CQL says that it fails.
        """
        return self._run((name,), **given)[0]

    def evaluate_all(self, **given: Any) -> dict[str, Any]:
        """The values of all public definitions.

        resources: the data, FHIR JSON as dicts.
        context: whose data it is about, {"Patient": id}: the definitions of that context see the resources of
            the R4 compartment of that Patient. Without, `resources` are taken to be of one Patient alone.
            Definitions of the context Unfiltered see all resources in any case.
        parameters: values by name, of this library, or as "Library.Parameter" of an included one.
        now: the start of the evaluation, a CQL DateTime, a datetime with a zone or ISO text.
        valuesets: codes by canonical URL, or a function of a ValueSet. units: see rules.runtime.units.
        codesystems: codes by canonical URL, or a function of a code and a CodeSystem (None: not known).
        subsumes: a function of two Codes, whether the first subsumes the second (None: not known).
        functions: those that libraries declare as external, by "Name" or "Library.Name".
        message: receives what the Message operator says. steps: how much work it may be, in rounds of loops.
        typed: values of FHIR's choice elements as rules.model.values.Chosen, with the name of their type.
        """
        names = self.defines
        return dict(zip(names, self._run(names, **given), strict=True))

    def _run(
        self,
        names: Sequence[str],
        *,
        resources: Sequence[Mapping[str, Any]] = (),
        context: Mapping[str, str] | None = None,
        parameters: Mapping[str, Any] | None = None,
        now: DateTime | datetime | str | None = None,
        valuesets: ValueSets | None = None,
        codesystems: CodeSystems | None = None,
        subsumes: Callable[[Code, Code], bool | None] | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        units: Units | None = None,
        message: Callable[[Message], None] | None = None,
        steps: int = MOST_STEPS,
        typed: bool = False,
    ) -> list[Any]:
        definitions = [self.compiled.functions[name] for name in names]
        state = State(self.compiled, parameters, resources, steps, functions)
        known = Context(_moment(now))
        if units is not None:
            known.units = units
        if valuesets is not None:
            known.valueset = valuesets if callable(valuesets) else _finder(valuesets)
        if codesystems is not None:
            known.in_codesystem = codesystems if callable(codesystems) else _knower(codesystems)
        known.subsumes, known.message = subsumes, message
        token = enter(known)
        try:
            if context is None:
                return [public(definition(state), typed) for definition in definitions]
            states = self._states(state, names, context)
            pairs = zip(definitions, states, strict=True)
            return [public(definition(within), typed) for definition, within in pairs]
        except RecursionError:
            raise EvaluationError("the evaluation is nested too deeply") from None
        except EvaluationError:
            raise
        except Exception as error:  # a fault of ours: the caller still gets the one error it expects
            raise EvaluationError(f"internal error: {type(error).__name__}") from error
        finally:
            leave(token)

    def _states(self, unfiltered: State, names: Sequence[str], context: Mapping[str, str]) -> list[State]:
        """In which context each definition is evaluated."""
        if unknown := set(context) - contexts():
            raise EvaluationError(f"there is no context {', '.join(sorted(unknown))}")
        states = {name: unfiltered.of((name, id_)) for name, id_ in context.items()}
        expressions = self.compiled.typed.expressions
        return [states.get(expressions[name].context, unfiltered) for name in names]


def _civil(count: int | None) -> datetime | None:
    """The moment as Python has it; None beyond its years."""
    if count is None:
        return None
    return datetime.min.replace(tzinfo=UTC) + timedelta(milliseconds=count - DAY)


def _moment(now: DateTime | datetime | str | None) -> DateTime | None:
    if now is None or isinstance(now, DateTime):
        return now
    if isinstance(now, datetime):
        now = now.isoformat(timespec="milliseconds")
    found = parse_datetime(now)
    if found is None or len(found.fields) < 7:
        raise ValueError("now must be known to the millisecond")
    return found


def _finder(valuesets: Mapping[str, Sequence[Code]]) -> Callable[[ValueSet], Sequence[Code] | None]:
    return lambda valueset: valuesets.get(valueset.id)


def _knower(known: Mapping[str, Container[str]]) -> Callable[[str, CodeSystem], bool | None]:
    return lambda code, system: code in known[system.id] if system.id in known else None
