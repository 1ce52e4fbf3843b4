"""FHIR data made by CQL, as they are in JSON (https://hl7.org/fhir/R4/json.html)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rules.model.values import Chosen, Primitive
from rules.runtime.context import current
from rules.runtime.errors import EvaluationError
from rules.runtime.temporal import Date, DateTime, Time


def structure(resource: str | None, elements: dict[str, Any]) -> dict[str, Any]:
    """A resource, or with None a complex type, of its elements; what is null or empty is left out."""
    found: dict[str, Any] = {} if resource is None else {"resourceType": resource}
    for name, value in elements.items():
        if isinstance(value, Chosen):
            name, value = f"{name}{value.type[0].upper()}{value.type[1:]}", value.value
        if isinstance(value, list):
            _put_list(found, name, value)
        elif isinstance(value, Primitive):
            _put(found, name, value.value)
            _put(found, f"_{name}", value.beside)
        else:
            _put(found, name, value)
    return found


def _put(found: dict[str, Any], name: str, value: Any) -> None:
    if value is not None and value != {}:
        found[name] = value


def _put_list(found: dict[str, Any], name: str, values: list[Any]) -> None:
    """What stands beside primitives is in a list of its own, at the same places."""
    items = [item for item in values if item is not None]
    if not items:
        return
    bare = [item.value if isinstance(item, Primitive) else item for item in items]
    if any(item is not None for item in bare):
        found[name] = bare
    if any(isinstance(item, Primitive) for item in items):
        found[f"_{name}"] = [item.beside if isinstance(item, Primitive) else None for item in items]


def primitive(elements: dict[str, Any]) -> Any:
    """A primitive of its value, and of the id and extensions that stand beside it."""
    value = in_json(elements.get("value"))
    beside = {name: item for name, item in elements.items() if name != "value" and item not in (None, [])}
    return Primitive(value, beside) if beside else value


def in_json(value: Any) -> bool | int | Decimal | str | None:
    """A System value as JSON has it. Raises EvaluationError for a time of day that FHIR has no form for."""
    if isinstance(value, Date):
        return str(value)[1:]
    if isinstance(value, DateTime):
        return _date_time(value)
    if isinstance(value, Time):
        if len(value.fields) < 3:
            raise EvaluationError("a time of FHIR is known to the second")
        return str(value)[2:]
    found: bool | int | Decimal | str | None = int(value) if type(value) is int else value
    return found


def _date_time(value: DateTime) -> str:
    """To the day as a date; with a time it has seconds and an offset, that of the evaluation if need be."""
    if len(value.fields) <= 3:
        return str(value)[1:].rstrip("T")
    if len(value.fields) < 6:
        raise EvaluationError("a dateTime of FHIR with a time is known to the second")
    offset = value.offset if value.offset is not None else current().offset
    return str(DateTime(value.fields, offset))[1:]
