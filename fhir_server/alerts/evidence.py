"""What a rule in CQL looks at: the data of one patient, fetched by the rule's own retrieves, and the verdict.

Data that are an Observation count from their own time on; the others as they are in this transaction.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from fhir_server.alerts.definitions import Action, Condition, CqlRule
from fhir_server.alerts.libraries import Find, Resource, stored
from fhir_server.alerts.observed import IDENTIFIED, subject_of
from fhir_server.alerts.value_sets import ValueSets
from fhir_server.resource_json import decode_stored
from fhir_server.search import parameters
from fhir_server.search.extract import links
from fhir_server.search.query import And, Match, Node, Query, Sort, Test
from fhir_server.store.base import Span, Transaction
from rules import cql, fhirpath
from rules.plans import JUDGED, time_of
from rules.plans.window import EPOCH, MICROSECOND, ZONE
from rules.runtime.units import TextUnits
from rules.values import Code, Concept, ValueSet
from terminology import ucum

DAY: Final = 24 * 3_600_000_000  # microseconds
LONGEST: Final = 2 * DAY  # how long a reading that is a period may have begun before it is looked for
STEPS: Final = 1_000_000  # of one evaluation, in rounds of loops
MOST_READINGS: Final = 5000  # that one evaluation may look at
MOST_OTHERS: Final = 1000  # of each other type
_ZONES: Final = ("green", "yellow", "red")
_UNITS: Final = TextUnits(ucum.convert)
_NEWEST_FIRST: Final = (Sort("date", "date", "low", descending=True),)
# Paths of retrieves, and the search parameter that looks at the same place.
_CODED: Final = frozenset(("code", "medicationCodeableConcept", "vaccineCode"))


@dataclass(frozen=True, slots=True)
class Found:
    """What a rule says at one moment: the zone, and the action that it comes from."""

    zone: str
    action: Action


class TooMuch(cql.EvaluationError):
    """More data than an evaluation may look at."""


class Lookback:
    """How far back a rule looks, where every one of its retrieves of readings says so."""

    def __init__(self, rule: CqlRule, latest: int) -> None:
        self._latest = latest
        self._known: dict[int, int | None] = {}
        self._retrieves = [
            (condition.used.library, retrieve)
            for action in rule.actions
            for condition in action.conditions
            if condition.used is not None
            for retrieve in condition.needs.retrieves
            if retrieve.type == "Observation"
        ]
        paths = {retrieve.dates and retrieve.dates.path for _, retrieve in self._retrieves}
        self.limited = paths <= {"effective"}

    def start(self, moment: int) -> int | None:
        """The time of the earliest reading that an evaluation at that moment looks at, None for no limit."""
        if moment not in self._known:
            self._known[moment] = self._start(clock(min(moment, self._latest))) if self.limited else None
        return self._known[moment]

    def _start(self, now: datetime) -> int | None:
        if not self._retrieves:
            return _since_1970(now)  # it looks at no other reading
        starts = [library.period(retrieve, now=now)[0] for library, retrieve in self._retrieves]
        return min((_since_1970(start) for start in starts if start), default=None) if all(starts) else None


class Evidence:
    """The data of one patient for one rule. `observations` are in the order of time, each with its time."""

    def __init__(
        self,
        observations: Iterable[tuple[int, Resource]],
        others: Sequence[Resource],
        value_sets: ValueSets,
        start: Callable[[int], int | None],
    ) -> None:
        self._start = start
        self.observations = sorted(observations, key=lambda pair: (pair[0], str(pair[1].get("id"))))
        self._times = [moment for moment, _ in self.observations]
        self.others = others
        self._value_sets = value_sets

    def until(self, moment: int) -> list[Resource]:
        """The Observations up to and including a moment, as far back as the rule looks."""
        start, end = self._start(moment), bisect_right(self._times, moment)
        if start is None:
            return [resource for _, resource in self.observations[:end]]
        return [
            resource
            for time, resource in self.observations[bisect_left(self._times, start - LONGEST) : end]
            if time >= start or "effectivePeriod" in resource or "effectiveTiming" in resource
        ]

    def size(self, moment: int) -> int:
        """How many resources, at the most, an evaluation at that moment is handed."""
        start = self._start(moment)
        first = 0 if start is None else bisect_left(self._times, start - LONGEST)
        return len(self.others) + bisect_right(self._times, moment) - first

    def judge(self, rule: CqlRule, reading: Resource, moment: int, now: int) -> Found | None:
        """The most severe finding at a reading, None where there is none. Raises cql.EvaluationError."""
        resources = [*self.others, *self.until(moment)]
        known: dict[tuple[int, str], str | bool] = {}
        found = None
        for action in rule.actions:
            zone = self._zone(action, reading, resources, now, known)
            if zone is not None and (found is None or _ZONES.index(zone) > _ZONES.index(found.zone)):
                found = Found(zone, action)
        return found

    def _zone(
        self,
        action: Action,
        reading: Resource,
        resources: list[Resource],
        now: int,
        known: dict[tuple[int, str], str | bool],
    ) -> str | None:
        zone = action.zone
        for condition in action.conditions:
            key = (id(condition.used.library if condition.used else None), condition.define)
            if key not in known:
                known[key] = said(self._value(condition, reading, resources, now))
            value = known[key]
            if value is False or value == "green":
                return None
            if value is not True:
                zone = str(value)
        return zone

    def _value(self, condition: Condition, reading: Resource, resources: list[Resource], now: int) -> Any:
        if condition.used is None:
            return self._of_fhirpath(condition, reading, resources, now)
        return condition.used.library.evaluate(
            condition.define,
            resources=resources,
            now=clock(now),
            valuesets=self._value_sets,
            units=_UNITS,
            steps=STEPS,
        )

    def _of_fhirpath(
        self, condition: Condition, reading: Resource, resources: list[Resource], now: int
    ) -> Any:
        """The one item that the expression gives for the reading; %patient is the Patient."""
        assert condition.expression is not None
        patients = [resource for resource in resources if resource["resourceType"] == "Patient"]
        known = {f"Patient/{patient.get('id')}": patient for patient in patients}

        def resolve(reference: str) -> Resource:
            if reference not in known:
                raise cql.EvaluationError("of the references only that to the patient is resolved here")
            return known[reference]

        environment = fhirpath.Environment(now=clock(now), units=_UNITS, resolve=resolve)
        items = condition.expression(reading, environment, patient=patients, subject=patients)
        if len(items) > 1:
            raise cql.EvaluationError("the expression gave more than one item")
        return items[0] if items else None


def clock(moment: int) -> datetime:
    """Now() at a moment: what a clock in Norway shows, to the millisecond."""
    return (EPOCH + timedelta(milliseconds=moment // 1000)).astimezone(ZONE)


def _since_1970(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def said(value: Any) -> str | bool:
    """What a condition's value says: whether it holds, or a zone. Raises cql.EvaluationError for others."""
    if value is None or isinstance(value, bool):
        return value is True
    for text in _texts(value):
        if text in _ZONES:
            return str(text)
    raise cql.EvaluationError("the condition gave neither a Boolean nor green, yellow or red")


def _texts(value: Any) -> Iterator[Any]:
    """The codes in a String, a Code, a Concept, or in FHIR's."""
    if isinstance(value, Code):
        yield value.code
    elif isinstance(value, Concept):
        yield from (code.code for code in value.codes if code)
    elif isinstance(value, dict):
        yield from (coding.get("code") for coding in value.get("coding", (value,)))
    else:
        yield value


def coded(retrieve: cql.Retrieve, value_sets: ValueSets) -> tuple[str, ...] | None:
    """The codes that a retrieve looks for where an index can, None where it wants to see all."""
    if retrieve.path not in _CODED or not retrieve.codes:
        return None
    codes = value_sets(retrieve.codes) if isinstance(retrieve.codes, ValueSet) else retrieve.codes
    return tuple(sorted({code.code for code in codes if code.code}))


def wanted(needs: Iterable[cql.Needs], value_sets: ValueSets) -> dict[str, frozenset[str] | None]:
    """By type, the codes to look for, None for all there is. Raises cql.EvaluationError."""
    found: dict[str, frozenset[str] | None] = {}
    for retrieve in (retrieve for need in needs for retrieve in need.retrieves):
        codes = coded(retrieve, value_sets)
        known = found.get(retrieve.type, frozenset())
        found[retrieve.type] = None if codes is None or known is None else known | frozenset(codes)
    return found


def query_of(type: str, patient: str, codes: frozenset[str] | None, count: int) -> Query:
    """The patient's resources of a type, and of these codes. Raises cql.EvaluationError where it has none."""
    if not (of := links(type)):
        raise cql.EvaluationError(f"{type} is not part of a patient's record, so that it cannot be looked up")
    where: list[Node] = [Match("reference", of[0], (Test("type", "=", "Patient"), Test("id", "=", patient)))]
    name = "vaccine-code" if type == "Immunization" else "code"
    if codes is not None and name in parameters.of(type):
        where.append(Match("token", name, (Test("code", "in", tuple(sorted(codes))),)))
    sort = _NEWEST_FIRST if type == "Observation" else ()
    return Query(type, And(tuple(where)), sort, count=count, patient=patient)


def others_of(find: Find, patient: str, type: str, codes: frozenset[str] | None) -> list[Resource]:
    """The patient's resources of another type than Observation, without those that were entered in error."""
    found = stored(find, query_of(type, patient, codes, MOST_OTHERS + 1))
    if len(found) > MOST_OTHERS:
        raise TooMuch(f"the rule looks at more than {MOST_OTHERS} resources of type {type}")
    return sorted(filter(is_real, found), key=lambda resource: str(resource.get("id")))


def observations_of(
    tx: Transaction, patient: str, codes: frozenset[str] | None, span: Span
) -> list[tuple[int, Resource]]:
    """The patient's Observations that count, with their times; those this work created may be missing."""
    if codes is None:
        found = tx.search(query_of("Observation", patient, None, MOST_READINGS + 1))
        bodies = [version.body for version in found if version.body]
    else:
        limited = Span(span.since, span.until, newest=MOST_READINGS + 1)
        bodies = tx.timeline(patient, tuple(sorted(codes)), limited, own=False) if codes else []
    if len(bodies) > MOST_READINGS:
        raise TooMuch(f"the rule looks at more than {MOST_READINGS} readings: limit its retrieves by date")
    since = -(2**63) if span.since is None else span.since
    until = 2**63 if span.until is None else span.until
    return [
        (moment, resource)
        for moment, subject, resource in map(_counted, bodies)
        if moment is not None and subject in (patient, IDENTIFIED) and since <= moment <= until
    ]


def time_if_counted(observation: Resource) -> int | None:
    """When a reading was taken, if it is of a status that counts and says its time."""
    return time_of(observation) if observation.get("status") in JUDGED else None


@lru_cache(maxsize=8192)
def _counted(body: bytes) -> tuple[int | None, str, Resource]:
    """The time, the patient and the content: the next reading looks at the same ones again."""
    observation = decode_stored(body)
    return time_if_counted(observation), subject_of(observation), observation


def is_real(resource: Resource) -> bool:
    """Whether it does not say of itself that it was entered in error."""
    verified = (resource.get("verificationStatus") or {}).get("coding") or ()
    return resource.get("status") != "entered-in-error" and all(
        coding.get("code") != "entered-in-error" for coding in verified
    )
