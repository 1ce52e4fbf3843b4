"""From an Observation to the values a threshold can be held against.

https://hl7.org/fhir/R4/observation.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

from rules.plans.text import Text
from rules.plans.threshold import Coding, codings, unit_of
from rules.plans.window import EPOCH, MICROSECOND

JUDGED = frozenset(("final", "amended", "corrected", "preliminary"))


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of one Observation version.

    `reference` is `Observation/x/_history/n`; `time` microseconds since 1970. Where there is no number to
    judge, `value` is None and `why` says so. `comparator` is <, <=, >, >= or "".
    """

    id: str
    reference: str
    time: int
    value: Decimal | None
    unit: str = ""
    comparator: str = ""
    why: Text | None = None


_YEAR = 31_557_600_000_000


@lru_cache(maxsize=8192)
def instant(text: str) -> int | None:
    """The first microsecond of a FHIR date, dateTime or instant (UTC where it names no zone), or None.

    None too for a year so far off that windows around it would leave the calendar.
    """
    full = text if len(text) > 7 else text + ("-01-01" if len(text) == 4 else "-01")
    try:
        moment = datetime.fromisoformat(full.replace(":60", ":59"))
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        time = (moment - EPOCH) // MICROSECOND
        return time if -1000 * _YEAR < time < 7000 * _YEAR else None
    except (ValueError, OverflowError):
        return None


def time_of(observation: dict[str, Any]) -> int | None:
    """When the reading was taken: the low end of effective[x], else issued; None where it says neither."""
    taken = observation.get("effectiveDateTime")
    if isinstance(taken, str) and (time := instant(taken)) is not None:
        return time
    period = observation.get("effectivePeriod")
    timing = observation.get("effectiveTiming")
    candidates = [
        observation.get("effectiveInstant"),
        *((period.get("start"), period.get("end")) if isinstance(period, dict) else ()),
        *(timing.get("event") or () if isinstance(timing, dict) else ()),
        observation.get("issued"),
    ]
    for text in candidates:
        if isinstance(text, str) and (time := instant(text)) is not None:
            return time
    return None


def codes_of(observation: dict[str, Any]) -> frozenset[Coding]:
    """Every coding that the Observation or a component of it carries: what can trigger a rule."""
    found = codings(observation.get("code"))
    for component in _components(observation):
        found |= codings(component.get("code"))
    return found


def readings(observation: dict[str, Any], codes: frozenset[Coding], time: int) -> Iterator[Reading]:
    """The values that the Observation carries for any of these codes, its own and its components'."""
    reference = f"Observation/{observation.get('id')}"
    if version := (observation.get("meta") or {}).get("versionId"):
        reference += f"/_history/{version}"
    matching = [c for c in (observation, *_components(observation)) if _carries(c, codes)]
    for carrier in matching:
        if carrier is observation and len(matching) > 1 and not _has_value(observation):
            continue  # a panel that shares a code with its components says nothing of its own
        yield _reading(carrier, str(observation.get("id")), reference, time)


def _carries(element: dict[str, Any], codes: frozenset[Coding]) -> bool:
    """Whether one of the element's codings is among these: `codings` without making a set of them."""
    concept = element.get("code")
    listed = concept.get("coding") if isinstance(concept, dict) else None
    for coding in listed if isinstance(listed, list) else ():
        if isinstance(coding, dict) and (coding.get("system", ""), coding.get("code")) in codes:
            return True
    return False


def units_of(observation: dict[str, Any]) -> Iterator[str]:
    """The units of the values that the Observation carries."""
    for element in (observation, *_components(observation)):
        quantity = element.get("valueQuantity")
        if isinstance(quantity, dict):
            yield unit_of(quantity)


def _has_value(element: dict[str, Any]) -> bool:
    return "dataAbsentReason" in element or any(key.startswith("value") for key in element)


def _components(observation: dict[str, Any]) -> list[dict[str, Any]]:
    listed = observation.get("component")
    return [c for c in listed if isinstance(c, dict)] if isinstance(listed, list) else []


def _reading(carrier: dict[str, Any], id: str, reference: str, time: int) -> Reading:
    quantity = carrier.get("valueQuantity")
    if isinstance(quantity, dict):
        value = quantity.get("value")
        if isinstance(value, int | Decimal) and not isinstance(value, bool):
            comparator = quantity.get("comparator", "")
            return Reading(id, reference, time, Decimal(value), unit_of(quantity), comparator)
    integer = carrier.get("valueInteger")
    if isinstance(integer, int) and not isinstance(integer, bool):
        return Reading(id, reference, time, Decimal(integer), "1")
    return Reading(id, reference, time, None, why=_why_no_number(carrier))


def _why_no_number(carrier: dict[str, Any]) -> Text:
    if "dataAbsentReason" in carrier:
        reasons = sorted(code for _, code in codings(carrier["dataAbsentReason"]))
        shown = f" ({', '.join(reasons)})" if reasons else ""
        return Text(f"målingen mangler verdi{shown}", f"the reading carries no value{shown}")
    return Text("målingen har ingen tallverdi", "the reading carries no numeric value")
