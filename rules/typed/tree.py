"""The typed tree: every node is an ELM node (https://cql.hl7.org/04-logicalspecification.html)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from rules.language.nodes import At
from rules.typed.model import Models
from rules.typed.types import ANY, Type


@dataclass(slots=True, eq=False)
class Typed:
    """`op` is the name of the ELM node, `type` what it results in.

    `operands` are its expression operands in the order of ELM's schema; `fields` is the rest: names, types,
    the precision, and for a Query its clauses. Two conversions that ELM spells out as whole expressions have
    nodes of their own: ConvertList and ConvertInterval, with the conversion of one element in `fields["by"]`.
    """

    op: str
    type: Type
    operands: list[Typed] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    at: At | None = None


@dataclass(slots=True)
class QueryClauses:
    """The parts of a Query: pairs of alias and source, of name and let; relationships as (alias, source,
    condition, negated); sort as (expression or None for the value itself, descending)."""

    sources: list[tuple[str, Typed]]
    lets: list[tuple[str, Typed]] = field(default_factory=list)
    relationships: list[tuple[str, Typed, Typed, bool]] = field(default_factory=list)
    where: Typed | None = None
    returns: Typed | None = None
    distinct: bool = False
    aggregate: tuple[str, Typed, Typed, bool] | None = None
    sort: list[tuple[Typed | None, bool]] = field(default_factory=list)


@dataclass(slots=True)
class TypedExpression:
    name: str
    at: At
    private: bool
    context: str
    body: Typed


@dataclass(slots=True)
class TypedFunction:
    """`body` is None for an external function, and for a helper of ours; `number` tells overloads apart.

    `specific` names the context of the definitions that it refers to, if that is not Unfiltered.
    """

    name: str
    at: At
    private: bool
    context: str
    fluent: bool
    operands: tuple[tuple[str, Type], ...]
    type: Type
    body: Typed | None
    number: int
    external: bool = False
    specific: str | None = None


@dataclass(slots=True)
class TypedParameter:
    name: str
    at: At
    private: bool
    type: Type
    default: Typed | None


@dataclass(slots=True, eq=False)
class TypedLibrary:
    """A library, all names resolved. `codes` and the like map a name to the node of its value."""

    name: str | None
    version: str | None
    usings: list[tuple[str, str | None]] = field(default_factory=list)
    includes: dict[str, TypedLibrary] = field(default_factory=dict)
    parameters: dict[str, TypedParameter] = field(default_factory=dict)
    codesystems: dict[str, Typed] = field(default_factory=dict)
    valuesets: dict[str, Typed] = field(default_factory=dict)
    codes: dict[str, Typed] = field(default_factory=dict)
    concepts: dict[str, Typed] = field(default_factory=dict)
    expressions: dict[str, TypedExpression] = field(default_factory=dict)
    functions: list[TypedFunction] = field(default_factory=list)
    models: Models = field(default_factory=Models)


def null(at: At | None = None) -> Typed:
    return Typed("Null", ANY, at=at)
