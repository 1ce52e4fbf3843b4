"""Everything a resource is found by, extracted once, before it is stored.

https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/compartmentdefinition-patient.html. What cannot
be indexed (a date that is none) is left out; nothing in a resource makes this raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import chain
from typing import Any

from fhir_server.search import parameters
from fhir_server.search.parameters import Parameter, Within, composite, reference, words
from fhir_server.search.parameters.composite import NUMBERS
from fhir_server.search.query import TABLES, Values
from profiles import definitions
from rules.fhirpath import Branch, EvaluationError

_ODD = (TypeError, AttributeError, ValueError, LookupError, ArithmeticError, RecursionError, EvaluationError)

_OF_TEXT = frozenset(("token", "string", "reference", "uri", "word"))

# where a composite row has text, behind its parameter's code
_TEXTS = [place for place, column in enumerate(TABLES["composite"], 1) if column not in NUMBERS]

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Output:
    """What is made of each value: rows of a table, for each of these parameters."""

    rows: parameters.Rows
    table: str
    codes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One look at a property: the values it holds, and what is made of them."""

    values: Callable[[Any], list[Any]]
    outputs: tuple[Output, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a resource type by JSON property, and those that look at the whole resource.

    `links` are the parameters that say whose compartment the resource is in, the most telling first.
    """

    steps: Mapping[str, tuple[Step, ...]]
    always: tuple[Step, ...]
    links: tuple[str, ...]


def extract(type: str, resource: dict[str, Any], base: str = "", more: Plan | None = None) -> Values:
    """The search values of a resource of this type, each row once.

    `base` is the server's own URL: an absolute reference below it counts as the local one it is. `more` is
    the plan of the parameters that users posted.
    """
    plan = plan_of(type)
    rows = _rows((plan, more) if more else (plan,), resource, base)
    patient = _id(resource) if type == "Patient" else _patient(plan.links, rows.get("reference", ()))
    return Values(rows, patient, _moment(rows.get("date", ())))


def rows_of(more: Plan, resource: dict[str, Any], base: str = "") -> Values:
    """The rows of posted parameters alone, of a resource that has its others already."""
    return Values(_rows((more,), resource, base))


def _rows(plans: Iterable[Plan], resource: dict[str, Any], base: str) -> dict[str, tuple[Row, ...]]:
    found: dict[str, list[Row]] = {table: [] for table in TABLES}
    for plan in plans:
        for key, value in resource.items():
            steps = plan.steps.get(key)
            if steps is not None:
                _run(steps, value, found)
        if plan.always:
            _run(plan.always, resource, found)
    if base:
        found["reference"] = [reference.relative(row, base) for row in found["reference"]]
    return {table: tuple(dict.fromkeys(_sound(table, rows))) for table, rows in found.items() if rows}


def _run(steps: Iterable[Step], value: Any, found: dict[str, list[Row]]) -> None:
    for step in steps:
        try:
            items = step.values(value)
        except _ODD:
            continue
        for output in step.outputs if items else ():
            out = found[output.table]
            try:
                for item in items:
                    for row in output.rows(item):
                        for code in output.codes:
                            out.append((code, *row))
            except _ODD:
                continue


def _sound(table: str, rows: list[Row]) -> list[Row]:
    """The rows that a store can take: in the tables of text, those of nothing but text."""
    if table in _OF_TEXT:
        try:
            "".join(chain.from_iterable(rows))  # the cheapest way to ask it of all of them at once
        except TypeError:
            return [row for row in rows if all(isinstance(column, str) for column in row)]
    if table == "composite":
        return [row for row in rows if all(isinstance(row[place], str) for place in _TEXTS)]
    return rows


def _id(resource: Mapping[str, Any]) -> str | None:
    id = resource.get("id")
    return id if isinstance(id, str) else None


def _patient(links: tuple[str, ...], rows: tuple[Row, ...]) -> str | None:
    """The id in the first local reference to a Patient, in the order of the links."""
    for link in links:
        for row in rows:
            if row[0] == link and row[1] == "Patient":
                return str(row[2])
    return None


def _moment(rows: tuple[Row, ...]) -> int | None:
    return min((row[1] for row in rows if row[0] == "date"), default=None)


@cache
def plan_of(type: str) -> Plan:
    """The plan of a resource type. Parameters that look at the same thing share a step."""
    steps: dict[tuple[Any, ...], tuple[Branch, dict[Any, Output]]] = {}

    def add(branch: Branch, output: Output) -> None:
        outputs = steps.setdefault((branch.root, branch.source, branch.type), (branch, {}))[1]
        # those of one table and kind are the same rows, for another parameter; a composite has its own
        kind = output.codes[0] if output.table == "composite" else output.codes[0].partition(":")[2]
        key = (output.table, kind)
        known = outputs.get(key)
        outputs[key] = output if known is None else replace(known, codes=(*known.codes, *output.codes))

    always = []
    for parameter in parameters.of(type).values():
        if parameter.code in words.CODES:
            always.append(Step(lambda resource: [resource], (_of_words(parameter.code),)))
        elif parameter.type != "composite" and parameter.code not in parameters.OF_THE_VERSION:
            for branch in parameter.branches:
                for output in _outputs(parameter, branch):
                    add(branch, output)
    for within in _composites(type):
        add(
            within.branch,
            Output(composite.rows_of(within, parameters.converter), "composite", (within.code,)),
        )
    by_root: dict[str | None, list[Step]] = {None: []}
    for (root, _, _), (branch, outputs) in steps.items():
        by_root.setdefault(root, []).append(Step(branch.load(), tuple(outputs.values())))
    always += by_root.pop(None)
    return Plan({str(root): tuple(found) for root, found in by_root.items()}, tuple(always), links(type))


@lru_cache(maxsize=512)
def plan_of_posted(posted: tuple[Parameter, ...]) -> Plan:
    """The plan of parameters that users posted, all of one resource type; each has rows of its own."""
    by_root: dict[str | None, list[Step]] = {None: []}
    for parameter in posted:
        module = parameters.TYPES[parameter.type]
        for branch in parameter.branches:
            convert = parameters.converter(parameter.type, branch.type)
            outputs = [Output(convert, module.TABLE, (parameter.code,))]
            for suffix, (table, rows) in getattr(module, "DERIVED", {}).items():
                if branch.type in rows:
                    code = parameters.derived_code((parameter.code,), suffix)
                    outputs.append(Output(rows[branch.type], table, (code,)))
            by_root.setdefault(branch.root, []).append(Step(branch.load(), tuple(outputs)))
    always = by_root.pop(None)
    return Plan({str(root): tuple(found) for root, found in by_root.items()}, tuple(always), ())


def _of_words(code: str) -> Output:
    return Output(words.ROWS[code], words.TABLE, (code,))


def _outputs(parameter: Parameter, branch: Branch) -> Iterator[Output]:
    """The rows of a parameter, and what is derived from the same values: once for all who share them."""
    module = parameters.TYPES[parameter.type]
    yield Output(parameters.converter(parameter.type, branch.type), module.TABLE, (parameter.code,))
    for suffix, (table, rows) in getattr(module, "DERIVED", {}).items():
        codes = parameters.sharing(parameter.resource, branch)
        if branch.type in rows and codes[0] == parameter.code:
            yield Output(rows[branch.type], table, (parameters.derived_code(codes, suffix),))


def _composites(type: str) -> list[Within]:
    """The elements with rows of their own, each way in which parts can meet in them once."""
    every = (each for alternatives in parameters.composites(type).values() for each in alternatives)
    return list({each.code: each for each in every if isinstance(each, Within)}.values())


@cache
def links(type: str) -> tuple[str, ...]:
    """The reference parameters that link a resource of this type to a Patient, the most telling first.

    `patient` and `subject` come first wherever they exist: R4's compartment leaves out Task.for, and a
    resource is about its subject before it is its author's.
    """
    of_type = parameters.of(type)
    compartment = definitions.load().patient_compartment.get(type, ())
    return tuple(
        code
        for code in dict.fromkeys(("patient", "subject", *compartment))
        if code in of_type and of_type[code].type == "reference" and _may_be_patient(of_type[code])
    )


def _may_be_patient(parameter: Parameter) -> bool:
    return not parameter.targets or "Patient" in parameter.targets


@cache
def confining(type: str) -> frozenset[str]:
    """The parameters of which a local Patient reference is always Values.patient.

    They look only at the one place, with one value, that the first of the links looks at.
    """
    places = {code: _places(parameters.of(type)[code]) for code in links(type)}
    if not places:
        return frozenset()
    first = places[links(type)[0]]
    if len(first) != 1 or any(many for _, many in first):
        return frozenset()
    return frozenset(code for code, found in places.items() if found == first)


def _places(parameter: Parameter) -> frozenset[tuple[tuple[str, ...], bool]]:
    """Where the parameter looks: the properties on the way, and whether there can be several values."""
    return frozenset((branch.path, branch.many) for branch in parameter.branches)
