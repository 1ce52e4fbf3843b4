"""A compiled library and its evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from rules.cql.parameters import checked
from rules.elm.write import write_library
from rules.emit.library import Compiled
from rules.emit.retrieve import Retrieve, matching, merged
from rules.emit.source import UNSET
from rules.model.values import Chosen, Primitive
from rules.runtime.context import Context, Message, enter, evaluation, leave
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.ordering import Uncertainty
from rules.runtime.temporal import DAY, DateTime, parse_datetime
from rules.runtime.units import Units
from rules.runtime.values import Code, Tuple, ValueSet
from rules.typed.tree import TypedLibrary

MOST_STEPS: Final = 10_000_000
MOST_ELEMENTS: Final = 1_000_000
_SIZED: Final = frozenset((list, str))

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
        return merged(retrieve for compiled in self._all() for retrieve in compiled.retrieves)

    def _all(self) -> tuple[Compiled, ...]:
        """This library and all it includes, each once."""
        found = {self.compiled.typed: self.compiled}
        for included in self.compiled.includes.values():
            found |= {compiled.typed: compiled for compiled in Library(included)._all()}
        return tuple(found.values())

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
        functions = {compiled.typed: compiled.namespace for compiled in self._all()}
        state = State(self.compiled, parameters, ())

        def value_of(library: TypedLibrary, name: str) -> Any:
            try:
                return functions[library][name](state)
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
        return self._run((self.compiled.functions[name],), **given)[0]

    def evaluate_all(self, **given: Any) -> dict[str, Any]:
        """The values of all public definitions.

        resources: the data, FHIR JSON as dicts. In the Patient context they are all of one patient.
        parameters: values by name, of this library, or as "Library.Parameter" of an included one.
        now: the start of the evaluation, a CQL DateTime, a datetime with a zone or ISO text.
        valuesets: codes by canonical URL, or a function of a ValueSet. units: see rules.runtime.units.
        message: receives what the Message operator says. steps: how much work it may be, in rounds of loops.
        """
        names = self.defines
        functions = self.compiled.functions
        return dict(zip(names, self._run([functions[name] for name in names], **given), strict=True))

    def _run(
        self,
        functions: Sequence[Callable[[State], Any]],
        *,
        resources: Sequence[Mapping[str, Any]] = (),
        parameters: Mapping[str, Any] | None = None,
        now: DateTime | datetime | str | None = None,
        valuesets: ValueSets | None = None,
        units: Units | None = None,
        message: Callable[[Message], None] | None = None,
        steps: int = MOST_STEPS,
    ) -> list[Any]:
        state = State(self.compiled, parameters, resources, steps)
        context = Context(_moment(now))
        if units is not None:
            context.units = units
        if valuesets is not None:
            context.valueset = valuesets if callable(valuesets) else _finder(valuesets)
        context.message = message
        token = enter(context)
        try:
            return [_public(function(state)) for function in functions]
        except RecursionError:
            raise EvaluationError("the evaluation is nested too deeply") from None
        except EvaluationError:
            raise
        except Exception as error:  # a fault of ours: the caller still gets the one error it expects
            raise EvaluationError(f"internal error: {type(error).__name__}") from error
        finally:
            leave(token)


class State:
    """What one evaluation has found so far, by library."""

    __slots__ = ("by_type", "found", "given", "left", "resources", "slots", "steps")

    def __init__(
        self,
        compiled: Compiled,
        parameters: Mapping[str, Any] | None,
        resources: Sequence[Mapping[str, Any]],
        steps: int = MOST_STEPS,
    ) -> None:
        self.slots = {library: unset.copy() for library, unset in compiled.libraries}
        self.given = checked(parameters, {compiled.typed: 0, **self.slots}) if parameters else {}
        self.steps = self.left = steps
        self.resources = resources
        self.found: dict[int, list[Any]] = {}
        self.by_type: dict[str, list[Any]] = {}

    def retrieve(self, wanted: Retrieve, codes: Any = None) -> list[Any]:
        """The resources that a retrieve asks for, in the order given; `codes` if it does not know them."""
        known = self.found.get(id(wanted))
        if known is not None:
            return known
        found = self._of_type(wanted.type)
        if wanted.codes is None:
            return matching(found, wanted.path or "", codes)
        if wanted.path is not None:
            found = wanted.matching(found)
        self.found[id(wanted)] = found
        return found

    def _of_type(self, type_: str) -> list[Any]:
        found = self.by_type.get(type_)
        if found is None:
            found = [resource for resource in self.resources if resource["resourceType"] == type_]
            self.by_type[type_] = found
        return found

    def work(self, steps: int) -> None:
        """Counts the rounds of a query's loops. Raises EvaluationError when they are too many in all."""
        self.left -= steps
        if self.left < 0:
            raise EvaluationError(f"the evaluation takes more than {self.steps} steps")

    def measured(self, value: Any) -> Any:
        """The value. Raises EvaluationError if it is too long a list or text."""
        if value.__class__ in _SIZED and len(value) > MOST_ELEMENTS:
            raise EvaluationError(f"a list or text has more than {MOST_ELEMENTS} elements")
        return value

    def parameter(self, library: TypedLibrary, name: str) -> Any:
        """The value given for a parameter, or UNSET."""
        return self.given.get((library, name), UNSET)


_COMPOSED: Final = frozenset((Uncertainty, Chosen, Primitive, list, Tuple))


def _public(value: Any) -> Any:
    """What is known only within bounds as the interval of what it may be; data as in JSON."""
    kind = value.__class__
    if kind not in _COMPOSED:
        return value
    if kind is Uncertainty:
        return Interval(value.low, value.high)
    if kind is Tuple:
        return Tuple({name: _public(item) for name, item in value.items()})
    if kind is Chosen or kind is Primitive:
        return _public(value.value)
    return [_public(item) for item in value] if any(item.__class__ in _COMPOSED for item in value) else value


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
