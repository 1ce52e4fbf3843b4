"""The syntax tree of CQL: what was written, before any name or type is known.

https://cql.hl7.org/19-l-cqlsyntaxdiagrams.html
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class At:
    """Where a node begins; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Node:
    at: At


# Types


@dataclass(frozen=True, slots=True)
class NamedType(Node):
    """`FHIR.Patient`: parts are the names between the dots."""

    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GenericType(Node):
    """List<T>, Interval<T> or Choice<A, B>."""

    name: str
    arguments: tuple[TypeNode, ...]


@dataclass(frozen=True, slots=True)
class TupleType(Node):
    elements: tuple[tuple[str, TypeNode], ...]


TypeNode = NamedType | GenericType | TupleType


# Expressions


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """kind: null, boolean, string, number, long, date, datetime or time; value is the text written."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class QuantityLiteral(Node):
    value: str
    unit: str


@dataclass(frozen=True, slots=True)
class RatioLiteral(Node):
    numerator: QuantityLiteral
    denominator: QuantityLiteral


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name on its own; `$this`, `$index`, `$total` keep their mark, an external constant its `%`."""

    name: str


@dataclass(frozen=True, slots=True)
class Member(Node):
    source: Expression
    name: str


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function, or with a source a method: `source.name(arguments)`."""

    source: Expression | None
    name: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Parenthesised(Node):
    expression: Expression


@dataclass(frozen=True, slots=True)
class Operation(Node):
    """An operator by the name of its ELM node, with the precision where one is written (`in day of`)."""

    name: str
    operands: tuple[Expression, ...]
    precision: str | None = None


@dataclass(frozen=True, slots=True)
class TypeOperation(Node):
    """name: Is, As, Cast (a strict As) or Convert."""

    name: str
    operand: Expression
    type: TypeNode


@dataclass(frozen=True, slots=True)
class ConvertUnit(Node):
    operand: Expression
    unit: str


@dataclass(frozen=True, slots=True)
class Extent(Node):
    """`minimum Integer`, `maximum Integer`: name is MinValue or MaxValue."""

    name: str
    type: TypeNode


@dataclass(frozen=True, slots=True)
class Between(Node):
    operand: Expression
    low: Expression
    high: Expression
    proper: bool


@dataclass(frozen=True, slots=True)
class Timing(Node):
    """`left (starts) 3 days or more before (day of) (start) right`.

    kind: SameAs, SameOrBefore, SameOrAfter, Includes, IncludedIn, Before, After, Within, Meets, Overlaps,
    Starts or Ends; side is before or after for Meets and Overlaps; on means "on or"; qualifier is one of
    "or more", "or less", "less than", "more than".
    """

    kind: str
    left: Expression
    right: Expression
    left_end: str | None = None
    right_end: str | None = None
    precision: str | None = None
    proper: bool = False
    side: str | None = None
    on: bool = False
    offset: QuantityLiteral | None = None
    qualifier: str | None = None


@dataclass(frozen=True, slots=True)
class If(Node):
    condition: Expression
    then: Expression
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class Case(Node):
    comparand: Expression | None
    items: tuple[tuple[Expression, Expression], ...]
    otherwise: Expression


@dataclass(frozen=True, slots=True)
class IntervalSelector(Node):
    """Whether the bounds are closed is written in CQL, and may be an expression in ELM."""

    low: Expression
    high: Expression
    low_closed: bool | Expression
    high_closed: bool | Expression


@dataclass(frozen=True, slots=True)
class TupleSelector(Node):
    elements: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class InstanceSelector(Node):
    type: NamedType
    elements: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class ListSelector(Node):
    type: TypeNode | None
    items: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class CodeSelector(Node):
    code: str
    system: tuple[str, ...]
    display: str | None


@dataclass(frozen=True, slots=True)
class ConceptSelector(Node):
    codes: tuple[CodeSelector, ...]
    display: str | None


@dataclass(frozen=True, slots=True)
class Retrieve(Node):
    """`[context -> Type: path comparator terminology]`."""

    context: Expression | None
    type: NamedType
    path: str | None
    comparator: str | None
    terminology: Expression | None


@dataclass(frozen=True, slots=True)
class Source(Node):
    expression: Expression
    alias: str


@dataclass(frozen=True, slots=True)
class Relationship(Node):
    """`with` or, negated, `without` a source such that a condition holds."""

    source: Source
    condition: Expression
    negated: bool


@dataclass(frozen=True, slots=True)
class Aggregate(Node):
    name: str
    distinct: bool
    starting: Expression | None
    expression: Expression


@dataclass(frozen=True, slots=True)
class SortItem(Node):
    """By an expression, or without one by the value itself."""

    expression: Expression | None
    descending: bool


@dataclass(frozen=True, slots=True)
class Query(Node):
    sources: tuple[Source, ...]
    lets: tuple[tuple[str, Expression], ...] = ()
    relationships: tuple[Relationship, ...] = ()
    where: Expression | None = None
    returns: Expression | None = None
    distinct: bool = False
    aggregate: Aggregate | None = None
    sort: tuple[SortItem, ...] = ()


Expression = (
    Literal
    | QuantityLiteral
    | RatioLiteral
    | Name
    | Member
    | Call
    | Parenthesised
    | Operation
    | TypeOperation
    | ConvertUnit
    | Extent
    | Between
    | Timing
    | If
    | Case
    | IntervalSelector
    | TupleSelector
    | InstanceSelector
    | ListSelector
    | CodeSelector
    | ConceptSelector
    | Retrieve
    | Query
)


# Definitions


@dataclass(frozen=True, slots=True)
class Using(Node):
    name: str
    version: str | None
    called: str | None


@dataclass(frozen=True, slots=True)
class Include(Node):
    name: str
    version: str | None
    called: str


@dataclass(frozen=True, slots=True)
class Definition(Node):
    name: str
    private: bool


@dataclass(frozen=True, slots=True)
class CodeSystemDefinition(Definition):
    id: str
    version: str | None


@dataclass(frozen=True, slots=True)
class ValueSetDefinition(Definition):
    id: str
    version: str | None
    systems: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class CodeDefinition(Definition):
    code: CodeSelector


@dataclass(frozen=True, slots=True)
class ConceptDefinition(Definition):
    codes: tuple[tuple[str, ...], ...]
    display: str | None


@dataclass(frozen=True, slots=True)
class ParameterDefinition(Definition):
    type: TypeNode | None
    default: Expression | None


@dataclass(frozen=True, slots=True)
class ExpressionDefinition(Definition):
    context: str | None
    expression: Expression


@dataclass(frozen=True, slots=True)
class FunctionDefinition(Definition):
    context: str | None
    fluent: bool
    operands: tuple[tuple[str, TypeNode], ...]
    returns: TypeNode | None
    body: Expression | None


@dataclass(slots=True)
class LibrarySyntax:
    name: str | None = None
    version: str | None = None
    usings: list[Using] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    definitions: list[Any] = field(default_factory=list)
