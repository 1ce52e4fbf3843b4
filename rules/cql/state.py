"""What one evaluation knows and has found: the data by context, parameters, results so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rules.cql.parameters import checked, taken
from rules.emit.library import Compiled
from rules.emit.retrieve import Retrieve, matching
from rules.emit.source import UNSET
from rules.model.compartments import Subject, belongs, contexts, records, target
from rules.model.values import Chosen, Primitive
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.ordering import Uncertainty
from rules.runtime.values import Tuple
from rules.typed.tree import TypedFunction, TypedLibrary

MOST_STEPS: Final = 10_000_000
MOST_ELEMENTS: Final = 1_000_000
_SIZED: Final = frozenset((list, str))


class State:
    """What one evaluation has found so far, by library: of all the data, in the context of nobody.

    The states of subjects (Within) are made from it.
    """

    __slots__ = (
        *("by_type", "compiled", "external", "found", "given", "left"),
        *("resources", "slots", "steps", "within"),
    )

    def __init__(
        self,
        compiled: Compiled,
        parameters: Mapping[str, Any] | None,
        resources: Sequence[Mapping[str, Any]],
        steps: int = MOST_STEPS,
        external: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.compiled = compiled
        self.external = external
        self.within: dict[Subject, Within] = {}
        self.slots: dict[TypedLibrary, list[Any]] = {}
        for library, unset in compiled.libraries:
            self.slots[library] = unset.copy()
        self.given = checked(parameters, {compiled.typed: 0, **self.slots}) if parameters else {}
        self.steps = self.left = steps
        self.resources = resources
        self.found: dict[int, list[Any]] = {}
        self.by_type: dict[str, list[Any]] = {}

    # Contexts

    @property
    def unfiltered(self) -> State:
        """The state that sees all the data."""
        return self

    def of(self, subject: Subject) -> State:
        """The state in the context of a subject."""
        root = self.unfiltered
        found = root.within.get(subject)
        if found is None:
            found = root.within[subject] = Within(root, subject)
        return found

    def each(self, context: str, definition: Callable[[State], Any]) -> list[Any]:
        """A definition's value for every subject of the context that is in the data; lists run together."""
        found: list[Any] = []
        for resource in self.unfiltered.typed(context):
            value = definition(self.of((context, resource["id"])))
            found.extend(value) if type(value) is list else found.append(value)
        return found

    def related(self, item: Any, wanted: Retrieve, codes: Any = None) -> list[Any]:
        """What a retrieve asks for in the context of a resource, of what a Reference names, or of a Patient's
        id; nothing of null. Raises EvaluationError for what is no context."""
        root = self.unfiltered
        subject = _subject(item)
        if subject is None:
            return []
        found: dict[int, Any] = {}
        for record in records(subject, root.resources):
            found |= {id(resource): resource for resource in root.of(record).retrieve(wanted, codes)}
        return list(found.values())

    # Data

    def retrieve(self, wanted: Retrieve, codes: Any = None) -> list[Any]:
        """The resources that a retrieve asks for, in the order given; `codes` if it does not know them."""
        known = self.found.get(id(wanted))
        if known is not None:
            return known
        found = self.by_type.get(wanted.type)
        if found is None:
            found = self.typed(wanted.type)
        if wanted.codes is None:
            return matching(found, wanted.path or "", codes)
        if wanted.path is not None:
            found = wanted.matching(found)
        self.found[id(wanted)] = found
        return found

    def typed(self, type_: str) -> list[Any]:
        """The resources of a type, in the order given."""
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

    # Functions of the host

    def call(self, library: TypedLibrary, function: TypedFunction, *operands: Any) -> Any:
        """The value of an external function. Raises EvaluationError where none was given, or it fails."""
        external = self.unfiltered.external or {}
        found = external.get(f"{library.name}.{function.name}") or external.get(function.name)
        if found is None:
            raise EvaluationError(f"the external function {function.name} was not given to the evaluation")
        try:
            value = found(*map(public, operands))
        except EvaluationError:
            raise
        except Exception as error:
            raise EvaluationError(
                f"the external function {function.name} failed: {type(error).__name__}"
            ) from error
        return taken(value, function.type, f"the external function {function.name} gave a value that")


class Within(State):
    """The state in the context of one subject: it sees the resources of the subject's compartment."""

    __slots__ = ("root",)

    def __init__(self, root: State, subject: Subject) -> None:
        resources = [resource for resource in root.resources if belongs(resource, subject)]
        super().__init__(root.compiled, None, resources)
        self.given = root.given
        self.root = root

    @property
    def unfiltered(self) -> State:
        return self.root

    def work(self, steps: int) -> None:
        """The work of all subjects counts together."""
        self.root.work(steps)


def _subject(item: Any) -> Subject | None:
    """The subject that a related context is about."""
    if isinstance(item, Chosen | Primitive):
        return _subject(item.value)
    if item is None:
        return None
    found: Subject | None = None
    if isinstance(item, str):
        found = target(item) or ("Patient", item)
    elif isinstance(item, dict) and "resourceType" in item:
        found = (item["resourceType"], item.get("id", ""))
    elif isinstance(item, dict) and isinstance(item.get("reference"), str):
        found = target(item["reference"])
    if found is None or found[0] not in contexts():
        raise EvaluationError(f"a related context is one of {', '.join(sorted(contexts()))}")
    return found


_COMPOSED: Final = frozenset((Uncertainty, Chosen, Primitive, list, Tuple))


def public(value: Any, typed: bool = False) -> Any:
    """What is known only within bounds as the interval of what it may be; data as in JSON.

    `typed`: data that do not tell their type themselves stay Chosen and Primitive.
    """
    kind = value.__class__
    if kind not in _COMPOSED:
        return value
    if kind is Uncertainty:
        return Interval(value.low, value.high)
    if kind is Tuple:
        return Tuple({name: public(item, typed) for name, item in value.items()})
    if kind is Chosen or kind is Primitive:
        return value if typed else public(value.value)
    return (
        [public(item, typed) for item in value]
        if any(item.__class__ in _COMPOSED for item in value)
        else value
    )
