"""From what was written to the Flags, Communications and Tasks that the patient's plans call for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.errors import Issue
from fhir_server.store.base import Transaction


@dataclass(frozen=True, slots=True)
class Written:
    """What one write did to one resource: the content before and after, None where there was or is none."""

    type: str
    id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None


def follow_up(
    tx: Transaction,
    written: Sequence[Written],
    put: Callable[[dict[str, Any]], None],
    new_id: Callable[[], str],
    now: datetime,
) -> None:
    """Judge the Observations among `written` and put what follows, in the same transaction."""


def check_plan(resource: dict[str, Any]) -> list[Issue]:
    """What is wrong with the thresholds of a CarePlan or Goal, as errors that refuse the write."""
    return []
