"""What a write did to the readings of each patient."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fhir_server.instants import microseconds
from rules.plans import JUDGED, Coding, codes_of, time_of

_PATIENT = re.compile(r"(?:^|/)Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?$")


@dataclass(frozen=True, slots=True)
class Written:
    """What one write did to one resource: the content before and after, None where there was or is none.

    A subject that was named by an identifier alone has the reference to the patient that is meant; `problem`
    is "nobody" or "several" where the identifier leads to those.
    """

    type: str
    id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one Observation for one patient.

    `observation` is what is to be judged now (None: it no longer is this patient's, or no longer counts),
    `codes` every code it carries or carried, `times` when it is and was taken (microseconds since 1970).
    `fresh`: nothing was known of it before.
    """

    id: str
    observation: dict[str, Any] | None
    time: int
    codes: frozenset[Coding]
    times: tuple[int, ...]
    fresh: bool
    undated: bool = False


def changes_by_patient(written: Sequence[Written], base: str, now: datetime) -> dict[str, list[Change]]:
    """Changes to Observations by the id of the patient, in the order in which the readings were taken.

    A Patient of another server is another person, whatever the id.
    """
    changes: dict[str, list[Change]] = {}
    for one in written:
        if one.type != "Observation" or _same_content(one.before, one.after):
            continue
        before, after = patient_of(one.before, base), patient_of(one.after, base)
        for patient in {before, after} - {None}:
            then = _counted(one.before) if before == patient else None
            change = _change(
                one.id, then, _counted(one.after) if after == patient else None, microseconds(now)
            )
            if change:
                changes.setdefault(str(patient), []).append(change)
    for ordered in changes.values():
        ordered.sort(key=lambda change: change.time)
    return changes


def patient_of(resource: dict[str, Any] | None, base: str) -> str | None:
    """The id of the Patient of this server (at `base`) that is the subject, None where there is none."""
    reference = _subject(resource or {})
    local = reference.removeprefix(f"{base}/") if base else reference
    found = _PATIENT.match(local)
    return found.group(1) if found else None


def is_about(resource: dict[str, Any], patient: str) -> bool:
    """Whether a resource from the patient's compartment is there for its subject, not for a performer."""
    return subject_of(resource) in (patient, IDENTIFIED)


# A subject that is named by an identifier alone: of the patient in whose compartment the resource is.
IDENTIFIED = "*"


def subject_of(resource: dict[str, Any]) -> str:
    """The id of the Patient that is the subject, on whatever server; IDENTIFIED, "" where there is none."""
    found = _PATIENT.search(_subject(resource))
    if found:
        return found.group(1)
    subject = resource.get("subject") or {}
    return IDENTIFIED if "reference" not in subject and "identifier" in subject else ""


def _subject(resource: dict[str, Any]) -> str:
    subject = resource.get("subject")
    reference = subject.get("reference") if isinstance(subject, dict) else None
    return reference if isinstance(reference, str) else ""


def _same_content(before: dict[str, Any] | None, after: dict[str, Any] | None) -> bool:
    """Whether a write repeated what was there: it does nothing then."""
    if before is None or after is None:
        return False
    return {**before, "meta": None} == {**after, "meta": None}


def _change(id: str, before: dict[str, Any] | None, after: dict[str, Any] | None, now: int) -> Change | None:
    if before is None and after is None:
        return None
    states = [state for state in (before, after) if state]
    times = tuple(time for state in states if (time := time_of(state)) is not None)
    latest = time_of(after) if after else None
    return Change(
        id=id,
        observation=after,
        time=latest if latest is not None else (times[-1] if times else now),
        codes=frozenset().union(*(codes_of(state) for state in states)),
        times=times,
        fresh=before is None,
        undated=after is not None and latest is None,
    )


def _counted(observation: dict[str, Any] | None) -> dict[str, Any] | None:
    """The Observation if it is of a status that is judged."""
    return observation if observation and observation.get("status") in JUDGED else None
