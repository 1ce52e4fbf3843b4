"""A patient's changed readings, judged by PlanDefinitions: which ones apply, and the Flags that follow.

Now() of an evaluation is the time of the reading that is judged, so that evaluating again gives the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fhir_server.alerts.catalogue import Catalogue
from fhir_server.alerts.definitions import CqlRule, Definition, Flaw
from fhir_server.alerts.desk import Desk
from fhir_server.alerts.evidence import (
    DAY,
    LONGEST,
    Evidence,
    Found,
    Lookback,
    TooMuch,
    observations_of,
    others_of,
    wanted,
)
from fhir_server.alerts.explanation import Basis, Entry, rule_entry, technical_entry
from fhir_server.alerts.libraries import Resource
from fhir_server.alerts.line import Line
from fhir_server.alerts.memory import PatientRules
from fhir_server.alerts.observed import Change
from fhir_server.alerts.value_sets import Part
from fhir_server.store.base import Span
from rules import cql
from rules.plans import Plan, Reading, Text, codes_of, in_force, readings, time_of
from rules.plans.text import quantity

# A late reading may matter to every later one. Where the rule does not say how far it looks back, so far and
# so many are judged again; where it does, those that look back so far.
LATER: Final = 30 * DAY
MOST_LATER: Final = 100
# What one rule may do in one commit: resources handed to all of its evaluations together, or failures (each
# may have used up its steps).
MOST_WORK: Final = 300_000
MOST_FAILURES: Final = 10
_SHOWN: Final = 200
_MOST_SINCE: Final = 50
_SEVERITY: Final = {"green": 0, "": 1, "yellow": 2, "red": 3}

# A PlanDefinition, the care plans that name it (or all of them), and whether it is because they name it.
Concern = tuple[Definition, tuple[Plan, ...], bool]


@dataclass(frozen=True, slots=True)
class Followed:
    """A rule that judges this patient, and the care plans that say so (all of them for everybody's rules)."""

    rule: CqlRule
    plans: tuple[Plan, ...]
    named: bool

    def in_force(self, moment: int) -> bool:
        """Whether readings of that moment are the rule's to judge, and one of the plans'."""
        begun = not self.named or any(in_force(plan, moment) for plan in self.plans)
        return begun and self.rule.in_force(moment)

    def plan(self, moment: int) -> Plan | None:
        """The plan that a finding names."""
        return next((plan for plan in self.plans if self.named and in_force(plan, moment)), None)


def definitions_for(catalogue: Catalogue, rules: PatientRules) -> Sequence[Concern]:
    """The PlanDefinitions that concern the patient, each once, with the care plans that name them."""
    found: dict[str, Concern] = {}
    for canonical, plans in rules.follows.items():
        definition = catalogue.named(canonical)
        if definition is not None:
            known = found[definition.id][1] if definition.id in found else ()
            named = {plan.id: plan for plan in (*known, *plans)}
            found[definition.id] = definition, tuple(named.values()), not definition.everybody
    for definition in catalogue.everybody:
        found.setdefault(definition.id, (definition, rules.plans, False))
    return list(found.values())


def followed(definitions: Iterable[Concern], codes: frozenset[tuple[str, str]]) -> list[Followed]:
    """The rules that readings with these codes trigger."""
    return [
        Followed(rule, plans, named)
        for definition, plans, named in definitions
        if definition.status == "active"
        for rule in definition.rules
        if rule.triggered(codes)
    ]


def flaws_of(definition: Definition, named: bool) -> list[Flaw]:
    """Why the definition, or a part of it, judges nobody although a plan or its status says it should."""
    if definition.status != "active":
        return [Flaw("PlanDefinition.status", f"the PlanDefinition is {definition.status}")] if named else []
    return list(definition.flaws)


class Judging:
    """One rule's verdicts on what a commit changed, put into the rule's lines."""

    def __init__(
        self,
        desk: Desk,
        patient: str,
        of: Followed,
        changes: Sequence[Change],
        catalogue: Catalogue,
        lines: tuple[Line, Line],
    ) -> None:
        self._desk, self._patient, self._of, self._rule = desk, patient, of, of.rule
        self._changes = [change for change in changes if of.rule.triggered(change.codes)]
        self._catalogue = catalogue
        self._clinical, self._technical = lines
        self._verdicts: dict[str, Found | Text | None] = {}
        self._lookback = Lookback(of.rule, desk.time)
        self._evidence = Evidence((), (), catalogue.value_sets, self._lookback.start)
        self._needed: dict[str, frozenset[str] | None] = {}
        self._left = MOST_WORK

    def run(self) -> None:
        amended = {change.id for change in self._changes if not change.fresh}
        self._clinical.changing |= amended
        self._technical.changing |= amended
        for change in self._changes:
            if change.observation is None or not self._of.in_force(change.time):
                self._clinical.drop(change.id, fresh=change.fresh)
                self._technical.drop(change.id, fresh=change.fresh)
        try:
            self._gather()
        except cql.EvaluationError as error:
            for moment, observation, fresh in self._own():
                self._cannot(observation, moment, str(error), fresh)
            return
        self._judge_all([*self._own(), *self._later()])

    def _own(self) -> list[tuple[int, Resource, bool]]:
        """The changed readings that are the rule's to judge, each with its time and whether it is new."""
        return [
            (change.time, change.observation, change.fresh)
            for change in self._changes
            if change.observation is not None and self._of.in_force(change.time)
        ]

    # Data

    def _gather(self) -> None:
        self._needed = wanted(self._rule.needs, self._catalogue.value_sets)
        own = [(c.time, c.observation) for c in self._changes if c.observation is not None]
        changed = {change.id for change in self._changes}
        found: list[tuple[int, Resource]] = []
        codes = self._codes()
        if self._changes and ("Observation" in self._needed or codes):
            found = observations_of(self._desk.tx, self._patient, codes, self._span())
        others = [
            resource
            for type, codes in self._needed.items()
            if type not in ("Observation", "Patient")
            for resource in others_of(self._desk.tx.search, self._patient, type, codes)
        ]
        patient = self._desk.read("Patient", self._patient)
        on_record = [pair for pair in found if pair[1]["id"] not in changed]
        others = [*([patient] if patient else []), *others]
        self._evidence = Evidence(
            [*on_record, *own], others, self._catalogue.value_sets, self._lookback.start
        )

    def _span(self) -> Span:
        """The readings that the judged ones look at, and the later ones that look at those."""
        first, last = min(self._times()), max(self._times())
        episode = self._clinical.active
        if episode and episode.entries:
            first = min(first, episode.last_time)
        start, start_of_last = self._lookback.start(first), self._lookback.start(last)
        if start is None or start_of_last is None:
            return Span(None, last + LATER)
        return Span(min(start, start_of_last) - LONGEST, last + max(LATER, last - start_of_last + 2 * DAY))

    def _codes(self) -> frozenset[str] | None:
        """The codes of the readings that it looks at or that trigger it, None for all."""
        looked_for = self._needed.get("Observation", frozenset())
        if looked_for is None or self._rule.codes is None:
            return None
        return looked_for | {code for _, code in self._rule.codes}

    def _times(self) -> list[int]:
        return [time for change in self._changes for time in (*change.times, change.time)]

    def _triggering(self, since: int, until: int | None = None) -> list[tuple[int, Resource]]:
        """The readings that it judges by themselves, behind `since` and up to `until`."""
        return [
            (moment, resource)
            for moment, resource in self._evidence.observations
            if moment > since and (until is None or moment <= until)
            if self._of.in_force(moment) and self._rule.triggered(codes_of(resource))
        ]

    def _later(self) -> list[tuple[int, Resource, bool]]:
        """Readings on record that look back at what changed."""
        if not self._changes:
            return []
        changed = {change.id for change in self._changes}
        first = min(self._times())
        last = max(self._times())
        later = [pair for pair in self._triggering(first - 1) if pair[1]["id"] not in changed]
        if self._lookback.limited:
            later = [pair for pair in later if (self._lookback.start(pair[0]) or 0) <= last]
        else:
            later = later[:MOST_LATER]
        return [(moment, resource, False) for moment, resource in later]

    # Verdicts

    def _judge_all(self, found: list[tuple[int, Resource, bool]]) -> None:
        found.sort(key=lambda one: one[0])
        for moment, observation, fresh in found:
            self._take(moment, observation, fresh)
            if len(found) > 1:  # each sees the earlier ones only
                self._resolve_if_normal(moment)
        self._resolve_if_normal(None)

    def _verdict(self, moment: int, observation: Resource) -> Found | Text | None:
        """The finding, None for none, or why it cannot be said."""
        id = str(observation.get("id"))
        if id not in self._verdicts:
            self._verdicts[id] = self._evaluated(moment, observation)
        return self._verdicts[id]

    def _evaluated(self, moment: int, observation: Resource) -> Found | Text | None:
        self._left -= self._evidence.size(moment)
        try:
            if self._left < 0:
                raise TooMuch("too many readings came at once")
            return self._evidence.judge(self._rule, observation, moment, self._now(moment))
        except cql.EvaluationError as error:
            self._left -= MOST_WORK // MOST_FAILURES
            return Text(str(error), str(error))

    def _now(self, moment: int) -> int:
        """When it is for the evaluation: never later than it is."""
        return min(moment, self._desk.time)

    def _take(self, moment: int, observation: Resource, fresh: bool) -> None:
        verdict = self._verdict(moment, observation)
        id = str(observation.get("id"))
        if isinstance(verdict, Text):
            # what was said of it stays: it is not known to be normal
            self._clinical.changing.discard(id)
            self._cannot(observation, moment, verdict.en, fresh)
            return
        if verdict is None:
            self._clinical.drop(id, fresh=fresh)
        else:
            self._clinical.add(self._entry(verdict, moment, observation), fresh=fresh)
        self._technical.drop(id, fresh=fresh)
        if self._technical.active and all(e.passing for e in self._technical.active.entries.values()):
            self._technical.resolve()

    def _entry(self, found: Found, moment: int, observation: Resource) -> Entry:
        rule, action = self._rule, found.action
        reading = reading_of(observation, moment)
        now = self._now(moment)
        shown = self._evidence.until(moment)[-_SHOWN:]
        looked_at = [r for o in shown if (r := reading_of(o, _time(o, moment))).id != reading.id]
        basis = Basis(
            rule.definition,
            tuple(used.reference for used in rule.libraries),
            tuple(dict.fromkeys(c.define for c in action.conditions if c.used and c.used.reference)),
            *self._terminology(),
            now,
            tuple(map(_reference, self._evidence.others)),
        )
        plan = self._of.plan(moment)
        name = plan.reference if plan else None
        return rule_entry(
            reading, rule.key, name, found.zone, _told(action.text, reading), basis, (*looked_at, reading)
        )

    def _terminology(self) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
        """The value sets that were looked into, and the code systems behind them."""
        used = {value_set for needs in self._rule.needs for value_set in needs.valuesets}
        found = [self._catalogue.value_sets.look_up(value_set) for value_set in used]
        value_sets = [part for each in found for part in (each.reference, *each.value_sets)]
        return _each_once(value_sets), _each_once(part for each in found for part in each.code_systems)

    def _cannot(self, observation: Resource, moment: int, why: str, fresh: bool) -> None:
        reading = reading_of(observation, moment)
        text = could_not(self._rule.label, why, self._rule.definition)
        plan = self._of.plan(moment)
        entry = technical_entry(
            reading,
            self._rule.key,
            plan.reference if plan else None,
            "failed",
            text,
            True,
            self._rule.definition,
        )
        self._technical.add(entry, fresh=fresh)

    # Resolving

    def _resolve_if_normal(self, until: int | None) -> None:
        """A yellow Flag ends after so many normal readings in a row; a red one waits for a person."""
        episode, enough = self._clinical.active, self._rule.auto_resolve
        if not episode or not episode.entries or episode.zone != "yellow" or not enough:
            return
        colors: dict[int, str] = {}
        for moment, observation in self._triggering(episode.last_time, until)[-_MOST_SINCE:]:
            verdict = self._verdict(moment, observation)
            color = "" if isinstance(verdict, Text) else verdict.zone if verdict else "green"
            colors[moment] = max(color, colors.get(moment, color), key=_SEVERITY.__getitem__)
        row = most = 0
        for color in colors.values():
            row = row + (color == "green") if _SEVERITY[color] <= _SEVERITY[""] else 0
            most = max(most, row)
        if most >= enough:
            self._clinical.resolve()


def reading_of(observation: Resource, moment: int) -> Reading:
    """The Observation as an explanation lists it: with its own value, or the first of its components'."""
    found = list(readings(observation, codes_of(observation), moment))
    valued = [reading for reading in found if reading.value is not None]
    version = (observation.get("meta") or {}).get("versionId", "1")
    reference = f"Observation/{observation.get('id')}/_history/{version}"
    return (*valued, *found, Reading(str(observation.get("id")), reference, moment, None))[0]


def could_not(label: Text, why: str, definition: str) -> Text:
    """That a rule could not judge; why is told as the engine says it."""
    return Text(
        f"Kan ikke bedømmes: {label.nb}: {why} ({definition})",
        f"Cannot be judged: {label.en}: {why} ({definition})",
    )


def _told(text: Text, reading: Reading) -> Text:
    """What the action says, with the value that was read."""
    if reading.value is None:
        return text
    value = quantity(reading.value, reading.unit)
    return Text(f"{text.nb} ({value.nb})", f"{text.en} ({value.en})")


def _each_once(references: Iterable[Part]) -> tuple[Part, ...]:
    """References without repetition, in an order that does not depend on chance."""
    by_name = {json.dumps(reference, sort_keys=True): reference for reference in references}
    return tuple(by_name[name] for name in sorted(by_name))


def _reference(resource: Resource) -> str:
    version = (resource.get("meta") or {}).get("versionId", "1")
    return f"{resource['resourceType']}/{resource['id']}/_history/{version}"


def _time(observation: dict[str, Any], default: int) -> int:
    moment = time_of(observation)
    return default if moment is None else moment
