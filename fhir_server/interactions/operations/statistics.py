"""Statistics of a patient's readings: https://hl7.org/fhir/R4/observation-operation-stats.html

For each code an Observation whose components are the statistics asked for, of the values with a number, in
the unit of the newest; a value with a comparator, or in a unit that cannot be converted, is in the total.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.operations.asked import Asked
from fhir_server.resource_json import decode_stored, encode
from fhir_server.search.parse import parse
from fhir_server.search.query import Sort
from fhir_server.store.base import Store
from terminology import ucum

UCUM = "http://unitsofmeasure.org"
SYSTEM = "http://terminology.hl7.org/CodeSystem/observation-statistics"
_PARAMETERS = ("subject", "code", "system", "coding", "duration", "period", "statistic", "include", "limit")
_NEWEST = (Sort("date", "date", "low", descending=True),)
_MOST = 100_000  # readings
_AT_ONCE = 1000

Values = Sequence[Decimal]


def _average(values: Values) -> Decimal:
    return sum(values, Decimal(0)) / len(values)


def _variance(values: Values) -> Decimal | None:
    """Of a sample; None where there are too few values."""
    if len(values) < 2:
        return None
    middle = _average(values)
    return sum(((value - middle) ** 2 for value in values), Decimal(0)) / (len(values) - 1)


def _deviation(values: Values) -> Decimal | None:
    variance = _variance(values)
    return None if variance is None else variance.sqrt()


def _percentile(percent: int) -> Callable[[Values], Decimal]:
    """The least value that so many in a hundred do not exceed."""
    return lambda values: sorted(values)[max(0, math.ceil(Decimal(percent) * len(values) / 100) - 1)]


def _median(values: Values) -> Decimal:
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2


def _moment(power: int, least: int) -> Callable[[Values], Decimal | None]:
    def of(values: Values) -> Decimal | None:
        """The standardised central moment; None where there are too few values, or all are the same."""
        middle = _average(values)
        spread = (sum(((v - middle) ** 2 for v in values), Decimal(0)) / len(values)).sqrt()
        if len(values) < least or not spread:
            return None
        found = sum((((v - middle) / spread) ** power for v in values), Decimal(0)) / len(values)
        return found - (3 if power == 4 else 0)

    return of


# code -> (display, function; whether the result is in the unit of the values)
STATISTICS: dict[str, tuple[str, Callable[[Values], Decimal | None], bool]] = {
    "average": ("Average", _average, True),
    "maximum": ("Maximum", max, True),
    "minimum": ("Minimum", min, True),
    "count": ("Count", lambda values: Decimal(len(values)), False),
    "median": ("Median", _median, True),
    "std-dev": ("Standard Deviation", _deviation, True),
    "sum": ("Sum", lambda values: sum(values, Decimal(0)), True),
    "variance": ("Variance", _variance, False),
    "20-percent": ("20th Percentile", _percentile(20), True),
    "80-percent": ("80th Percentile", _percentile(80), True),
    "4-lower": ("Lower Quartile", _percentile(25), True),
    "4-upper": ("Upper Quartile", _percentile(75), True),
    "5-1": ("1st Quintile", _percentile(20), True),
    "5-2": ("2nd Quintile", _percentile(40), True),
    "5-3": ("3rd Quintile", _percentile(60), True),
    "5-4": ("4th Quintile", _percentile(80), True),
    "skew": ("Skew", _moment(3, 3), False),
    "kurtosis": ("Kurtosis", _moment(4, 4), False),
}
_TOTAL = "total-count"


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is asked for: `codes` as in a search, `period` as of an Observation's effective time."""

    subject: str
    codes: tuple[str, ...]
    since: str | None
    until: str | None
    statistics: tuple[str, ...]
    include: bool
    limit: int


async def stats(service: Service, request: Request) -> Response:
    """200 with Parameters: `statistics`, and the readings as `source` where they are asked for."""
    asked = Asked(request, _PARAMETERS)
    wanted = _read(asked, service.clock())
    parts: list[dict[str, Any]] = []
    for code in wanted.codes:
        readings = await _readings(service, request, wanted, code)
        parts.append({"name": "statistics", "resource": _statistics(wanted, code, readings)})
        if wanted.include:
            parts += [{"name": "source", "resource": each} for each in readings[: wanted.limit]]
    return Response(200, encode({"resourceType": "Parameters", "parameter": parts}))


def _read(asked: Asked, now: datetime) -> _Wanted:
    subject = asked.text("subject")
    if not subject:
        raise FhirError("invalid", "$stats needs to know of whom: subject")
    codes = [
        f"{asked.text('system') or ''}|{code}" if asked.text("system") else code
        for code in asked.texts("code")
    ]
    for part in asked.all("coding"):
        coding = part.get("valueCoding")
        text = (
            part.get("valueString", "")
            if coding is None
            else f"{coding.get('system', '')}|{coding.get('code', '')}"
        )
        codes.append(text)
    statistics = tuple(dict.fromkeys(name for text in asked.texts("statistic") for name in text.split(",")))
    unknown = [name for name in statistics if name not in STATISTICS and name != _TOTAL]
    if not codes or not statistics:
        raise FhirError("invalid", "$stats needs at least one code, and one statistic")
    if unknown:
        raise FhirError("not-supported", f"$stats has {', '.join([*STATISTICS, _TOTAL])}")
    since, until = _period(asked, now)
    limit = asked.text("limit") or "100"
    if not (limit.isascii() and limit.isdigit() and len(limit) < 7):
        raise FhirError("invalid", "limit is a whole number")
    return _Wanted(subject, tuple(codes), since, until, statistics, asked.flag("include", False), int(limit))


def _period(asked: Asked, now: datetime) -> tuple[str | None, str | None]:
    """The start and end of the readings, as dates."""
    duration, periods = asked.all("duration"), asked.all("period")
    if duration and periods:
        raise FhirError("invalid", "$stats takes a duration or a period, not both")
    if duration:
        (value,) = [value for key, value in duration[0].items() if key.startswith("value")][:1] or ("",)
        try:
            since = now.astimezone(UTC) - timedelta(hours=float(value))
        except (ValueError, OverflowError, TypeError):
            raise FhirError("invalid", "duration is a number of hours") from None
        return since.isoformat(), None
    period = periods[0].get("valuePeriod") if periods else None
    if periods and not isinstance(period, dict):
        raise FhirError("invalid", "period is a Period, which needs a POST")
    return (period.get("start"), period.get("end")) if period else (None, None)


async def _readings(service: Service, request: Request, wanted: _Wanted, code: str) -> list[dict[str, Any]]:
    """The readings of a code that hold, newest first."""
    pairs = [("subject", wanted.subject), ("code", code), ("status:not", "entered-in-error,cancelled")]
    pairs += [
        ("date", f"{prefix}{text}") for prefix, text in (("ge", wanted.since), ("le", wanted.until)) if text
    ]
    search = parse("Observation", pairs, strict=True, base=request.base, now=service.clock())
    return await _all(service.store, replace(search.query, sort=_NEWEST, count=_AT_ONCE))


async def _all(store: Store, query: Any) -> list[dict[str, Any]]:
    found = await store.search(query)
    readings = [decode_stored(version.body or b"{}") for version in found.versions]
    while found.next is not None:
        if len(readings) > _MOST:
            raise FhirError(
                "not-supported", f"$stats over more than {_MOST} readings: give a duration or a period"
            )
        found = await store.search(replace(query, after=found.next, snapshot=found.snapshot))
        readings += [decode_stored(version.body or b"{}") for version in found.versions]
    return readings


def _statistics(wanted: _Wanted, code: str, readings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    system, _, plain = code.rpartition("|")
    coded = (
        readings[0]["code"]
        if readings
        else {"coding": [{**({"system": system} if system else {}), "code": plain}]}
    )
    values, unit = _values(readings)
    made: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": coded,
        "subject": {"reference": wanted.subject},
    }
    period = {name: text for name, text in (("start", wanted.since), ("end", wanted.until)) if text}
    if period:
        made["effectivePeriod"] = period
    made["component"] = [_component(name, values, unit, len(readings)) for name in wanted.statistics]
    return made


def _values(readings: Sequence[dict[str, Any]]) -> tuple[list[Decimal], dict[str, str]]:
    """The numbers, in the unit of the newest that has one."""
    values: list[Decimal] = []
    unit: dict[str, str] | None = None
    for quantity in _quantities(readings):
        if unit is None:
            unit = {name: quantity[name] for name in ("unit", "system", "code") if quantity.get(name)}
        number = _converted(quantity, unit)
        if number is not None:
            values.append(number)
    return values, unit or {}


def _quantities(readings: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for reading in readings:
        quantity = reading.get("valueQuantity")
        if isinstance(quantity, dict) and quantity.get("value") is not None and "comparator" not in quantity:
            yield quantity
        elif "valueInteger" in reading:
            yield {"value": reading["valueInteger"]}


def _converted(quantity: dict[str, Any], unit: dict[str, str]) -> Decimal | None:
    value = Decimal(str(quantity["value"]))
    if all(quantity.get(name) == unit.get(name) for name in ("system", "code")):
        return value if quantity.get("code") or quantity.get("unit") == unit.get("unit") else None
    if quantity.get("system") != UCUM or unit.get("system") != UCUM:
        return None
    try:
        return ucum.convert(value, quantity.get("code", ""), unit.get("code", ""))
    except ucum.UnitError:
        return None


def _component(name: str, values: Values, unit: dict[str, str], total: int) -> dict[str, Any]:
    coding = {"system": SYSTEM, "code": name}
    found: Decimal | None
    if name == _TOTAL:
        coding["display"], found, in_unit = "Total Count", Decimal(total), False
    else:
        coding["display"], reckon, in_unit = STATISTICS[name]
        found = reckon(values) if values or name == "count" else None
    made: dict[str, Any] = {"code": {"coding": [coding]}}
    if found is None:
        reason = "http://terminology.hl7.org/CodeSystem/data-absent-reason"
        return {**made, "dataAbsentReason": {"coding": [{"system": reason, "code": "not-applicable"}]}}
    return {**made, "valueQuantity": {"value": _rounded(found), **(unit if in_unit else {})}}


def _rounded(value: Decimal) -> Decimal:
    """To eight significant digits, written without an exponent."""
    if value == value.to_integral_value() and abs(value) < 10**15:
        return value.quantize(Decimal(1))
    return Decimal(f"{value:.8g}")
