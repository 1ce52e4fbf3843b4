"""What single elements of a PlanDefinition say: triggers, texts, periods, our extensions.

https://hl7.org/fhir/R4/plandefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from rules.plans import Text, instant
from rules.plans.plan import TRANSLATION_URL
from rules.plans.window import ZONE

AUTO_RESOLVE_URL: Final = "https://varde.dev/fhir/StructureDefinition/dho-auto-resolve"
_ON_READINGS: Final = frozenset(("data-added", "data-modified", "data-changed"))
_AUTO_RESOLVE: Final = 3


def on_readings(trigger: dict[str, Any]) -> bool:
    data = trigger.get("data") or ()
    return trigger.get("type") in _ON_READINGS and any(d.get("type") == "Observation" for d in data)


def code_filters(trigger: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """For each kind of Observation that the trigger names, the filters of its code."""
    for data in trigger.get("data") or ():
        if data.get("type") == "Observation":
            filters = data.get("codeFilter") or ()
            yield [f for f in filters if "code" in (f.get("path"), f.get("searchParam"))]


def auto_resolve_of(action: dict[str, Any]) -> int:
    for extension in action.get("extension") or ():
        if extension.get("url") == AUTO_RESOLVE_URL and isinstance(extension.get("valueUnsignedInt"), int):
            return int(extension["valueUnsignedInt"])
    return _AUTO_RESOLVE


def label_of(element: dict[str, Any], resource: dict[str, Any], default: Text) -> Text:
    """What people read: the title, or else what the action or definition says of itself."""
    for name in ("title", "textEquivalent", "description", "name"):
        if isinstance(element.get(name), str):
            return _translated(element, name, str(resource.get("language") or ""))
    return default


def _translated(element: dict[str, Any], name: str, language: str) -> Text:
    plain = element[name]
    texts = {language.partition("-")[0]: plain}
    for extension in (element.get(f"_{name}") or {}).get("extension") or ():
        if extension.get("url") == TRANSLATION_URL:
            parts = {part.get("url"): part for part in extension.get("extension") or ()}
            content = parts.get("content") or {}
            said = content.get("valueString", content.get("valueMarkdown"))
            if isinstance(said, str):
                texts[str((parts.get("lang") or {}).get("valueCode")).partition("-")[0]] = said
    norwegian = texts.get("nb") or texts.get("no") or texts.get("nn") or plain
    return Text(norwegian, texts.get("en") or plain)


def period_of(period: dict[str, Any]) -> tuple[int | None, int | None]:
    """[start, end) in microseconds since 1970; days are days in Norway, and the last one is in it."""
    return _edge(period.get("start"), False), _edge(period.get("end"), True)


def _edge(text: Any, last: bool) -> int | None:
    try:
        if "T" in text:
            moment = instant(text)
            return None if moment is None else moment + last
        numbers = [int(part) for part in text.split("-")]
        first = date(*(*numbers, 1, 1)[:3])
        if last:
            days = {1: 366, 2: 31, 3: 1}[len(numbers)]
            first += timedelta(days=days)
            first = first.replace(day=1) if len(numbers) < 3 else first
            first = first.replace(month=1) if len(numbers) == 1 else first
        return int(datetime.combine(first, time(), ZONE).timestamp()) * 1_000_000
    except (TypeError, ValueError, OverflowError):  # no bound, or one beyond the calendar
        return None
