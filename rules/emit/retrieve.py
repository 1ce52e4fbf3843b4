"""What a library asks of the data, lifted out of it so that a server can fetch it beforehand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from rules.runtime.clinical import in_value_set
from rules.runtime.values import Code, Concept, ValueSet


@dataclass(frozen=True, slots=True)
class Retrieve:
    """Resources of a type, limited by the codes at a path where there is one.

    `codes` are the Codes, or the ValueSet, if they are known before the evaluation, else None; an empty tuple
    stands for no limit. `path` has the names of the data: `medicationCodeableConcept`, `device.code`.
    """

    type: str
    path: str | None = None
    codes: tuple[Code, ...] | ValueSet | None = ()


NO_LIMIT: Final = Retrieve("")


def codings(resource: Any, path: str) -> list[Any]:
    """The codings (or bare codes) at a path of a resource."""
    found = [resource]
    for name in path.split("."):
        found = [item for value in found for item in _listed(value.get(name))]
    flat: list[Any] = []
    for value in found:
        flat += value["coding"] if isinstance(value, dict) and "coding" in value else [value]
    return flat


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def matching(resources: Iterable[Any], path: str, codes: Any) -> list[Any]:
    """The resources with one of the codes, or with a code of the value set, at the path."""
    if codes is None:
        return []
    if isinstance(codes, ValueSet):
        return [r for r in resources if any(_in(coding, codes) for coding in codings(r, path))]
    wanted = {(code.system, code.code) for code in _codes(codes)}
    bare = {code for _, code in wanted}
    return [r for r in resources if any(_is(coding, wanted, bare) for coding in codings(r, path))]


def _in(coding: Any, valueset: ValueSet) -> bool:
    if isinstance(coding, dict):
        coding = Code(coding.get("code"), coding.get("system"))
    return in_value_set(coding, valueset) is True


def _is(coding: Any, wanted: set[tuple[str | None, str | None]], bare: set[str | None]) -> bool:
    if isinstance(coding, dict):
        return (coding.get("system"), coding.get("code")) in wanted
    return coding in bare


def _codes(codes: Any) -> list[Code]:
    """All the codes of a Concept, or of a list of Codes, Concepts and Strings."""
    if isinstance(codes, Concept):
        return [code for code in codes.codes if code is not None]
    if isinstance(codes, Code):
        return [codes]
    if isinstance(codes, str):
        return [Code(codes)]
    return [code for item in codes if item is not None for code in _codes(item)]
