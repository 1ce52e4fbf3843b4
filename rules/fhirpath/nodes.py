"""The syntax tree of the subset; `at` is the character where the construct stands."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | bool | int | Decimal
    at: int


@dataclass(frozen=True, slots=True)
class This:
    at: int


@dataclass(frozen=True, slots=True)
class Member:
    """`child.name`; without a child the path starts here, with an element or a type's name."""

    child: Node | None
    name: str
    at: int


@dataclass(frozen=True, slots=True)
class Index:
    child: Node
    index: int
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """`child.name(arguments)`; without a child it is called on the context."""

    child: Node | None
    name: str
    arguments: tuple[Node, ...]
    at: int


@dataclass(frozen=True, slots=True)
class OfType:
    """`child as type`, `child.as(type)`, `child.ofType(type)`: the items of that type."""

    child: Node
    type: str
    at: int


@dataclass(frozen=True, slots=True)
class IsType:
    """`child is type`, `child.is(type)`."""

    child: Node
    type: str
    at: int


@dataclass(frozen=True, slots=True)
class Binary:
    """op: | = != and or"""

    op: str
    left: Node
    right: Node
    at: int


Node = Literal | This | Member | Index | Call | OfType | IsType | Binary
