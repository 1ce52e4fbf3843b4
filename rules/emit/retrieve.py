"""What a library asks of the data, lifted out of it so that a server can fetch it beforehand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rules.emit.dates import Dates
from rules.runtime.clinical import in_value_set
from rules.runtime.values import Code, Concept, ValueSet


@dataclass(frozen=True, slots=True)
class Wanted:
    """Codes to look for: with their system, and alone for data that have none (an element of type code)."""

    coded: frozenset[tuple[str | None, str | None]]
    bare: frozenset[str | None]

    @classmethod
    def of(cls, codes: Any) -> Wanted:
        found = _codes(codes)
        return cls(
            frozenset((code.system, code.code) for code in found), frozenset(code.code for code in found)
        )


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Resources of a type, limited by the codes at a path where there is one.

    `codes` are the Codes, or the ValueSet, if they are known before the evaluation, else None; an empty tuple
    stands for no limit. `path` has the names of the data: `medicationCodeableConcept`, `device.code`.
    `dates` says that a limited time is enough: `Library.period` gives its bounds for a clock and parameters.
    """

    type: str
    path: str | None = None
    codes: tuple[Code, ...] | ValueSet | None = ()
    dates: Dates | None = None
    wanted: Wanted | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if isinstance(self.codes, tuple) and self.codes:
            object.__setattr__(self, "wanted", Wanted.of(self.codes))

    def __hash__(self) -> int:
        return hash((self.type, self.path))

    def matching(self, resources: Iterable[Any]) -> list[Any]:
        """Those of the resources that have one of the codes.

        The usual form of the element, a CodeableConcept, is looked into here; `matching` knows all forms.
        """
        path, wanted = self.path, self.wanted
        if path is None:
            return list(resources)
        if wanted is None or "." in path:
            return matching(resources, path, wanted or self.codes)
        found = []
        coded = wanted.coded
        for resource in resources:
            try:
                for coding in resource[path]["coding"]:
                    if (coding["system"], coding["code"]) in coded:
                        found.append(resource)
                        break
            except (KeyError, TypeError):  # none, a list, a code without a system
                found += matching((resource,), path, wanted)
        return found


def merged(retrieves: Iterable[Retrieve]) -> tuple[Retrieve, ...]:
    """As few retrieves as answer all of them, in the order in which each is first asked for.

    Two of one type become one where that does not fetch much more: where one answers the other, and where
    both look for codes at one path and are limited in time, or neither is (the hull of both periods).
    """
    found: list[Retrieve] = []
    for retrieve in retrieves:
        joined = retrieve
        at = len(found)
        for number in reversed(range(len(found))):
            both = _joined(found[number], joined)
            if both is not None:
                joined, at = both, number
                del found[number]
        found.insert(at, joined)
    return tuple(found)


def _joined(first: Retrieve, second: Retrieve) -> Retrieve | None:
    """One retrieve for both, or None where they are better kept apart."""
    if first.type != second.type:
        return None
    for wide, narrow in ((first, second), (second, first)):
        if _has_all_codes(wide, narrow) and (wide.dates is None or wide.dates == narrow.dates):
            return wide
    mine, its = first.codes, second.codes
    if first.path != second.path or not isinstance(mine, tuple) or not isinstance(its, tuple):
        return None
    codes = tuple(dict.fromkeys(mine + its)) if mine and its else ()
    if first.dates is None and second.dates is None:
        return Retrieve(first.type, first.path, codes)
    if first.dates is None or second.dates is None or first.dates.path != second.dates.path:
        return None
    alternatives = dict.fromkeys(first.dates.alternatives + second.dates.alternatives)
    return Retrieve(first.type, first.path, codes, replace(first.dates, alternatives=tuple(alternatives)))


def _has_all_codes(wide: Retrieve, narrow: Retrieve) -> bool:
    if wide.codes == () or (wide.path == narrow.path and wide.codes == narrow.codes):
        return True
    mine, its = wide.codes, narrow.codes
    both = wide.path == narrow.path and isinstance(mine, tuple) and isinstance(its, tuple) and its != ()
    return both and set(its) <= set(mine)  # type: ignore[arg-type]


def codings(resource: Any, path: str) -> Iterator[Any]:
    """The codings (or bare codes) at a path of a resource."""
    first, _, rest = path.partition(".")
    value = resource.get(first)
    for item in value if isinstance(value, list) else (value,):
        if item is None:
            continue
        if rest:
            yield from codings(item, rest)
        elif isinstance(item, dict) and "coding" in item:
            yield from item["coding"]
        else:
            yield item


def matching(resources: Iterable[Any], path: str, codes: Any) -> list[Any]:
    """The resources with one of the codes, or with a code of the value set, at the path."""
    if codes is None:
        return []
    found = []
    wanted = codes if isinstance(codes, ValueSet | Wanted) else Wanted.of(codes)
    for resource in resources:
        for coding in codings(resource, path):
            if _in(coding, wanted) if isinstance(wanted, ValueSet) else _is(coding, wanted):
                found.append(resource)
                break
    return found


def _in(coding: Any, valueset: ValueSet) -> bool:
    if isinstance(coding, dict):
        coding = Code(coding.get("code"), coding.get("system"))
    return in_value_set(coding, valueset) is True


def _is(coding: Any, wanted: Wanted) -> bool:
    if isinstance(coding, dict):
        return (coding.get("system"), coding.get("code")) in wanted.coded
    return coding in wanted.bare


def _codes(codes: Any) -> list[Code]:
    """All the codes of a Concept, or of a list of Codes, Concepts and Strings."""
    if isinstance(codes, Concept):
        return [code for code in codes.codes if code is not None]
    if isinstance(codes, Code):
        return [codes]
    if isinstance(codes, str):
        return [Code(codes)]
    return [code for item in codes if item is not None for code in _codes(item)]
