"""The working surface of one transaction: what it read, and the engine resources it will put, each once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from fhir_server.alerts.memory import Learned, Memory
from fhir_server.instants import instant, microseconds
from fhir_server.resource_json import decode_stored
from fhir_server.search.query import And, Match, Node, Query, Sort, Test
from fhir_server.store.base import Transaction

RULE_SYSTEM = "https://varde.dev/fhir/rule"


class Desk:
    """Reads through the transaction, keeps what is changed, and puts it at the end, each once."""

    def __init__(
        self,
        tx: Transaction,
        put: Callable[[dict[str, Any]], None],
        new_id: Callable[[], str],
        now: datetime,
        memory: Memory,
    ) -> None:
        self.tx = tx
        self.memory = memory
        self.learned = Learned()
        self.new_id = new_id
        self.time = microseconds(now)
        self.now = instant(self.time)
        self._put = put
        self._stamps: dict[str, tuple[int, ...]] = {}
        self._changed: dict[tuple[str, str], dict[str, Any]] = {}

    def stamp(self, patient: str) -> tuple[int, ...]:
        """Transaction.stamp, asked once."""
        if patient not in self._stamps:
            self._stamps[patient] = self.tx.stamp(patient)
        return self._stamps[patient]

    def save(self, resource: dict[str, Any]) -> None:
        """Put this at the end. Saved again, the last content counts."""
        self._changed[(resource["resourceType"], resource["id"])] = resource

    def saved(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What would be put now, for `back_to`."""
        return dict(self._changed)

    def back_to(self, saved: dict[tuple[str, str], dict[str, Any]]) -> None:
        """Forget what was saved since."""
        self._changed = saved

    def flush(self) -> None:
        for resource in self._changed.values():
            self._put(resource)

    def read(self, type: str, id: str) -> dict[str, Any] | None:
        """The resource as it is now, changes of this transaction included; None where there is none."""
        if (changed := self._changed.get((type, id))) is not None:
            return changed
        version = self.tx.read(type, id)
        return decode_stored(version.body) if version and version.body else None

    def latest(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource with what this transaction has made of it."""
        return self._changed.get((resource["resourceType"], resource["id"]), resource)

    def search(self, query: Query) -> list[dict[str, Any]]:
        """Matches of the query as they were put; see `latest`."""
        return [decode_stored(version.body) for version in self.tx.search(query) if version.body]

    def flags(self, patient: str, *, rule: str | None = None, active: bool = True) -> list[dict[str, Any]]:
        """The patient's Flags, newest first where they are not just the active ones."""
        where: list[Node] = [_patient("patient", patient)]
        if active:
            where.append(Match("token", "status", (Test("code", "=", "active"),)))
        if rule is not None:
            tests = (Test("system", "=", RULE_SYSTEM), Test("code", "=", rule))
            where.append(Match("token", "identifier", tests))
        sort = () if active else (Sort("resource", "_lastUpdated", "updated", descending=True),)
        return self.search(Query("Flag", And(tuple(where)), sort, count=500, patient=patient))

    def tasks_of(self, flag: dict[str, Any]) -> list[dict[str, Any]]:
        """The Tasks whose focus is the Flag."""
        focus = Match("reference", "focus", (Test("type", "=", "Flag"), Test("id", "=", flag["id"])))
        return [self.latest(task) for task in self.search(Query("Task", focus, count=50))]


def _patient(param: str, id: str) -> Match:
    return Match("reference", param, (Test("type", "=", "Patient"), Test("id", "=", id)))
