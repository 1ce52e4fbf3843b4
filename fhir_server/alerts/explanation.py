"""Why a reading is in a Flag: the rule, the plan's version, the bounds, the readings looked at (promise 8).

profiles/published/StructureDefinition-dho-explanation.json
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Context, Decimal
from typing import Any

from fhir_server.alerts.vocabulary import EXPLANATION_URL, SEVERITY, translated
from rules.plans import Reading, Text, Threshold, Verdict, instant, verdict_text
from rules.plans.threshold import UCUM, Bound
from rules.plans.window import EPOCH, Window

Part = dict[str, Any]
# What is computed has the digits that FHIR asks for, and is left out where JSON has no such number.
_DIGITS = Context(prec=18)
_WRITABLE = 280


@dataclass(frozen=True, slots=True)
class Entry:
    """One Observation in a Flag. `instant` (microseconds since 1970) and `value` tell copies of a reading.

    `extension` is as stored; of a new entry it still lacks the readings `looked_at` (see `complete`): there
    may be thousands for each of thousands of entries, of which few are kept.
    """

    observation: str
    zone: str
    instant: int
    value: str
    passing: bool
    text: Text
    extension: Part
    looked_at: tuple[Reading, ...] = ()


def clinical_entry(verdict: Verdict) -> Entry:
    """The entry of a reading that fell into a zone."""
    zone = verdict.zone
    if zone is None:
        raise ValueError("a normal reading is in no Flag")
    threshold, text = zone.threshold, verdict_text(verdict)
    parts = [
        *_common(verdict.reading, threshold.zone, verdict.rule.key, zone.plan.reference, text),
        _part("ruleId", "String", threshold.rule_id),
        _part("kind", "Code", threshold.kind),
        _part("target", "String", threshold.expression),
        *_bounds(threshold),
    ]
    unit = verdict.rule.unit or verdict.reading.unit
    for name, value in (("measured", verdict.measured), ("baseline", verdict.baseline)):
        if value is not None and abs(value.adjusted()) < _WRITABLE:
            parts.append(_part(name, "Quantity", _quantity(_DIGITS.plus(value), unit)))
    return replace(_entry(verdict.reading, threshold.zone, text, parts), looked_at=verdict.looked_at)


@dataclass(frozen=True, slots=True)
class Basis:
    """What a rule in CQL was evaluated with: all of it by version, so that it can be evaluated again.

    `value_sets` and `code_systems` are References; what is not stored is named by its canonical.
    `now` is in microseconds since 1970; `defines` are the definitions that held.
    """

    definition: str
    libraries: tuple[str, ...]
    defines: tuple[str, ...]
    value_sets: tuple[Part, ...]
    code_systems: tuple[Part, ...]
    now: int
    data: tuple[str, ...]


def rule_entry(
    reading: Reading,
    rule: str,
    plan: str | None,
    zone: str,
    text: Text,
    basis: Basis,
    looked_at: tuple[Reading, ...],
) -> Entry:
    """The entry of a reading for which a PlanDefinition found something."""
    parts = _common(reading, zone, rule, plan, text, basis.definition)
    parts += [_part("library", "Reference", {"reference": reference}) for reference in basis.libraries]
    parts += [_part("define", "String", name) for name in basis.defines]
    parts += [_part("valueSet", "Reference", reference) for reference in basis.value_sets]
    parts += [_part("codeSystem", "Reference", reference) for reference in basis.code_systems]
    parts.append(_part("now", "DateTime", _date_time(basis.now)))
    parts += [_part("data", "Reference", {"reference": reference}) for reference in basis.data]
    return replace(_entry(reading, zone, text, parts), looked_at=looked_at)


def technical_entry(
    reading: Reading,
    rule: str,
    plan: str | None,
    code: str,
    text: Text,
    passing: bool = False,
    definition: str | None = None,
) -> Entry:
    """The entry of a reading that could not be judged, or not with certainty: why, and by which plan."""
    parts = _common(reading, "technical", rule, plan, text, definition)
    parts.append(_part("reason", "Code", code))
    if passing:
        parts.append(_part("passing", "Boolean", True))
    return _entry(reading, "technical", text, parts, passing)


def read_entries(flag: dict[str, Any]) -> dict[str, Entry]:
    """The entries that a stored Flag carries, by Observation id; what others put there is passed over."""
    entries = {}
    for extension in flag.get("extension") or ():
        if extension.get("url") == EXPLANATION_URL:
            entry = _stored_entry(extension)
            if entry.zone in SEVERITY:
                entries[entry.observation] = entry
    return entries


def complete(entry: Entry) -> Entry:
    """The entry with the list of readings that were looked at."""
    listed = [{"url": "reading", "extension": _reading_parts(r)} for r in entry.looked_at]
    parts = [*entry.extension["extension"], *listed]
    return replace(entry, extension={**entry.extension, "extension": parts}, looked_at=())


def says_the_same(stored: Entry, entry: Entry) -> bool:
    """Whether a new entry of a reading says what the stored one does, which may have lost its list."""
    if entry.looked_at and any(part["url"] == "reading" for part in stored.extension["extension"]):
        entry = complete(entry)
    elif stored.looked_at != entry.looked_at:
        stored, entry = without_readings(stored), without_readings(entry)
    return stored.extension == entry.extension


def without_readings(entry: Entry) -> Entry:
    """The entry without the list of readings that were looked at."""
    parts = [part for part in entry.extension["extension"] if part["url"] != "reading"]
    return replace(entry, extension={**entry.extension, "extension": parts}, looked_at=())


def _stored_entry(extension: Part) -> Entry:
    parts = {part.get("url"): part for part in extension.get("extension") or ()}

    def value(url: str, kind: str, default: Any = "") -> Any:
        return parts.get(url, {}).get(f"value{kind}", default)

    reference = value("observation", "Reference", {}).get("reference", "")
    nb = value("text", "String")
    translation = parts.get("text", {}).get("_valueString", {}).get("extension") or [{}]
    english = [
        p.get("valueString") for p in translation[0].get("extension") or () if p.get("url") == "content"
    ]
    return Entry(
        observation=reference.split("/")[1] if reference.count("/") else reference,
        zone=value("zone", "Code"),
        instant=instant(value("time", "DateTime")) or 0,
        value=_value_key(value("value", "Quantity", {})),
        passing=value("passing", "Boolean", False),
        text=Text(nb, english[0] if english else nb),
        extension=extension,
    )


def _entry(reading: Reading, zone: str, text: Text, parts: list[Part], passing: bool = False) -> Entry:
    key = _value_key(_read_quantity(reading))
    return Entry(
        reading.id, zone, reading.time, key, passing, text, {"url": EXPLANATION_URL, "extension": parts}
    )


def _common(
    reading: Reading, zone: str, rule: str, plan: str | None, text: Text, definition: str | None = None
) -> list[Part]:
    parts = [_part("rule", "String", rule)]
    for url, reference in (("plan", plan), ("definition", definition)):
        if reference:
            parts.append(_part(url, "Reference", {"reference": reference}))
    parts += [
        _part("zone", "Code", zone),
        *_reading_parts(reading),
        {"url": "text", "valueString": text.nb, "_valueString": translated(text)},
    ]
    return parts


def _reading_parts(reading: Reading) -> list[Part]:
    parts = [
        _part("observation", "Reference", {"reference": reading.reference}),
        _part("time", "DateTime", _date_time(reading.time)),
    ]
    if reading.value is not None:
        parts.append(_part("value", "Quantity", _read_quantity(reading)))
    return parts


def _bounds(threshold: Threshold) -> list[Part]:
    parts = []
    for name, bound in (("low", threshold.low), ("high", threshold.high)):
        if bound:
            parts.append(_part(name, "Quantity", _bound_quantity(bound)))
            parts.append(_part(f"{name}Inclusive", "Boolean", bound.inclusive))
    if threshold.percent:
        parts.append(_part("percent", "Boolean", True))
    if threshold.baseline:
        parts.append(_part("baselineKind", "Code", threshold.baseline))
    if threshold.kind == "persistence":
        parts += [_part("n", "PositiveInt", threshold.n), _part("m", "PositiveInt", threshold.m)]
    if threshold.window:
        parts.append(_part("window", "Duration", _duration(threshold.window)))
    return parts


def _part(url: str, type: str, value: Any) -> Part:
    return {"url": url, f"value{type}": value}


def _quantity(value: Decimal, unit: str) -> dict[str, Any]:
    quantity: dict[str, Any] = {"value": value}
    if unit:
        quantity |= {"unit": unit, "system": UCUM, "code": unit}
    return quantity


def _read_quantity(reading: Reading) -> dict[str, Any]:
    if reading.value is None:
        return {}
    quantity = _quantity(reading.value, reading.unit)
    return {**quantity, "comparator": reading.comparator} if reading.comparator else quantity


def _bound_quantity(bound: Bound) -> dict[str, Any]:
    return _quantity(bound.value, bound.unit)


def _duration(window: Window) -> dict[str, Any]:
    return {"value": window.value, "unit": window.unit, "system": UCUM, "code": window.unit}


def _value_key(quantity: dict[str, Any]) -> str:
    """The same for quantities that say the same, whatever zeros they end in."""
    value = quantity.get("value")
    number = "" if value is None else str(Decimal(value).normalize())
    return f"{quantity.get('comparator', '')}{number} {quantity.get('code', '')}"


def _date_time(time: int) -> str:
    """A dateTime in UTC, to the microsecond where there are any: it must lead back to the same instant."""
    moment = EPOCH + timedelta(microseconds=time)
    return moment.isoformat(timespec="microseconds" if time % 1000 else "milliseconds").replace("+00:00", "Z")
