"""The Flags of one rule for one patient: at most one active, and what becomes of it.

A line takes entries (readings that the rule has something to say of) and settles once: a Flag is raised,
added to, made more or less severe, resolved, or taken back, and people are told when they have to know.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from fhir_server.alerts import resources
from fhir_server.alerts.desk import RULE_SYSTEM, Desk
from fhir_server.alerts.explanation import Entry, read_entries, says_the_same
from fhir_server.alerts.vocabulary import REQUEST_PRIORITY, SEVERITY, ZONE_SYSTEM
from rules.plans import Plan

Resource = dict[str, Any]
OPEN_TASK = frozenset(
    ("draft", "requested", "received", "accepted", "ready", "in-progress", "on-hold")
)  # https://hl7.org/fhir/R4/valueset-task-status.html: every status that is not an end


@dataclass(slots=True)
class Episode:
    """One Flag while this transaction works on it. `told` is the zone people know of, "" when none.

    `by_instant` leads to the entries of an instant, and perhaps to ids that have left it.
    """

    flag: Resource
    entries: dict[str, Entry]
    told: str
    changed: bool = False
    status: str = "active"
    by_instant: dict[int, set[str]] | None = None

    @property
    def zone(self) -> str:
        return max((entry.zone for entry in self.entries.values()), key=SEVERITY.__getitem__, default="")

    @property
    def worst(self) -> Entry:
        """The latest of the most severe entries: what the Flag says."""
        return max(self.entries.values(), key=lambda entry: (SEVERITY[entry.zone], entry.instant))

    @property
    def last_time(self) -> int:
        """When the last of its readings was taken, in microseconds since 1970."""
        return max(entry.instant for entry in self.entries.values())

    def severity_of(self, observation: str) -> int:
        """How severe the reading is in this Flag, -1 when it is not in it."""
        entry = self.entries.get(observation)
        return SEVERITY[entry.zone] if entry else -1

    def has_copy(self, entry: Entry, changing: Collection[str]) -> bool:
        """Whether the same reading, at least as severe, is here by an id that is not itself `changing`."""
        if self.by_instant is None:
            self.by_instant = {}
            for observation, known in self.entries.items():
                self.by_instant.setdefault(known.instant, set()).add(observation)
        copies = (self.entries.get(id) for id in self.by_instant.get(entry.instant, ()) if id not in changing)
        return any(
            (known.instant, known.value) == (entry.instant, entry.value)
            and SEVERITY[known.zone] >= SEVERITY[entry.zone]
            for known in copies
            if known
        )

    def take(self, entry: Entry) -> None:
        """Put in the entry, in place of what was said of this reading before."""
        self.entries[entry.observation] = entry
        self.changed = True
        if self.by_instant is not None:
            self.by_instant.setdefault(entry.instant, set()).add(entry.observation)


def rule_of(flag: Resource) -> str | None:
    """The rule key that a Flag of the engine carries; None for anybody else's."""
    for identifier in flag.get("identifier") or ():
        if identifier.get("system") == RULE_SYSTEM:
            return str(identifier.get("value"))
    return None


def is_active(flag: Resource) -> bool:
    return bool(flag.get("status") == "active")


def episode_of(flag: Resource) -> Episode:
    """A stored Flag, with its entries."""
    codings = (flag.get("code") or {}).get("coding") or ()
    zone = next((str(c.get("code")) for c in codings if c.get("system") == ZONE_SYSTEM), "technical")
    return Episode(flag, read_entries(flag), zone, status=flag.get("status", "active"))


@dataclass(slots=True)
class Line:
    """`advice` gives for an entry the plans and texts the patient is told by; None for technical matters.

    `changing` are amended readings that this transaction has yet to judge: what the Flags say of them is old.
    """

    desk: Desk
    patient: str
    key: str
    category: str
    plans: Sequence[Plan]
    active: Episode | None
    advice: Callable[[Entry], Sequence[tuple[Plan, str]]] | None = None
    changing: set[str] = field(default_factory=set)
    _closed: list[Episode] | None = None
    _ended: list[Episode] = field(default_factory=list)

    def add(self, entry: Entry, *, fresh: bool) -> None:
        """Take in a reading that is in a zone or could not be judged. `fresh`: it was never judged before.

        What a person, or normal readings, have closed is opened again only by a reading that became worse.
        """
        self.changing.discard(entry.observation)
        known = self.active.entries.get(entry.observation) if self.active else None
        if known is None and self._is_dealt_with(entry, fresh):
            return
        if self.active is None:
            self.active = self._open()
        if known is None or not says_the_same(known, entry):
            self.active.take(entry)

    def drop(self, observation: str, *, fresh: bool = False) -> None:
        """The reading is normal, or no longer counts: whatever was said of it is taken back."""
        self.changing.discard(observation)
        if fresh:
            return
        for episode in (self.active, *self._ended, *self._closed_before()):
            if episode and observation in episode.entries:
                del episode.entries[observation]
                episode.changed = True

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

    def _is_dealt_with(self, entry: Entry, fresh: bool) -> bool:
        """Whether a Flag knows this reading already, by its own id or as a copy: a repeat does nothing.

        Closed Flags are looked at only where that decides whether a new reading is told of at all.
        """
        if self.active and self.active.has_copy(entry, self.changing):
            return True
        if fresh and self.active and SEVERITY[entry.zone] <= SEVERITY.get(self.active.told, -1):
            return any(e.has_copy(entry, self.changing) for e in self._ended)
        closed = [*self._ended, *self._closed_before()]
        severity = SEVERITY[entry.zone]
        return any(
            e.severity_of(entry.observation) >= severity or e.has_copy(entry, self.changing) for e in closed
        )

    def _closed_before(self) -> list[Episode]:
        """The rule's Flags that are not active any more, as this transaction leaves them."""
        if self._closed is None:
            current = {e.flag["id"] for e in (self.active, *self._ended) if e}
            flags = self.desk.flags(self.patient, rule=self.key, active=False)
            self._closed = [
                episode_of(flag)
                for flag in map(self.desk.latest, flags)
                if flag["id"] not in current and flag.get("status") != "active"
            ]
        return self._closed

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
            if not episode.told and self.category == "reading":
                self._report_over(flag, worst, zone)
            return
        self.desk.save(flag)
        if SEVERITY[zone] > SEVERITY.get(episode.told, -1):
            self._tell(flag, worst, zone)
            self._advise(flag, worst, zone)
        if not episode.told:
            self.desk.save(self._new_task(flag, worst, zone))
        elif zone != episode.told:
            self._set_priority(flag, zone, worst)

    def _report_over(self, flag: Resource, worst: Entry, zone: str) -> None:
        """A day's readings in one bundle, or a late one: raised and resolved in one commit.

        The team is told all the same, as if the readings had come one by one; what the patient should have
        done then is not said now.
        """
        self._tell(flag, worst, zone)
        self.desk.save({**self._new_task(flag, worst, zone), "status": "completed"})

    def _new_task(self, flag: Resource, worst: Entry, zone: str) -> Resource:
        return resources.new_task(self.desk.new_id(), flag, zone, worst.text, self.plans, self.desk.now)

    def _take_back(self, episode: Episode) -> None:
        """Nothing is left that the Flag was raised for: it was an error, and speaks for no reading any more.

        Its readings, which its earlier versions name, may yet deserve an alert and must not find it here.
        """
        if not episode.told:
            return  # it never existed outside this transaction
        was_active = episode.flag.get("status") == "active"
        flag = {**resources.without_entries(episode.flag), "status": "entered-in-error"}
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

    def _advise(self, flag: Resource, entry: Entry, zone: str) -> None:
        desk = self.desk
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
                self.desk.save(resources.modified(told, self.desk.now, priority=REQUEST_PRIORITY[zone]))


def close_tasks(desk: Desk, flag: Resource, status: str) -> None:
    """End the open Tasks of a Flag."""
    for task in desk.tasks_of(flag):
        if task.get("status") in OPEN_TASK:
            desk.save(resources.modified(task, desk.now, status=status))
