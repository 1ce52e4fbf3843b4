"""FHIR values to System values, and collections to the one value that an operator takes.

https://hl7.org/fhir/R4/fhirpath.html#types, https://hl7.org/fhirpath/N1/#singleton-evaluation-of-collections
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Final

from rules.fhirpath import types
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import Date, DateTime, Time, parse_date, parse_datetime, parse_time
from rules.runtime.units import DEFINITE
from rules.runtime.values import Quantity

_UCUM: Final = "http://unitsofmeasure.org"


def date(value: Any) -> Date | None:
    """None where the text is no date: the value cannot be known."""
    return parse_date(value) if value.__class__ is str else None


def date_time(value: Any) -> DateTime | None:
    return parse_datetime(value) if value.__class__ is str else None


def time(value: Any) -> Time | None:
    return parse_time(value) if value.__class__ is str else None


def decimal(value: Any) -> Decimal | None:
    """A number of JSON, however it was decoded. Raises EvaluationError for anything else."""
    if value is None or value.__class__ is Decimal:
        return value
    if value.__class__ is int:
        return Decimal(value)
    if value.__class__ is float:
        return Decimal(repr(value))
    raise EvaluationError("a decimal in the data is not a number")


def quantity(value: Any) -> Quantity | None:
    """A FHIR Quantity; None where it has no value, or a comparator, and so is no certain amount.

    UCUM's units of time become calendar durations, as FHIR has it. A unit of another system, or of none,
    equals only itself.
    """
    number = None if value is None else decimal(value.get("value"))
    if number is None or value.get("comparator") is not None:
        return None
    system, code = value.get("system"), value.get("code")
    if code is None:
        return Quantity(number, value.get("unit") or "1")
    if system == _UCUM or system is None:
        return Quantity(number, DEFINITE.get(code, code))
    return Quantity(number, f"{system}|{code}")


def same(value: Any) -> Any:
    return value


_CONVERTERS: Final[dict[str | None, Callable[[Any], Any]]] = {
    types.DATE: date,
    types.DATETIME: date_time,
    types.TIME: time,
    types.DECIMAL: decimal,
    types.QUANTITY: quantity,
}


def converter(type: str) -> Callable[[Any], Any]:
    """The function from the JSON value of a FHIR type to what operators take."""
    return _CONVERTERS.get(types.system_of(type), same)


# One value


def single(values: list[Any]) -> Any:
    """The only value, or None. Raises EvaluationError where there are several."""
    if len(values) > 1:
        raise EvaluationError("several items where at most one is allowed")
    return values[0] if values else None


def present(values: list[Any]) -> list[Any]:
    """The values but those of elements that have none."""
    return [value for value in values if value is not None]


def only(items: list[Any]) -> list[Any]:
    """The items. Raises EvaluationError where there are several."""
    if len(items) > 1:
        raise EvaluationError("several items where at most one is allowed")
    return items


def truth(value: Any) -> bool | None:
    """A single value as a condition: anything that is no Boolean counts as true."""
    return value if value.__class__ is bool or value is None else True


def expect(value: Any, *kinds: type) -> Any:
    """The value. Raises EvaluationError where it is of none of these types."""
    if value is not None and value.__class__ not in kinds:
        raise EvaluationError(
            f"a {kinds[0].__name__} is needed, but the item is a {value.__class__.__name__}"
        )
    return value


def string(value: Any) -> str | None:
    return value if value.__class__ is str else expect(value, str)


def integer(value: Any) -> int | None:
    return value if value.__class__ is int else expect(value, int)


def boolean(value: Any) -> bool | None:
    return value if value.__class__ is bool else expect(value, bool)
