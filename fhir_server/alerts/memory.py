"""What is known of a patient's rules between transactions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rules.plans import Coding, Plan, Problem, Rule


@dataclass(frozen=True, slots=True)
class PatientRules:
    """`by_code` finds the rules that a reading can trigger; `known` is False for a patient not on record."""

    known: bool
    plans: tuple[Plan, ...]
    by_code: Mapping[Coding, tuple[Rule, ...]]
    problems: tuple[tuple[Plan, Problem], ...]

    def triggered(self, codes: frozenset[Coding]) -> list[Rule]:
        """The rules that a reading with these codes can trigger, each once."""
        found = {rule.key: rule for code in codes for rule in self.by_code.get(code, ())}
        return list(found.values())


class Memory:
    """The rules of patients seen lately in one store: bounded, oldest first out."""

    def __init__(self, size: int = 5000) -> None:
        self._size = size
        self._kept: dict[Any, PatientRules] = {}

    def get(self, key: Any) -> PatientRules | None:
        return self._kept.get(key)

    def put(self, key: Any, value: PatientRules) -> None:
        while len(self._kept) >= self._size:
            self._kept.pop(next(iter(self._kept)))
        self._kept[key] = value
