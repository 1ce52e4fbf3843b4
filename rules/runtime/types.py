"""What type a value has, and what it is made of (https://cql.hl7.org/09-b-cqlreference.html#type-operators-1)."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any, Final

from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.temporal import Date, DateTime, Time
from rules.runtime.values import Code, CodeSystem, Concept, Long, Quantity, Ratio, Tuple, ValueSet

SYSTEM: Final[dict[str, tuple[type, ...]]] = {
    "Boolean": (bool,),
    "Integer": (int,),
    "Long": (Long,),
    "Decimal": (Decimal,),
    "String": (str,),
    "Date": (Date,),
    "DateTime": (DateTime,),
    "Time": (Time,),
    "Quantity": (Quantity,),
    "Ratio": (Ratio,),
    "Code": (Code,),
    "Concept": (Concept,),
    "CodeSystem": (CodeSystem,),
    "ValueSet": (ValueSet,),
    "Vocabulary": (CodeSystem, ValueSet),
    "Interval": (Interval,),
    "List": (list,),
    "Tuple": (Tuple,),
}
_PROPERTIES: Final = {"lowClosed": "low_closed", "highClosed": "high_closed"}
_MOST_DESCENDANTS: Final = 1_000_000


def is_(value: Any, name: str) -> bool:
    """Whether the value is of the System type of that name; null is of none."""
    if name == "Any":
        return value is not None
    return type(value) in SYSTEM.get(name, ())


def as_(value: Any, name: str) -> Any:
    """The value where it is of the type, else null."""
    return value if is_(value, name) else None


def cast(value: Any, name: str) -> Any:
    """The value, or null. Raises EvaluationError where it is of another type."""
    if value is not None and not is_(value, name):
        raise EvaluationError(f"the value is no {name}")
    return value


def property_(value: Any, name: str | None) -> Any:
    """An element of a structured value by its name in CQL, or null."""
    if value is None or name is None:
        return None
    if isinstance(value, dict):
        return value.get(name)
    found = getattr(value, _PROPERTIES.get(name, name), None)
    return list(found) if isinstance(found, tuple) else found


def children(value: Any) -> list[Any] | None:
    """The elements of a structured value, lists taken apart; of a list those of its elements."""
    return None if value is None else _children(value)


def _children(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [child for item in value if item is not None for child in _children(item)]
    if isinstance(value, dict):
        parts: list[Any] = list(value.values())
    elif is_dataclass(value) and not isinstance(value, Date | DateTime | Time):
        parts = [getattr(value, part.name) for part in fields(value) if part.compare]
    else:
        return []
    found: list[Any] = []
    for part in parts:
        if isinstance(part, list | tuple):
            found.extend(item for item in part if item is not None)
        elif part is not None:
            found.append(part)
    return found


def descendants(value: Any) -> list[Any] | None:
    """All children, their children, and so on. Raises EvaluationError where there are too many."""
    if value is None:
        return None
    found = _children(value)
    for item in found:  # grows while it is walked
        found.extend(_children(item))
        if len(found) > _MOST_DESCENDANTS:
            raise EvaluationError("the value has too many descendants")
    return found
