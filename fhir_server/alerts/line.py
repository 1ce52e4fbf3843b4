"""The Flags of one rule for one patient: at most one active, and what becomes of it.

A line takes entries (readings that the rule has something to say of) and settles once: a Flag is raised,
added to, made more or less severe, resolved, or taken back, and people are told when they have to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.alerts import resources
from fhir_server.alerts.desk import RULE_SYSTEM, Desk
from fhir_server.alerts.explanation import Entry, read_entries
from fhir_server.alerts.vocabulary import REQUEST_PRIORITY, SEVERITY, ZONE_SYSTEM
from rules.plans import Plan

Resource = dict[str, Any]
OPEN_TASK = frozenset(
    ("draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold")
)  # https://hl7.org/fhir/R4/valueset-task-status.html: every status that is not an end


@dataclass(slots=True)
class Episode:
    """One Flag while this transaction works on it. `told` is the zone people know of, "" when none."""

    flag: Resource
    entries: dict[str, Entry]
    told: str
    changed: bool = False
    status: str = "active"

    @property
    def zone(self) -> str:
        return max((entry.zone for entry in self.entries.values()), key=SEVERITY.__getitem__, default="")

    @property
    def worst(self) -> Entry:
        """The latest of the most severe entries: what the Flag says."""
        return max(self.entries.values(), key=lambda entry: (SEVERITY.get(entry.zone, 0), entry.time))

    @property
    def last_time(self) -> str:
        return max(entry.time for entry in self.entries.values())


def rule_of(flag: Resource) -> str | None:
    """The rule key that a Flag of the engine carries; None for anybody else's."""
    for identifier in flag.get("identifier") or ():
        if identifier.get("system") == RULE_SYSTEM:
            return str(identifier.get("value"))
    return None


def episode_of(flag: Resource) -> Episode:
    """A stored Flag, with its entries."""
    codings = (flag.get("code") or {}).get("coding") or ()
    zone = next((str(c.get("code")) for c in codings if c.get("system") == ZONE_SYSTEM), "technical")
    return Episode(flag, read_entries(flag), zone, status=flag.get("status", "active"))


@dataclass(slots=True)
class Line:
    """`advice` gives for an entry the plans and texts the patient is told by; None for technical matters."""

    desk: Desk
    patient: str
    key: str
    category: str
    plans: Sequence[Plan]
    active: Episode | None
    advice: Callable[[Entry], Sequence[tuple[Plan, str]]] | None = None
    _closed: list[Episode] | None = None
    _ended: list[Episode] = field(default_factory=list)

    def add(self, entry: Entry, *, fresh: bool) -> None:
        """Take in a reading that is in a zone or could not be judged. `fresh`: it was never judged before."""
        home = self._home(entry.observation, fresh)
        if home is not None and home is not self.active:
            if SEVERITY.get(home.entries[entry.observation].zone, 0) >= SEVERITY[entry.zone]:
                return  # a person, or normal readings, have closed this; only worse opens it again
        elif home is None and self._is_copy(entry):
            return
        if self.active is None:
            self.active = self._open()
        known = self.active.entries.get(entry.observation)
        if known is None or known.extension != entry.extension:
            self.active.entries[entry.observation] = entry
            self.active.changed = True

    def drop(self, observation: str, *, fresh: bool = False) -> None:
        """The reading is normal, or no longer counts: whatever was said of it is taken back."""
        home = self._home(observation, fresh)
        if home is not None:
            del home.entries[observation]
            home.changed = True

    def has(self, observation: str) -> bool:
        return self.active is not None and observation in self.active.entries

    def resolve(self) -> None:
        """The active Flag has done its work and becomes inactive."""
        if self.active:
            self.active.status, self.active.changed = "inactive", True
            self._ended.append(self.active)
            self.active = None

    def settle(self) -> None:
        """Save what has changed and tell who has to know."""
        episodes = [*(self._closed or ()), *self._ended, *((self.active,) if self.active else ())]
        for episode in episodes:
            if episode.changed:
                self._settle(episode)

    def _home(self, observation: str, fresh: bool) -> Episode | None:
        """The Flag that the reading is in. A fresh one can be in none but for what this transaction did."""
        if self.active and observation in self.active.entries:
            return self.active
        if fresh:
            return None
        if self._closed is None:
            current = self.active.flag["id"] if self.active else None
            flags = self.desk.flags(self.patient, rule=self.key, active=False)
            self._closed = [
                episode_of(self.desk.latest(f))
                for f in flags
                if f["id"] != current and f.get("status") != "active"
            ]
        return next((e for e in (*self._ended, *self._closed) if observation in e.entries), None)

    def _is_copy(self, entry: Entry) -> bool:
        """Whether the active Flag knows the same reading by another id: a repeat does nothing."""
        known = self.active.entries.values() if self.active else ()
        return any((e.time, e.value, e.zone) == (entry.time, entry.value, entry.zone) for e in known)

    def _open(self) -> Episode:
        flag = resources.new_flag(self.desk.new_id(), self.patient, self.key, self.category, self.desk.now)
        return Episode(flag, {}, "")

    def _settle(self, episode: Episode) -> None:
        if not episode.entries:
            self._take_back(episode)
            return
        zone, worst = episode.zone, episode.worst
        flag = resources.fill_flag(episode.flag, episode.entries.values(), zone, worst.text)
        if episode.status != "active":
            if flag["status"] == "active":
                flag = resources.ended(flag, episode.status, self.desk.now)
                close_tasks(self.desk, flag, "completed")
            self.desk.save(flag)
            return
        self.desk.save(flag)
        if SEVERITY[zone] > SEVERITY.get(episode.told, -1):
            self._tell(flag, worst, zone)
        if not episode.told:
            task = resources.new_task(self.desk.new_id(), flag, zone, worst.text, self.plans, self.desk.now)
            self.desk.save(task)
        elif zone != episode.told:
            self._set_priority(flag, zone, worst)

    def _take_back(self, episode: Episode) -> None:
        """Nothing is left that the Flag was raised for: it was an error."""
        if not episode.told:
            return  # it never existed outside this transaction
        was_active = episode.flag.get("status") == "active"
        flag = {**episode.flag, "status": "entered-in-error"}
        self.desk.save(resources.ended(flag, "entered-in-error", self.desk.now) if was_active else flag)
        if was_active:
            close_tasks(self.desk, flag, "cancelled")

    def _tell(self, flag: Resource, entry: Entry, zone: str) -> None:
        desk = self.desk
        team = resources.care_teams(self.plans)
        alert = resources.message(
            desk.new_id(), flag, entry, zone, self.plans, desk.now, to=team, category="alert", text=entry.text
        )
        desk.save(alert)
        for plan, text in self.advice(entry) if self.advice else ():
            note = resources.message(
                desk.new_id(),
                flag,
                entry,
                zone,
                (plan,),
                desk.now,
                to=[flag["subject"]],
                category="instruction",
                text=text,
            )
            desk.save(note)

    def _set_priority(self, flag: Resource, zone: str, worst: Entry) -> None:
        for task in self.desk.tasks_of(flag):
            if task.get("status") in OPEN_TASK:
                told = resources.described(task, worst.text)
                self.desk.save({**told, "priority": REQUEST_PRIORITY[zone], "lastModified": self.desk.now})


def close_tasks(desk: Desk, flag: Resource, status: str) -> None:
    """End the open Tasks of a Flag."""
    for task in desk.tasks_of(flag):
        if task.get("status") in OPEN_TASK:
            desk.save({**task, "status": status, "lastModified": desk.now})
