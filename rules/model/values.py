"""FHIR R4 values to CQL's, as FHIRHelpers 4.0.1 defines it, and choices that know their type."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Final

from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.temporal import Date, DateTime, Time, parse_date, parse_datetime, parse_time
from rules.runtime.units import DEFINITE
from rules.runtime.values import Code, Concept, Quantity, Ratio

_UNIT_SYSTEMS: Final = (
    "http://unitsofmeasure.org",
    None,
    "http://hl7.org/fhirpath/CodeSystem/calendar-units",
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The value of a choice element that is no resource, with the name of its FHIR type."""

    type: str
    value: Any


@dataclass(frozen=True, slots=True)
class Primitive:
    """A primitive with its id or extensions, `value` may be None; without them it is the JSON value."""

    value: Any
    beside: dict[str, Any]


def primitive(value: dict[str, Any], name: str) -> Any:
    """A primitive element, with what stands beside it (https://hl7.org/fhir/R4/json.html#primitive)."""
    found, beside = value.get(name), value.get(f"_{name}")
    return Primitive(found, beside) if isinstance(beside, dict) else found


def primitives(value: dict[str, Any], name: str) -> list[Any] | None:
    """A list of primitives, each with what stands beside it at its place of the other list."""
    found, beside = value.get(name) or [], value.get(f"_{name}")
    if not isinstance(beside, list):
        return value.get(name)
    pairs = zip_longest(found, beside)
    return [item if more is None else Primitive(item, more) for item, more in pairs]


def beside(value: Any, name: str) -> Any:
    """The id or the extensions of a primitive."""
    return value.beside.get(name) if isinstance(value, Primitive) else None


def chosen(value: dict[str, Any] | None, keys: tuple[tuple[str, str, str | None], ...]) -> Chosen | None:
    """A choice element; keys are the JSON property, the FHIR type, and the property beside it or None."""
    if value is None:
        return None
    for key, type_, _ in keys:
        if value.get(key) is not None:
            return Chosen(type_, primitive(value, key))
    for key, type_, other in keys:
        if other in value:
            return Chosen(type_, primitive(value, key))
    return None


def has_type(value: Any, names: frozenset[str]) -> bool:
    """Whether a chosen value, or a resource, is of one of these FHIR types."""
    if isinstance(value, Chosen):
        return value.type in names
    return isinstance(value, dict) and value.get("resourceType") in names


def unwrapped(value: Any, names: frozenset[str]) -> Any:
    """The FHIR value if it is of one of these types, else null."""
    if not has_type(value, names):
        return None
    return value.value if isinstance(value, Chosen) else value


def cast(value: Any, names: frozenset[str]) -> Any:
    """The FHIR value. Raises EvaluationError if it is of another type."""
    if value is not None and not has_type(value, names):
        raise EvaluationError("cast: the value is of another type")
    return unwrapped(value, names)


def wrapped(value: Any, type_: str) -> Chosen | None:
    return None if value is None else Chosen(type_, value)


# Lists of data, which are one where all of their content is


def _content(value: Any) -> Any:
    """A hashable stand-in for data."""
    if isinstance(value, dict):
        return frozenset((name, _content(item)) for name, item in value.items())
    if isinstance(value, list):
        return tuple(_content(item) for item in value)
    if isinstance(value, Chosen):
        return (value.type, _content(value.value))
    if isinstance(value, Primitive):
        return (Primitive, _content(value.value), _content(value.beside))
    return (type(value) is bool, value)


def distinct(values: list[Any] | None) -> list[Any] | None:
    """Every element once, where it is first found."""
    if values is None:
        return None
    found: dict[Any, Any] = {}
    for value in values:
        found.setdefault(_content(value), value)
    return list(found.values())


def union(left: list[Any] | None, right: list[Any] | None) -> list[Any] | None:
    return distinct([*(left or ()), *(right or ())])


def intersect(left: list[Any] | None, right: list[Any] | None) -> list[Any] | None:
    if left is None or right is None:
        return None
    wanted = {_content(value) for value in right}
    return distinct([value for value in left if _content(value) in wanted])


def except_(left: list[Any] | None, right: list[Any] | None) -> list[Any] | None:
    if left is None:
        return None
    unwanted = {_content(value) for value in right or ()}
    return distinct([value for value in left if _content(value) not in unwanted])


DATA_LISTS: Final[dict[str, Callable[..., Any]]] = {
    "Distinct": distinct,
    "Union": union,
    "Intersect": intersect,
    "Except": except_,
}


# Primitives


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Primitive) else None


def to_string(value: Any) -> str | None:
    return value if isinstance(value, str) else to_string(_bare(value)) if value is not None else None


def to_boolean(value: Any) -> bool | None:
    return value if isinstance(value, bool) else to_boolean(_bare(value)) if value is not None else None


def to_integer(value: Any) -> int | None:
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return int(value)
    return to_integer(value.value) if isinstance(value, Primitive) else None


def to_decimal(value: Any) -> Decimal | None:
    """A number of JSON, however it was decoded."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, Primitive):
        return to_decimal(value.value)
    return Decimal(str(value)) if isinstance(value, float) else Decimal(value)


def to_date(value: Any) -> Date | None:
    text = to_string(value)
    return parse_date(text) if text is not None else None


def to_date_time(value: Any) -> DateTime | None:
    """Data that say the second are of that whole second.

    Now() has milliseconds: else `effective <= Now()` would be null for the very reading that is judged.
    """
    text = to_string(value)
    return _whole(text) if text is not None else None


@lru_cache(maxsize=16384)
def _whole(text: str) -> DateTime | None:
    found = parse_datetime(text)
    if found is not None and len(found.fields) == 6:
        return DateTime(found.fields, found.offset, whole=True)
    return found


def to_time(value: Any) -> Time | None:
    text = to_string(value)
    return parse_time(text) if text is not None else None


# Complex types


def to_quantity(value: Any) -> Quantity | None:
    """Raises EvaluationError for a comparator, and for units of another system than UCUM's."""
    if value is None or value.get("value") is None:
        return None
    if value.get("comparator") is not None:
        raise EvaluationError("a FHIR Quantity with a comparator is no System.Quantity")
    return _quantity(value)


def _quantity(value: Any) -> Quantity | None:
    number = value.get("value")
    if number.__class__ is not Decimal:
        number = to_decimal(number)
        if number is None:
            return None
    if value.get("system") not in _UNIT_SYSTEMS:
        raise EvaluationError("the unit of a FHIR Quantity is of a system that is not UCUM")
    unit = value.get("code") or value.get("unit") or "1"
    return Quantity(number, DEFINITE.get(unit, unit))


def quantity_ignoring_comparator(value: Any) -> Quantity | None:
    return None if value is None else _quantity(value)


def to_calendar_unit(unit: str | None) -> str | None:
    return None if unit is None else DEFINITE.get(unit, unit)


def to_code(value: Any) -> Code | None:
    if value is None:
        return None
    return Code(value.get("code"), value.get("system"), value.get("version"), value.get("display"))


def to_concept(value: Any) -> Concept | None:
    if value is None:
        return None
    return Concept(tuple(to_code(coding) for coding in value.get("coding") or ()), value.get("text"))


def has_code(value: Any, wanted: frozenset[tuple[str | None, str | None]]) -> bool:
    """Whether a CodeableConcept is equivalent to a Concept of these (system, code)."""
    if value is None:
        return False
    for coding in value.get("coding") or ():
        if coding is not None and (coding.get("system"), coding.get("code")) in wanted:
            return True
    return False


def period_to_interval(value: Any) -> Interval | None:
    """Without a start it is open there: it may have begun at any time; without an end it goes on."""
    if value is None:
        return None
    start, end = to_date_time(value.get("start")), to_date_time(value.get("end"))
    return Interval(start, end, start is not None, True, "DateTime")


def range_to_interval(value: Any) -> Interval | None:
    if value is None:
        return None
    return Interval(to_quantity(value.get("low")), to_quantity(value.get("high")), True, True, "Quantity")


def quantity_to_interval(value: Any) -> Interval | None:
    """The interval that a comparator says."""
    if value is None:
        return None
    number, comparator = _quantity(value), value.get("comparator")
    low = number if comparator in (">", ">=", None) else None
    high = number if comparator in ("<", "<=", None) else None
    return Interval(low, high, comparator != ">", comparator != "<", "Quantity")


def to_ratio(value: Any) -> Ratio | None:
    if value is None:
        return None
    numerator, denominator = to_quantity(value.get("numerator")), to_quantity(value.get("denominator"))
    return None if numerator is None or denominator is None else Ratio(numerator, denominator)


_FROM: Final[dict[str, Callable[[Any], Any]]] = {
    "boolean": to_boolean,
    "integer": to_integer,
    "decimal": to_decimal,
    "string": to_string,
    "uri": to_string,
    "base64Binary": to_string,
    "xhtml": to_string,
    "date": to_date,
    "dateTime": to_date_time,
    "instant": to_date_time,
    "time": to_time,
    "Quantity": to_quantity,
    "Coding": to_code,
    "CodeableConcept": to_concept,
    "Period": period_to_interval,
    "Range": range_to_interval,
    "Ratio": to_ratio,
}


def to_value(value: Any) -> Any:
    """What a choice holds as a System value where its FHIR type has one; anything else as it is."""
    if not isinstance(value, Chosen):
        return value
    convert = _FROM.get(value.type) or _FROM.get(_BASES.get(value.type, ""))
    return value if convert is None else convert(value.value)


# Types that are converted as the type that they specialise.
_BASES: Final = {
    **dict.fromkeys(("code", "id", "markdown"), "string"),
    **dict.fromkeys(("canonical", "oid", "url", "uuid"), "uri"),
    **dict.fromkeys(("positiveInt", "unsignedInt"), "integer"),
    **dict.fromkeys(("Age", "Count", "Distance", "Duration", "MoneyQuantity", "SimpleQuantity"), "Quantity"),
}
CAN_FAIL: Final = frozenset({"Quantity", "Range", "Ratio"})


def converter(type_: str) -> Callable[[Any], Any]:
    """The conversion of a FHIR type to its System type."""
    return _FROM[type_]
