"""What an import makes of the lines of a file, and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO


@dataclass(frozen=True, slots=True)
class Concept:
    code: str
    display: str | None = None
    inactive: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """`use`: the code of a designation's use, None for one that may stand as the display of its language.

    `rank`: the lowest among the texts of a concept becomes its display; None never does.
    """

    code: str
    value: str
    language: str | None = None
    use: str | None = None
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Parent:
    code: str
    parent: str


@dataclass(frozen=True, slots=True)
class Property:
    code: str
    name: str
    value: str


@dataclass(frozen=True, slots=True)
class Member:
    """A code that is in a reference set."""

    code: str
    set_: str


@dataclass(frozen=True, slots=True)
class Preferred:
    """A description that its language's reference set prefers (only while SNOMED CT is imported)."""

    description: str


@dataclass(frozen=True, slots=True)
class Described:
    """A text whose rank depends on whether its description is preferred."""

    description: str
    text: Text


Row = Concept | Text | Parent | Property | Member | Preferred | Described
# The rows of one line (without its end); ValueError with a plain sentence for a line that is broken.
Parse = Callable[[str], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Stage:
    """One file of a release: `open` gives its bytes from the start, `size` how many there are.

    `parser` gets the first line, which it may refuse with a ValueError, and says how to read the others;
    `headed`: the first line is only names of columns.
    """

    name: str
    size: int
    open: Callable[[], IO[bytes]]
    parser: Callable[[str], Parse]
    headed: bool = True


@dataclass(frozen=True, slots=True)
class Release:
    """All that there is to import: one version of one code system."""

    url: str
    name: str
    version: str
    language: str
    stages: tuple[Stage, ...]
    properties: tuple[str, ...] = ()
    case_sensitive: bool = True
    content: str = "complete"  # fragment: not all of its codes are in it
