"""From a CarePlan and its Goals to what is to be watched, who is told, and what the patient is told.

https://hl7.org/fhir/R4/careplan.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rules.plans.reading import instant
from rules.plans.text import Text
from rules.plans.threshold import Coding, Problem, Threshold, read_goal

ZONE_URL = "https://varde.dev/fhir/StructureDefinition/dho-zone"
TRANSLATION_URL = "http://hl7.org/fhir/StructureDefinition/translation"
# A goal that is proposed, paused or over does not judge anybody (GoalLifecycleStatus).
GOAL_IN_FORCE = frozenset(("planned", "accepted", "active"))
_TIME_ZONES_AHEAD = 14 * 3_600_000_000  # a date begins first at UTC+14


@dataclass(frozen=True, slots=True)
class Plan:
    """One active CarePlan. `reference` names its version; `start` is microseconds since 1970, or None.

    `advice` maps a zone (green, yellow, red) to language tags and the self-care text in each; the text of the
    plan's own language is under "".
    """

    reference: str
    id: str
    start: int | None
    thresholds: tuple[Threshold, ...]
    problems: tuple[Problem, ...]
    care_teams: tuple[dict[str, Any], ...]
    advice: Mapping[str, Mapping[str, str]]


def read_plan(
    care_plan: dict[str, Any],
    goal_of: Callable[[dict[str, Any]], dict[str, Any] | str | None],
    same_measure: Callable[[Coding], frozenset[Coding]],
) -> Plan:
    """What an active CarePlan asks for. Never raises for what a plan may contain.

    `goal_of` takes a Reference that is not contained and gives the Goal, None where there is none, or a
    string that says why the one there is cannot be used ("other-patient").
    """
    version = (care_plan.get("meta") or {}).get("versionId", "1")
    thresholds: list[Threshold] = []
    problems: list[Problem] = []
    for goal, where in _goals(care_plan, goal_of, problems):
        if goal.get("lifecycleStatus") in GOAL_IN_FORCE:
            found, wrong = read_goal(goal, where, same_measure)
            thresholds += found
            problems += wrong
    return Plan(
        reference=f"CarePlan/{care_plan['id']}/_history/{version}",
        id=care_plan["id"],
        start=_start(care_plan),
        thresholds=tuple(thresholds),
        problems=tuple(problems),
        care_teams=tuple(_care_teams(care_plan)),
        advice=_advice(care_plan),
    )


def _care_teams(care_plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Who is told: the plan's care teams; of a contained one, which nobody else can look up, the members."""
    contained = {f"#{team.get('id')}": team for team in _listed(care_plan, "contained")}
    for team in _listed(care_plan, "careTeam"):
        known = contained.get(str(team.get("reference")))
        if known is None:
            yield team
        for participant in _listed(known, "participant") if known else ():
            member = participant.get("member")
            if isinstance(member, dict) and not str(member.get("reference")).startswith("#"):
                yield member


def _goals(
    care_plan: dict[str, Any],
    goal_of: Callable[[dict[str, Any]], dict[str, Any] | str | None],
    problems: list[Problem],
) -> list[tuple[dict[str, Any], str]]:
    """Each Goal the plan names with the path it is found at; what cannot be had goes to `problems`."""
    contained = {f"#{goal.get('id')}": goal for goal in _listed(care_plan, "contained")}
    goals = []
    for position, reference in enumerate(_listed(care_plan, "goal")):
        where = f"CarePlan.goal[{position}]"
        literal = str(reference.get("reference"))
        goal = contained.get(literal) if literal.startswith("#") else goal_of(reference)
        if isinstance(goal, dict) and goal.get("resourceType", "Goal") == "Goal":
            goals.append((goal, f"{where}.resolve()"))
        elif goal == "other-patient":
            problems.append(Problem(where, _OTHER_PATIENT))
        else:
            problems.append(Problem(where, _NO_GOAL))
    return goals


_NO_GOAL = Text(
    "planen viser til et mål (Goal) som ikke finnes", "the plan refers to a Goal that does not exist"
)
_OTHER_PATIENT = Text(
    "planen viser til et mål (Goal) som gjelder en annen pasient",
    "the plan refers to a Goal that belongs to another patient",
)


def _start(care_plan: dict[str, Any]) -> int | None:
    period = care_plan.get("period")
    text = period.get("start") if isinstance(period, dict) else None
    start = instant(text) if isinstance(text, str) else None
    return start if start is None or "T" in str(text) else start - _TIME_ZONES_AHEAD


def _advice(care_plan: dict[str, Any]) -> dict[str, dict[str, str]]:
    advice: dict[str, dict[str, str]] = {}
    for activity in _listed(care_plan, "activity"):
        detail = activity.get("detail")
        zones = [e.get("valueCode") for e in _listed(activity, "extension") if e.get("url") == ZONE_URL]
        if not zones or not isinstance(detail, dict) or not isinstance(detail.get("description"), str):
            continue
        texts = {"": detail["description"], **_translations(detail.get("_description"))}
        if isinstance(care_plan.get("language"), str):
            texts.setdefault(care_plan["language"], detail["description"])
        for zone in zones:
            known = advice.setdefault(str(zone), {})
            for language, text in texts.items():
                known[language] = f"{known[language]}\n{text}" if language in known else text
    return advice


def _translations(element: Any) -> dict[str, str]:
    texts = {}
    for extension in _listed(element, "extension") if isinstance(element, dict) else ():
        if extension.get("url") == TRANSLATION_URL:
            parts = {part.get("url"): part for part in _listed(extension, "extension")}
            language = parts.get("lang", {}).get("valueCode")
            content = parts.get("content", {})
            text = content.get("valueString", content.get("valueMarkdown"))
            if isinstance(language, str) and isinstance(text, str):
                texts[language] = text
    return texts


def _listed(element: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in a repeating element, whatever else a plan from elsewhere put there."""
    items = element.get(name)
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []


def in_force(plan: Plan, time: int) -> bool:
    """Whether readings taken at that time are the plan's to judge: not those from before it began.

    An active plan that has run past its period still judges: its status is what a person ends it by.
    """
    return plan.start is None or time >= plan.start
