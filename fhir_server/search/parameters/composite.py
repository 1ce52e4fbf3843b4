"""Composite parameters: several values in one, each of which one and the same element must have.

https://hl7.org/fhir/R4/search.html#composite. Where the element is the resource itself, its own parameters
say it all. For other elements there is a row for each combination of their values: a token in `system` and
`code`, numbers and times in `low` to `high2`, a unit, second token or reference in `system2` and `code2`,
text in `text`. A quantity is in base units as well, in `low2` and `high2` with the unit in `text`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache
from itertools import product
from types import ModuleType
from typing import Any

from fhir_server.search.parameters import date, number, quantity, reference, string, token, uri
from fhir_server.search.parameters.parameter import BadValue, Parameter, Scope
from fhir_server.search.parameters.text import split
from fhir_server.search.query import TABLES, And, Match, Node, Or, Test
from profiles import definitions
from rules import fhirpath

TABLE = "composite"
SORT = None
MODIFIERS: frozenset[str] = frozenset()
LEFT_OUT: frozenset[str] = frozenset()

MODULES: Mapping[str, ModuleType] = {
    "token": token,
    "string": string,
    "date": date,
    "number": number,
    "quantity": quantity,
    "reference": reference,
    "uri": uri,
}
_RESOURCE = "%resource."

# For each type of part the places its columns can go to, the first that is free being taken.
_PLACES: Mapping[str, tuple[dict[str, str], ...]] = {
    "token": ({"system": "system", "code": "code"}, {"system": "system2", "code": "code2"}),
    "number": ({"low": "low", "high": "high"}, {"low": "low2", "high": "high2"}),
    "date": ({"low": "low", "high": "high"}, {"low": "low2", "high": "high2"}),
    "quantity": ({"low": "low", "high": "high", "system": "system2", "code": "code2"},),
    "string": ({"folded": "text"},),
    "uri": ({"value": "text"},),
    "reference": ({"type": "system2", "id": "code2", "url": "text"},),
}
_MEASURE = {"low": "low2", "high": "high2", "unit": "text"}
NUMBERS = frozenset(("low", "high", "low2", "high2"))
Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """A component: its values in the element, and the columns they are in. None: it is not of the element."""

    parameter: Parameter
    columns: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class Within:
    """The elements in which the parts must meet; `code` is that of the rows, and of those who share them."""

    branch: fhirpath.Branch
    parts: tuple[Part, ...]
    code: str


class Unsupported(ValueError):
    """A composite parameter of a kind for which there are no rows."""


# What the components are


def parts_of(
    type: str,
    components: Iterable[definitions.Component],
    own: Mapping[str, Parameter],
    made: Callable[[str, definitions.SearchParameter], Parameter],
) -> tuple[Part, ...]:
    """The components in an element of this type. `own` are the resource's parameters, by code.

    `made` turns a published parameter of a type into one of ours. Unsupported where that cannot be.
    """
    taken: set[str] = set()
    parts = []
    components = tuple(components)
    for component in components:
        if component.expression.startswith(_RESOURCE):
            parts.append(Part(_own(component, own), None))
            continue
        parameter = _meant(type, component, components, made)
        columns = next((c for c in _PLACES[parameter.type] if taken.isdisjoint(c.values())), None)
        if columns is None:
            raise Unsupported(f"components that are too many of a kind: {parameter.type}")
        taken.update(columns.values())
        taken.update(_MEASURE.values() if parameter.type == "quantity" else ())
        parts.append(Part(parameter, columns))
    return tuple(parts)


def _own(component: definitions.Component, own: Mapping[str, Parameter]) -> Parameter:
    for parameter in own.values():
        if parameter.url == component.definition:
            return parameter
    raise Unsupported("a component that is no parameter")


def _meant(
    type: str,
    component: definitions.Component,
    components: tuple[definitions.Component, ...],
    made: Callable[[str, definitions.SearchParameter], Parameter],
) -> Parameter:
    """The component as a parameter of the element.

    DocumentReference.relationship is published with the definitions of its components swapped: where the
    values are of no type that the definition could have, another component's is taken.
    """
    for url in (component.definition, *(other.definition for other in components)):
        published = _published().get(url)
        if published is None or published.type not in MODULES:
            continue
        try:
            parameter = made(type, replace(published, expression=component.expression, base=(type,)))
        except fhirpath.CompileError as error:
            raise Unsupported(str(error)) from None
        rows = MODULES[published.type].ROWS
        branches = tuple(branch for branch in parameter.branches if branch.type in rows)
        if branches:
            kinds = frozenset(branch.type for branch in branches)
            return replace(parameter, branches=branches, kinds=kinds, shared=(("",),))
    raise Unsupported("a component whose values are of no type that can be searched")


@cache
def _published() -> dict[str, definitions.SearchParameter]:
    return {parameter.url: parameter for parameter in definitions.load().all_search_parameters}


def whole(
    type: str,
    components: Iterable[definitions.Component],
    own: Mapping[str, Parameter],
    made: Callable[[str, definitions.SearchParameter], Parameter],
) -> tuple[Parameter, ...]:
    """The resource's own parameters that say what the components say of the resource itself.

    Of those that look at a component's values the one that looks at least else: `code`, not `combo-code`.
    """
    found = []
    for component in components:
        defined = _own(component, own)
        try:
            published = replace(
                _published()[component.definition], expression=component.expression, base=(type,)
            )
            places = {(branch.path, branch.type) for branch in made(type, published).branches}
        except fhirpath.CompileError:
            places = set()
        if not places:  # `as(DateTime)`, which is no type of FHIR
            found.append(defined)
            continue
        good = [
            parameter
            for parameter in own.values()
            if parameter.type == defined.type
            and places <= {(branch.path, branch.type) for branch in parameter.branches}
        ]
        found.append(min(good, key=lambda parameter: len(parameter.branches), default=defined))
    return tuple(found)


# Extraction

Maker = Callable[[Any], Iterable[Row]]
_COLUMNS = TABLES[TABLE]
_BLANK: list[Any] = [Decimal(0) if column in NUMBERS else "" for column in _COLUMNS]
_MEASURED = [_COLUMNS.index(_MEASURE[name]) for name in ("unit", "low", "high")]


@dataclass(frozen=True, slots=True)
class _Source:
    """A part as rows are made of it: its values in the element, and which of their cells go where."""

    branches: tuple[tuple[str | None, Callable[[Any], list[Any]], Maker], ...]
    moves: tuple[tuple[int, int], ...]
    measured: bool

    def fillings(self, element: Mapping[str, Any]) -> Iterator[list[tuple[int, Any]]]:
        """For each value of the part, what it puts into which place of a row."""
        for root, load, convert in self.branches:
            value = element if root is None else element.get(root)
            for item in load(value) if value is not None else ():
                for row in convert(item):
                    filling = [(to, row[place]) for place, to in self.moves]
                    for measure in quantity.measures((row,)) if self.measured else ():
                        filling += zip(_MEASURED, (f"in {measure[0]}", *measure[1:]), strict=True)
                    yield filling


def rows_of(within: Within, converter: Callable[[str, str], Maker]) -> Maker:
    """The function from an element to its rows."""
    sources = [_source(part, part.columns, converter) for part in within.parts if part.columns is not None]

    def rows(element: Mapping[str, Any]) -> Iterator[Row]:
        for combined in product(*(list(source.fillings(element)) for source in sources)):
            row = _BLANK.copy()
            for filling in combined:
                for place, value in filling:
                    row[place] = value
            yield tuple(row)

    return rows


def _source(part: Part, columns: Mapping[str, str], converter: Callable[[str, str], Maker]) -> _Source:
    type = part.parameter.type
    names = TABLES[MODULES[type].TABLE]
    moves = tuple((names.index(name), _COLUMNS.index(column)) for name, column in columns.items())
    branches = tuple((b.root, b.load(), converter(type, b.type)) for b in part.parameter.branches)
    return _Source(branches, moves, type == "quantity")


def _cell(column: str, value: Any) -> Any:
    return Decimal(value) if column in NUMBERS else value


# Matching


def match(
    parameter: Parameter,
    text: str,
    scope: Scope,
    alternatives: Iterable[Within | tuple[Parameter, ...]],
) -> Node:
    """`value$value`: each as the component's own type reads it, without modifiers."""
    texts = split(text, "$")
    if len(texts) != len(parameter.parts):
        raise BadValue(f"not {len(parameter.parts)} values with $ between them")
    found: list[Node] = []
    for alternative in alternatives:
        if isinstance(alternative, Within):
            found.append(_within(alternative, texts, scope))
        else:
            each = zip(alternative, texts, strict=True)
            found.append(And(tuple(_match(p, value, scope) for p, value in each)))
    return found[0] if len(found) == 1 else Or(tuple(found))


def _match(parameter: Parameter, text: str, scope: Scope) -> Node:
    node: Node = MODULES[parameter.type].match(parameter, None, text, scope)
    return node


def _within(within: Within, texts: list[str], scope: Scope) -> Node:
    outside: list[Node] = []
    inside: list[list[tuple[Test, ...]]] = []
    for part, text in zip(within.parts, texts, strict=True):
        node = _match(part.parameter, text, scope)
        if part.columns is None:
            outside.append(node)
        else:
            # the text of a unit is not in the rows: a unit is its code
            coded = (
                each
                for each in _alternatives(node)
                if all(test.column != "unit" or each.table == "measure" for test in each.tests)
            )
            inside.append([_moved(part.columns, each) for each in coded])
    if all(part.columns and "code" not in part.columns.values() for part in within.parts if part.columns):
        inside.append([(Test("code", "=", ""),)])  # without a token there is none; the index begins with it
    rows = [
        Match(TABLE, within.code, tuple(test for tests in combined for test in tests))
        for combined in product(*inside)
    ]
    return And((*outside, Or(tuple(rows)))) if outside else Or(tuple(rows))


def _alternatives(node: Node) -> list[Match]:
    match node:
        case Match():
            return [node]
        case Or(children):
            return [each for child in children for each in _alternatives(child)]
    raise BadValue("of a form that has no place in a composite")


def _moved(columns: Mapping[str, str], match_: Match) -> tuple[Test, ...]:
    """The tests of a row of the part as those of a row of the whole."""
    if match_.table == "measure":
        columns = _MEASURE
    tests = []
    for test in match_.tests:
        if test.column not in columns:
            raise BadValue("of a form that has no place in a composite")
        column, value = columns[test.column], test.value
        if match_.table == "measure" and test.column == "unit":
            value = f"in {value}"  # so that there is a unit even where it is a plain number's
        tests.append(Test(column, test.op, _cell(column, value) if test.op != "in" else value))
    return tuple(tests)
