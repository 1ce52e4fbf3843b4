"""Tests for null (https://cql.hl7.org/09-b-cqlreference.html#nullological-operators-3)."""

from __future__ import annotations

from typing import Any


def coalesce(*values: Any) -> Any:
    """The first that is not null. A single list is looked into."""
    if len(values) == 1 and isinstance(values[0], list):
        values = tuple(values[0])
    return next((value for value in values if value is not None), None)


def is_null(value: Any) -> bool:
    return value is None


def is_true(value: bool | None) -> bool:
    return value is True


def is_false(value: bool | None) -> bool:
    return value is False
