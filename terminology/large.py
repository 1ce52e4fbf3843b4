"""Code systems too large for memory: what they are asked by index, and what their supplements add.

fhir_server/imported/system.py answers from a file. https://hl7.org/fhir/R4/codesystem.html#supplements
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from terminology.code_system import CodeSystem, Concept, supplementing, value_of, with_more
from terminology.findings import refuse
from terminology.words import begins


@dataclass(frozen=True, slots=True)
class Condition:
    """What concepts are selected by. `kind`: a filter operator of the hierarchy, with the code in `values`;
    `property` with its name and the values it may have; `member` of the reference set in `values`; `words`,
    which begin words of a code or of what it is called; `active`."""

    kind: str
    values: tuple[str, ...] = ()
    name: str = ""


class LargeSystem(CodeSystem):
    """Its concepts are looked up, not listed."""

    extras: tuple[CodeSystem, ...] = ()  # its supplements

    def page(self, conditions: Sequence[Condition], offset: int, count: int) -> tuple[int, list[str]]:
        """How many concepts fulfil all conditions, and `count` of their codes, from `offset` on."""
        raise NotImplementedError

    def first(self, conditions: Sequence[Condition], most: int) -> list[str]:
        """The codes that fulfil all conditions, `most` of them at most."""
        raise NotImplementedError

    def fulfils(self, code: str, condition: Condition) -> bool:
        """Whether a concept of this system fulfils a condition."""
        raise NotImplementedError

    def has_set(self, name: str) -> bool:
        """Whether it has a reference set."""
        raise NotImplementedError

    def walk(self) -> Iterator[Concept]:
        raise refuse("too-costly", "A system of this size is not looked through", "unprocessable")

    def supplemented(self, supplements: Iterable[CodeSystem]) -> LargeSystem:
        """With what its supplements add, put in as concepts are looked up."""
        added = tuple(supplementing(self, supplements))
        if not added:
            return self
        declared = [part for each in (self, *added) for part in each.resource.get("property", [])]
        new = copy.copy(self)
        for name, value in (
            ("resource", self.resource | ({"property": declared} if declared else {})),
            ("concepts", _Overlay(self.concepts, added)),
            ("supplements", tuple(extra.canonical for extra in added)),
            ("extras", added),
        ):
            object.__setattr__(new, name, value)
        return new

    def added_by(self, condition: Condition) -> list[str]:
        """The codes that fulfil a condition by what the supplements say."""
        if condition.kind == "words":
            return list(self._saying(condition.values))
        if condition.kind != "property":
            return []
        wanted = set(condition.values)
        return [
            code
            for extra in self.extras
            for code, more in extra.concepts.items()
            if any(p.get("code") == condition.name and str(value_of(p)) in wanted for p in more.properties)
        ]

    def _saying(self, words: tuple[str, ...]) -> Iterator[str]:
        """The codes that all the words begin words of, some of them in a supplement."""
        whole, parts = begins(list(words)), [begins([word]) for word in words]
        for extra in self.extras:
            for code, more in extra.concepts.items():
                texts = [text.value for text in more.designations]
                concept = self.concepts.get(code) if any(part(texts) for part in parts) else None
                if concept is not None:
                    said = (text.value for text in concept.designations)
                    if whole([code, concept.display or "", *said]):
                        yield code


class _Overlay(Mapping[str, Concept]):
    """Concepts with what supplements add to some of them."""

    def __init__(self, concepts: Mapping[str, Concept], extras: tuple[CodeSystem, ...]) -> None:
        self._concepts, self._extras = concepts, extras

    def __getitem__(self, code: str) -> Concept:
        concept = self._concepts[code]
        for extra in self._extras:
            more = extra.concepts.get(code)
            if more is not None:
                concept = with_more(concept, more, extra.canonical)
        return concept

    def __contains__(self, code: object) -> bool:
        return code in self._concepts

    def __iter__(self) -> Iterator[str]:
        return iter(self._concepts)

    def __len__(self) -> int:
        return len(self._concepts)
