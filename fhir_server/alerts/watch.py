"""One patient's changed readings, judged by the patient's rules, and the Flags that follow."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from fhir_server.alerts.catalogue import BUGS, Catalogue
from fhir_server.alerts.context import Outcome, normal_in_a_row, outcomes, series
from fhir_server.alerts.desk import Desk
from fhir_server.alerts.explanation import Entry, clinical_entry, technical_entry
from fhir_server.alerts.line import Line, episode_of, is_active
from fhir_server.alerts.memory import PatientRules
from fhir_server.alerts.observed import Change
from fhir_server.alerts.patient import active_flags, catalogue_of, rules_of
from fhir_server.alerts.protocols import (
    Concern,
    Followed,
    Judging,
    could_not,
    definitions_for,
    flaws_of,
    followed,
)
from fhir_server.alerts.resources import advice_for
from rules.plans import Plan, Reading, Rule, Text

_CLOCK_DRIFT = 15 * 60 * 1_000_000  # a device may be this far ahead before its clock is in doubt
_TECHNICAL = "technical."
_ENGINE = "engine"
_DEFINITION = "definition."
_FLAWS_SHOWN = 5


def watch(desk: Desk, patient: str, changes: Sequence[Change]) -> None:
    """Judge what these changes touch and settle every Flag concerned."""
    rules = rules_of(desk, patient)
    codes: frozenset[tuple[str, str]] = frozenset().union(*(change.codes for change in changes))
    triggered = rules.triggered(codes)
    catalogue = catalogue_of(desk, patient) if rules.known else None
    concern = definitions_for(catalogue, rules) if catalogue else ()
    silent = not triggered and not concern and rules.known and not rules.problems
    if silent and all(change.fresh for change in changes) and not (catalogue and _is_said(desk, patient)):
        return
    watching = _Watch(desk, patient, rules)
    if catalogue:
        watching.follow(catalogue, concern, changes)
    watching.run(changes, triggered)


def _is_said(desk: Desk, patient: str) -> bool:
    """Whether a Flag says that a PlanDefinition cannot judge."""
    return any(key.startswith(_DEFINITION) for key in active_flags(desk, patient))


def report_failure(desk: Desk, patient: str, changes: Sequence[Change], error: Exception) -> None:
    """The engine itself failed on these readings: they are kept, and a technical Flag names each."""
    flags = [flag for flag in map(desk.latest, desk.flags(patient, rule=_ENGINE)) if is_active(flag)]
    line = Line(desk, patient, _ENGINE, "technical", (), episode_of(flags[0]) if flags else None)
    _add_failure(line, changes, error)
    line.settle()


def _add_failure(line: Line, changes: Sequence[Change], error: Exception) -> None:
    kind = type(error).__name__
    text = Text(
        f"Målinger kunne ikke bedømmes: feil i regelmotoren ({kind})",
        f"Readings could not be judged: the rules engine failed ({kind})",
    )
    for change in changes:
        line.add(_entry(change, _ENGINE, "failed", text, None), fresh=True)


class _Watch:
    """The lines of one patient in one transaction."""

    def __init__(self, desk: Desk, patient: str, rules: PatientRules) -> None:
        self._desk, self._patient, self._rules = desk, patient, rules
        self._lines: dict[str, Line] = {}
        self._active = active_flags(desk, patient)
        self._followed: list[Followed] = []

    def follow(self, catalogue: Catalogue, concern: Sequence[Concern], changes: Sequence[Change]) -> None:
        """Judge by the PlanDefinitions that concern the patient, and say what of them cannot judge."""
        codes: frozenset[tuple[str, str]] = frozenset().union(*(change.codes for change in changes))
        self._followed = followed(concern, codes)
        for of in self._followed:
            try:
                key = of.rule.key
                clinical = self._line(key, "reading", of.plans)
                technical = self._line(_TECHNICAL + key, "technical", of.plans)
                clinical.advice = partial(self._advice_of, of)
                Judging(self._desk, self._patient, of, changes, catalogue, (clinical, technical)).run()
            except BUGS as error:
                self._failed(of.rule.key, changes, error)
        self._report_definitions(concern, changes)

    def _advice_of(self, of: Followed, entry: Entry) -> list[tuple[Plan, str]]:
        plan = of.plan(entry.instant)
        return self._advice(plan, entry.zone) if plan else []

    def _report_definitions(self, concern: Sequence[Concern], changes: Sequence[Change]) -> None:
        """What is wrong with a PlanDefinition is said with the first reading that comes."""
        broken: set[str] = set()
        first = next((change for change in changes if change.observation is not None), None)
        for definition, plans, named in concern:
            flaws = flaws_of(definition, named)
            if flaws:
                broken.add(key := f"{_DEFINITION}{definition.id}")
            if flaws and first is not None:
                why = "; ".join(f"{flaw.expression}: {flaw.message}" for flaw in flaws[:_FLAWS_SHOWN])
                text = could_not(definition.label, why, definition.reference)
                line = self._line(key, "technical", plans)
                self._report_once(line, first, "definition", text, None, definition.reference)
        for key in self._active:
            if key.startswith(_DEFINITION) and key not in broken:
                self._line(key, "technical", ()).resolve()

    def run(self, changes: Sequence[Change], triggered: Sequence[Rule]) -> None:
        for codes in dict.fromkeys(rule.codes for rule in triggered):
            rules = [rule for rule in triggered if rule.codes == codes]
            concerned = [change for change in changes if change.codes & codes]
            readings = series(self._desk, self._patient, rules, concerned)
            for rule in rules:
                self._judge_or_say(rule, concerned, readings)
        self._forget_retracted(
            changes, {rule.key for rule in triggered} | {of.rule.key for of in self._followed}
        )
        self._report_plans(changes)
        self._report_patient(changes)
        if triggered or self._followed:
            self._report_times(changes, bool(self._followed) or any(rule.looks_back for rule in triggered))
        for line in self._lines.values():
            line.settle()

    def _line(self, key: str, category: str, plans: Sequence[Plan]) -> Line:
        if key not in self._lines:
            flag = self._active.get(key)
            episode = episode_of(flag) if flag else None
            self._lines[key] = Line(self._desk, self._patient, key, category, plans, episode)
        return self._lines[key]

    def _judge_or_say(self, rule: Rule, changes: Sequence[Change], readings: Sequence[Reading]) -> None:
        """A bug that one rule meets must not take the alerts of the others along (promise 2)."""
        try:
            self._judge(rule, changes, readings)
        except BUGS as error:
            self._failed(rule.key, changes, error)

    def _failed(self, rule: str, changes: Sequence[Change], error: Exception) -> None:
        for key in (rule, _TECHNICAL + rule):
            self._lines.pop(key, None)
        _add_failure(self._line(_ENGINE, "technical", self._rules.plans), changes, error)

    def _judge(self, rule: Rule, changes: Sequence[Change], readings: Sequence[Reading]) -> None:
        plans = tuple({zone.plan.id: zone.plan for zone in rule.zones}.values())
        clinical = self._line(rule.key, "reading", plans)
        technical = self._line(_TECHNICAL + rule.key, "technical", plans)
        found, gone = outcomes(rule, changes, readings)
        verdicts = {outcome.verdict.reading.id: outcome.verdict for outcome in found}

        def advice(entry: Entry) -> list[tuple[Plan, str]]:
            zone = verdicts[entry.observation].zone if entry.observation in verdicts else None
            return self._advice(zone.plan, entry.zone) if zone else []

        clinical.advice = advice
        amended = {change.id for change in changes if not change.fresh}
        clinical.changing |= amended
        technical.changing |= amended
        for id in gone:
            clinical.drop(id)
            technical.drop(id)
        for outcome in found:
            self._take(rule, outcome, clinical, technical)
            if outcome.verdict.color == "green" and len(found) > 1:  # each sees the earlier ones only
                self._resolve_if_normal(rule, clinical, outcome.verdict.reading.time)
        self._resolve_if_normal(rule, clinical, None)

    def _advice(self, plan: Plan, zone: str) -> list[tuple[Plan, str]]:
        texts = plan.advice.get(zone)
        if not texts:
            return []
        return [(plan, advice_for(self._desk.read("Patient", self._patient), texts))]

    def _take(self, rule: Rule, outcome: Outcome, clinical: Line, technical: Line) -> None:
        verdict, reading = outcome.verdict, outcome.verdict.reading
        if verdict.zone:
            clinical.add(clinical_entry(verdict), fresh=outcome.fresh)
        else:
            clinical.drop(reading.id, fresh=outcome.fresh)
        if verdict.technical:
            plan = rule.zones[0].plan.reference
            reasons = {reason.text: None for reason in verdict.technical}
            why = Text("; ".join(r.nb for r in reasons), "; ".join(r.en for r in reasons))
            text = _could_not(rule.label, why, plan)
            passing = all(reason.passing for reason in verdict.technical)
            entry = technical_entry(reading, rule.key, plan, verdict.technical[0].code, text, passing)
            technical.add(entry, fresh=outcome.fresh)
            return
        technical.drop(reading.id, fresh=outcome.fresh)
        if technical.active and all(entry.passing for entry in technical.active.entries.values()):
            technical.resolve()

    def _resolve_if_normal(self, rule: Rule, line: Line, until: int | None) -> None:
        """A yellow Flag ends after autoResolve normal readings in a row; a red one waits for a person."""
        episode = line.active
        if not episode or not episode.entries or episode.zone != "yellow" or not rule.auto_resolve:
            return
        normal = normal_in_a_row(self._desk, self._patient, rule, episode.last_time, until)
        if normal >= rule.auto_resolve:
            line.resolve()

    def _forget_retracted(self, changes: Sequence[Change], judged: Collection[str]) -> None:
        """A reading that no longer counts leaves the Flags of rules that are no longer in any plan, too."""
        retracted = [change.id for change in changes if change.observation is None]
        for key in self._active if retracted else ():
            if key not in judged and key.removeprefix(_TECHNICAL) not in judged:
                line = self._line(key, "reading", self._rules.plans)
                for id in retracted:
                    line.drop(id)

    def _report_plans(self, changes: Sequence[Change]) -> None:
        """Plans with parts that cannot be judged: said with the first reading that it matters to."""
        broken: dict[str, Plan] = {}
        for plan, problem in self._rules.problems:
            broken[plan.id] = plan
            for change in changes:
                matters = problem.measure is None or problem.measure & change.codes
                if change.observation is not None and matters:
                    line = self._line(f"plan.{plan.id}", "technical", (plan,))
                    text = _could_not(problem.expression, problem.text, plan.reference)
                    self._report_once(line, change, "plan", text, plan.reference)
                    break
        for key in self._active:
            if key.startswith("plan.") and key.removeprefix("plan.") not in broken:
                self._line(key, "technical", ()).resolve()

    def _report_patient(self, changes: Sequence[Change]) -> None:
        line_key = "unknown-patient"
        if self._rules.known:
            if line_key in self._active:
                self._line(line_key, "technical", ()).resolve()
            return
        for change in changes:
            if change.observation is not None:
                line = self._line(line_key, "technical", ())
                self._report_once(line, change, "patient", _UNKNOWN_PATIENT, None)

    def _report_times(self, changes: Sequence[Change], trends: bool) -> None:
        """Readings from the future, and readings that say no time where time matters."""
        line = self._line("clock", "technical", self._rules.plans)
        for change in changes:
            ahead = change.time > self._desk.time + _CLOCK_DRIFT
            if change.observation is not None and (ahead or (change.undated and trends)):
                text = _FUTURE if ahead else _UNDATED
                line.add(_entry(change, "clock", "time", text, None), fresh=change.fresh)
            elif not change.fresh:
                line.drop(change.id)

    def _report_once(
        self,
        line: Line,
        change: Change,
        code: str,
        text: Text,
        plan: str | None,
        definition: str | None = None,
    ) -> None:
        said = line.active.entries.values() if line.active else ()
        if all(entry.text != text for entry in said):
            line.add(_entry(change, line.key, code, text, plan, definition), fresh=True)


def _entry(
    change: Change, rule: str, code: str, text: Text, plan: str | None, definition: str | None = None
) -> Entry:
    version = ((change.observation or {}).get("meta") or {}).get("versionId", "1")
    reference = f"Observation/{change.id}/_history/{version}"
    reading = Reading(change.id, reference, change.time, None)
    return technical_entry(reading, rule, plan, code, text, definition=definition)


def _could_not(subject: str, reason: Text, plan: str) -> Text:
    return Text(
        f"Kan ikke bedømmes: {subject}: {reason.nb} (plan {plan})",
        f"Cannot be judged: {subject}: {reason.en} (plan {plan})",
    )


_UNKNOWN_PATIENT = Text(
    "Målingen gjelder en pasient som ikke er registrert her, og er ikke bedømt",
    "The reading is of a patient who is not on record here, and was not judged",
)
_FUTURE = Text(
    "Målingen er datert fram i tid: kontroller klokken på måleutstyret",
    "The reading is dated in the future: check the clock of the device",
)
_UNDATED = Text(
    "Målingen sier ikke når den er tatt: den er bedømt, men teller ikke med når senere målinger bedømmes",
    "The reading does not say when it was taken: it was judged, but does not count when later ones are",
)
