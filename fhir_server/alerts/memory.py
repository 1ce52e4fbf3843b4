"""What is known of patients between transactions: never more than what was committed.

A transaction learns while it runs and may still be undone; what it learnt is kept only once it is committed
(write.py). The store's stamps tell whether it still holds, in every worker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.alerts.catalogue import Catalogue
from rules.plans import Coding, Plan, Problem, Rule


@dataclass(frozen=True, slots=True)
class PatientRules:
    """`by_code` finds the rules that a reading can trigger; `known` is False for a patient not on record.

    `follows` are the canonical URLs that the plans instantiate, each with the plans that do.
    """

    known: bool
    plans: tuple[Plan, ...]
    by_code: Mapping[Coding, tuple[Rule, ...]]
    problems: tuple[tuple[Plan, Problem], ...]
    follows: Mapping[str, tuple[Plan, ...]] = field(default_factory=dict)

    def triggered(self, codes: frozenset[Coding]) -> list[Rule]:
        """The rules that a reading with these codes can trigger, each once."""
        found = {rule.key: rule for code in codes for rule in self.by_code.get(code, ())}
        return list(found.values())


@dataclass(slots=True)
class Learned:
    """Patient -> the stamp it held at, and what held: the rules; the engine's active Flags, by rule.

    `catalogue` are the PlanDefinitions, with the stamp they held at.
    """

    rules: dict[str, tuple[tuple[int, ...], PatientRules]] = field(default_factory=dict)
    flags: dict[str, tuple[int, dict[str, dict[str, Any]]]] = field(default_factory=dict)
    catalogue: tuple[tuple[int, ...], Catalogue] | None = None


class Memory(Learned):
    """What the transactions of this process have learnt, of so many patients at the most."""

    __slots__ = ("size",)

    def __init__(self, size: int = 2000) -> None:
        super().__init__()
        self.size = size

    def keep(self, learned: Learned) -> None:
        """Take over what a transaction that is now committed has learnt."""
        self.rules.update(learned.rules)
        self.flags.update(learned.flags)
        if learned.catalogue is not None:
            self.catalogue = learned.catalogue
        for kept in (self.rules, self.flags):
            while len(kept) > self.size:
                kept.pop(next(iter(kept)))
