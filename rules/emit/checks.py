"""Tests of type at run time: `is`, `as` and `cast` where the compiler cannot know.

https://cql.hl7.org/09-b-cqlreference.html#type-operators-1. A form is what is looked for: a Python class, a
tuple of them, ("list", form), ("interval", point type), ("choice", forms), ("tuple", forms by name),
("resource", names), or ("tagged", names) for what a choice tags with its type.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from rules.model.values import has_type
from rules.runtime.bounds import point_type
from rules.runtime.errors import EvaluationError
from rules.runtime.interval import Interval
from rules.runtime.values import Tuple

ANY: Final = object


def is_of(value: Any, form: Any) -> bool:
    """Whether the value, which a null is never, is of the form."""
    if value is None:
        return False
    if form is ANY:
        return True
    if isinstance(form, type):
        return type(value) is form
    return _is_composed(value, form)


def _is_composed(value: Any, form: Any) -> bool:
    kind, inner = form
    if kind in ("tagged", "resource"):
        return has_type(value, inner)
    if kind == "list":
        return isinstance(value, list) and all(item is None or is_of(item, inner) for item in value)
    if kind == "interval":
        return isinstance(value, Interval) and (value.point is None or inner is None or value.point == inner)
    if kind == "choice":
        return any(is_of(value, option) for option in inner)
    return (
        isinstance(value, Tuple)
        and value.keys() == inner.keys()
        and all(item is None or is_of(item, inner[name]) for name, item in value.items())
    )


def as_of(value: Any, form: Any) -> Any:
    """The value if it is of the form, else null."""
    return _told(value, form) if is_of(value, form) else None


def among(value: Any, form: Any) -> Any:
    """The value, which keeps the tag that it has in a choice, if it is of the form, else null."""
    return value if is_of(value, form) else None


def cast(value: Any, form: Any) -> Any:
    """The value. Raises EvaluationError if it is of another type."""
    if value is not None and not is_of(value, form):
        raise EvaluationError("cast: the value is of another type")
    return _told(value, form)


def _told(value: Any, form: Any) -> Any:
    """An interval that did not know its point type is told."""
    if isinstance(value, Interval) and value.point is None and isinstance(form, tuple):
        return replace(value, point=form[1])
    return value


def converted_interval(value: Interval | None, convert: Any) -> Interval | None:
    """The interval with its bounds converted."""
    if value is None:
        return None
    low, high = convert(value.low), convert(value.high)
    known = point_type(low if low is not None else high)
    return Interval(low, high, value.low_closed, value.high_closed, known)


def element_of(value: Any, name: str) -> Any:
    """An element by its CQL name, of whatever the value is."""
    if value is None:
        return None
    if isinstance(value, dict):
        return value.get(name)
    found = getattr(value, _PYTHON.get(name, name), None)
    return list(found) if isinstance(found, tuple) else found


_PYTHON: Final = {"lowClosed": "low_closed", "highClosed": "high_closed"}
